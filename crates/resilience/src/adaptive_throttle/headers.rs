use std::time::{Duration, SystemTime};

/// What a service says of its limits in the headers of an answer, whether it refused the call or not.
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::adaptive_throttle::Told;
///
/// let headers = [("retry-after", "120")];
/// let told = Told::read(|name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
/// assert_eq!(told.wait(), Some(Duration::from_secs(120)));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// How long to wait, where it says so: `Retry-After`.
    pub retry_after: Option<Duration>,
    /// How many calls are left: `RateLimit-Remaining`.
    pub remaining: Option<u64>,
    /// How long until there are more: `RateLimit-Reset`.
    pub reset: Option<Duration>,
}

/// The longest wait that a header is believed: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The names under which services say how many calls are left, and when there are more.
const REMAINING: [&str; 3] = ["ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining"];
const RESET: [&str; 5] = [
    "ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
    "x-ratelimit-reset-requests",
];

impl Told {
    /// Reads the headers. `header` gives the value of the one with that name, which is in small letters.
    ///
    /// Known are `Retry-After`, and `RateLimit-*` and `X-RateLimit-*` in the forms in which services send them: seconds
    /// from now, with or without a fraction; a moment in seconds or milliseconds since 1970; an HTTP date; and the
    /// list form `RateLimit: "name";r=0;t=30` of the newer drafts. What cannot be read is as if it were not there,
    /// and no wait is longer than a day. Sources: RFC 9110 section 10.2.3, the drafts `ratelimit-headers` 03 and 10
    /// of the IETF.
    pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Self {
        Self::read_at(SystemTime::now(), header)
    }

    /// The same, where it is `now`.
    pub fn read_at<'h>(now: SystemTime, header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let list = header("ratelimit").map(parameters).unwrap_or_default();
        let remaining = REMAINING.iter().find_map(|name| header(name)?.trim().parse().ok());
        let reset = RESET.iter().find_map(|name| until(header(name)?, now));
        Self {
            retry_after: header("retry-after").and_then(|value| until(value, now)),
            remaining: list.remaining.or(remaining),
            reset: list.reset.or(reset),
        }
    }

    /// How long to wait before the next call: what it says, or until there are more where none are left.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let none_left = self.remaining == Some(0);
        self.retry_after.or(self.reset.filter(|_| none_left))
    }
}

/// How long until the moment that `value` names, however it does.
fn until(value: &str, now: SystemTime) -> Option<Duration> {
    // From here on a number is a moment and no duration: 1e9 seconds are the year 2001, and no service asks to wait
    // for 31 years.
    const SECONDS_SINCE_1970: f64 = 1e9;
    const MILLISECONDS_SINCE_1970: f64 = 1e11;
    let value = value.trim();
    let wait = match value.parse::<f64>() {
        Ok(number) if number >= MILLISECONDS_SINCE_1970 => since_1970(number / 1000.0)?.duration_since(now),
        Ok(number) if number >= SECONDS_SINCE_1970 => since_1970(number)?.duration_since(now),
        Ok(number) => Ok(Duration::try_from_secs_f64(number).ok()?),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now),
    };
    // What lies in the past is over.
    Some(wait.unwrap_or_default().min(LONGEST))
}

fn since_1970(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// The parameters `r` and `t` of the first item of a list. The newer drafts call them so.
fn parameters(list: &str) -> Told {
    let mut told = Told::default();
    for parameter in list.split(',').next().unwrap_or_default().split(';').skip(1) {
        match parameter.trim().split_once('=') {
            Some(("r", number)) => told.remaining = number.parse().ok(),
            Some(("t", seconds)) => {
                told.reset = seconds.parse().ok().map(|seconds| Duration::from_secs(seconds).min(LONGEST));
            }
            _ => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1 January 2026, 00:00:00 UTC.
    const NOW: u64 = 1_767_225_600;

    fn read(headers: &[(&str, &str)]) -> Told {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        Told::read_at(now, |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
    }

    #[test]
    fn a_wait_is_read_in_every_form_in_which_it_is_sent() {
        let (epoch, epoch_ms) = ((NOW + 30).to_string(), ((NOW + 30) * 1000).to_string());
        for value in ["30", "30.0", " 30 ", "Thu, 01 Jan 2026 00:00:30 GMT", &epoch, &epoch_ms] {
            assert_eq!(read(&[("retry-after", value)]).wait(), Some(Duration::from_secs(30)), "{value}");
            for name in ["ratelimit", "x-ratelimit"] {
                let (remaining, reset) = (format!("{name}-remaining"), format!("{name}-reset"));
                let told = read(&[(&remaining, "0"), (&reset, value)]);
                assert_eq!(told.wait(), Some(Duration::from_secs(30)), "{reset}: {value}");
                let told = read(&[(&remaining, "5"), (&reset, value)]);
                assert_eq!(told.wait(), None, "there are calls left");
            }
        }
        assert_eq!(read(&[("retry-after", "0.25")]).wait(), Some(Duration::from_millis(250)));
        let list = read(&[("ratelimit", "\"burst\";r=0;t=7, \"daily\";r=1;t=9")]);
        assert_eq!((list.remaining, list.wait()), (Some(0), Some(Duration::from_secs(7))));
    }

    #[test]
    fn what_the_service_says_outright_counts_more_than_what_follows_from_its_numbers() {
        let told = read(&[("retry-after", "2"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "60")]);
        assert_eq!(told.wait(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn what_is_past_is_over_and_what_is_absurd_is_a_day() {
        for past in ["Thu, 01 Jan 1998 00:00:30 GMT", "1000000000", "0", "-0"] {
            assert_eq!(read(&[("retry-after", past)]).wait(), Some(Duration::ZERO), "{past}");
        }
        for absurd in ["999999999", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(read(&[("retry-after", absurd)]).wait(), Some(LONGEST), "{absurd}");
        }
        for nonsense in ["", "soon", "-5", "NaN", "inf", "1e999", "30 seconds", "\u{0}"] {
            assert_eq!(read(&[("retry-after", nonsense)]).wait(), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_service_sends_panics(value: String, list: String) {
            for name in REMAINING.iter().chain(&RESET).chain(&["retry-after"]) {
                let _ = read(&[(name, &value), ("ratelimit", &list)]).wait();
            }
        }
    }
}
