//! Lists of runs, newest first.

use awaitly_core::journal::Status;
use awaitly_core::store::{Page, RunQuery, RunSummary};
use sqlx::postgres::{PgConnection, PgRow};

use super::operate::one_more;
use super::pool::Connection;
use super::rows::{self, millis};
use super::schema::Failure;
use super::statements::{Statement, Statements};
use super::text;
use crate::limits;

/// The number of runs among which a page of running or queued runs is looked for first. If many runs have one of these
/// statuses, the newest of all runs are among them.
const NEWEST: i64 = 10_000;

/// The list of paused runs.
const PAUSED: i16 = 4;

pub(super) async fn list(
    mut connection: Connection,
    statements: &Statements,
    query: &RunQuery,
) -> Result<Page<RunSummary>, Failure> {
    let rows = rows(&mut connection, statements, query).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let run = rows::run(row)?;
        let lease = run.lease();
        found.push((run.slot, RunSummary::of(rows::run_id(row, rows::RUN_ID)?, &run.header, lease)));
    }
    Ok(limits::without_places(Page::cut(found, query.page_limit(), |(slot, _)| slot.to_string().into())))
}

async fn rows(
    connection: &mut PgConnection,
    statements: &Statements,
    query: &RunQuery,
) -> Result<Vec<PgRow>, Failure> {
    let lists = &statements.lists;
    let bound = |statement| bound(statement, query);
    if query.tag.is_some() {
        return Ok(bound(&lists.tagged)?.fetch_all(connection).await?);
    }
    if query.statuses.is_empty() || query.statuses.contains(&Status::Completed) {
        return Ok(bound(&lists.newest)?.fetch_all(connection).await?);
    }
    let mut numbers: Vec<_> = query.statuses.iter().filter_map(|status| number(*status)).collect();
    let are_listed = numbers.len() == query.statuses.len();
    numbers.push(PAUSED);
    if are_listed {
        return Ok(bound(&lists.listed)?.bind(numbers).fetch_all(connection).await?);
    }
    let found = bound(&lists.among_newest)?.bind(NEWEST).fetch_all(&mut *connection).await?;
    if found.len() > query.page_limit() {
        return Ok(found);
    }
    Ok(bound(&lists.open)?.bind(numbers).fetch_all(connection).await?)
}

/// Returns the number of the list that holds the runs with this status, unless they are paused.
const fn number(status: Status) -> Option<i16> {
    match status {
        Status::Waiting => Some(1),
        Status::Failed => Some(2),
        Status::Cancelled => Some(3),
        Status::Queued | Status::Running | Status::Completed => None,
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bound<'q>(statement: &'q Statement, query: &'q RunQuery) -> Result<Query<'q>, Failure> {
    let before = query.after.as_deref().map(limits::number).transpose()?;
    let statuses: Vec<_> = query.statuses.iter().map(|status| Status::as_str(*status)).collect();
    let query = statement
        .query()
        .bind(before)
        .bind(query.workflow.as_deref().map(text::stored))
        .bind((!statuses.is_empty()).then_some(statuses))
        .bind(query.created_from.map(millis))
        .bind(query.created_before.map(millis))
        .bind(query.changed_before.map(millis))
        .bind(query.error.as_deref().map(text::stored))
        .bind(query.key.as_ref().map(|key| text::stored(key)))
        .bind(one_more(query.page_limit()))
        .bind(query.tag.as_deref().map(text::stored))
        .bind(query.queue.as_deref().map(text::stored));
    Ok(query)
}
