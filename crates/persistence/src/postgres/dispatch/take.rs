//! Takes the runs of queues without limits, and reads the journals of taken runs.

use std::collections::HashMap;

use awaitly_core::journal::{Record, Timestamp, WaitEntry};
use awaitly_core::store::{Ending, Lease, RunId, StoreError, StoredRun};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::claim::Visit;
use super::probe::Lane;
use crate::postgres::rows::{self, RUN_ID, RunRow, ttl_millis};
use crate::postgres::schema::Failure;
use crate::postgres::statements::Statements;

/// A run whose lease was taken.
pub(super) struct Found {
    run: RunId,
    row: RunRow,
    /// Whether no owner had the run before, so that it has no records.
    is_new: bool,
    pub(super) now: Timestamp,
}

/// The index of the token before the claim.
const OLD_TOKEN: usize = RUN_ID + 1;

/// Takes runs of the lanes. Returns their number, whether `relist` has work, and whether the statement skipped rows
/// that another session has locked.
pub(super) async fn plain(
    visit: &mut Visit<'_>,
    lanes: &[Lane],
    shares: &[i64],
) -> Result<(usize, bool, bool), Error> {
    let rows = statement(&visit.statements.claiming.take, lanes, shares)
        .bind(&visit.claiming.owner)
        .bind(ttl_millis(visit.claiming.request.ttl))
        .fetch_all(&mut *visit.connection)
        .await?;
    let first = rows.first().ok_or(Error::RowNotFound)?;
    let (is_odd, is_locked) = (first.try_get(OLD_TOKEN + 1)?, first.try_get(OLD_TOKEN + 2)?);
    let before = visit.found.len();
    if first.try_get::<Option<i64>, _>(0)?.is_some() {
        visit.add(found(&rows));
    }
    Ok((visit.found.len() - before, is_odd, is_locked))
}

/// Ends runs that are too late to start, and corrects hints.
pub(super) async fn relist(visit: &mut Visit<'_>, lanes: &[Lane], shares: &[i64]) -> Result<(), Error> {
    let relist = statement(&visit.statements.claiming.relist, lanes, shares);
    relist.bind(Ending::too_late().error.as_deref()).execute(&mut *visit.connection).await.map(drop)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn statement<'q>(
    statement: &'q crate::postgres::statements::Statement,
    lanes: &'q [Lane],
    shares: &'q [i64],
) -> Query<'q> {
    statement
        .query()
        .bind(lanes.iter().map(|lane| lane.workflow.as_str()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|lane| lane.queue.as_str()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|lane| lane.version).collect::<Vec<_>>())
        .bind(shares)
}

/// Reads the taken runs. Leaves out a run that cannot be read. Its lease expires, and a call that opens the run reports
/// the damage.
pub(super) fn found(rows: &[PgRow]) -> Vec<Found> {
    let found = rows.iter().filter_map(|row| match one(row) {
        Ok(found) => Some(found),
        Err(failure) => {
            tracing::warn!(error = %StoreError::from(failure), "a claimed run cannot be read");
            None
        }
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|found| (found.row.header.place.rank, found.row.slot));
    found
}

fn one(row: &PgRow) -> Result<Found, Failure> {
    let run = rows::run_id(row, RUN_ID)?;
    let is_new = row.len() > OLD_TOKEN && row.try_get::<i64, _>(OLD_TOKEN)? < 0;
    let row = rows::run(row)?;
    Ok(Found { run, is_new, now: row.now, row })
}

/// Reads the journals of the taken runs that are not new.
pub(super) async fn journals(
    connection: &mut PgConnection,
    statements: &Statements,
    found: Vec<Found>,
) -> Result<Vec<(Lease, StoredRun)>, Error> {
    let old: Vec<_> = found.iter().filter(|found| !found.is_new).map(|found| found.row.slot).collect();
    let (mut records, mut waits) = (HashMap::new(), HashMap::new());
    if !old.is_empty() {
        waits = entries(connection, statements, &old).await?;
        records = of_runs(connection, statements, &old).await?;
    }
    let held = found.into_iter().map(|Found { run, row, .. }| {
        let RunRow { slot, header, input, token, .. } = row;
        let records = records.remove(&slot).unwrap_or_default();
        let waits = waits.remove(&slot).unwrap_or_default();
        (Lease::new(run, token.cast_unsigned(), slot), StoredRun { header, input, records, waits })
    });
    Ok(held.collect())
}

async fn of_runs(
    connection: &mut PgConnection,
    statements: &Statements,
    runs: &[i64],
) -> Result<HashMap<i64, Vec<Record>>, Error> {
    let rows = statements.claiming.records.query().bind(runs).fetch_all(connection).await?;
    let mut records: HashMap<_, Vec<_>> = HashMap::new();
    for row in &rows {
        records.entry(row.try_get(5)?).or_default().push(rows::record(row)?);
    }
    Ok(records)
}

async fn entries(
    connection: &mut PgConnection,
    statements: &Statements,
    runs: &[i64],
) -> Result<HashMap<i64, Vec<WaitEntry>>, Error> {
    let rows = statements.claiming.waits.query().bind(runs).fetch_all(connection).await?;
    let mut waits: HashMap<_, Vec<_>> = HashMap::new();
    for row in &rows {
        waits.entry(row.try_get(5)?).or_default().push(rows::wait_entry(row)?);
    }
    Ok(waits)
}
