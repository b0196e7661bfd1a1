use std::borrow::Borrow;
use std::marker::PhantomData;

use awaitly_core::guard::{Pass, Verdict};

use super::decide::{Began, Sample};
use super::{AdaptiveThrottle, Shared, Signal, shared};
use crate::concurrency_limiter::{ConcurrencyLimiter, Slot};
use crate::judge::Judge;
use crate::sync::lock;

/// A call that the throttle admitted and measures. If it is dropped, the call counts as cancelled and does not change
/// the limit. `H` is the throttle, by value or by reference; `J` judges an error of the call.
#[derive(Debug)]
pub struct Measured<H: Borrow<AdaptiveThrottle<J>>, J> {
    throttle: H,
    slot: Slot<ConcurrencyLimiter>,
    began: Began,
    judge: PhantomData<fn() -> J>,
}

impl<H: Borrow<AdaptiveThrottle<J>>, J> Measured<H, J> {
    pub(super) fn new(throttle: H, slot: Slot<ConcurrencyLimiter>) -> Self {
        let shared = shared(&throttle);
        let now = shared.time.now();
        let began = lock(&shared.aimd).begin(now);
        Self { throttle, slot, began, judge: PhantomData }
    }
}

impl<J> Shared<J> {
    fn is_slow(&self, began: Began) -> bool {
        self.slower_than.is_some_and(|limit| self.time.now().since(began.at) > limit)
    }
}

impl<H: Borrow<AdaptiveThrottle<J>>, J: Judge<E, Signal>, E> Pass<E> for Measured<H, J> {
    fn leave(self, verdict: Verdict<'_, E>) {
        let (shared, began) = (shared(&self.throttle), self.began);
        let signal = match verdict {
            Verdict::Succeeded => Signal::Accepted,
            Verdict::Failed(error) => shared.judge.judge(error, Signal::Accepted),
            Verdict::TimedOut => Signal::Overloaded { wait: None },
        };
        let sample = match signal {
            Signal::Accepted if shared.is_slow(began) => Sample::Overloaded,
            Signal::Accepted => Sample::Accepted,
            Signal::Overloaded { wait } => {
                if let Some(wait) = wait {
                    shared.pause(wait);
                }
                Sample::Overloaded
            }
            Signal::Unknown => return,
        };
        // The call still holds its slot here, so it counts among the running calls.
        shared.end(began, sample);
        drop(self.slot);
    }
}
