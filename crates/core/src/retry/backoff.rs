use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A sequence of delays between attempts.
///
/// [`delays`](Self::delays) yields them one by one, without the policy's limit and jitter. [`from_fn`](Self::from_fn) makes
/// a backoff from any function of the failed attempt.
///
/// ```
/// use awaitly_core::{clock::ms, retry::Backoff};
///
/// let delays: Vec<_> = Backoff::exponential(ms(100)).delays(0).take(4).collect();
/// assert_eq!(delays, [ms(100), ms(200), ms(400), ms(800)]);
///
/// let given = [ms(10), ms(500)];
/// let twice = Backoff::from_fn(move |attempt| given.get(attempt as usize - 1).copied());
/// assert_eq!(twice.delays(0).count(), 2);
/// ```
#[derive(Clone)]
pub struct Backoff(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Duration),
    Linear(Duration),
    Exponential(Duration, f64),
    Fibonacci(Duration),
    Decorrelated(Duration),
    Custom(Arc<Custom>),
}

type Custom = dyn Fn(u32) -> Option<Duration> + Send + Sync;

impl Backoff {
    /// Creates a backoff of constant delays.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self(Kind::Fixed(delay))
    }

    /// Creates a backoff of `base`, twice `base`, three times `base`, and so on.
    #[must_use]
    pub const fn linear(base: Duration) -> Self {
        Self(Kind::Linear(base))
    }

    /// Creates a backoff that starts with `base` and doubles each time. [`factor`](Self::factor) replaces the factor 2.
    #[must_use]
    pub const fn exponential(base: Duration) -> Self {
        Self(Kind::Exponential(base, 2.0))
    }

    /// Creates a backoff of `base` times 1, 1, 2, 3, 5, 8, and so on.
    ///
    /// ```
    /// use awaitly_core::{clock::secs, retry::Backoff};
    ///
    /// assert!(Backoff::fibonacci(secs(1)).delays(0).take(5).eq([1, 1, 2, 3, 5].map(secs)));
    /// ```
    #[must_use]
    pub const fn fibonacci(base: Duration) -> Self {
        Self(Kind::Fibonacci(base))
    }

    /// Creates a backoff of random delays, each between `base` and three times its predecessor.
    ///
    /// Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015, under the name decorrelated jitter.
    #[must_use]
    pub const fn decorrelated(base: Duration) -> Self {
        Self(Kind::Decorrelated(base))
    }

    /// Creates a backoff from a function of the failed attempt, counted from 1. `None` ends the attempts.
    ///
    /// ```
    /// use awaitly_core::{clock::secs, retry::Backoff};
    ///
    /// let patient = Backoff::from_fn(|attempt| Some(if attempt < 10 { secs(1) } else { secs(60) }));
    /// assert_eq!(patient.delays(0).nth(10), Some(secs(60)));
    /// ```
    pub fn from_fn(delay: impl Fn(u32) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self(Kind::Custom(Arc::new(delay)))
    }

    /// Sets the factor of an exponential backoff; other backoffs ignore it. A factor below 0 counts as 0. `NaN` counts as 1, so
    /// the delay stays constant.
    ///
    /// ```
    /// use awaitly_core::{clock::ms, retry::Backoff};
    ///
    /// let steep = Backoff::exponential(ms(10)).factor(10.0);
    /// assert!(steep.delays(0).take(3).eq([ms(10), ms(100), ms(1000)]));
    /// ```
    #[must_use]
    pub fn factor(mut self, by: f64) -> Self {
        if let Kind::Exponential(_, factor) = &mut self.0 {
            *factor = if by.is_nan() { 1.0 } else { by.max(0.0) };
        }
        self
    }

    /// Returns the delays, one for each failed attempt. `seed` determines the delays of a random backoff.
    ///
    /// ```
    /// use awaitly_core::{clock::ms, retry::Backoff};
    ///
    /// let random = Backoff::decorrelated(ms(10));
    /// assert!(random.clone().delays(7).take(5).eq(random.delays(7).take(5)));
    /// ```
    pub fn delays(self, seed: u64) -> impl Iterator<Item = Duration> {
        let (mut attempt, mut previous, mut dice) = (0_u32, Duration::ZERO, fastrand::Rng::with_seed(seed));
        std::iter::from_fn(move || {
            attempt = attempt.saturating_add(1);
            previous = self.delay(attempt, previous, &mut dice)?;
            Some(previous)
        })
    }

    /// Returns the delay after the failed `attempt`, counted from 1. `previous` is the delay before that attempt.
    pub(super) fn delay(
        &self,
        attempt: u32,
        previous: Duration,
        dice: &mut fastrand::Rng,
    ) -> Option<Duration> {
        let grown = attempt.saturating_sub(1);
        Some(match &self.0 {
            Kind::Fixed(delay) => *delay,
            Kind::Linear(base) => base.saturating_mul(attempt),
            Kind::Exponential(base, factor) => {
                scale(*base, factor.powi(grown.try_into().unwrap_or(i32::MAX)))
            }
            Kind::Fibonacci(base) => base.saturating_mul(fibonacci(attempt)),
            Kind::Decorrelated(base) => {
                let most = previous.max(*base).saturating_mul(3);
                *base + scale(most.saturating_sub(*base), dice.f64())
            }
            Kind::Custom(delay) => return delay(attempt),
        })
    }
}

