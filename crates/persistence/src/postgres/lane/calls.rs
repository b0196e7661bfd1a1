//! The parameters and results of a lane's statements.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use awaitly_core::journal::{Kind, Outcome, Payload, Status, Timestamp};
use awaitly_core::store::{Durability, Ending, Lease, Open, Renewed, StoreError};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::ops::{Append, Begin, Finish, Renew};
use super::place::{Place, place};
use crate::postgres::dispatch::report;
use crate::postgres::error::{is_duplicate, lost};
use crate::postgres::rows::{millis, moment, ttl_millis};
use crate::postgres::statements::{Statement, Statements};
use crate::postgres::text;

/// The reasons for which records were not added, by the positions of their operations.
pub(super) type RefusedAppends = HashMap<usize, StoreError>;

/// Appends records with distinct keys. `again` means that an earlier attempt may have been committed, but its answer
/// was lost.
pub(super) async fn append(
    connection: &mut PgConnection,
    statements: &Statements,
    appends: &[Append],
    again: bool,
) -> Result<RefusedAppends, Error> {
    let mut refused = RefusedAppends::new();
    for (place, held) in not_added(connection, statements, appends).await? {
        let Some(one) = appends.get(place) else { continue };
        if let Some(error) = why(connection, statements, one, held, again).await? {
            refused.insert(place, error);
        }
    }
    Ok(refused)
}

/// Returns the positions of the records that were not added, each with whether its lease is held, if that is known.
async fn not_added(
    connection: &mut PgConnection,
    statements: &Statements,
    appends: &[Append],
) -> Result<Vec<(usize, Option<bool>)>, Error> {
    let durable = appends.iter().any(|one| one.durability == Durability::Sync);
    if let ([one], true) = (appends, durable) {
        let Append { lease, record, .. } = one;
        let append = match (&record.outcome, record.input) {
            (Outcome::Value(_), None) => statements.append_value.writing_value(lease, record),
            _ => statements.append.writing(lease, record),
        };
        let added = append.execute(connection).await;
        return match added {
            Ok(added) if added.rows_affected() == 1 => Ok(vec![]),
            Ok(_) => Ok(vec![(0, None)]),
            Err(error) if is_duplicate(&error) => Ok(vec![(0, None)]),
            Err(error) => Err(error),
        };
    }
    let (slots, runs, tokens) = columns(appends.iter().map(|one| &one.lease));
    let records = || appends.iter().map(|one| &one.record);
    let many = if durable { &statements.append_many } else { &statements.append_many_batched };
    let rows = many
        .query()
        .bind(slots)
        .bind(runs)
        .bind(tokens)
        .bind(column(records(), |record| record.input.map(|input| input.to_bits().cast_signed())))
        .bind(column(records(), |record| i16::from(record.outcome.kind().to_number())))
        .bind(column(records(), |record| text::stored(&record.key)))
        .bind(column(records(), |record| text::stored(record.outcome.payload().as_str())))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get::<i64, _>(0)? as usize - 1, Some(row.try_get(1)?)))).collect()
}

/// Returns the reason for which a record was not added, or `None` if an attempt with a lost answer added it.
///
/// Only this store writes under the token of the lease, and it has one operation per key at a time. An equal record
/// under that token is therefore the record of the lost attempt.
async fn why(
    connection: &mut PgConnection,
    statements: &Statements,
    append: &Append,
    held: Option<bool>,
    again: bool,
) -> Result<Option<StoreError>, Error> {
    let Append { lease, record, .. } = append;
    let already = || StoreError::AlreadyRecorded { run: (**lease.run()).into(), key: record.key.clone() };
    if let (Some(held), false) = (held, again) {
        return Ok(Some(if held { already() } else { lost(lease) }));
    }
    let row = statements.look.looking(lease, record).fetch_one(connection).await?;
    let (held, same): (bool, Option<bool>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match (held, same) {
        (_, Some(true)) if again => None,
        (false, _) => Some(lost(lease)),
        (true, _) => Some(already()),
    })
}

pub(super) async fn begin(
    connection: &mut PgConnection,
    statements: &Statements,
    begins: &[Begin],
) -> Result<HashMap<(String, String), (i64, u64, Timestamp)>, Error> {
    let rows = match begins {
        [Begin { request, .. }] => begin_one(connection, &statements.begin, request).await?,
        _ => begin_many(connection, &statements.begin_many, begins).await?,
    };
    rows.iter()
        .map(|row| {
            let token = row.try_get::<i64, _>(4)?.cast_unsigned();
            Ok(((row.try_get(0)?, row.try_get(3)?), (row.try_get(1)?, token, moment(row.try_get(2)?))))
        })
        .collect()
}

