//! Schedules.

use awaitly_core::journal::{Payload, Timestamp};
use awaitly_core::store::{PutSchedule, ScheduleQuery, StoredSchedule};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::super::apply::Batch;
use super::super::checksum::{self, with_checksum};
use super::super::clock::millis;
use super::super::error::Failure;
use super::super::rows::{text, time};
use super::super::runs::{of_text, of_time, or_null};

macro_rules! select {
    ($of:literal) => {
        concat!("SELECT ", schedule_columns!(), ", checksum FROM awaitly_schedules ", $of)
    };
}

macro_rules! query {
    ($of:literal) => {
        concat!(
            select!($of),
            " AND (:name IS NULL OR name = :name) AND (:after IS NULL OR name > :after) ORDER BY name LIMIT :limit"
        )
    };
}

const ALL: &str = query!("WHERE :due IS NULL");

/// Selects due schedules by the index of their times. In a combined statement, SQLite would scan the whole table.
const DUE: &str = query!("INDEXED BY awaitly_schedules_due WHERE due_at <= :due");

const ONE: &str = select!("WHERE name = ?");

const NEXT: &str = "SELECT due_at FROM awaitly_schedules WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";

const PUT: &str = concat!(
    "INSERT OR REPLACE INTO awaitly_schedules (",
    schedule_columns!(),
    ", checksum) VALUES (?1, ?2, ?3, ?4, ?5)"
);

const DELETE: &str = "DELETE FROM awaitly_schedules WHERE name = ?";

impl Batch<'_> {
    pub(super) fn put_schedules(&self, changes: &[PutSchedule]) -> Result<Vec<bool>, Failure> {
        // Reads all schedules first. If one cannot be read, no schedule changes.
        changes.iter().try_for_each(|change| self.version_of(&change.name).map(drop))?;
        changes.iter().map(|change| self.put_schedule(change)).collect()
    }

    fn put_schedule(&self, change: &PutSchedule) -> Result<bool, Failure> {
        let PutSchedule { name, version, put } = change;
        if self.version_of(name)? != *version {
            return Ok(false);
        }
        match put {
            Some((due, rule)) => {
                let version = version.map_or(self.now.as_millis(), |version| version + 1);
                let values = [
                    of_text(name),
                    ValueRef::Integer(version.cast_signed()),
                    or_null(due.map(of_time)),
                    of_text(rule.as_str()),
                ];
                self.execute(PUT, with_checksum(&values))?;
            }
            None => drop(self.execute(DELETE, [&**name])?),
        }
        Ok(true)
    }

    /// Returns the version of a schedule, if it exists.
    fn version_of(&self, name: &str) -> Result<Option<u64>, Failure> {
        let mut statement = self.connection.prepare_cached(ONE)?;
        let mut rows = statement.query([name])?;
        Ok(rows.next()?.map(schedule).transpose()?.map(|schedule| schedule.version))
    }

    /// Returns the time of the first schedule.
    pub(super) fn next_schedule(&self) -> Result<Option<Timestamp>, Failure> {
        let mut statement = self.connection.prepare_cached(NEXT)?;
        let due: Option<i64> = statement.query_row([], |row| row.get(0)).optional()?;
        Ok(due.map(|due| Timestamp::from_millis(due.cast_unsigned())))
    }
}

/// Reads the schedules that match `query`.
pub(in super::super) fn find(
    connection: &Connection,
    query: &ScheduleQuery,
) -> Result<Vec<StoredSchedule>, Failure> {
    let mut statement = connection.prepare_cached(if query.due_at.is_some() { DUE } else { ALL })?;
    let mut rows = statement.query(named_params! {
        ":due": query.due_at.map(millis),
        ":name": query.name.as_deref(),
        ":after": query.after.as_deref(),
        ":limit": query.page_limit() as i64,
    })?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(schedule(row)?);
    }
    Ok(found)
}

/// Reads a schedule from [`schedule_columns`] and their checksum.
fn schedule(row: &Row<'_>) -> Result<StoredSchedule, Failure> {
    checksum::verify_schedule(row)?;
    Ok(StoredSchedule {
        name: text(row, 0, "name")?.into(),
        version: row.get::<_, i64>(1)?.cast_unsigned(),
        due: time(row, 2)?,
        rule: Payload::from_stored(text(row, 3, "rule")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn due_schedules_are_found_by_the_index_of_their_times() {
        let index = "INDEX awaitly_schedules_due";
        assert!(
            plan(DUE).starts_with(&format!("SEARCH awaitly_schedules USING {index} (due_at<?)")),
            "{}",
            plan(DUE)
        );
        assert!(plan(NEXT).contains(&format!("COVERING {index}")), "{}", plan(NEXT));
    }
}
