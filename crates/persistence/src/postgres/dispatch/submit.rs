//! Submissions of runs.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use awaitly_core::dispatch::Place;
use awaitly_core::journal::{Fingerprint, Header, Refused, Status, Timestamp};
use awaitly_core::store::{Owner, Start, Submit, Submitted};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::plain::Plain;
use super::{duplicates, fair};
use crate::postgres::error::undecodable;
use crate::postgres::lane::Fate;
use crate::postgres::patience::Patience;
use crate::postgres::rows::{self, millis};
use crate::postgres::statements::{Statement, Statements};
use crate::postgres::text;

/// A submission on its way to its lane.
#[derive(Debug)]
pub(in crate::postgres) struct Submitting {
    pub(in crate::postgres) batch: Vec<Submit>,
    /// A negative number, which is the token of the added runs until their first lease. If the answer of a submission
    /// is lost, its next attempt recognises the runs that it added by this number.
    pub(in crate::postgres) nonce: i64,
    pub(in crate::postgres) patience: Patience,
    pub(in crate::postgres) fate: Fate<Vec<Result<Submitted, Refused>>>,
}

/// A run of a submission.
pub(super) type Run<'s> = (&'s Submit, i64);

/// The maximum number of runs in a statement.
const RUNS: usize = 10_000;

/// The maximum size of the inputs of a statement, in bytes.
const BYTES: usize = 16 * 1024 * 1024;

/// The number of times that a submission looks for the queued run with a deduplication key. A claim may take that run
/// between the attempt to add the run and the look.
const ROUNDS: usize = 16;

/// Returns a negative number that no other submission has: each process counts from a random number.
pub(super) fn nonce() -> i64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
        let owner = Owner::unique();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos();
        let first = Fingerprint::of(&(owner.as_str(), since.to_string()));
        AtomicU64::new(first.map_or(0, Fingerprint::to_bits))
    });
    -1 - (NEXT.fetch_add(1, Ordering::Relaxed) & (u64::MAX >> 1)).cast_signed()
}

/// Adds the runs of submissions, and returns the results of each submission. Notifies the processes that listen to
/// `channel`.
pub(in crate::postgres) async fn submit(
    connection: &mut PgConnection,
    statements: &Statements,
    channel: Option<&str>,
    submissions: &[Submitting],
) -> Result<Vec<Vec<Result<Submitted, Refused>>>, Error> {
    let runs = submissions.iter().flat_map(|one| one.batch.iter().map(|run| (run, one.nonce)));
    let runs: Vec<Run<'_>> = runs.collect();
    let mut results = add_all(connection, statements, channel, &runs, Commit::Each).await?.into_iter();
    Ok(submissions.iter().map(|one| results.by_ref().take(one.batch.len()).collect()).collect())
}

/// Adds runs within the transaction of the connection.
pub(super) async fn within(
    connection: &mut PgConnection,
    statements: &Statements,
    channel: &str,
    batch: &[Submit],
) -> Result<Vec<Result<Submitted, Refused>>, Error> {
    let nonce = nonce();
    let runs: Vec<Run<'_>> = batch.iter().map(|run| (run, nonce)).collect();
    add_all(connection, statements, Some(channel), &runs, Commit::ByCaller).await
}

/// The commits of a submission.
#[derive(Debug, Clone, Copy)]
enum Commit {
    /// Each statement or group of statements commits.
    Each,
    /// The caller commits its open transaction.
    ByCaller,
}

async fn add_all(
    connection: &mut PgConnection,
    statements: &Statements,
    channel: Option<&str>,
    runs: &[Run<'_>],
    commit: Commit,
) -> Result<Vec<Result<Submitted, Refused>>, Error> {
    let mut results = Vec::with_capacity(runs.len());
    let mut rest = runs;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(fitting(rest));
        results.extend(add(connection, statements, channel, chunk, commit).await?);
        rest = after;
    }
    Ok(results)
}

