use std::str::FromStr;
use std::time::Duration;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{InvalidRunId, StoreError};
use croner::Cron;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::StartError;

/// The times of a schedule, in the stored form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub(super) enum Rule {
    Cron { cron: String, zone: String },
    Every { every: Duration },
}

/// The reason why a call about a schedule failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The cron expression is not valid.
    #[error("`{expression}` is not a cron expression ({reason}): write five fields, for example `0 3 * * *`")]
    BadCron {
        /// The expression.
        expression: Box<str>,
        /// The reason.
        reason: Box<str>,
    },
    /// The time zone is not in the tz database.
    #[error("there is no time zone `{zone}`: use a name of the tz database, for example `Europe/Vienna`")]
    UnknownZone {
        /// The name.
        zone: Box<str>,
    },
    /// The period is shorter than a second.
    #[error("the period {period:?} is too short: it must be at least a second")]
    TooOften {
        /// The period.
        period: Duration,
    },
    /// No time matches the rule, for example because it asks for the 30th of February.
    #[error("no time matches the schedule: check its day and month")]
    Never,
    /// There is no schedule with this name.
    #[error("there is no schedule with this name: create it first")]
    NoSuchSchedule,
    /// The name is empty, or too long for the ids of its runs.
    #[error("the name of a schedule must have 1 to {} bytes, but has {bytes}", ScheduleError::MAX_NAME_BYTES)]
    BadName {
        /// The length of the name in bytes.
        bytes: usize,
    },
    /// The input of the runs or the id of a run is not valid.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl ScheduleError {
    /// The maximum length of a name, in bytes. The id of each run contains the name.
    pub const MAX_NAME_BYTES: usize = 400;
}

impl From<InvalidRunId> for ScheduleError {
    fn from(error: InvalidRunId) -> Self {
        Self::Start(error.into())
    }
}

/// A valid rule.
pub(super) enum Parsed {
    Cron(Box<Cron>, TimeZone),
    Every(u64),
}

impl Rule {
    pub(super) fn parsed(&self) -> Result<Parsed, ScheduleError> {
        match self {
            Self::Cron { cron, zone } => {
                let bad = |error: croner::errors::CronError| ScheduleError::BadCron {
                    expression: cron.as_str().into(),
                    reason: error.to_string().into(),
                };
                let parsed = Cron::from_str(cron).map_err(bad)?;
                let unknown = |_| ScheduleError::UnknownZone { zone: zone.as_str().into() };
                Ok(Parsed::Cron(Box::new(parsed), TimeZone::get(zone).map_err(unknown)?))
            }
            Self::Every { every } => match u64::try_from(every.as_millis()) {
                Ok(millis) if millis >= 1000 => Ok(Parsed::Every(millis)),
                _ => Err(ScheduleError::TooOften { period: *every }),
            },
        }
    }
}

