//! The less frequent writes of a lease holder, each a transaction on a connection of the pool.
//!
//! Each of them may be carried out twice if the first answer was lost, and has one effect.

use awaitly_core::journal::{
    Asked, Contents, Key, Outcome, Record, Settling, Timestamp, Unanswered, WaitEntry, settle,
};
use awaitly_core::store::{Lease, Rewrite, StoreError, Wait};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::error::lost;
use super::pool::Connection;
use super::rows::{self, RunRow, millis};
use super::schema::{Failure, in_transaction};
use super::statements::Statements;
use super::text;
use crate::limits;

pub(super) async fn replace(
    mut connection: Connection,
    statements: &Statements,
    lease: &Lease,
    record: &Record,
) -> Result<(), Failure> {
    in_transaction!(connection, transaction => {
        let replaced = statements.replace.writing(lease, record).execute(&mut *transaction).await?;
        if replaced.rows_affected() == 1 { Ok(()) } else { Err(lost(lease).into()) }
    })
}

pub(super) async fn wait(
    mut connection: Connection,
    statements: &Statements,
    lease: &Lease,
    wait: &Wait,
) -> Result<(), Failure> {
    in_transaction!(connection, transaction => {
        hold(&mut transaction, statements, lease).await?;
        if recorded(&mut transaction, statements, lease.slot(), &wait.key).await?.is_some() {
            return Err(StoreError::AlreadyRecorded { run: (**lease.run()).into(), key: wait.key.clone() }.into());
        }
        statements
            .wait
            .query()
            .bind(lease.slot())
            .bind(text::stored(&wait.key))
            .bind(text::stored(&wait.token))
            .bind(text::stored(wait.request.as_str()))
            .bind(wait.expires_in.map(|delay| millis(Timestamp::default().after(delay))))
            .execute(&mut *transaction)
            .await?;
        Ok(())
    })
}

pub(super) async fn close_entry(
    mut connection: Connection,
    statements: &Statements,
    lease: &Lease,
    record: &Record,
    settling: Settling,
) -> Result<Option<Outcome>, Failure> {
    in_transaction!(connection, transaction => {
        hold(&mut transaction, statements, lease).await?;
        let row = statements.run.query().bind(text::stored(lease.run())).fetch_one(&mut *transaction).await?;
        let run = rows::run(&row)?;
        let stands = match may_settle(&mut transaction, statements, &run, &record.key, settling, None).await? {
            Ok(()) => {
                put_answer(&mut transaction, statements, run.slot, &record.key, &record.outcome).await?;
                Some(record.outcome.clone())
            }
            Err(Unanswered::AlreadyAnswered) => {
                recorded(&mut transaction, statements, run.slot, &record.key).await?.map(|record| record.outcome)
            }
            Err(_) => None,
        };
        Ok(stands)
    })
}

pub(super) async fn revive(
    mut connection: Connection,
    statements: &Statements,
    lease: &Lease,
    drop: &[Key],
) -> Result<(), Failure> {
    in_transaction!(connection, transaction => {
        hold(&mut transaction, statements, lease).await?;
        statements.revive.query().bind(lease.slot()).execute(&mut *transaction).await?;
        if !drop.is_empty() {
            let keys: Vec<_> = drop.iter().map(|key| text::stored(key)).collect();
            statements.drop_steps.query().bind(lease.slot()).bind(keys).execute(&mut *transaction).await?;
        }
        Ok(())
    })
}

pub(super) async fn rewrite(
    mut connection: Connection,
    statements: &Statements,
    lease: &Lease,
    rewrite: &Rewrite,
) -> Result<(), Failure> {
    let Contents { records, waits, failed_on } = &rewrite.contents;
    limits::journal(lease.run(), records, waits)?;
    in_transaction!(connection, transaction => {
        hold(&mut transaction, statements, lease).await?;
        // An answer locks the row of the run too, so the waiting entries stay unchanged until this transaction commits.
        let waiting = statements.waits.query().bind(lease.slot()).fetch_all(&mut *transaction).await?;
        let waiting = waiting.iter().map(rows::wait_entry).collect::<Result<Vec<_>, _>>()?;
        if let Err(answered) = rewrite.check(lease.run(), waiting.iter().map(|entry| &entry.key)) {
            let run = statements.run.query().bind(text::stored(lease.run())).fetch_one(&mut *transaction).await?;
            // If the answer to a first attempt was lost, the entries are those that the attempt wrote.
            let is_done = rows::run(&run)?.header.version == rewrite.version;
            return if is_done { Ok(()) } else { Err(answered.into()) };
        }
        statements.delete_waits.query().bind(vec![lease.slot()]).execute(&mut *transaction).await?;
        put_waits(&mut transaction, statements, lease.slot(), waits).await?;
        statements.drop_all_steps.query().bind(lease.slot()).execute(&mut *transaction).await?;
        put_steps(&mut transaction, statements, lease.slot(), lease.token().cast_signed(), records).await?;
        let set = statements.set_version.query().bind(lease.slot()).bind(i64::from(rewrite.version));
        set.bind(text::json(failed_on)).execute(&mut *transaction).await?;
        Ok(())
    })
}

