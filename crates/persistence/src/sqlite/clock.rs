use std::time::{Duration, SystemTime};

use awaitly_core::journal::Timestamp;

use crate::limits::LONGEST_TTL;

/// Returns the machine's time. A clock before 1970 is wrong anyway; leases then last until it is corrected.
pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Converts a time to the form of the columns.
pub(super) fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time at which a lease that is given at `now` expires.
pub(super) fn expiry(now: Timestamp, ttl: Duration) -> Timestamp {
    now.after(ttl.min(LONGEST_TTL))
}

/// Returns the remaining time of a lease at `now`.
pub(super) const fn remaining(now: Timestamp, until: Timestamp) -> Duration {
    now.until(until)
}
