use std::ops::RangeInclusive;
use std::time::Duration;

use crate::seed::dice;

/// The weather parameters of a network.
#[derive(Debug, Clone)]
pub(super) struct Climate {
    pub(super) since: Duration,
    pub(super) fair: RangeInclusive<Duration>,
    pub(super) foul: RangeInclusive<Duration>,
}

/// The weather of one service: alternating fair and foul spells, drawn as time passes.
#[derive(Debug)]
pub(super) struct Weather {
    climate: Climate,
    spells: fastrand::Rng,
    is_foul: bool,
    until: Duration,
}

impl Climate {
    pub(super) fn weather(&self, seed: u64, service: &str) -> Weather {
        let spells = dice(seed, &format!("weather of {service}"), 0);
        // Starts with an expired foul spell, so that the first query begins a fair one.
        Weather { climate: self.clone(), spells, is_foul: true, until: self.since }
    }
}

impl Weather {
    /// Returns whether the weather is foul. Successive calls must not go back in time.
    pub(super) fn is_foul(&mut self, now: Duration) -> bool {
        while self.until <= now {
            self.is_foul = !self.is_foul;
            let range = if self.is_foul { &self.climate.foul } else { &self.climate.fair };
            self.until += between(&mut self.spells, range).max(Duration::from_millis(1));
        }
        self.is_foul
    }
}

/// Draws a time in the range, with microsecond precision. Returns the start of the range if the range is empty.
pub(super) fn between(random: &mut fastrand::Rng, range: &RangeInclusive<Duration>) -> Duration {
    let micros = |duration: &Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let (least, most) = (micros(range.start()), micros(range.end()));
    Duration::from_micros(random.u64(least..=most.max(least)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(seed: u64, service: &str) -> Vec<bool> {
        let secs = Duration::from_secs;
        let climate = Climate { since: secs(5), fair: secs(10)..=secs(60), foul: secs(1)..=secs(20) };
        let mut weather = climate.weather(seed, service);
        (5..1000).map(|second| weather.is_foul(secs(second))).collect()
    }

    #[test]
    fn weather_is_reproducible_per_seed_and_service() {
        assert_eq!(moments(7, "bank"), moments(7, "bank"));
        assert_ne!(moments(7, "bank"), moments(7, "post"));
        assert_ne!(moments(7, "bank"), moments(8, "bank"));
    }

    #[test]
    fn weather_begins_fair_and_spells_stay_in_range() {
        let moments = moments(7, "bank");
        let spells: Vec<_> = moments.chunk_by(|one, next| one == next).collect();
        assert!(spells.len() > 20, "{}", spells.len());
        assert_eq!(spells.first().unwrap().first(), Some(&false));
        for spell in spells.iter().take(spells.len() - 1) {
            let range = if *spell.first().unwrap() { 1..=21 } else { 9..=61 };
            assert!(range.contains(&spell.len()), "{}", spell.len());
        }
    }
}
