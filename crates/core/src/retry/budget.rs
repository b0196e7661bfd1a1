use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A limit on the retries of many callers, which stops them if too many calls fail.
///
/// A budget starts full of tokens. Each failed attempt that would be retried takes one token, and each success gives back
/// `ratio` of a token. Another attempt follows only if more than half of the tokens are left. Therefore callers retry a service
/// that fails occasionally, and add almost no load to a service that is down. A budget does not depend on time.
///
/// Source: the retry throttling of gRPC (proposal A6, "gRPC Retry Design", section "Throttling Retry Attempts and Hedged RPCs").
///
/// Clones are cheap and share one budget.
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
    /// Creates a full budget of `tokens`. Each success gives back `ratio` of a token, rounded to three decimals. A ratio below 0
    /// or `NaN` counts as 0.
    #[must_use]
    pub fn new(tokens: u32, ratio: f64) -> Self {
        let most = u64::from(tokens) * TOKEN;
        // The conversion saturates, and turns NaN into 0.
        let per_success = (ratio * TOKEN as f64).round() as u64;
        Self(Arc::new(Tokens { left: AtomicU64::new(most), most, per_success }))
    }

    /// Returns `true` if another attempt may follow a failed one at this moment.
    ///
    /// ```
    /// use awaitly_core::retry::Budget;
    ///
    /// let budget = Budget::new(4, 0.5);
    /// assert!(budget.failed());
    /// assert!(!budget.failed() && !budget.has_room()); // half of the tokens are left
    /// budget.succeeded();
    /// assert!(budget.has_room());
    /// ```
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.left.load(Ordering::Relaxed) > self.0.most / 2
    }

    /// Takes a token for a failed attempt, and returns `true` if another attempt may follow. Steps and [`Retry::call`] call this
    /// themselves.
    ///
    /// [`Retry::call`]: crate::Retry::call
    #[expect(clippy::must_use_candidate, reason = "callers may need the effect alone")]
    pub fn failed(&self) -> bool {
        self.change(|left| left.saturating_sub(TOKEN));
        self.has_room()
    }

    /// Gives back the `ratio` of a token for a success, up to a full budget. Steps and [`Retry::call`] call this
    /// themselves, so only code with a retry loop of its own needs it.
    ///
    /// ```
    /// use awaitly_core::retry::Budget;
    ///
    /// let budget = Budget::new(4, 0.5);
    /// budget.failed();
    /// budget.failed();
    /// assert!(!budget.has_room()); // two of four tokens are left
    /// budget.succeeded();
    /// assert!(budget.has_room()); // two and a half
    /// ```
    ///
    /// [`Retry::call`]: crate::Retry::call
    pub fn succeeded(&self) {
        self.change(|left| left.saturating_add(self.0.per_success).min(self.0.most));
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        // The closure always returns a value, so this cannot fail.
        let _ = self.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(change(left)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stop_at_half_budget_and_resume_after_successes() {
        let budget = Budget::new(10, 0.5);
        let followed = (0..10).filter(|_| budget.failed()).count();
        assert_eq!(followed, 4);
        (0..11).for_each(|_| budget.succeeded());
        assert!(budget.has_room());
    }

    #[test]
    fn budget_never_exceeds_its_initial_tokens() {
        let budget = Budget::new(2, 1.0);
        (0..100).for_each(|_| budget.succeeded());
        assert!(!budget.failed());
    }

    #[test]
    fn invalid_ratio_counts_as_zero() {
        for ratio in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            let budget = Budget::new(2, ratio);
            budget.failed();
            (0..100).for_each(|_| budget.succeeded());
            assert!(!budget.has_room(), "{ratio}");
        }
    }
}
