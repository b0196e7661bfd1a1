//! The operators' calls, each a statement or a transaction on a connection of the pool.

use std::sync::Arc;

use awaitly_core::journal::{Key, Payload, Settling, Status, Timestamp, Unanswered};
use awaitly_core::store::{
    Answer, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Operate, Page, RunId, RunQuery, RunSummary,
    StoreError, StoredRun, WaitQuery, Waiting, Wakes,
};
use sqlx::{Connection as _, Row};

use super::PostgresStore;
use super::dispatch::report;
use super::error::undecodable;
use super::pool::{Connection, Length};
use super::rows::{self, millis, moment};
use super::schema::{Failure, in_transaction};
use super::statements::{Exchange, Statements};
use super::{Shared, list, text, write};
use crate::limits;

impl Operate for PostgresStore {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Long, |connection| list::list(connection, statements, &query)).await
    }

    async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Long, |connection| waiting(connection, statements, &query)).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Long, |connection| due(connection, statements, &query)).await
    }

    /// Records the answer.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the connection is lost before the store knows whether the answer was
    /// recorded. Repeat the call to learn whether the question was answered.
    async fn answer(&self, answer: Answer) -> Result<Result<(), Unanswered>, StoreError> {
        limits::answer(&answer.outcome)?;
        let Shared { statements, channel, .. } = &*self.0;
        let answered =
            self.once(Length::Short, |connection| record(connection, statements, channel, &answer)).await?;
        self.0.bell.ring();
        Ok(answered)
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.cancel_by(run, Cancelling::Request).await
    }

    async fn cancel_without_undo(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.cancel_by(run, Cancelling::WithoutUndo).await
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        let statements = &self.0.statements;
        self.once(Length::Long, |connection| delete(connection, statements, &runs, condition)).await
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<bool, StoreError> {
        let Shared { statements, channel, .. } = &*self.0;
        let importing = |connection| import(connection, statements, channel, &run, &stored);
        let imported = self.once(Length::Long, importing).await?;
        self.0.bell.ring();
        Ok(imported)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Short, |mut connection| async move {
            let row = statements.now.query().fetch_one(&mut *connection).await?;
            Ok(rows::moment(row.try_get(0)?))
        })
        .await
    }

    /// Reports changes by other processes through `LISTEN`, on a connection that the first call opens.
    ///
    /// # Panics
    /// Panics if it is called outside of a tokio runtime.
    fn wakes(&self) -> Wakes {
        let Shared { pool, schema, bell, listening, alive, calls, .. } = &*self.0;
        if let Ok(call) = calls.begin() {
            let (options, alive) = (pool.connect_options(), Arc::downgrade(alive));
            listening.begin(&options, schema.channel(), bell.clone(), alive, call);
        }
        bell.listen()
    }
}

async fn waiting(
    mut connection: Connection,
    statements: &Statements,
    query: &WaitQuery,
) -> Result<Page<Waiting>, Failure> {
    let after = query.after.as_deref().map(limits::waiting_place).transpose()?;
    let rows = statements
        .lists
        .waiting
        .query()
        .bind(query.run.as_deref().map(text::stored))
        .bind(query.key.as_ref().map(|key| text::stored(key)))
        .bind(query.token.as_deref().map(text::stored))
        .bind(after.as_ref().map(|(since, ..)| millis(*since)))
        .bind(after.as_ref().map(|(_, run, _)| text::stored(run)))
        .bind(after.as_ref().map(|(.., key)| text::stored(key)))
        .bind(one_more(query.page_limit()))
        .fetch_all(&mut *connection)
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let entry = rows::wait_entry(row)?;
        found.push(Waiting { run: rows::run_id(row, 5)?, workflow: rows::text(row, 6)?.into(), entry });
    }
    Ok(Page::cut(found, query.page_limit(), limits::waiting_cursor))
}

async fn due(
    mut connection: Connection,
    statements: &Statements,
    query: &DueQuery,
) -> Result<Vec<Due>, Failure> {
    let workflows: Vec<_> = query.workflows.iter().map(|workflow| text::stored(workflow)).collect();
    let due = statements.lists.due.query().bind(i64::try_from(query.page_limit()).unwrap_or(i64::MAX));
    let rows = due.bind((!workflows.is_empty()).then_some(workflows)).fetch_all(&mut *connection).await?;
    let due = rows.iter().map(|row| {
        Ok(Due {
            run: rows::run_id(row, 0)?,
            workflow: rows::text(row, 1)?.into(),
            version: u32::try_from(row.try_get::<i64, _>(2)?).map_err(|_| undecodable("version"))?,
            since: moment(row.try_get(3)?),
        })
    });
    Ok(due.collect::<Result<_, sqlx::Error>>()?)
}

/// Locks the row of the run before it reads anything, so that one of several answers is the first.
async fn record(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    answer: &Answer,
) -> Result<Result<(), Unanswered>, Failure> {
    let Answer { run, key, token, outcome } = answer;
    in_transaction!(connection, transaction => {
        let row = statements.run_for_update.query().bind(text::stored(run)).fetch_optional(&mut *transaction).await?;
        let Some(run) = row.as_ref().map(rows::run).transpose()? else {
            return Ok(Err(Unanswered::NoSuchRun));
        };
        let settled =
            write::may_settle(&mut transaction, statements, &run, key, Settling::Answer, token.as_deref()).await?;
        if let Err(refused) = settled {
            return Ok(Err(refused));
        }
        write::put_answer(&mut transaction, statements, run.slot, key, outcome).await?;
        statements.wake.query().bind(run.slot).execute(&mut *transaction).await?;
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(Ok(()))
    })
}

