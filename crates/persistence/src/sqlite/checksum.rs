//! A checksum for each row, so that a flipped bit on the disk leads to an error instead of a different value.
//!
//! The statement that writes a record or a question also writes its checksum. A run changes column by column, so
//! triggers on the writing connection update its checksum; they refuse the update if the old checksum was wrong. The
//! large columns of a run have a separate checksum, which is covered by the main one, so that a list need not read
//! them.

use awaitly_core::store::StoreError;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, Params, Row, ffi, params_from_iter};

use super::error::{Failure, MISMATCH};

/// The columns of a run that its checksum covers, each prefixed with `$of`, and the checksum.
macro_rules! run_columns {
    ($of:literal) => {
        concat!(
            $of,
            "id,",
            $of,
            "run_id,",
            $of,
            "workflow,",
            $of,
            "version,",
            $of,
            "format,",
            $of,
            "status,",
            $of,
            "failed_on,",
            $of,
            "token,",
            $of,
            "owner,",
            $of,
            "owner_file,",
            $of,
            "lease_until,",
            $of,
            "error,",
            $of,
            "created_at,",
            $of,
            "changed_at,",
            $of,
            "wake_at,",
            $of,
            "cancel_requested,",
            $of,
            "body_checksum"
        )
    };
}

/// The large columns of a run, which have a separate checksum.
macro_rules! body_columns {
    ($of:literal) => {
        concat!($of, "input,", $of, "input_fingerprint,", $of, "outcome_kind,", $of, "outcome")
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
        concat!($of, "run,", $of, "key,", $of, "token,", $of, "request,", $of, "since,", $of, "expires_at")
    };
}

pub(super) use {body_columns, run_columns, step_columns, wait_columns};

/// The number of columns in [`run_columns`].
pub(super) const HEADER: usize = 17;
/// The number of columns in [`body_columns`].
const BODY: usize = 4;
/// The number of columns in [`step_columns`].
pub(super) const STEP: usize = 7;
/// The number of columns in [`wait_columns`].
pub(super) const WAIT: usize = 6;

/// The triggers that update the checksums of runs, for one connection.
const TRIGGERS: &str = concat!(
    "CREATE TEMP TRIGGER awaitly_run_added AFTER INSERT ON main.awaitly_runs BEGIN \
        UPDATE awaitly_runs SET body_checksum = awaitly_checksum(",
    body_columns!(""),
    ") WHERE id = NEW.id; \
        UPDATE awaitly_runs SET checksum = awaitly_checksum(",
    run_columns!(""),
    ") WHERE id = NEW.id; \
    END; \
    CREATE TEMP TRIGGER awaitly_run_changed AFTER UPDATE OF run_id, workflow, version, format, status, failed_on, \
        token, owner, owner_file, lease_until, error, created_at, changed_at, wake_at, cancel_requested, input, \
        input_fingerprint, outcome_kind, outcome ON main.awaitly_runs BEGIN \
        SELECT awaitly_verify(OLD.checksum, ",
    run_columns!("OLD."),
    "); \
        SELECT awaitly_verify(OLD.body_checksum, ",
    body_columns!("OLD."),
    "); \
        UPDATE awaitly_runs SET body_checksum = awaitly_checksum(",
    body_columns!(""),
    ") WHERE id = NEW.id; \
        UPDATE awaitly_runs SET checksum = awaitly_checksum(",
    run_columns!(""),
    ") WHERE id = NEW.id; \
    END; \
    CREATE TEMP TRIGGER awaitly_next_changed AFTER UPDATE OF run ON main.awaitly_next BEGIN \
        SELECT awaitly_verify(OLD.checksum, OLD.run); \
        UPDATE awaitly_next SET checksum = awaitly_checksum(run); \
    END;"
);

/// A checksum under construction: CRC-32 over a type byte and the bytes of each value. The length of a text precedes
/// its bytes.
struct Checksum {
    hasher: crc32fast::Hasher,
    /// Bytes that are not hashed yet. One call for all small values takes a fraction of the time of separate calls.
    bytes: Vec<u8>,
}

impl Default for Checksum {
    fn default() -> Self {
        // Enough for most rows.
        Self { hasher: crc32fast::Hasher::new(), bytes: Vec::with_capacity(192) }
    }
}

impl Checksum {
    fn add(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.bytes.push(0),
            ValueRef::Integer(integer) => self.add_number(1, integer.to_le_bytes()),
            ValueRef::Real(real) => self.add_number(2, real.to_le_bytes()),
            ValueRef::Text(text) => self.add_text(3, text),
            ValueRef::Blob(blob) => self.add_text(4, blob),
        }
    }

    fn add_number(&mut self, kind: u8, bytes: [u8; 8]) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&bytes);
    }

    fn add_text(&mut self, kind: u8, text: &[u8]) {
        /// The length from which a text is hashed without being copied.
        const LARGE: usize = 512;
        self.add_number(kind, (text.len() as u64).to_le_bytes());
        if text.len() < LARGE {
            self.bytes.extend_from_slice(text);
        } else {
            self.hasher.update(&self.bytes);
            self.hasher.update(text);
            self.bytes.clear();
        }
    }

    /// Returns the checksum as a signed number, which takes four bytes in a row instead of six.
    fn finish(mut self) -> i64 {
        self.hasher.update(&self.bytes);
        i64::from(self.hasher.finalize().cast_signed())
    }
}

