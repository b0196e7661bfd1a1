use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Context;

/// What the steps of one `parallel!` have to know of each other: when the failure of one is the failure of all.
pub trait Siblings: Default {
    /// A step is there.
    fn begin(&self);
    /// A step has a value.
    fn succeeded(&self, cx: &Context<'_>);
    /// A step has failed; gives its place among those that did.
    fn failed(&self, cx: &Context<'_>) -> u32;
    /// Whether the failure with that place may be told, which drops all others.
    fn may_tell(&self, place: u32) -> bool;
}

/// The first failure is told at once.
impl Siblings for () {
    fn begin(&self) {}

    fn succeeded(&self, _: &Context<'_>) {}

    fn failed(&self, _: &Context<'_>) -> u32 {
        0
    }

    fn may_tell(&self, _: u32) -> bool {
        true
    }
}

/// The first failure is told when all steps have ended, so that what each of them did is known.
#[derive(Debug, Default)]
pub struct AllEnd {
    running: AtomicU32,
    failures: AtomicU32,
}

impl AllEnd {
    /// A step has ended: the last one lets the first failure be told.
    fn end(&self, cx: &Context<'_>) {
        let was_last = self.running.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && self.failures.load(Ordering::Relaxed) > 0 {
            cx.waker().wake_by_ref();
        }
    }
}

impl Siblings for AllEnd {
    fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    fn succeeded(&self, cx: &Context<'_>) {
        self.end(cx);
    }

    fn failed(&self, cx: &Context<'_>) -> u32 {
        let place = self.failures.fetch_add(1, Ordering::Relaxed);
        self.end(cx);
        place
    }

    fn may_tell(&self, place: u32) -> bool {
        place == 0 && self.running.load(Ordering::Relaxed) == 0
    }
}
