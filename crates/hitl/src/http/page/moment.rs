//! Formats a time for people.

use awaitly_core::journal::Timestamp;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Returns a `<time>` element with day and minute, in UTC, because the server does not know the reader's time zone.
pub(super) fn time(moment: Timestamp) -> String {
    let minutes = moment.as_millis() / 60_000;
    let (day, hour, minute) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    let (year, month, day) = date(day);
    let name =
        usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default();
    format!(
        "<time datetime=\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}Z\">{day} {name} {year}, {hour:02}:{minute:02} UTC</time>"
    )
}

/// Converts days since 1970 to year, month and day of the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Days are counted from 1 March of year 0, so that a leap day is the last day of its year, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_shows_the_date_of_the_calendar() {
        let shown = |seconds: u64| time(Timestamp::from_millis(seconds * 1000));
        assert_eq!(shown(0), "<time datetime=\"1970-01-01T00:00Z\">1 January 1970, 00:00 UTC</time>");
        // date -u -d @951782399
        assert!(shown(951_782_399).contains("28 February 2000, 23:59"));
        assert!(shown(951_782_400).contains("29 February 2000, 00:00"));
        assert!(shown(951_868_800).contains("1 March 2000, 00:00"));
        assert!(shown(1_704_067_199).contains("31 December 2023, 23:59"));
        assert!(shown(4_107_542_400).contains("1 March 2100, 00:00"));
        assert!(!time(Timestamp::from_millis(u64::MAX)).is_empty());
    }
}