async fn begin_one(
    connection: &mut PgConnection,
    statement: &Statement,
    request: &Open,
) -> Result<Vec<PgRow>, Error> {
    let input = request.input.as_ref();
    statement
        .query()
        .bind(text::stored(&request.run))
        .bind(text::stored(&request.workflow))
        .bind(i64::from(request.version))
        .bind(input.map(|input| text::stored(input.payload.as_str())))
        .bind(input.map(|input| input.fingerprint.to_bits().cast_signed()))
        .bind(text::stored(request.owner.as_str()))
        .bind(ttl_millis(request.ttl))
        .fetch_all(connection)
        .await
}

async fn begin_many(
    connection: &mut PgConnection,
    statement: &Statement,
    begins: &[Begin],
) -> Result<Vec<PgRow>, Error> {
    let requests = || begins.iter().map(|begin| &*begin.request);
    let inputs = || requests().map(|request| request.input.as_ref());
    statement
        .query()
        .bind(column(requests(), |request| text::stored(&request.run)))
        .bind(column(requests(), |request| text::stored(&request.workflow)))
        .bind(column(requests(), |request| i64::from(request.version)))
        .bind(column(inputs(), |input| input.map(|input| text::stored(input.payload.as_str()))))
        .bind(column(inputs(), |input| input.map(|input| input.fingerprint.to_bits().cast_signed())))
        .bind(column(requests(), |request| text::stored(request.owner.as_str())))
        .bind(column(requests(), |request| ttl_millis(request.ttl)))
        .fetch_all(connection)
        .await
}

/// Ends runs, and returns the leases that permitted it. `again` means that an earlier attempt may have been committed,
/// but its answer was lost; a run that is already in its final state then counts as ended.
pub(super) async fn finish(
    connection: &mut PgConnection,
    statements: &Statements,
    finishes: &[Finish],
    again: bool,
) -> Result<HashSet<Place>, Error> {
    let rows = match finishes {
        [Finish { lease, ending, .. }] if ending.waits_on.is_empty() => {
            finish_one(connection, statements, lease, ending).await?
        }
        _ if finishes.iter().all(|finish| value(&finish.ending).is_some()) => {
            finish_values(connection, statements, finishes).await?
        }
        _ => finish_many(connection, statements, finishes).await?,
    };
    let leases = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let mut finished = leases.collect::<Result<HashSet<Place>, Error>>()?;
    let has_child = rows.iter().any(|row| row.try_get(2).unwrap_or(false));
    // If this fails, the ended children are due, and the next claim answers their parents.
    if has_child && let Err(error) = report(&mut *connection, statements).await {
        tracing::debug!(%error, "the parents of children that have ended get their answers later");
    }
    for Finish { lease, ending, .. } in finishes.iter().filter(|_| again) {
        if finished.contains(&place(lease)) {
            continue;
        }
        let row = statements
            .rests
            .query()
            .bind(lease.slot())
            .bind(text::stored(lease.run()))
            .bind(lease.token().cast_signed())
            .bind(ending.status.as_str())
            .fetch_one(&mut *connection)
            .await?;
        if row.try_get(0)? {
            finished.insert(place(lease));
        }
    }
    Ok(finished)
}

async fn finish_one(
    connection: &mut PgConnection,
    statements: &Statements,
    lease: &Lease,
    ending: &Ending,
) -> Result<Vec<PgRow>, Error> {
    let outcome = ending.outcome.as_ref();
    statements
        .finish
        .query()
        .bind(lease.slot())
        .bind(text::stored(lease.run()))
        .bind(lease.token().cast_signed())
        .bind(ending.status.as_str())
        .bind(outcome.map(|outcome| i16::from(outcome.kind().to_number())))
        .bind(outcome.map(|outcome| text::stored(outcome.payload().as_str())))
        .bind(ending.error.as_deref().map(text::stored))
        .bind(text::json(&ending.failed_on))
        .bind(ending.wake.map(millis))
        .bind(ending.cancelling)
        .fetch_all(connection)
        .await
}

/// Returns the value with which a run completes, unless its ending contains more than that.
fn value(ending: &Ending) -> Option<&Payload> {
    let Ending { status: Status::Completed, outcome: Some(Outcome::Value(value)), .. } = ending else {
        return None;
    };
    let is_plain = ending.error.is_none() && ending.failed_on.is_empty() && ending.wake.is_none();
    (is_plain && ending.waits_on.is_empty() && !ending.cancelling).then_some(value)
}

