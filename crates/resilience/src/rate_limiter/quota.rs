use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;

use super::No;
use crate::time::{Moment, nanos};

/// A number of calls in a time, and the number that may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) calls: NonZeroU32,
    pub(super) per: Duration,
    pub(super) burst: Option<NonZeroU32>,
}

/// The longest time in which an empty bucket may fill, so that no computation overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Rate {
    pub(super) fn burst(self) -> NonZeroU32 {
        self.burst.unwrap_or(self.calls.saturating_mul(NonZeroU32::MIN.saturating_add(1)))
    }

    /// Returns the time in which one token comes back.
    pub(super) fn interval(self) -> Duration {
        (self.per / self.calls.get()).max(Duration::from_nanos(1))
    }

    /// Converts the rate to governor's type. Returns `None` if an empty bucket would take more than ten years to fill.
    fn quota(self) -> Option<Quota> {
        let fill = self.interval().checked_mul(self.burst().get())?;
        let quota = Quota::with_period(self.interval())?;
        (fill <= LONGEST).then(|| quota.allow_burst(self.burst()))
    }

    /// Converts the rate for a new limiter.
    pub(super) fn quota_or_panic(self) -> Quota {
        let Some(quota) = self.quota() else {
            panic!("a limiter is full again within ten years: give it a higher rate or a smaller burst")
        };
        quota
    }

    /// Estimates the time until a call gets its `tokens` behind `waiting` other calls.
    pub(super) fn behind(self, waiting: usize, tokens: NonZeroU32) -> No {
        let tokens = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_add(tokens.get());
        No::For(self.interval().saturating_mul(tokens))
    }

    /// Returns the tokens available at `now`, if the bucket is full at `full`.
    pub(super) fn tokens(self, full: Moment, now: Moment) -> u32 {
        let missing = nanos(full.since(now)).div_ceil(nanos(self.interval()));
        self.burst().get().saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn full_bucket_has_burst_and_emptied_bucket_has_none(
            calls in 0_u32..1000, millis in 1_u64..100_000, burst in 1_u32..1000,
        ) {
            let calls = NonZeroU32::MIN.saturating_add(calls);
            let rate = Rate { calls, per: Duration::from_millis(millis), burst: NonZeroU32::new(burst) };
            let now = Moment::START;
            prop_assert_eq!(rate.tokens(now, now), burst);
            prop_assert_eq!(rate.tokens(now.after(rate.interval() * burst), now), 0);
        }
    }

    #[test]
    fn overflowing_rate_has_no_quota() {
        let one = NonZeroU32::MIN;
        let slow = Rate { calls: one, per: Duration::MAX, burst: Some(one) };
        assert_eq!(slow.quota(), None);
        let large = Rate { calls: one, per: Duration::from_secs(3600), burst: Some(NonZeroU32::MAX) };
        assert_eq!(large.quota(), None);
        let fast = Rate { calls: NonZeroU32::MAX, per: Duration::from_nanos(1), burst: None };
        assert!(fast.quota().is_some());
        assert_eq!(fast.burst(), NonZeroU32::MAX);
    }
}