/// Returns parameters that bind the values of a row, followed by its checksum.
pub(super) fn with_checksum<'v>(values: &'v [ValueRef<'v>]) -> impl Params + 'v {
    let mut checksum = Checksum::default();
    values.iter().for_each(|value| checksum.add(*value));
    let checksum = ValueRef::Integer(checksum.finish());
    params_from_iter(values.iter().copied().chain([checksum]).map(ToSqlOutput::Borrowed))
}

/// Reads `N` columns of a row, beginning with the column `first`.
fn columns<'row, const N: usize>(row: &'row Row<'_>, first: usize) -> rusqlite::Result<[ValueRef<'row>; N]> {
    let mut values = [ValueRef::Null; N];
    for (column, value) in (first..).zip(&mut values) {
        *value = row.get_ref(column)?;
    }
    Ok(values)
}

/// Checks that the `values` of a row match their stored checksum.
fn verify(values: &[ValueRef<'_>], stored: ValueRef<'_>, table: &'static str) -> Result<(), Failure> {
    let mut checksum = Checksum::default();
    values.iter().for_each(|value| checksum.add(*value));
    if stored == ValueRef::Integer(checksum.finish()) {
        return Ok(());
    }
    Err(StoreError::Corrupt { detail: format!("the checksum of a row of {table} does not match").into() }
        .into())
}

/// Registers the functions that migrations and triggers call.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("awaitly_checksum", -1, flags, |call| Ok(of_arguments(call, 0)))?;
    connection.create_scalar_function("awaitly_verify", -1, flags, |call| {
        if call.get_raw(0) == ValueRef::Integer(of_arguments(call, 1)) {
            return Ok(true);
        }
        Err(Error::SqliteFailure(ffi::Error::new(MISMATCH), None))
    })
}

/// Makes `connection` update the checksums of the runs that it changes.
pub(super) fn keep(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TRIGGERS)
}

fn of_arguments(call: &Context<'_>, first: usize) -> i64 {
    let mut checksum = Checksum::default();
    (first..call.len()).for_each(|index| checksum.add(call.get_raw(index)));
    checksum.finish()
}

/// Checks every row of the tables.
pub(super) fn verify_all(connection: &Connection) -> Result<(), Failure> {
    const RUNS: &str =
        concat!("SELECT ", run_columns!(""), ", checksum, ", body_columns!(""), " FROM awaitly_runs");
    each_row(connection, RUNS, verify_run)?;
    const STEPS: &str = concat!("SELECT ", step_columns!(), ", checksum FROM awaitly_steps");
    each_row(connection, STEPS, |row| step(row).map(drop))?;
    const WAITS: &str = concat!("SELECT ", wait_columns!(""), ", checksum FROM awaitly_waits");
    each_row(connection, WAITS, verify_wait)?;
    each_row(connection, "SELECT run, checksum FROM awaitly_next", |row| {
        verify(&[row.get_ref(0)?], row.get_ref(1)?, "awaitly_next")
    })
}

/// Checks a row of [`run_columns`], their checksum, and [`body_columns`].
fn verify_run(row: &Row<'_>) -> Result<(), Failure> {
    verify_header(row, 0)?;
    verify_body(row)
}

/// Checks the [`body_columns`] of a row of that form.
pub(super) fn verify_body(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<BODY>(row, HEADER + 1)?, row.get_ref(HEADER - 1)?, "awaitly_runs")
}

/// Checks the [`run_columns`] that begin at column `first`, against the checksum that follows them.
pub(super) fn verify_header(row: &Row<'_>, first: usize) -> Result<(), Failure> {
    verify(&columns::<HEADER>(row, first)?, row.get_ref(first + HEADER)?, "awaitly_runs")
}

/// Checks a row that begins with [`wait_columns`] and their checksum.
pub(super) fn verify_wait(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<WAIT>(row, 0)?, row.get_ref(WAIT)?, "awaitly_waits")
}

/// Checks a row of [`step_columns`] and their checksum, and returns the columns.
pub(super) fn step<'row>(row: &'row Row<'_>) -> Result<[ValueRef<'row>; STEP], Failure> {
    let values = columns::<STEP>(row, 0)?;
    verify(&values, row.get_ref(STEP)?, "awaitly_steps")?;
    Ok(values)
}

fn each_row(
    connection: &Connection,
    sql: &str,
    check: impl Fn(&Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        check(row)?;
    }
    Ok(())
}
