use std::borrow::Borrow;
use std::marker::PhantomData;

use awaitly_core::guard::{Admission, Pass, Verdict};

use super::decide::Era;
use super::gate::Entered;
use super::{CircuitBreaker, Shared, Tripped};
use crate::judge::Judge;
use crate::time::Moment;

/// A call that the breaker admitted and watches. If it is dropped, the call counts as cancelled and does not change the
/// window. If a panic drops it, the call counts as a failure. `H` is the breaker, by value or by reference; `P` judges
/// an error of the call.
#[derive(Debug)]
pub struct Watched<H: Borrow<CircuitBreaker<P>>, P> {
    breaker: H,
    // `Entered` as two fields: as one field, it would be copied again before the processor has stored it,
    // which costs four nanoseconds per call.
    era: Era,
    /// `true` if a half-open breaker waits for this call.
    probe: bool,
    /// `true` if the outcome is recorded.
    left: bool,
    /// The beginning of the call, if the breaker considers slow calls.
    began: Option<Moment>,
    failure: PhantomData<fn() -> P>,
}

impl<H: Borrow<CircuitBreaker<P>>, P> Watched<H, P> {
    #[inline]
    pub(super) fn enter<W>(breaker: H) -> Admission<Self, Tripped, W> {
        let gate = &breaker.borrow().0.gate;
        match gate.enter() {
            Ok(Entered { era, probe }) => {
                let began = gate.began();
                Admission::Admitted(Self { breaker, era, probe, left: false, began, failure: PhantomData })
            }
            Err(no) => Admission::Refused(gate.refused(no)),
        }
    }

    #[inline]
    fn shared(&self) -> &Shared<P> {
        &self.breaker.borrow().0
    }
}

impl<H: Borrow<CircuitBreaker<P>>, P: Judge<E, bool>, E> Pass<E> for Watched<H, P> {
    #[inline]
    fn leave(mut self, verdict: Verdict<'_, E>) {
        let failed = match verdict {
            Verdict::Succeeded => false,
            Verdict::Failed(error) => self.shared().failure.judge(error, true),
            Verdict::TimedOut => true,
        };
        self.left = true;
        let gate = &self.shared().gate;
        if failed || self.probe || gate.counts_successes {
            gate.leave(self.era, failed, self.began);
        } else {
            gate.succeeded();
        }
    }
}

impl<H: Borrow<CircuitBreaker<P>>, P> Drop for Watched<H, P> {
    #[inline]
    fn drop(&mut self) {
        if !self.left {
            self.shared().gate.drop_call(self.era, self.probe);
        }
    }
}
