use std::time::{Duration, SystemTime};

use awaitly_core::journal::Timestamp;

use crate::limits::LONGEST_TTL;

/// The machine's clock. One that stands before 1970 is wrong anyway, and then leases last as long as it takes
/// to set it.
pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// A moment, as the columns keep it.
pub(super) fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}

/// When a lease that is given at `now` expires.
pub(super) fn expiry(now: Timestamp, ttl: Duration) -> Timestamp {
    now.after(ttl.min(LONGEST_TTL))
}

/// How long a lease still lasts at `now`.
pub(super) const fn remaining(now: Timestamp, until: Timestamp) -> Duration {
    now.until(until)
}