/// Returns the number of runs that one statement adds.
fn fitting(runs: &[Run<'_>]) -> usize {
    let mut bytes = 0;
    let fits = runs.iter().take(RUNS).take_while(|(run, _)| {
        bytes += run.input.as_ref().map_or(0, |input| input.payload.len());
        bytes <= BYTES
    });
    fits.count().max(1)
}

async fn add(
    connection: &mut PgConnection,
    statements: &Statements,
    channel: Option<&str>,
    runs: &[Run<'_>],
    commit: Commit,
) -> Result<Vec<Result<Submitted, Refused>>, Error> {
    let mut added = None;
    // A failed statement would end the caller's transaction.
    if let (Commit::Each, Some(plain)) = (commit, Plain::of(runs)) {
        added = plain.insert(connection, statements, channel).await?;
    }
    let added = match added {
        Some(added) => added,
        None => insert(connection, &statements.submitting.add, channel, runs, &[]).await?,
    };
    if added == runs.len() {
        return Ok(vec![Ok(Submitted::Queued); runs.len()]);
    }
    let mut existing = existing(connection, statements, runs).await?;
    let mut duplicates = HashMap::new();
    for _ in 0..ROUNDS {
        let missing = runs.iter().filter(|(run, _)| {
            !existing.contains_key(&*text::stored(&run.run)) && !duplicates.contains_key(&run.run)
        });
        let missing: Vec<_> = missing.copied().collect();
        if missing.is_empty() {
            break;
        }
        // Their queues are fair, or queued runs have their deduplication keys.
        match commit {
            Commit::Each => fair::add(connection, statements, channel, &missing).await?,
            Commit::ByCaller => fair::add_within(connection, statements, channel, &missing).await?,
        }
        existing.extend(self::existing(connection, statements, &missing).await?);
        let missing = missing.iter().filter(|(run, _)| !existing.contains_key(&*text::stored(&run.run)));
        let missing: Vec<_> = missing.copied().collect();
        duplicates.extend(duplicates::find(connection, statements, &missing).await?);
    }
    runs.iter()
        .map(|(run, nonce)| {
            let Some(stored) = existing.get_mut(&*text::stored(&run.run)) else {
                let duplicate = duplicates
                    .get(&run.run)
                    .cloned()
                    .ok_or_else(|| Error::Io(ErrorKind::WouldBlock.into()))?;
                return Ok(Ok(Submitted::Duplicate(duplicate)));
            };
            if stored.added_by.take_if(|added_by| added_by == nonce).is_some() {
                return Ok(Ok(Submitted::Queued));
            }
            Ok(run.matches(&stored.header))
        })
        .collect()
}

/// A run that exists.
struct Existing {
    header: Header,
    /// The token of the run. It is the nonce of the submission that added the run, until a worker claims the run.
    added_by: Option<i64>,
}

async fn existing(
    connection: &mut PgConnection,
    statements: &Statements,
    runs: &[Run<'_>],
) -> Result<HashMap<String, Existing>, Error> {
    let ids: Vec<_> = runs.iter().map(|(run, _)| text::stored(&run.run)).collect();
    let rows = statements.submitting.existing.query().bind(ids).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, one(row)?))).collect()
}

fn one(row: &PgRow) -> Result<Existing, Error> {
    let status = Status::from_name(row.try_get(4)?).ok_or_else(|| undecodable("status"))?;
    let mut header = Header::new(rows::text(row, 2)?.into(), 0, status, Timestamp::default());
    header.input = rows::fingerprint(row, 3)?;
    Ok(Existing { header, added_by: Some(row.try_get(1)?) })
}

/// Inserts runs that do not exist, and returns their number. `places` is empty if the statement ranks the runs.
pub(super) async fn insert(
    connection: &mut PgConnection,
    statement: &Statement,
    channel: Option<&str>,
    runs: &[Run<'_>],
    places: &[Place],
) -> Result<usize, Error> {
    let submits = || runs.iter().map(|(run, _)| *run);
    let inputs = || submits().map(|run| run.input.as_ref());
    let rank = |at| places.get(at).map_or(0, |place: &Place| place.rank);
    let row = statement
        .query()
        .bind(channel)
        .bind(submits().map(|run| text::stored(&run.run)).collect::<Vec<_>>())
        .bind(submits().map(|run| text::stored(&run.workflow)).collect::<Vec<_>>())
        .bind(inputs().map(|input| Some(text::stored(input?.payload.as_str()))).collect::<Vec<_>>())
        .bind(inputs().map(|input| Some(input?.fingerprint.to_bits().cast_signed())).collect::<Vec<_>>())
        .bind(submits().map(|run| text::stored(&run.queue)).collect::<Vec<_>>())
        .bind(submits().map(|run| run.key.as_deref().map(text::stored)).collect::<Vec<_>>())
        .bind(submits().map(|run| run.priority).collect::<Vec<_>>())
        .bind(submits().map(|run| delay(run.start)).collect::<Vec<_>>())
        .bind(submits().map(|run| earliest(run.start)).collect::<Vec<_>>())
        .bind(submits().map(|run| run.start_by.map(millis)).collect::<Vec<_>>())
        .bind(runs.iter().map(|(_, nonce)| *nonce).collect::<Vec<_>>())
        .bind((0..runs.len()).map(rank).collect::<Vec<_>>())
        .bind(
            submits()
                .map(|run| run.parent.as_ref().map(|parent| text::stored(&parent.run)))
                .collect::<Vec<_>>(),
        )
        .bind(
            submits()
                .map(|run| run.parent.as_ref().map(|parent| text::stored(&parent.key)))
                .collect::<Vec<_>>(),
        )
        .bind(submits().map(tags).collect::<Vec<_>>())
        .bind(
            submits()
                .map(|run| run.unique.as_ref().map(|unique| text::stored(&unique.key)))
                .collect::<Vec<_>>(),
        )
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0))
}

/// Returns the tags as JSON, in their stored form.
fn tags(run: &Submit) -> Option<String> {
    let tags: Vec<_> = run.tags.iter().map(|tag| text::stored(tag)).collect();
    (!tags.is_empty()).then(|| text::json(&tags))
}

/// Returns the delay of a start in milliseconds.
pub(super) fn delay(start: Start) -> i64 {
    let Start::In(delay) = start else { return 0 };
    millis(Timestamp::default().after(delay))
}

/// Returns the earliest moment of a start, which may have passed.
pub(super) fn earliest(start: Start) -> i64 {
    let Start::At(moment) = start else { return 0 };
    millis(moment)
}

/// Returns the name of the queue and the key of a run, in their stored form.
pub(super) fn key_of(queue: &Arc<str>, key: Option<&str>) -> (String, String) {
    (text::stored(queue).into_owned(), text::stored(key.unwrap_or_default()).into_owned())
}
