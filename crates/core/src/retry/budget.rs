use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stops the retries of many callers together when too many of their calls fail.
///
/// A budget holds tokens, at first as many as it can. Each failed attempt that would be retried takes one, each success
/// gives `ratio` of one back, and an attempt is only followed by another while more than half of the
/// tokens are there. So a service that fails now and then is retried, and one that is down gets close
/// to no extra load. No clock is involved.
///
/// Source: the retry throttling of gRPC (proposal A6, "gRPC Retry Design", section "Throttling Retry
/// Attempts and Hedged RPCs").
///
/// Cheap to clone; clones are the same budget.
///
/// ```
/// use awaitly_core::{Retry, clock::ms, retry::Budget};
///
/// let budget = Budget::new(10, 0.1);
/// let charge = Retry::exponential(ms(100)).budget(&budget);
/// let refund = Retry::exponential(ms(100)).budget(&budget);
/// ```
#[derive(Debug, Clone)]
pub struct Budget(Arc<Tokens>);

#[derive(Debug)]
struct Tokens {
    /// In thousandths of a token.
    left: AtomicU64,
    most: u64,
    per_success: u64,
}

const TOKEN: u64 = 1000;

impl Budget {
    /// A full budget of `tokens`, of which a success gives back `ratio` of one. A ratio below 0 or not a
    /// number counts as 0; it is kept to three decimals.
    #[must_use]
    pub fn new(tokens: u32, ratio: f64) -> Self {
        let most = u64::from(tokens) * TOKEN;
        // A float beyond the range of the integer becomes its nearest end, and NaN becomes 0.
        let per_success = (ratio * TOKEN as f64).round() as u64;
        Self(Arc::new(Tokens { left: AtomicU64::new(most), most, per_success }))
    }

    /// Whether a failed attempt may be followed by another at the moment.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.left.load(Ordering::Relaxed) > self.0.most / 2
    }

    /// Takes a token for a failed attempt, and says whether another may follow. Steps and [`Retry::call`] do so
    /// themselves.
    ///
    /// [`Retry::call`]: crate::Retry::call
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does, too")]
    pub fn failed(&self) -> bool {
        self.change(|left| left.saturating_sub(TOKEN));
        self.has_room()
    }

    /// Gives a part of a token back for a success. Steps and [`Retry::call`] do so themselves.
    ///
    /// [`Retry::call`]: crate::Retry::call
    pub fn succeeded(&self) {
        self.change(|left| left.saturating_add(self.0.per_success).min(self.0.most));
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        // The closure always answers, so this cannot fail.
        let _ = self.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(change(left)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stop_at_half_of_the_tokens_and_come_back_with_success() {
        let budget = Budget::new(10, 0.5);
        let followed = (0..10).filter(|_| budget.failed()).count();
        assert_eq!(followed, 4);
        (0..11).for_each(|_| budget.succeeded());
        assert!(budget.has_room());
    }

    #[test]
    fn a_budget_never_holds_more_than_it_began_with() {
        let budget = Budget::new(2, 1.0);
        (0..100).for_each(|_| budget.succeeded());
        assert!(!budget.failed());
    }

    #[test]
    fn an_odd_ratio_is_no_ratio() {
        for ratio in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            let budget = Budget::new(2, ratio);
            budget.failed();
            (0..100).for_each(|_| budget.succeeded());
            assert!(!budget.has_room(), "{ratio}");
        }
    }
}
