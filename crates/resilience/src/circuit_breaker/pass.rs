use std::ops::Deref;

use awaitly_core::guard::{Pass, Verdict};

use super::decide::Era;
use super::{Entered, Shared};
use crate::failure::Failure;
use crate::time::Moment;

/// A call that the breaker admitted. Dropping it means that the call was cancelled, which does not count, or that its
/// task panicked, which counts as a failure.
#[derive(Debug)]
pub struct Admitted<H, P>
where
    H: Deref<Target = Shared<P>>,
{
    shared: H,
    era: Era,
    /// Whether a half-open breaker waits for this call.
    probe: bool,
    /// Whether the outcome is recorded.
    left: bool,
    /// The beginning of the call, if the breaker considers slow calls.
    began: Option<Moment>,
}

impl<H: Deref<Target = Shared<P>>, P> Admitted<H, P> {
    #[inline]
    pub(super) fn new(shared: H, Entered { era, probe }: Entered) -> Self {
        let began = shared.gate.began();
        Self { shared, era, probe, left: false, began }
    }
}

impl<H: Deref<Target = Shared<P>>, P: Failure<E>, E> Pass<E> for Admitted<H, P> {
    #[inline]
    fn leave(mut self, verdict: Verdict<'_, E>) {
        let failed = match verdict {
            Verdict::Succeeded => false,
            Verdict::Failed(error) => self.shared.failure.counts(error),
            Verdict::TimedOut => true,
        };
        self.left = true;
        if failed || self.probe || self.shared.gate.counts_successes {
            self.shared.gate.leave(self.era, failed, self.began);
        } else {
            self.shared.gate.succeeded();
        }
    }
}

impl<H: Deref<Target = Shared<P>>, P> Drop for Admitted<H, P> {
    #[inline]
    fn drop(&mut self) {
        if !self.left {
            self.shared.gate.drop_call(self.era, self.probe);
        }
    }
}
