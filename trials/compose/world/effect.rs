//! One effect: how often it happened, and how often it may happen.

use crate::part::Fails;

/// An effect, or that of a compensation.
#[derive(Default)]
pub(crate) struct Effect {
    pub(super) calls: u32,
    /// How often it took place.
    pub(crate) done: u32,
    /// In this execution, and neither recorded nor known to be lost.
    pub(super) fresh: u32,
    /// How often it was called in this execution, which counts as once unless a worker executes the run several times.
    pub(super) called: u32,
    /// How often it took place and had to be recorded.
    pub(super) settled: u32,
    /// How many calls were lost to accidents.
    pub(super) lost: u32,
    /// Whether it stands: an effect that was undone does not.
    pub(crate) stands: bool,
    /// The digest of the outcome that the body received.
    pub(super) seen: Option<u64>,
}

impl Effect {
    /// Whether it takes place.
    pub(super) fn act(&mut self, fails: Fails, mended: bool, by_worker: bool) -> bool {
        self.calls += 1;
        self.called = if by_worker { self.called + 1 } else { 1 };
        let fails = match fails {
            Fails::Never => false,
            Fails::Always => !mended,
            Fails::First(times) => !mended && self.calls <= times.into(),
        };
        if !fails {
            (self.done, self.fresh, self.stands) = (self.done + 1, self.fresh + 1, true);
        }
        !fails
    }

    /// `attempts`: how many it has in all executions, if they are counted.
    pub(super) fn is_repeated(
        &self,
        times: u32,
        attempts: Option<u32>,
        what: &'static str,
    ) -> Option<&'static str> {
        let is_done_again = self.fresh > 0 && self.settled >= times;
        let is_tried_again = times == 1 && attempts.is_some_and(|attempts| self.calls > attempts + self.lost);
        (is_done_again || is_tried_again).then_some(what)
    }
}
