use std::ops::Deref;

use awaitly_core::guard::{Pass, Verdict};

use super::decide::Era;
use super::{Entered, Shared};
use crate::failure::Failure;
use crate::time::Moment;

/// A call that the breaker let through. Dropping it means that the call was cancelled, which counts as nothing, or that
/// its task panicked, which counts as a failure.
#[derive(Debug)]
pub struct Admitted<H, P>
where
    H: Deref<Target = Shared<P>>,
{
    shared: H,
    era: Era,
    /// Whether a half-open breaker waits for it.
    probe: bool,
    /// Whether it is known how it ended.
    left: bool,
    /// Where slow calls are looked at.
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
