use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Context;

/// The state that the steps of one `parallel!` share, which decides when the failure of one step ends all of them.
///
/// A step that waits or was cancelled has not failed. Its siblings continue, and `parallel!` returns the pause only
/// after all of them have ended or paused. The cancellation of a resumed run depends on this order: it refuses a step
/// that an earlier execution dropped because a sibling failed, and still has to find the recorded failure of that
/// sibling.
pub trait Siblings: Default {
    /// Counts a step.
    fn begin(&self);
    /// Counts the end of a step. Returns its place among the steps with the same kind of end.
    fn ended(&self, how: Ended, cx: &Context<'_>) -> u32;
    /// Returns `true` if `parallel!` may return a failure or a pause now, which drops all other steps.
    fn may_tell(&self, how: Ended, place: u32) -> bool;
}

/// The kind of a step's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The step returned a value.
    Succeeded,
    /// The step waits, or the run was cancelled.
    Paused,
    /// The step failed, or the run cannot continue.
    Failed,
}

/// Returns the first failure at once.
#[derive(Debug, Default)]
pub struct FailFast(Counts);

/// Returns the first failure after all steps have ended or paused, so that a saga knows the effects of each.
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
        // The last step to end wakes the task, so that the others are polled again.
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
