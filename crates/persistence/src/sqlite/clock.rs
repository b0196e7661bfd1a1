use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::limits::LONGEST_TTL;

/// The machine's clock, in milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    // A clock before 1970 is wrong anyway, and then leases last as long as it takes to set it.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// When a lease that is given at `now_ms` expires.
pub(super) fn expiry(now_ms: i64, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.min(LONGEST_TTL).as_millis()).unwrap_or(i64::MAX);
    now_ms.saturating_add(ttl)
}

/// How long a lease still lasts at `now_ms`.
pub(super) fn remaining(now_ms: i64, until: i64) -> Duration {
    Duration::from_millis(u64::try_from(until.saturating_sub(now_ms)).unwrap_or(0))
}
