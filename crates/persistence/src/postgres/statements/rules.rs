//! Rules of core in SQL, for statements that apply them to many rows at once.

/// The time at which the row `r` would be due if it were not paused. `$until` is the end of the lease, or NULL if the
/// lease is free.
macro_rules! due_unless_paused {
    ($until:expr) => {
        concat!(
            "CASE WHEN r.status = 'running' THEN coalesce(",
            $until,
            ", r.changed_at) WHEN r.status IN ('queued', 'waiting') AND r.wake_at IS NOT NULL \
            THEN greatest(r.wake_at, ",
            $until,
            ") END"
        )
    };
    () => {
        $crate::postgres::statements::rules::due_unless_paused!(
            "CASE WHEN r.owner IS NOT NULL THEN r.lease_until END"
        )
    };
}

/// The time at which a claim must check the row `r`: `Header::due_at`.
macro_rules! due {
    ($($until:expr)?) => {
        concat!(
            "CASE WHEN NOT r.paused THEN ",
            $crate::postgres::statements::rules::due_unless_paused!($($until)?),
            " END"
        )
    };
}

/// The list that contains the row `r` if the row gets this status and is not queued or running.
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

/// Whether it is too late at `$now` to start the queued row `r`: `Place::is_too_late`.
macro_rules! too_late {
    ($now:literal) => {
        concat!("(r.status = 'queued' AND r.start_by IS NOT NULL AND r.start_by < ", $now, ")")
    };
}

/// Whether a claim at `$now` may take the row `r`, whose hint is `q`.
macro_rules! may_be_taken {
    ($now:literal) => {
        concat!(
            "coalesce(r.workflow = q.workflow AND r.queue = q.queue AND r.rank = q.rank AND ",
            $crate::postgres::statements::rules::due!(),
            " <= ",
            $now,
            ", false) AND NOT ",
            $crate::postgres::statements::rules::too_late!($now)
        )
    };
}

pub(super) use {due, due_unless_paused, listed, may_be_taken, too_late};
