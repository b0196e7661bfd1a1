use std::time::{Duration, SystemTime};

/// The limits that a service reports in the headers of an answer, whether it refused the call or not. Pass them to
/// [`AdaptiveThrottle::learn`](super::AdaptiveThrottle::learn).
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::adaptive_throttle::Headers;
///
/// let answer = [("retry-after", "120")];
/// let headers = Headers::read(429, |name| answer.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
/// assert_eq!(headers.wait(), Some(Duration::from_secs(120)));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers {
    /// The time for which the service asks to wait: `Retry-After` of a 429 or a 503. `Retry-After` of another answer is
    /// ignored.
    pub retry_after: Option<Duration>,
    /// The number of calls left: `RateLimit-Remaining`.
    pub remaining: Option<u64>,
    /// The time until more calls are available: `RateLimit-Reset`.
    pub reset: Option<Duration>,
}

/// The longest accepted wait: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The header names under which services report the calls left and the time until more are available.
const REMAINING: [&str; 4] = [
    "ratelimit-remaining",
    "x-ratelimit-remaining",
    "x-rate-limit-remaining",
    "x-ratelimit-remaining-requests",
];
const RESET: [&str; 5] = [
    "ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
    "x-ratelimit-reset-requests",
];

impl Headers {
    /// Reads the headers of an answer with this `status`. `header` returns the value of a header by its name in small
    /// letters.
    ///
    /// Supported are `Retry-After`, and `RateLimit-*` and `X-RateLimit-*` in the forms that services send: seconds from
    /// now, with or without a fraction; a moment in seconds or milliseconds since 1970; an HTTP date; a duration such
    /// as `6m0s`; and the forms in one header, `RateLimit: limit=100, remaining=0, reset=30` and `RateLimit:
    /// "name";r=0;t=30`. If one header lists several limits and some are used up, `read` takes the one with the longest
    /// time until its reset; otherwise it takes the first. A value that cannot be read is ignored, and no wait is
    /// longer than a day.
    ///
    /// If an answer contains a header several times, many HTTP libraries join its values with commas (`120, 120`). Of
    /// such a value, `read` takes the longest wait and the smallest number of calls. If your library returns each value
    /// separately, join them with commas first. Sources: RFC 9110 sections 5.3 and 10.2.3, the drafts
    /// `ratelimit-headers` 03, 07 and 10 of the IETF.
    pub fn read<'h>(status: u16, header: impl Fn(&str) -> Option<&'h str>) -> Self {
        Self::read_at(SystemTime::now(), status, header)
    }

    /// Works like [`read`](Self::read) at the time `now`.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use awaitly_resilience::adaptive_throttle::Headers;
    ///
    /// let header = |name: &str| (name == "retry-after").then_some("Thu, 01 Jan 1970 00:01:00 GMT");
    /// let headers = Headers::read_at(SystemTime::UNIX_EPOCH, 503, header);
    /// assert_eq!(headers.wait(), Some(Duration::from_secs(60)));
    /// ```
    pub fn read_at<'h>(now: SystemTime, status: u16, header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let list = header("ratelimit").map(limits).unwrap_or_default();
        let remaining = REMAINING.iter().find_map(|name| fewest(header(name)?));
        let reset = RESET.iter().find_map(|name| longest(header(name)?, now));
        let is_refused = status == 429 || status == 503;
        let retry_after = header("retry-after").filter(|_| is_refused);
        Self {
            retry_after: retry_after.and_then(|value| longest(value, now)),
            remaining: list.remaining.or(remaining),
            reset: list.reset.or(reset),
        }
    }

    /// Returns the time to wait before the next call: the time that the service asks for, or the time until more calls
    /// are available if none is left.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::adaptive_throttle::Headers;
    ///
    /// let mut headers = Headers { remaining: Some(5), reset: Some(Duration::from_secs(20)), retry_after: None };
    /// assert_eq!(headers.wait(), None);
    /// headers.remaining = Some(0);
    /// assert_eq!(headers.wait(), Some(Duration::from_secs(20)));
    /// ```
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let none_left = self.remaining == Some(0);
        self.retry_after.or(self.reset.filter(|_| none_left))
    }
}

