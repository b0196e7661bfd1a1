//! The columns of the tables, for statements and checksums.

/// Names columns, each prefixed with `$of`.
macro_rules! prefixed {
    ($of:literal; $first:literal $(, $column:literal)*) => {
        concat!($of, $first $(, ", ", $of, $column)*)
    };
}

/// The columns of a run that its checksum covers. Their order is the order of the parameters of the statements that
/// write runs.
macro_rules! run_columns {
    ($of:literal) => {
        prefixed!(
            $of; "id", "run_id", "workflow", "version", "format", "status", "failed_on", "token", "owner", "lock_file",
            "lease_until", "error", "created_at", "changed_at", "wake_at", "cancel_requested", "body_checksum", "queue",
            "queue_key", "priority", "rank", "start_by", "paused", "crashes", "due_at", "parent_run", "parent_key", "tags",
            "unique_key", "has_mail", "restarts"
        )
    };
}

/// The small columns of a run: [`run_columns`], their checksum, and the list of the run, which no checksum covers: the
/// indexes contain it, too, and another list changes only when the run starts.
macro_rules! run_row {
    ($of:literal) => {
        concat!(run_columns!($of), ", ", prefixed!($of; "checksum", "ready"))
    };
}

/// The large columns of a run, which have a separate checksum.
macro_rules! body_columns {
    () => {
        "input, input_fingerprint, outcome_kind, outcome"
    };
}

/// The columns of a record that its checksum covers.
macro_rules! step_columns {
    () => {
        "run, key, seq, kind, payload, input_fingerprint, recorded_at"
    };
}

/// The columns of a question that its checksum covers.
macro_rules! wait_columns {
    ($of:literal) => {
        prefixed!($of; "run", "key", "token", "request", "since", "expires_at")
    };
}

/// The columns of a queue that its checksum covers.
macro_rules! queue_columns {
    () => {
        "name, settings, declared, paused, pace, virtual_time"
    };
}

/// The columns of a message that its checksum covers.
macro_rules! mail_columns {
    () => {
        "run, mailbox, seq, payload"
    };
}

/// The columns of a published value or an item of a stream that its checksum covers.
macro_rules! published_columns {
    () => {
        "run, name, position, payload"
    };
}

/// The columns of a schedule that its checksum covers.
macro_rules! schedule_columns {
    () => {
        "name, version, due_at, rule"
    };
}

/// The number of columns in [`run_columns`].
pub(super) const RUN: usize = 31;
/// The number of columns in [`run_row`].
pub(super) const RUN_ROW: usize = RUN + 2;
/// The number of columns in [`body_columns`].
pub(super) const BODY: usize = 4;
/// The number of columns in [`step_columns`].
pub(super) const STEP: usize = 7;
/// The number of columns in [`wait_columns`].
pub(super) const WAIT: usize = 6;
/// The number of columns in [`queue_columns`].
pub(super) const QUEUE: usize = 6;

/// The number of columns in [`mail_columns`].
pub(super) const MAIL: usize = 4;
/// The number of columns in [`published_columns`].
pub(super) const PUBLISHED: usize = 4;
/// The number of columns in [`schedule_columns`].
pub(super) const SCHEDULE: usize = 4;

/// The place of `body_checksum` in [`run_columns`].
pub(super) const BODY_CHECKSUM: usize = 16;
