use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Context;

/// What the steps of one `parallel!` have to know of each other: when the failure of one is the failure of all.
///
/// A step that waits or was cancelled has not failed. Its siblings go on, and the pause is told when all of them have ended
/// or paused too. A resumed run that is to be cancelled depends on that: it refuses a step that an earlier execution dropped
/// because a sibling failed, and has to find the recorded failure of that sibling all the same.
pub trait Siblings: Default {
    /// A step is there.
    fn begin(&self);
    /// A step has ended. Returns its place among the steps that ended in the same way.
    fn ended(&self, how: Ended, cx: &Context<'_>) -> u32;
    /// Returns whether a failure or a pause may be told, which drops all others.
    fn may_tell(&self, how: Ended, place: u32) -> bool;
}

/// How a step has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has a value.
    Succeeded,
    /// It waits, or the run was cancelled.
    Paused,
    /// It has failed, or the run cannot go on.
    Failed,
}

/// The first failure is told at once.
#[derive(Debug, Default)]
pub struct FailFast(Counts);

/// The first failure is told when all steps have ended or paused, so that the effects of each are known.
#[derive(Debug, Default)]
pub struct AllEnd(Counts);

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU32,
    paused: AtomicU32,
    failed: AtomicU32,
}

impl Counts {
    fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, how: Ended, cx: &Context<'_>) -> u32 {
        let place = match how {
            Ended::Succeeded => 0,
            Ended::Paused => self.paused.fetch_add(1, Ordering::Relaxed),
            Ended::Failed => self.failed.fetch_add(1, Ordering::Relaxed),
        };
        // The last step lets the others be asked again.
        let was_last = self.running.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && (self.paused.load(Ordering::Relaxed) > 0 || self.has_failed()) {
            cx.waker().wake_by_ref();
        }
        place
    }

    fn all_ended(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) > 0
    }
}

impl Siblings for FailFast {
    fn begin(&self) {
        self.0.begin();
    }

    fn ended(&self, how: Ended, cx: &Context<'_>) -> u32 {
        self.0.ended(how, cx)
    }

    fn may_tell(&self, how: Ended, place: u32) -> bool {
        how == Ended::Failed || (place == 0 && self.0.all_ended())
    }
}

impl Siblings for AllEnd {
    fn begin(&self) {
        self.0.begin();
    }

    fn ended(&self, how: Ended, cx: &Context<'_>) -> u32 {
        self.0.ended(how, cx)
    }

    fn may_tell(&self, how: Ended, place: u32) -> bool {
        place == 0 && self.0.all_ended() && (how == Ended::Failed || !self.0.has_failed())
    }
}
