use std::fmt;
use std::ops::Deref;

use awaitly_core::guard::{Pass, Verdict};

use super::decide::{Began, Sample};
use super::{Judge, Shared, Signal};
use crate::concurrency_limiter::{Slot, Slots};
use crate::sync::{Arc, lock};

/// A call that the throttle admitted. Dropping it means that the call was cancelled, which does not count.
pub struct Admitted<H: Deref<Target = Shared<J>>, J> {
    shared: H,
    slot: Slot<Arc<Slots>>,
    began: Began,
}

impl<H: Deref<Target = Shared<J>>, J> Admitted<H, J> {
    pub(super) fn new(shared: H, slot: Slot<Arc<Slots>>) -> Self {
        let now = shared.time.now();
        let began = lock(&shared.aimd).begin(now);
        Self { shared, slot, began }
    }

    fn is_slow(&self) -> bool {
        self.shared.slower_than.is_some_and(|limit| self.shared.time.now().since(self.began.at) > limit)
    }
}

impl<H: Deref<Target = Shared<J>>, J: Judge<E>, E> Pass<E> for Admitted<H, J> {
    fn leave(self, verdict: Verdict<'_, E>) {
        let signal = match verdict {
            Verdict::Succeeded => Signal::Taken,
            Verdict::Failed(error) => self.shared.judge.judge(error),
            Verdict::TimedOut => Signal::Overloaded { wait: None },
        };
        let sample = match signal {
            Signal::Taken if self.is_slow() => Sample::Overloaded,
            Signal::Taken => Sample::Taken,
            Signal::Overloaded { wait } => {
                if let Some(wait) = wait {
                    self.shared.pause(wait);
                }
                Sample::Overloaded
            }
            Signal::Unknown => return,
        };
        // The call still holds its slot here, so it counts among the running calls.
        self.shared.end(self.began, sample);
        drop(self.slot);
    }
}

impl<H: Deref<Target = Shared<J>>, J> fmt::Debug for Admitted<H, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").finish_non_exhaustive()
    }
}
