use std::time::Duration;

use super::backoff::scale;

/// A random spread of delays, so that many callers do not return at one moment.
///
/// The result never exceeds the policy's [`max_delay`](crate::Retry::max_delay).
///
/// ```
/// use awaitly_core::{Retry, clock::ms, retry::Jitter};
///
/// let retry = Retry::exponential(ms(100)).jitter(Jitter::Proportional(0.2)); // 100 ms ± 20 %, 200 ms ± 20 %, ..
/// # let _ = retry;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Jitter {
    /// Keeps the delay.
    None,
    /// Draws from zero to the delay.
    #[default]
    Full,
    /// Draws from half of the delay to the delay.
    Equal,
    /// Draws from the delay minus this fraction of it to the delay plus this fraction: `Proportional(0.2)` is ±20 %. A fraction
    /// below 0 or `NaN` counts as 0, which keeps the delay; a fraction above 1 counts as 1.
    Proportional(f64),
    /// Draws from the delay to the delay plus this duration.
    Additive(Duration),
}

impl Jitter {
    /// Returns the delay with the spread applied.
    pub(super) fn spread(self, delay: Duration, dice: &mut fastrand::Rng) -> Duration {
        match self {
            Self::None => delay,
            Self::Full => scale(delay, dice.f64()),
            Self::Equal => delay / 2 + scale(delay / 2, dice.f64()),
            Self::Proportional(part) => {
                // `clamp` keeps NaN, and a delay times NaN would be no delay.
                let part = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
                scale(delay, 1.0 + part * (2.0 * dice.f64() - 1.0))
            }
            Self::Additive(most) => delay.saturating_add(scale(most, dice.f64())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ms;

    #[test]
    fn each_jitter_covers_its_range_and_stays_inside() {
        let delay = ms(1000);
        for (jitter, from, to) in [
            (Jitter::None, 1000, 1000),
            (Jitter::Full, 0, 1000),
            (Jitter::Equal, 500, 1000),
            (Jitter::Proportional(0.2), 800, 1200),
            (Jitter::Proportional(f64::NAN), 1000, 1000),
            (Jitter::Proportional(-0.5), 1000, 1000),
            (Jitter::Proportional(9.0), 0, 2000),
            (Jitter::Additive(ms(300)), 1000, 1300),
        ] {
            let mut dice = fastrand::Rng::with_seed(11);
            let drawn: Vec<_> = (0..2000).map(|_| jitter.spread(delay, &mut dice)).collect();
            let (least, most) = (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap());
            assert!(least >= ms(from) && most <= ms(to), "{jitter:?}: {least:?} to {most:?}");
            assert!(
                (most - least).as_millis() as u64 >= (to - from) * 9 / 10,
                "{jitter:?}: {least:?} to {most:?}"
            );
        }
    }
}