/// Returns `duration` times `factor`, at most [`Duration::MAX`]; zero if the product is not a number.
pub(super) fn scale(duration: Duration, factor: f64) -> Duration {
    let seconds = duration.as_secs_f64() * factor;
    if seconds.is_nan() {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

fn fibonacci(n: u32) -> u32 {
    let (mut current, mut next) = (0_u32, 1_u32);
    for _ in 0..n.min(48) {
        (current, next) = (next, current.saturating_add(next));
    }
    current
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Fixed(delay) => write!(f, "fixed({delay:?})"),
            Kind::Linear(base) => write!(f, "linear({base:?})"),
            Kind::Exponential(base, factor) => write!(f, "exponential({base:?}, factor {factor})"),
            Kind::Fibonacci(base) => write!(f, "fibonacci({base:?})"),
            Kind::Decorrelated(base) => write!(f, "decorrelated({base:?})"),
            Kind::Custom(_) => write!(f, "from_fn(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ms;

    fn first(backoff: Backoff, n: usize) -> Vec<Duration> {
        backoff.delays(0).take(n).collect()
    }

    #[test]
    fn each_backoff_follows_its_formula() {
        assert_eq!(first(Backoff::fixed(ms(10)), 3), [ms(10); 3]);
        assert_eq!(first(Backoff::linear(ms(10)), 3), [ms(10), ms(20), ms(30)]);
        assert_eq!(first(Backoff::exponential(ms(10)).factor(3.0), 3), [ms(10), ms(30), ms(90)]);
        assert_eq!(first(Backoff::fibonacci(ms(10)), 6), [10, 10, 20, 30, 50, 80].map(ms));
    }

    #[test]
    fn decorrelated_delay_is_at_most_three_times_its_predecessor() {
        let mut previous = ms(10);
        for delay in Backoff::decorrelated(ms(10)).delays(7).take(200) {
            assert!(delay >= ms(10) && delay <= previous.max(ms(10)) * 3, "{delay:?} after {previous:?}");
            previous = delay;
        }
    }

    #[test]
    fn nan_factor_keeps_the_delay_constant() {
        assert_eq!(first(Backoff::exponential(ms(10)).factor(f64::NAN), 3), [ms(10); 3]);
        assert_eq!(first(Backoff::exponential(ms(10)).factor(-1.0), 2), [ms(10), ms(0)]);
    }

    #[test]
    fn no_backoff_overflows() {
        let mut dice = fastrand::Rng::with_seed(1);
        for backoff in [
            Backoff::linear(Duration::MAX),
            Backoff::exponential(Duration::MAX).factor(f64::INFINITY),
            Backoff::exponential(Duration::ZERO).factor(f64::INFINITY),
            Backoff::fibonacci(Duration::MAX),
        ] {
            for attempt in [1, 2, 1000, u32::MAX] {
                assert!(backoff.delay(attempt, Duration::ZERO, &mut dice).is_some());
            }
        }
    }
}
