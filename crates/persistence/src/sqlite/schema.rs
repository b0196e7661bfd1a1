use std::time::Duration;

use awaitly_core::store::StoreError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

#[cfg(test)]
use super::checksum;
use super::clock::{millis, now};
use super::error::Failure;

/// All changes to the tables since version 1, the first. Released migrations are never edited.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
];

/// The newest format that this version reads and writes.
pub(super) const NEWEST: u32 = MIGRATIONS.len() as u32;

/// Returns the format version of the file, or 0 if it has no tables of this library.
pub(super) fn format(connection: &Connection) -> Result<u32, Failure> {
    let made = connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'awaitly_migrations'",
            [],
            |_| Ok(()),
        )
        .optional()?;
    if made.is_none() {
        return Ok(0);
    }
    Ok(connection
        .query_row("SELECT coalesce(max(version), 0) FROM awaitly_migrations", [], |row| row.get(0))?)
}

/// Refuses a file of a newer version before anything in it changes. Returns its format.
pub(super) fn check(connection: &Connection) -> Result<u32, Failure> {
    Ok(supported(format(connection)?)?)
}

/// Applies the missing migrations and runs `also`, in one transaction. If several processes open the file at once, one
/// migrates it, and the others find it migrated.
pub(super) fn migrate<T>(
    connection: &mut Connection,
    also: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = supported(format(&transaction)?)?;
    if found == 0 {
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS awaitly_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)",
        )?;
    }
    for (version, sql) in (1..=NEWEST).zip(MIGRATIONS).skip(found as usize) {
        transaction.execute_batch(sql)?;
        transaction.execute("INSERT INTO awaitly_migrations VALUES (?, ?)", (version, millis(now())))?;
    }
    let made = also(&transaction)?;
    transaction.commit()?;
    Ok(made)
}

/// Turns on the write-ahead log, so that readers can read while the writer writes.
///
/// If several processes do so at once, SQLite reports that it is busy without waiting, so this function tries again
/// until `patience` ends.
pub(super) fn write_ahead(connection: &Connection, patience: Duration) -> Result<(), Failure> {
    let pause = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let detail = format!("the file has no write-ahead log but journal_mode={mode}").into();
                return Err(Failure::Refused(StoreError::Unavailable { detail }));
            }
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && waited < patience =>
            {
                std::thread::sleep(pause);
                waited += pause;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn supported(found: u32) -> Result<u32, StoreError> {
    if found > NEWEST {
        return Err(StoreError::NewerFormat { found, supported: NEWEST });
    }
    Ok(found)
}

/// Returns the way in which SQLite executes a statement on fresh tables.
#[cfg(test)]
pub(super) fn plan(sql: &str) -> String {
    let mut connection = Connection::open_in_memory().unwrap();
    checksum::register(&connection).unwrap();
    migrate(&mut connection, |_| Ok(())).unwrap();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps =
        statement.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<rusqlite::Result<Vec<_>>>();
    steps.unwrap().join("; ")
}
