use std::time::Duration;

use super::backoff::scale;

/// How a delay is spread at random. The result never exceeds the policy's `max_delay`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Jitter {
    /// The delay as it is.
    None,
    /// Anything from nothing to the delay.
    #[default]
    Full,
    /// Half of the delay, and anything up to the other half.
    Equal,
    /// The delay, more or less by up to this part of it: `Proportional(0.2)` is ±20 %. A part below 0 or not a
    /// number counts as 0, which leaves the delay as it is; a part above 1 counts as 1.
    Proportional(f64),
    /// The delay and up to this much more.
    Additive(Duration),
}

impl Jitter {
    /// The delay, spread.
    pub(super) fn spread(self, delay: Duration, dice: &mut fastrand::Rng) -> Duration {
        match self {
            Self::None => delay,
            Self::Full => scale(delay, dice.f64()),
            Self::Equal => delay / 2 + scale(delay / 2, dice.f64()),
            Self::Proportional(part) => {
                // `clamp` would keep a NaN, and a delay times that is no delay.
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
    fn each_jitter_stays_in_its_range_and_uses_it() {
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