/// Ends runs that complete with a value, as most runs do.
async fn finish_values(
    connection: &mut PgConnection,
    statements: &Statements,
    finishes: &[Finish],
) -> Result<Vec<PgRow>, Error> {
    // The rows are locked in the order of their ids.
    let mut finishes: Vec<_> = finishes.iter().collect();
    finishes.sort_unstable_by_key(|finish| finish.lease.slot());
    let (slots, runs, tokens) = columns(finishes.iter().map(|finish| &finish.lease));
    let values =
        finishes.iter().map(|finish| value(&finish.ending).map(|value| text::stored(value.as_str())));
    statements
        .finish_values
        .query()
        .bind(slots)
        .bind(runs)
        .bind(tokens)
        .bind(values.collect::<Vec<_>>())
        .bind(i16::from(Kind::Value.to_number()))
        .fetch_all(connection)
        .await
}

async fn finish_many(
    connection: &mut PgConnection,
    statements: &Statements,
    finishes: &[Finish],
) -> Result<Vec<PgRow>, Error> {
    let (slots, runs, tokens) = columns(finishes.iter().map(|finish| &finish.lease));
    let endings = || finishes.iter().map(|finish| &*finish.ending);
    let outcomes = || endings().map(|ending| ending.outcome.as_ref());
    statements
        .finish_many
        .query()
        .bind(slots)
        .bind(runs)
        .bind(tokens)
        .bind(column(endings(), |ending| ending.status.as_str()))
        .bind(column(outcomes(), |outcome| outcome.map(|outcome| i16::from(outcome.kind().to_number()))))
        .bind(column(outcomes(), |outcome| outcome.map(|outcome| text::stored(outcome.payload().as_str()))))
        .bind(column(endings(), |ending| ending.error.as_deref().map(text::stored)))
        .bind(column(endings(), |ending| text::json(&ending.failed_on)))
        .bind(column(endings(), |ending| ending.wake.map(millis)))
        .bind(column(endings(), waits_on))
        .bind(column(endings(), |ending| ending.cancelling))
        .fetch_all(&mut *connection)
        .await
}

pub(super) async fn renew(
    connection: &mut PgConnection,
    statement: &Statement,
    renewals: &[Renew],
) -> Result<HashMap<Place, Renewed>, Error> {
    let (slots, runs, tokens) = columns(renewals.iter().map(|renewal| &renewal.lease));
    let ttls: Vec<_> = renewals.iter().map(|renewal| ttl_millis(renewal.ttl)).collect();
    let rows = statement.query().bind(slots).bind(runs).bind(tokens).bind(ttls).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let renewed = Renewed { now: moment(row.try_get(2)?), cancel: row.try_get(3)? };
            Ok(((row.try_get(0)?, row.try_get(1)?), renewed))
        })
        .collect()
}

/// Releases leases, and notifies other processes.
pub(super) async fn give_back(
    connection: &mut PgConnection,
    statements: &Statements,
    channel: &str,
    leases: &[Lease],
) -> Result<(), Error> {
    let (slots, runs, tokens) = columns(leases.iter());
    let release = statements.release.query().bind(slots).bind(runs).bind(tokens).bind(channel);
    release.execute(connection).await.map(drop)
}

/// Releases leases whose release was delayed. Skips the rows that another session has locked, and returns their leases.
pub(super) async fn give_back_unlocked(
    connection: &mut PgConnection,
    statements: &Statements,
    channel: &str,
    leases: &[Lease],
) -> Result<HashSet<Place>, Error> {
    let (slots, runs, tokens) = columns(leases.iter());
    let release = statements.release_unlocked.query().bind(slots).bind(runs).bind(tokens).bind(channel);
    let rows = release.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Returns the keys that the run waits on, in their stored form.
fn waits_on(ending: &Ending) -> Option<String> {
    let keys: Vec<_> = ending.waits_on.iter().map(|key| text::stored(key)).collect();
    (!keys.is_empty()).then(|| text::json(&keys))
}

/// Returns the values of a parameter that has one for each item.
fn column<I, T>(items: impl Iterator<Item = I>, value: impl FnMut(I) -> T) -> Vec<T> {
    items.map(value).collect()
}

/// Returns the columns that identify the leases.
pub(super) fn columns<'a>(
    leases: impl Iterator<Item = &'a Lease> + Clone,
) -> (Vec<i64>, Vec<Cow<'a, str>>, Vec<i64>) {
    (
        leases.clone().map(Lease::slot).collect(),
        leases.clone().map(|lease| text::stored(lease.run())).collect(),
        leases.map(|lease| lease.token().cast_signed()).collect(),
    )
}
