//! A checksum for each row, so that a flipped bit on the disk leads to an error instead of a different value.
//!
//! The statement that writes a row also writes its checksum. A run is therefore read, and its checksum verified, before
//! it is changed. The large columns of a run have a separate checksum, which is covered by the main one, so that a list
//! need not read them.

use awaitly_core::store::StoreError;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row, params_from_iter};

use super::columns::{BODY, BODY_CHECKSUM, MAIL, PUBLISHED, QUEUE, RUN, RUN_ROW, SCHEDULE, STEP, WAIT};
use super::error::Failure;

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

/// Returns the checksum of a row with these values.
pub(super) fn of(values: &[ValueRef<'_>]) -> i64 {
    let mut checksum = Checksum::default();
    values.iter().for_each(|value| checksum.add(*value));
    checksum.finish()
}

/// Returns parameters that bind the values of a row, followed by its checksum.
pub(super) fn with_checksum<'v>(values: &'v [ValueRef<'v>]) -> impl Params + 'v {
    let checksum = ValueRef::Integer(of(values));
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
pub(super) fn verify(
    values: &[ValueRef<'_>],
    stored: ValueRef<'_>,
    table: &'static str,
) -> Result<(), Failure> {
    if stored == ValueRef::Integer(of(values)) {
        return Ok(());
    }
    Err(StoreError::Corrupt { detail: format!("the checksum of a row of {table} does not match").into() }
        .into())
}

/// Registers the function that migrations call.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("awaitly_checksum", -1, flags, |call| Ok(of_arguments(call)))
}

fn of_arguments(call: &Context<'_>) -> i64 {
    let mut checksum = Checksum::default();
    (0..call.len()).for_each(|index| checksum.add(call.get_raw(index)));
    checksum.finish()
}

/// Checks every row of the tables.
pub(super) fn verify_all(connection: &Connection) -> Result<(), Failure> {
    const RUNS: &str = concat!("SELECT ", run_row!(""), ", ", body_columns!(), " FROM awaitly_runs");
    each_row(connection, RUNS, |row| {
        verify_run(row, 0)?;
        verify_body(row)
    })?;
    const STEPS: &str = concat!("SELECT ", step_columns!(), ", checksum FROM awaitly_steps");
    each_row(connection, STEPS, |row| step(row).map(drop))?;
    const WAITS: &str = concat!("SELECT ", wait_columns!(""), ", checksum FROM awaitly_waits");
    each_row(connection, WAITS, verify_wait)?;
    each_row(connection, "SELECT run, checksum FROM awaitly_next", verify_next)?;
    const QUEUES: &str = concat!("SELECT ", queue_columns!(), ", checksum FROM awaitly_queues");
    each_row(connection, QUEUES, verify_queue)?;
    const KEYS: &str = "SELECT queue, key, next, checksum FROM awaitly_queue_keys";
    each_row(connection, KEYS, verify_key)?;
    verify_exchanged(connection)
}

/// Checks every row of tags, mail, published values and schedules.
fn verify_exchanged(connection: &Connection) -> Result<(), Failure> {
    each_row(connection, "SELECT tag, run, checksum FROM awaitly_tags", |row| {
        verify(&columns::<2>(row, 0)?, row.get_ref(2)?, "awaitly_tags")
    })?;
    each_row(connection, "SELECT run, id, checksum FROM awaitly_mail_ids", |row| {
        verify(&columns::<2>(row, 0)?, row.get_ref(2)?, "awaitly_mail_ids")
    })?;
    const MESSAGES: &str = concat!("SELECT ", mail_columns!(), ", checksum FROM awaitly_mail");
    each_row(connection, MESSAGES, verify_mail)?;
    const VALUES: &str = concat!("SELECT ", published_columns!(), ", checksum FROM awaitly_published");
    each_row(connection, VALUES, verify_published)?;
    const SCHEDULES: &str = concat!("SELECT ", schedule_columns!(), ", checksum FROM awaitly_schedules");
    each_row(connection, SCHEDULES, verify_schedule)
}

/// Checks the [`body_columns`] that follow a [`run_row`].
pub(super) fn verify_body(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<BODY>(row, RUN_ROW)?, row.get_ref(BODY_CHECKSUM)?, "awaitly_runs")
}

/// Checks the [`run_columns`] that begin at column `first`, against the checksum that follows them.
pub(super) fn verify_run(row: &Row<'_>, first: usize) -> Result<(), Failure> {
    verify(&columns::<RUN>(row, first)?, row.get_ref(first + RUN)?, "awaitly_runs")
}

/// Checks a row of `awaitly_next`.
pub(super) fn verify_next(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<1>(row, 0)?, row.get_ref(1)?, "awaitly_next")
}

/// Checks a row of [`queue_columns`] and their checksum.
pub(super) fn verify_queue(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<QUEUE>(row, 0)?, row.get_ref(QUEUE)?, "awaitly_queues")
}

/// Checks a row of [`mail_columns`] and their checksum.
pub(super) fn verify_mail(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<MAIL>(row, 0)?, row.get_ref(MAIL)?, "awaitly_mail")
}

/// Checks a row of [`published_columns`] and their checksum.
pub(super) fn verify_published(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<PUBLISHED>(row, 0)?, row.get_ref(PUBLISHED)?, "awaitly_published")
}

/// Checks a row of [`schedule_columns`] and their checksum.
pub(super) fn verify_schedule(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<SCHEDULE>(row, 0)?, row.get_ref(SCHEDULE)?, "awaitly_schedules")
}

/// Checks the name of a queue, a key, its next rank and their checksum.
pub(super) fn verify_key(row: &Row<'_>) -> Result<(), Failure> {
    verify(&columns::<3>(row, 0)?, row.get_ref(3)?, "awaitly_queue_keys")
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
