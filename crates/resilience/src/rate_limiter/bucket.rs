//! The tokens of a rate limiter. This code reads no clock, takes no lock and never waits: the caller passes the time.

use std::num::NonZeroU32;
use std::time::Duration;

use super::No;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{Moment, nanos};

/// The rate of a limiter: `calls` in each `per`, of which up to `burst` may come at once. Without a `burst`, twice the
/// number of calls may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) calls: NonZeroU32,
    pub(super) per: Duration,
    pub(super) burst: Option<NonZeroU32>,
}

impl Rate {
    fn burst(self) -> NonZeroU32 {
        self.burst.unwrap_or(self.calls.saturating_mul(NonZeroU32::MIN.saturating_add(1)))
    }

    /// Returns the time in which one token comes back, at least one nanosecond.
    fn interval(self) -> Duration {
        (self.per / self.calls.get()).max(Duration::from_nanos(1))
    }
}

/// A bucket of tokens, implemented with the generic cell rate algorithm (ITU-T I.371).
///
/// The state is one number: the moment at which the bucket becomes full. If this moment is in the past, the bucket is
/// full now. Each token that a call takes moves the moment one interval further into the future. The bucket is empty if
/// the moment is `burst` intervals away.
///
/// Tokens come back as time passes, without any work: only the distance between the moment and now changes. A call
/// needs no lock either, because it replaces the moment with one compare-and-swap, and tries again if another call was
/// faster.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The moment at which the bucket becomes full, in nanoseconds.
    full: AtomicU64,
    /// The time in which one token comes back, in nanoseconds.
    interval: u64,
    burst: NonZeroU32,
}

/// The longest time that an empty bucket may take to fill. The limit ensures that no computation overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Bucket {
    /// Creates a full bucket.
    ///
    /// # Panics
    /// Panics if an empty bucket would take more than ten years to fill.
    pub(super) fn new(rate: Rate) -> Self {
        let (interval, burst) = (rate.interval(), rate.burst());
        let fill = interval.checked_mul(burst.get()).filter(|fill| *fill <= LONGEST);
        assert!(
            fill.is_some(),
            "a limiter is full again within ten years: give it a higher rate or a smaller burst"
        );
        Self { full: AtomicU64::new(Moment::START.0), interval: nanos(interval), burst }
    }

    /// Takes `tokens`, if as many are available at `now`.
    ///
    /// # Errors
    /// Returns [`No::Ever`] if even a full bucket holds fewer tokens, or [`No::For`] with the time until enough tokens
    /// have come back. The bucket is unchanged then.
    #[inline]
    pub(super) fn take(&self, tokens: NonZeroU32, now: Moment) -> Result<(), No> {
        if tokens > self.burst {
            return Err(No::Ever);
        }
        let mut full = self.full.load(Ordering::Acquire);
        loop {
            let next = full.max(now.0).saturating_add(self.interval * u64::from(tokens.get()));
            let missing = (next - now.0).saturating_sub(self.interval * u64::from(self.burst.get()));
            if missing > 0 {
                return Err(No::For(Duration::from_nanos(missing)));
            }
            match self.full.compare_exchange_weak(full, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(changed) => full = changed,
            }
        }
    }

    /// Fills the bucket.
    pub(super) fn fill(&self) {
        self.full.store(Moment::START.0, Ordering::Release);
    }

    /// Returns whether all tokens are available at `now`.
    pub(super) fn is_full(&self, now: Moment) -> bool {
        self.full.load(Ordering::Acquire) <= now.0
    }

    /// Returns the number of whole tokens available at `now`.
    pub(super) fn tokens(&self, now: Moment) -> u32 {
        let missing = self.full.load(Ordering::Acquire).saturating_sub(now.0).div_ceil(self.interval);
        self.burst.get().saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// Returns the number of tokens in a full bucket.
    pub(super) const fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// Returns the time in which one token comes back.
    pub(super) const fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// Estimates how long a call waits for its `tokens` if `waiting` other calls are in line before it. Each of these
    /// calls counts as one token, and the bucket as empty.
    pub(super) fn behind(&self, waiting: usize, tokens: NonZeroU32) -> No {
        let tokens = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_add(tokens.get());
        No::For(self.interval().saturating_mul(tokens))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bucket_matches_naive_model(
            calls in 0_u32..1000, millis in 1_u64..100_000, burst in 1_u32..50,
            story in prop::collection::vec((0_u64..5_000_000_000, (0_u32..60).prop_map(|n| NonZeroU32::MIN.saturating_add(n))), 0..100),
        ) {
            let calls = NonZeroU32::MIN.saturating_add(calls);
            let rate = Rate { calls, per: Duration::from_millis(millis), burst: NonZeroU32::new(burst) };
            let (bucket, interval, mut now) = (Bucket::new(rate), nanos(rate.interval()), Moment::START);
            // The naive bucket holds parts of tokens, in nanoseconds, and adds them as time passes.
            let most = interval * u64::from(burst);
            let mut held = most;
            prop_assert_eq!(bucket.tokens(now), burst);
            for (pause, tokens) in story {
                now = Moment(now.0 + pause);
                held = most.min(held + pause);
                let cost = interval * u64::from(tokens.get());
                let taken = bucket.take(tokens, now);
                if tokens.get() > burst {
                    prop_assert_eq!(taken, Err(No::Ever));
                } else if cost > held {
                    prop_assert_eq!(taken, Err(No::For(Duration::from_nanos(cost - held))));
                } else {
                    prop_assert_eq!(taken, Ok(()));
                    held -= cost;
                }
                prop_assert_eq!(u64::from(bucket.tokens(now)), held / interval);
                prop_assert_eq!(bucket.is_full(now), held == most);
            }
            bucket.fill();
            prop_assert_eq!(bucket.tokens(now), burst);
        }
    }

    #[test]
    #[should_panic(expected = "within ten years")]
    fn slow_rate_panics() {
        Bucket::new(Rate { calls: NonZeroU32::MIN, per: Duration::MAX, burst: Some(NonZeroU32::MIN) });
    }

    #[test]
    #[should_panic(expected = "within ten years")]
    fn large_burst_panics() {
        let burst = Some(NonZeroU32::MAX);
        Bucket::new(Rate { calls: NonZeroU32::MIN, per: Duration::from_secs(3600), burst });
    }

    #[test]
    fn fastest_rate_has_an_interval_of_a_nanosecond() {
        let rate = Rate { calls: NonZeroU32::MAX, per: Duration::from_nanos(1), burst: None };
        let bucket = Bucket::new(rate);
        assert_eq!((bucket.burst(), bucket.interval()), (NonZeroU32::MAX, Duration::from_nanos(1)));
    }
}
