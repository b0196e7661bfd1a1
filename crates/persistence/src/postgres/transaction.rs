//! Records that are committed together with the application's own writes.

use std::ops::{Deref, DerefMut};

use awaitly_core::journal::Record;
use awaitly_core::store::{Lease, OnRecorded, StoreError};
use sqlx::postgres::{PgConnection, PgTransactionManager};
use sqlx::{Row, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;

use super::PostgresStore;
use super::error::{Reason, is_duplicate, lost, refuses};
use super::patience::{Patience, within};
use super::pool::{Connection, Length};
use super::schema::Failure;
use super::text;

/// Begins a transaction whose commit waits for the disk, even if the server's setting does not. The setting applies to
/// this transaction only, because the connection belongs to the application.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
     SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// A transaction on a connection of the store's pool, for the writes of a step. It derefs to the connection. A step
/// receives the transaction in a [`Tx`](awaitly_core::store::Tx), which derefs too, so a query needs two derefs:
/// `sqlx::query(..).execute(&mut **tx)`.
///
/// A dropped transaction is rolled back, even if it is dropped outside of a runtime.
///
/// # Examples
/// ```no_run
/// use awaitly_core::store::Tx;
/// use awaitly_core::{DurableRun, Error, step};
/// use awaitly_persistence::{PostgresStore, PostgresTransaction};
///
/// async fn debit(mut tx: Tx<PostgresTransaction>, cents: i64) -> Result<i64, String> {
///     let debit = "UPDATE accounts SET cents = cents - $1 WHERE id = 7 RETURNING cents";
///     let row: (i64,) = sqlx::query_as(debit).bind(cents).fetch_one(&mut **tx).await.map_err(|error| error.to_string())?;
///     Ok(row.0)
/// }
///
/// // The record of the step and the new balance are committed together.
/// async fn pay(run: &DurableRun, store: &PostgresStore) -> Result<i64, Error<String>> {
///     Ok(step!(run, "debit", transaction = store, |tx| debit(tx, 4200)))
/// }
/// # fn main() {}
/// ```
// `sqlx::Transaction` would return its connection to the pool by itself, which panics outside of a runtime and waits
// forever for a silent connection.
#[derive(Debug)]
pub struct PostgresTransaction(Connection);

impl Deref for PostgresTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for PostgresTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if PgTransactionManager::get_transaction_depth(&self.0) == 0 {
            return self.0.give_back();
        }
        PgTransactionManager::start_rollback(&mut self.0);
        self.0.give_back_if_it_answers();
    }
}

impl PostgresStore {
    pub(super) async fn begin_transaction(&self) -> Result<PostgresTransaction, StoreError> {
        let begin = |mut connection: Connection| async move {
            PgTransactionManager::begin(&mut connection, Some(BEGIN.into_sql_str())).await?;
            Ok(PostgresTransaction(connection))
        };
        let _call = self.0.calls.begin()?;
        self.0.pool.insist(self.patience(), Length::Short, begin).await
    }

    pub(super) async fn commit_transaction(
        &self,
        transaction: PostgresTransaction,
        lease: &Lease,
        record: &Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        let (patience, _call) = (self.patience(), self.0.calls.begin()?);
        self.flushed(lease, patience).await?;
        let added = self.add_and_commit(transaction, lease, record, on_recorded);
        let error = match within(patience.longest(), added).await {
            Ok(true) => return Ok(()),
            Ok(false) => StoreError::AlreadyRecorded { run: (**lease.run()).into(), key: record.key.clone() },
            Err(error) if Reason::of(&error) == Reason::Passing => Failure::from(error).into(),
            Err(error) => return Err(refuses(&error).unwrap_or_else(|| Failure::from(error).into())),
        };
        // If the answer to a commit was lost, the record shows whether the commit happened. A missing record is no
        // proof, because the server may still be committing, so only an existing record counts.
        match (self.look(lease, record, patience).await?, error) {
            ((false, _), _) if !self.has(lease, patience).await? => {
                let detail = "the run is not in this store: give the step the store that its workflow has";
                Err(StoreError::Unstorable { detail: detail.into() })
            }
            ((false, _), _) => Err(lost(lease)),
            ((true, true), StoreError::Unavailable { .. }) => Ok(()),
            (_, error) => Err(error),
        }
    }

    /// Returns whether the record was added and everything committed. Otherwise, everything is rolled back.
    async fn add_and_commit(
        &self,
        mut transaction: PostgresTransaction,
        lease: &Lease,
        record: &Record,
        on_recorded: OnRecorded,
    ) -> Result<bool, sqlx::Error> {
        // The row of the run is locked from here on; the timeout keeps a process that freezes now from holding the
        // lock.
        let timeout = sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '3s'");
        timeout.execute(&mut *transaction).await?;
        let statement = match on_recorded {
            OnRecorded::Refuse => &self.0.statements.append,
            OnRecorded::Replace => &self.0.statements.replace,
        };
        let added = statement.writing(lease, record).execute(&mut *transaction).await;
        match added {
            Ok(added) if added.rows_affected() == 1 => {
                PgTransactionManager::commit(&mut transaction).await.map(|()| true)
            }
            Err(error) if !is_duplicate(&error) => Err(error),
            _ => PgTransactionManager::rollback(&mut transaction).await.map(|()| false),
        }
    }

    /// Returns `true` if the lease's run is in this store.
    async fn has(&self, lease: &Lease, patience: Patience) -> Result<bool, StoreError> {
        let statements = &self.0.statements;
        self.insist_on(patience, Length::Short, |mut connection| async move {
            let run = statements.run.query().bind(text::stored(lease.run()));
            Ok(run.fetch_optional(&mut *connection).await?.is_some())
        })
        .await
    }

    /// Returns whether the lease is held, and whether this record was written under it.
    async fn look(
        &self,
        lease: &Lease,
        record: &Record,
        patience: Patience,
    ) -> Result<(bool, bool), StoreError> {
        let statements = &self.0.statements;
        self.insist_on(patience, Length::Short, |mut connection| async move {
            let row = statements.look.looking(lease, record).fetch_one(&mut *connection).await?;
            Ok((row.try_get(0)?, row.try_get::<Option<bool>, _>(1)?.unwrap_or(false)))
        })
        .await
    }
}