/// Locks the row of the run, if the lease is the newest and was not released.
pub(super) async fn hold(
    connection: &mut PgConnection,
    statements: &Statements,
    lease: &Lease,
) -> Result<(), Failure> {
    let row = statements
        .held
        .query()
        .bind(lease.slot())
        .bind(text::stored(lease.run()))
        .bind(lease.token().cast_signed())
        .fetch_optional(connection)
        .await?;
    if row.is_some() { Ok(()) } else { Err(lost(lease).into()) }
}

/// Writes many records in one statement, or in several if they are very many.
pub(super) async fn put_steps(
    connection: &mut PgConnection,
    statements: &Statements,
    slot: i64,
    token: i64,
    records: &[Record],
) -> Result<(), sqlx::Error> {
    for records in records.chunks(1000) {
        let inputs = records.iter().map(|record| record.input.map(|input| input.to_bits().cast_signed()));
        let kinds = records.iter().map(|record| i16::from(record.outcome.kind().to_number()));
        let keys = records.iter().map(|record| text::stored(&record.key));
        let payloads = records.iter().map(|record| text::stored(record.outcome.payload().as_str()));
        statements
            .put_steps
            .query()
            .bind(slot)
            .bind(token)
            .bind(inputs.collect::<Vec<_>>())
            .bind(kinds.collect::<Vec<_>>())
            .bind(keys.collect::<Vec<_>>())
            .bind(payloads.collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Writes waiting entries that come from another store, or from other keys.
pub(super) async fn put_waits(
    connection: &mut PgConnection,
    statements: &Statements,
    slot: i64,
    waits: &[WaitEntry],
) -> Result<(), sqlx::Error> {
    for entry in waits {
        statements
            .put_wait
            .query()
            .bind(slot)
            .bind(text::stored(&entry.key))
            .bind(text::stored(&entry.token))
            .bind(text::stored(entry.request.as_str()))
            .bind(millis(entry.since))
            .bind(entry.expires.map(millis))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Returns the record under `key`, if it exists.
pub(super) async fn recorded(
    connection: &mut PgConnection,
    statements: &Statements,
    slot: i64,
    key: &Key,
) -> Result<Option<Record>, sqlx::Error> {
    let row =
        statements.recorded.query().bind(slot).bind(text::stored(key)).fetch_optional(connection).await?;
    row.as_ref().map(rows::record).transpose()
}

/// Decides on an answer to a run whose row is locked.
pub(super) async fn may_settle(
    connection: &mut PgConnection,
    statements: &Statements,
    run: &RunRow,
    key: &Key,
    settling: Settling,
    token: Option<&str>,
) -> Result<Result<(), Unanswered>, sqlx::Error> {
    let entry = statements.wait_under.query().bind(run.slot).bind(text::stored(key));
    let entry = entry.fetch_optional(&mut *connection).await?;
    let entry = entry.as_ref().map(rows::wait_entry).transpose()?;
    let recorded = recorded(connection, statements, run.slot, key).await?.is_some();
    let asked = Asked { status: run.header.status, entry: entry.as_ref(), recorded };
    Ok(settle(Some(asked), settling, token, run.now))
}

/// Replaces the waiting entry with its outcome.
pub(super) async fn put_answer(
    connection: &mut PgConnection,
    statements: &Statements,
    slot: i64,
    key: &Key,
    outcome: &Outcome,
) -> Result<(), sqlx::Error> {
    statements.drop_wait.query().bind(slot).bind(text::stored(key)).execute(&mut *connection).await?;
    statements
        .put_answer
        .query()
        .bind(slot)
        .bind(i16::from(outcome.kind().to_number()))
        .bind(text::stored(key))
        .bind(text::stored(outcome.payload().as_str()))
        .execute(connection)
        .await?;
    Ok(())
}