impl PostgresStore {
    async fn cancel_by(&self, run: &RunId, cancelling: Cancelling) -> Result<Cancelled, StoreError> {
        let Shared { statements, channel, .. } = &*self.0;
        let cancel = |connection| cancel(connection, statements, channel, run, cancelling);
        let cancelled = self.once(Length::Short, cancel).await?;
        self.0.bell.ring();
        Ok(cancelled)
    }
}

async fn cancel(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    run: &RunId,
    cancelling: Cancelling,
) -> Result<Cancelled, Failure> {
    in_transaction!(connection, transaction => {
        let row = statements.run_for_update.query().bind(text::stored(run)).fetch_optional(&mut *transaction).await?;
        let Some(run) = row.as_ref().map(rows::run).transpose()? else {
            return Ok(Cancelled::NoSuchRun);
        };
        // The row is locked, so this statement sees every earlier record, and no record is added until the commit.
        let too_late = statements.recorded.query().bind(run.slot).bind(text::stored(&Key::TOO_LATE_TO_CANCEL));
        let is_too_late = too_late.fetch_optional(&mut *transaction).await?.is_some();
        let cancelled = cancelling.decide(&run.header, run.lease(), is_too_late);
        let statement = match cancelled {
            Cancelled::Requested => &statements.request_cancel,
            Cancelled::WithoutUndo => &statements.cancel_without_undo,
            _ => return Ok(cancelled),
        };
        if cancelled == Cancelled::WithoutUndo {
            statements.unlist.query().bind(vec![run.slot]).execute(&mut *transaction).await?;
        }
        statement.query().bind(run.slot).execute(&mut *transaction).await?;
        if cancelled == Cancelled::WithoutUndo && run.header.parent.is_some() {
            report(&mut transaction, statements).await?;
        }
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(cancelled)
    })
}

async fn delete(
    mut connection: Connection,
    statements: &Statements,
    runs: &[RunId],
    condition: DeleteIf,
) -> Result<Vec<RunId>, Failure> {
    in_transaction!(connection, transaction => {
        let ids: Vec<_> = runs.iter().map(|run| text::stored(run)).collect();
        let rows = statements.deletable.query().bind(ids).fetch_all(&mut *transaction).await?;
        let (mut slots, mut deleted) = (Vec::new(), Vec::new());
        for row in &rows {
            let status = Status::from_name(row.try_get(2)?).ok_or_else(|| undecodable("status"))?;
            let (left, owned): (i64, bool) = (row.try_get(4)?, row.try_get(5)?);
            let remaining = moment(0).until(moment(left));
            let lease = (owned && !remaining.is_zero()).then_some(remaining);
            if condition.holds(status, moment(row.try_get(3)?), lease) {
                slots.push(row.try_get::<i64, _>(0)?);
                deleted.push(rows::run_id(row, 1)?);
            }
        }
        let Exchange { delete_mail, delete_ids, delete_published, .. } = &statements.exchange;
        let journals = [&statements.unlist, &statements.delete_steps, &statements.delete_waits];
        for statement in journals.into_iter().chain([delete_mail, delete_ids, delete_published, &statements.delete_runs]) {
            statement.query().bind(slots.clone()).execute(&mut *transaction).await?;
        }
        Ok(deleted)
    })
}

async fn import(
    mut connection: Connection,
    statements: &Statements,
    channel: &str,
    run: &RunId,
    stored: &StoredRun,
) -> Result<bool, Failure> {
    let StoredRun { header, input, records, waits } = stored;
    limits::imported(run, stored)?;
    in_transaction!(connection, transaction => {
        let outcome = header.outcome.as_ref();
        let row = statements
            .import
            .query()
            .bind(text::stored(run))
            .bind(text::stored(&header.workflow))
            .bind(i64::from(header.version))
            .bind(header.status.as_str())
            .bind(input.as_ref().map(Payload::as_str).map(text::stored))
            .bind(header.input.map(|input| input.to_bits().cast_signed()))
            .bind(outcome.map(|outcome| i16::from(outcome.kind().to_number())))
            .bind(outcome.map(|outcome| text::stored(outcome.payload().as_str())))
            .bind(header.error.as_deref().map(text::stored))
            .bind(text::json::<Key>(&header.failed_on))
            .bind(millis(header.created))
            .bind(millis(header.changed))
            .bind(header.wake.map(millis))
            .bind(header.cancel_requested)
            .bind(text::stored(&header.place.queue))
            .bind(header.place.key.as_deref().map(text::stored))
            .bind(header.place.priority)
            .bind(header.place.rank)
            .bind(header.place.start_by.map(millis))
            .bind(header.paused)
            .bind(i32::try_from(header.crashes).unwrap_or(i32::MAX))
            .bind(header.parent.as_ref().map(|parent| text::stored(&parent.run)))
            .bind(header.parent.as_ref().map(|parent| text::stored(&parent.key)))
            .bind((!header.tags.is_empty()).then(|| header.tags.iter().map(|tag| text::stored(tag)).collect::<Vec<_>>()))
            .bind(header.place.unique.as_deref().filter(|_| !header.has_begun()).map(text::stored))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(false) };
        let slot: i64 = row.try_get(0)?;
        write::put_steps(&mut transaction, statements, slot, 1, records).await?;
        write::put_waits(&mut transaction, statements, slot, waits).await?;
        statements.notify.query().bind(channel).execute(&mut *transaction).await?;
        Ok(true)
    })
}

/// Returns one more than the limit; an extra row shows that another page follows.
pub(super) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
