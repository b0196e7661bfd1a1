//! The rules of core that a statement restates, because it decides about many rows at once.

/// The time at which a claim must look at the row `r`: `Header::due_at`. `$until` is the end of the lease, or NULL if the
/// lease is free.
macro_rules! due {
    ($until:literal) => {
        concat!(
            "CASE WHEN r.paused THEN NULL WHEN r.status = 'running' THEN coalesce(",
            $until,
            ", r.changed_at) WHEN r.status IN ('queued', 'waiting') AND r.wake_at IS NOT NULL \
            THEN greatest(r.wake_at, ",
            $until,
            ") END"
        )
    };
    () => {
        $crate::postgres::statements::rules::due!("CASE WHEN r.owner IS NOT NULL THEN r.lease_until END")
    };
}

/// The list in which the row `r` is found if it gets this status and is not queued or running.
macro_rules! listed {
    ($status:literal) => {
        concat!(
            "CASE WHEN r.paused AND ",
            $status,
            " IN ('queued', 'running', 'waiting') THEN 4 ELSE CASE ",
            $status,
            " WHEN 'waiting' THEN 1 WHEN 'failed' THEN 2 WHEN 'cancelled' THEN 3 END END"
        )
    };
}

pub(super) use {due, listed};