impl Parsed {
    /// Returns the first time after `after`, if there is one.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after_ms = after.as_millis();
        match self {
            Self::Every(period) => {
                let next = (after_ms / period).checked_add(1)?.checked_mul(*period)?;
                Some(Timestamp::from_millis(next)).filter(|next| *next <= Timestamp::MAX)
            }
            Self::Cron(cron, zone) => {
                let after = jiff::Timestamp::from_millisecond(i64::try_from(after_ms).ok()?).ok()?;
                let search = |from: jiff::Timestamp, inclusive| {
                    let next = cron.find_next_occurrence(&from.to_zoned(zone.clone()), inclusive).ok()?;
                    let next = u64::try_from(next.timestamp().as_millisecond()).ok()?;
                    // A search that cannot advance must not become a loop.
                    (next > after_ms).then(|| Timestamp::from_millis(next))
                };
                // The search ends at a day that the clock skips, as in Samoa in 2011, so it begins again behind it.
                let behind_change = || search(zone.following(after).next()?.timestamp(), true);
                search(after, false).or_else(behind_change)
            }
        }
    }

    /// Returns the times after `after`, in order.
    pub(super) fn after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next(after), |last| self.next(*last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(moment.as_millisecond() as u64)
    }

    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<Timestamp> {
        let rule = Rule::Cron { cron: cron.into(), zone: zone.into() };
        rule.parsed().unwrap().after(at(after)).take(count).collect()
    }

    #[test]
    fn skipped_local_time_fires_after_the_gap_and_repeated_one_fires_once() {
        // The clock of Vienna goes from 2:00 to 3:00 on 2027-03-28, and from 3:00 to 2:00 on 2027-10-31.
        let spring = times("30 2 * * *", "Europe/Vienna", "2027-03-27T12:00:00Z", 2);
        assert_eq!(spring, [at("2027-03-28T01:00:00Z"), at("2027-03-29T00:30:00Z")]);
        let autumn = times("30 2 * * *", "Europe/Vienna", "2027-10-30T12:00:00Z", 2);
        assert_eq!(autumn, [at("2027-10-31T00:30:00Z"), at("2027-11-01T01:30:00Z")]);
    }

    #[test]
    fn skipped_day_has_no_time() {
        // Samoa went from the 29th to the 31st of December.
        let days = times("0 0 * * *", "Pacific/Apia", "2011-12-28T12:00:00Z", 3);
        assert_eq!(
            days,
            [at("2011-12-29T10:00:00Z"), at("2011-12-30T10:00:00Z"), at("2011-12-31T10:00:00Z")]
        );
    }

    #[test]
    fn steps_follow_the_passing_of_time() {
        let autumn = times("*/30 * * * *", "Europe/Vienna", "2027-10-31T00:00:00Z", 5);
        let expected =
            ["00:30", "01:00", "01:30", "02:00", "02:30"].map(|time| at(&format!("2027-10-31T{time}:00Z")));
        assert_eq!(autumn, expected);
        let every = Rule::Every { every: Duration::from_secs(90) }.parsed().unwrap();
        let millis = every.after(Timestamp::from_millis(90_000)).take(2).map(Timestamp::as_millis);
        assert!(millis.eq([180_000, 270_000]));
    }

    #[test]
    fn invalid_rules_are_refused_with_their_reason() {
        let cron =
            |cron: &str, zone: &str| Rule::Cron { cron: cron.into(), zone: zone.into() }.parsed().err();
        for bad in ["", "* * * *", "61 * * * *", "a b c d e", "* * * * * * * *", "\0"] {
            assert!(matches!(cron(bad, "UTC"), Some(ScheduleError::BadCron { .. })), "{bad:?}");
        }
        for zone in ["", "Nowhere/City", "../etc/passwd", "\0"] {
            assert!(matches!(cron("* * * * *", zone), Some(ScheduleError::UnknownZone { .. })), "{zone:?}");
        }
        let often = Rule::Every { every: Duration::from_millis(999) }.parsed().err();
        assert!(matches!(often, Some(ScheduleError::TooOften { .. })));
        let never = Rule::Cron { cron: "0 0 30 2 *".into(), zone: "UTC".into() }.parsed().unwrap();
        assert_eq!(never.next(at("2027-01-01T00:00:00Z")), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Compares daily schedules with a naive calendar: it walks over each day, and takes the local time of the
        /// schedule, or the first moment after the gap.
        #[test]
        fn daily_times_equal_those_of_a_naive_calendar(
            hour in 0_i8..24,
            minute in 0_i8..60,
            zone in prop::sample::select(vec![
                "UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu",
                "Africa/Casablanca", "Pacific/Apia",
            ]),
            year in 2005_i16..2037,
        ) {
            let tz = TimeZone::get(zone).unwrap();
            let first = jiff::civil::date(year, 1, 1);
            let start = first.at(0, 0, 0, 0).to_zoned(tz.clone()).unwrap().timestamp();
            let rule = Rule::Cron { cron: format!("{minute} {hour} * * *"), zone: zone.into() }.parsed().unwrap();
            let before = Timestamp::from_millis(start.as_millisecond() as u64 - 1);
            let found: Vec<_> = rule.after(before).take(365).map(Timestamp::as_millis).collect();
            let mut expected = Vec::new();
            for day in 0..400 {
                let date = first.checked_add(jiff::Span::new().days(day)).unwrap();
                let ambiguous = tz.to_ambiguous_timestamp(date.at(hour, minute, 0, 0));
                let moment = match ambiguous.offset() {
                    // The clock skips the time: the first moment after the gap. A day that is skipped whole has none.
                    jiff::tz::AmbiguousOffset::Gap { .. } => {
                        let after = tz.following(ambiguous.earlier().unwrap().checked_sub(jiff::Span::new().hours(26)).unwrap());
                        let gap = after.map(|transition| transition.timestamp()).find(|transition| {
                            transition.to_zoned(tz.clone()).datetime() > date.at(hour, minute, 0, 0)
                        }).unwrap();
                        if gap.to_zoned(tz.clone()).date() != date { continue }
                        gap
                    }
                    _ => ambiguous.earlier().unwrap(),
                };
                expected.push(moment.as_millisecond() as u64);
            }
            expected.truncate(365);
            prop_assert_eq!(found, expected);
        }
    }
}
