//! A checksum for each row, so that a bit that flips on the disk leads to an error and not to another value.
//!
//! The statement that writes a record or a question writes its checksum too. A run changes column by column, so triggers of
//! the writing connection bring its checksum up to date; they refuse to do so if the old checksum was wrong. The large
//! columns of a run have a checksum of their own, which is part of the other one, so that a list need not read them.

use awaitly_core::store::StoreError;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, Params, Row, ffi, params_from_iter};

use super::error::{Failure, MISMATCH};

/// The columns of a run under its checksum, each behind `$of`, and the checksum.
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

/// The large columns of a run, under a checksum of their own.
macro_rules! body_columns {
    ($of:literal) => {
        concat!($of, "input,", $of, "input_fingerprint,", $of, "outcome_kind,", $of, "outcome")
    };
}

/// The columns of a record under its checksum.
macro_rules! step_columns {
    () => {
        "run, key, seq, kind, payload, input_fingerprint, recorded_at"
    };
}

/// The columns of a question under its checksum.
macro_rules! wait_columns {
    ($of:literal) => {
        concat!($of, "run,", $of, "key,", $of, "token,", $of, "request,", $of, "since,", $of, "expires_at")
    };
}

pub(super) use {body_columns, run_columns, step_columns, wait_columns};

/// How many columns there are in [`run_columns`].
pub(super) const HEADER: usize = 17;
/// How many columns there are in [`body_columns`].
const BODY: usize = 4;
/// How many columns there are in [`step_columns`].
pub(super) const STEP: usize = 7;
/// How many columns there are in [`wait_columns`].
pub(super) const WAIT: usize = 6;

/// The triggers that keep the checksums of runs, for one connection.
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

/// A checksum in the making: CRC-32 over a byte for the type of each value, and its bytes; those of a text behind their
/// number.
struct Checksum {
    hasher: crc32fast::Hasher,
    /// Not hashed yet. One call for all small values takes a fraction of the time of a call for each.
    bytes: Vec<u8>,
}

impl Default for Checksum {
    fn default() -> Self {
        // Most rows fit.
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
        /// A text that is not copied to be hashed.
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

    /// With its sign it takes four bytes in a row, without it six.
    fn finish(mut self) -> i64 {
        self.hasher.update(&self.bytes);
        i64::from(self.hasher.finalize().cast_signed())
    }
}

/// Binds the values of a row and, behind them, its checksum.
pub(super) fn with_checksum<'v>(values: &'v [ValueRef<'v>]) -> impl Params + 'v {
    let mut checksum = Checksum::default();
    values.iter().for_each(|value| checksum.add(*value));
    let checksum = ValueRef::Integer(checksum.finish());
    params_from_iter(values.iter().copied().chain([checksum]).map(ToSqlOutput::Borrowed))
}

/// Reads `N` columns of a row, the first of them the column `first`.
fn columns<'row, const N: usize>(row: &'row Row<'_>, first: usize) -> rusqlite::Result<[ValueRef<'row>; N]> {
    let mut values = [ValueRef::Null; N];
    for (column, value) in (first..).zip(&mut values) {
        *value = row.get_ref(column)?;
    }
    Ok(values)
}

/// Checks that `values` of a row have the checksum that is stored with them.
fn verify(values: &[ValueRef<'_>], stored: ValueRef<'_>, table: &'static str) -> Result<(), Failure> {
    let mut checksum = Checksum::default();
    values.iter().for_each(|value| checksum.add(*value));
    if stored == ValueRef::Integer(checksum.finish()) {
        return Ok(());
    }
    Err(StoreError::Corrupt { detail: format!("the checksum of a row of {table} does not match").into() }
        .into())
}

/// Makes the functions that migrations and triggers call.
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

/// Makes `connection` keep the checksums of the runs that it changes.
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

/// Checks the [`body_columns`] of such a row.
pub(super) fn verify_body(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<BODY>(row, HEADER + 1)?, row.get_ref(HEADER - 1)?, "awaitly_runs")
}

/// Checks a row that has [`run_columns`] from column `first` on, and behind them their checksum.
pub(super) fn verify_header(row: &Row<'_>, first: usize) -> Result<(), Failure> {
    verify(&columns::<HEADER>(row, first)?, row.get_ref(first + HEADER)?, "awaitly_runs")
}

/// Checks a row that begins with [`wait_columns`] and their checksum.
pub(super) fn verify_wait(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<WAIT>(row, 0)?, row.get_ref(WAIT)?, "awaitly_waits")
}

/// Returns the [`step_columns`] of a row of these and their checksum, which it checks.
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