/// Returns the longest wait in a header that may have come several times: each proxy and server may add its own.
fn longest(value: &str, now: SystemTime) -> Option<Duration> {
    let (mut longest, mut before, mut start) = (None, 0, 0);
    for part in value.split(',') {
        let end = start + part.len();
        // A date has a comma of its own, after the day of the week.
        let wait = until(part, now).or_else(|| until(value.get(before..end)?, now));
        longest = longest.max(wait);
        (before, start) = (start, end + 1);
    }
    longest
}

/// Returns the smallest number in a header that may have come several times.
fn fewest(value: &str) -> Option<u64> {
    value.split(',').filter_map(|number| whole(number.trim())).min()
}

/// Returns the time until the moment that `value` states, in any of the forms.
fn until(value: &str, now: SystemTime) -> Option<Duration> {
    // From here on, a number is a moment and not a duration: 1e9 seconds are the year 2001, and no service asks to wait
    // for 31 years.
    const SECONDS_SINCE_1970: f64 = 1e9;
    const MILLISECONDS_SINCE_1970: f64 = 1e11;
    let value = value.trim();
    if whole(value) == Some(u64::MAX) {
        return Some(LONGEST);
    }
    let wait = match value.parse::<f64>() {
        Ok(number) if number >= MILLISECONDS_SINCE_1970 => since_1970(number / 1000.0)?.duration_since(now),
        Ok(number) if number >= SECONDS_SINCE_1970 => since_1970(number)?.duration_since(now),
        Ok(number) => Ok(Duration::try_from_secs_f64(number).ok()?),
        Err(_) => match httpdate::parse_http_date(value) {
            Ok(date) => date.duration_since(now),
            Err(_) => Ok(humantime::parse_duration(value).ok()?),
        },
    };
    // A moment in the past means no wait.
    Some(wait.unwrap_or_default().min(LONGEST))
}

/// Parses a whole number, and returns the largest `u64` if the number is larger.
fn whole(value: &str) -> Option<u64> {
    let is_whole = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| value.parse().unwrap_or(u64::MAX))
}

