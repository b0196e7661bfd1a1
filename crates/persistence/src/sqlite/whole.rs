//! The check of a whole file.
//!
//! A checksum protects a row that is read. It does not reveal a missing row: a flipped bit in a page or an index hides
//! rows, and a flipped bit in a key moves a record to another run. Therefore the store checks the definitions of the
//! tables, the pages, the indexes and all rows when it opens the file.

use awaitly_core::store::StoreError;
use rusqlite::{Connection, Row};

use super::error::Failure;
use super::{checksum, schema};

const TABLES: [&str; 12] = [
    "awaitly_runs",
    "awaitly_steps",
    "awaitly_waits",
    "awaitly_next",
    "awaitly_queues",
    "awaitly_queue_keys",
    "awaitly_tags",
    "awaitly_mail",
    "awaitly_mail_ids",
    "awaitly_published",
    "awaitly_schedules",
    "awaitly_migrations",
];

/// Selects the tables, their columns, their indexes, and the columns of the indexes, as SQLite reads their definitions.
const SHAPE: &str = "SELECT 1, t.name, t.type, t.wr, t.strict, NULL, NULL, NULL \
    FROM pragma_table_list AS t WHERE t.schema = 'main' AND t.name GLOB 'awaitly_*' \
    UNION ALL SELECT 2, t.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk, c.hidden \
    FROM pragma_table_list AS t, pragma_table_xinfo(t.name) AS c WHERE t.schema = 'main' AND t.name GLOB 'awaitly_*' \
    UNION ALL SELECT 3, t.name, i.name, i.\"unique\", i.origin, i.partial, NULL, NULL \
    FROM pragma_table_list AS t, pragma_index_list(t.name) AS i \
    WHERE t.schema = 'main' AND t.name GLOB 'awaitly_*' AND i.name GLOB '*awaitly_*' \
    UNION ALL SELECT 4, i.name, x.seqno, x.cid, x.name, x.\"desc\", x.coll, x.key \
    FROM pragma_table_list AS t, pragma_index_list(t.name) AS i, pragma_index_xinfo(i.name) AS x \
    WHERE t.schema = 'main' AND t.name GLOB 'awaitly_*' AND i.name GLOB '*awaitly_*'";

/// Checks the complete content of a file in the newest format.
pub(super) fn verify(connection: &Connection) -> Result<(), Failure> {
    pages(connection)?;
    tables(connection)?;
    checksum::verify_all(connection)
}

/// Checks that the library's tables and their indexes match the migrations.
pub(super) fn tables(connection: &Connection) -> Result<(), Failure> {
    let mut fresh = Connection::open_in_memory()?;
    checksum::register(&fresh)?;
    schema::migrate(&mut fresh, |_| Ok(()))?;
    if shape(connection)? == shape(&fresh)? {
        Ok(())
    } else {
        Err(corrupt("the tables are not as they were made"))
    }
}

fn shape(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare(SHAPE)?;
    let rows = statement.query_map([], |row: &Row<'_>| {
        let columns = (0..8).map(|column| Ok(format!("{:?}", row.get_ref(column)?)));
        columns.collect::<rusqlite::Result<Vec<_>>>().map(|columns| columns.join(" "))
    })?;
    let mut found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    found.sort_unstable();
    Ok(found)
}

/// Checks that every page is in its place, every row is in order, and every index is complete.
pub(super) fn pages(connection: &Connection) -> Result<(), Failure> {
    let found = integrity(connection, "PRAGMA integrity_check(1)");
    if found.as_ref().is_ok_and(|found| found == "ok") {
        return Ok(());
    }
    match found {
        // A message about pages begins with these characters, whichever table the pages belong to.
        Ok(found) if found.starts_with("***") => return Err(corrupt(&found)),
        Err(error) if is_corrupt(&error) => return Err(error.into()),
        // The message concerns a row of an application's own table, or a function that only the application has.
        Ok(_) | Err(_) => {}
    }
    for table in TABLES {
        let found = integrity(connection, &format!("PRAGMA integrity_check({table})"))?;
        if found != "ok" {
            return Err(corrupt(&found));
        }
    }
    Ok(())
}

fn integrity(connection: &Connection, sql: &str) -> rusqlite::Result<String> {
    connection.query_row(sql, [], |row| row.get(0))
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}

fn corrupt(detail: &str) -> Failure {
    StoreError::Corrupt { detail: format!("SQLite: {}", detail.trim()).into() }.into()
}