fn since_1970(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// Returns, of the limits in one header, the one that is used up for longest, or else the first.
fn limits(value: &str) -> Headers {
    let items = || value.split(',').map(|item| item.split(';'));
    // In the older form, commas separate the parameters of one limit; in the newer form, they separate the limits.
    let old = parameters(value.split(','));
    let used_up =
        items().map(parameters).filter(|limit| limit.remaining == Some(0)).max_by_key(|limit| limit.reset);
    used_up.or_else(|| items().next().map(parameters)).filter(|_| old == Headers::default()).unwrap_or(old)
}

/// Reads the calls left and the time until more are available, under the names of either form.
fn parameters<'p>(parameters: impl Iterator<Item = &'p str>) -> Headers {
    let mut limit = Headers::default();
    for parameter in parameters {
        match parameter.trim().split_once('=') {
            Some(("r" | "remaining", number)) => limit.remaining = whole(number),
            Some(("t" | "reset", seconds)) => {
                limit.reset = whole(seconds).map(|seconds| Duration::from_secs(seconds).min(LONGEST));
            }
            _ => {}
        }
    }
    limit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1 January 2026, 00:00:00 UTC.
    const NOW: u64 = 1_767_225_600;

    fn read(headers: &[(&str, &str)]) -> Headers {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        Headers::read_at(now, 429, |name| {
            headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
        })
    }

    #[test]
    fn wait_is_read_from_every_header_form() {
        let (epoch, epoch_ms) = ((NOW + 30).to_string(), ((NOW + 30) * 1000).to_string());
        for value in ["30", "30.0", " 30 ", "Thu, 01 Jan 2026 00:00:30 GMT", &epoch, &epoch_ms] {
            assert_eq!(read(&[("retry-after", value)]).wait(), Some(Duration::from_secs(30)), "{value}");
            for name in ["ratelimit", "x-ratelimit"] {
                let (remaining, reset) = (format!("{name}-remaining"), format!("{name}-reset"));
                let headers = read(&[(&remaining, "0"), (&reset, value)]);
                assert_eq!(headers.wait(), Some(Duration::from_secs(30)), "{reset}: {value}");
                let headers = read(&[(&remaining, "5"), (&reset, value)]);
                assert_eq!(headers.wait(), None, "there are calls left");
            }
        }
        assert_eq!(read(&[("retry-after", "0.25")]).wait(), Some(Duration::from_millis(250)));
        let headers =
            read(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")]);
        assert_eq!(headers.wait(), Some(Duration::from_secs(360)));
        for (list, wait) in [
            ("\"burst\";r=0;t=7, \"daily\";r=1;t=9", Some(7)),
            ("\"burst\";r=5;t=7, \"daily\";r=0;t=3600", Some(3600)),
            ("\"burst\";r=0;t=7, \"daily\";r=0;t=3600", Some(3600)),
            ("\"burst\";r=5;t=7", None),
            ("limit=100, remaining=0, reset=5", Some(5)),
            ("limit=100, remaining=3, reset=5", None),
        ] {
            assert_eq!(read(&[("ratelimit", list)]).wait(), wait.map(Duration::from_secs), "{list}");
        }
    }

    #[test]
    fn retry_after_of_accepted_answer_is_ignored() {
        let header = |name: &str| (name == "retry-after").then_some("120");
        assert_eq!(Headers::read(202, header).wait(), None, "that is when to look for the result");
        assert_eq!(Headers::read(503, header).wait(), Some(Duration::from_secs(120)));
    }

    #[test]
    fn retry_after_wins_over_rate_limit_headers() {
        let headers = read(&[("retry-after", "2"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "60")]);
        assert_eq!(headers.wait(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn past_wait_is_zero_and_absurd_wait_is_capped() {
        for past in ["Thu, 01 Jan 1998 00:00:30 GMT", "1000000000", "0", "-0"] {
            assert_eq!(read(&[("retry-after", past)]).wait(), Some(Duration::ZERO), "{past}");
        }
        for absurd in ["999999999", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(read(&[("retry-after", absurd)]).wait(), Some(LONGEST), "{absurd}");
        }
        for nonsense in ["", "soon", "-5", "NaN", "inf", "1e999", "30 parsecs", "\u{0}"] {
            assert_eq!(read(&[("retry-after", nonsense)]).wait(), None, "{nonsense}");
        }
    }

    #[test]
    fn header_that_came_twice_counts_with_its_longest_wait() {
        let dates = "Thu, 01 Jan 2026 00:00:30 GMT, Thu, 01 Jan 2026 00:00:40 GMT";
        for (value, wait) in [
            ("120, 120", 120),
            ("120,90", 120),
            ("90 ,\t120,", 120),
            ("30, 6m0s, 1.5", 360),
            (dates, 40),
            ("20, Thu, 01 Jan 2026 00:00:30 GMT, 10", 30),
            ("Thursday, 01-Jan-26 00:00:30 GMT, Thu Jan  1 00:00:20 2026", 30),
            ("-5, 30", 30),
            ("soon, 30, later", 30),
            ("Thu, 30", 30),
        ] {
            let headers = read(&[("retry-after", value)]);
            assert_eq!(headers.wait(), Some(Duration::from_secs(wait)), "{value}");
            let headers = read(&[("x-ratelimit-remaining", "0, 0"), ("x-ratelimit-reset", value)]);
            assert_eq!(headers.wait(), Some(Duration::from_secs(wait)), "{value}");
        }
        assert_eq!(read(&[("retry-after", "-5, soon, ,")]).wait(), None);
        let padded = format!("{}7", "0".repeat(400));
        assert_eq!(read(&[("retry-after", &padded)]).wait(), Some(Duration::from_secs(7)));
        let headers = read(&[("ratelimit-remaining", "7, 0, lots"), ("ratelimit-reset", "5, 9")]);
        assert_eq!((headers.remaining, headers.wait()), (Some(0), Some(Duration::from_secs(9))));
    }

    #[test]
    fn number_that_no_type_holds_is_a_day() {
        for digits in [20, 25, 400] {
            let huge = "9".repeat(digits);
            assert_eq!(read(&[("retry-after", &huge)]).wait(), Some(LONGEST), "{digits} digits");
            let list = format!("\"daily\";r=0;t={huge}");
            assert_eq!(read(&[("ratelimit", &list)]).wait(), Some(LONGEST), "{digits} digits");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_headers_do_not_panic(value: String, list: String) {
            for name in REMAINING.iter().chain(&RESET).chain(&["retry-after"]) {
                let _ = read(&[(name, &value), ("ratelimit", &list)]).wait();
            }
        }
    }
}
