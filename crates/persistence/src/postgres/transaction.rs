//! Records that are committed together with the application's own writes.

use std::ops::{Deref, DerefMut};

use awaitly_core::journal::Record;
use awaitly_core::store::{Lease, OnRecorded, StoreError};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Row, Transaction};

use super::PostgresStore;
use super::error::{is_duplicate, is_transient, refuses};
use super::lane::lost;
use super::link::Patience;
use super::schema::Failure;
use super::text;

/// Lets the commit wait for the disk, where the server is set not to.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', true) \
     WHERE current_setting('synchronous_commit') = 'off'";

/// A transaction on a connection of the store's pool, which a step writes with. It derefs to the connection:
/// `sqlx::query(..).execute(&mut **tx)`.
#[derive(Debug)]
pub struct PostgresTransaction(pub(super) Transaction<'static, Postgres>);

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

impl PostgresStore {
    pub(super) async fn begin_transaction(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut patience = Patience::new(self.0.patience);
        loop {
            let begun = async {
                let mut transaction = self.0.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
                // For this transaction alone: the connection is the application's.
                sqlx::query(DURABLE).execute(&mut *transaction).await?;
                Ok(transaction)
            };
            match patience.within(begun).await {
                Ok(transaction) => return Ok(transaction),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    pub(super) async fn commit_transaction(
        &self,
        mut transaction: Transaction<'static, Postgres>,
        lease: &Lease,
        record: &Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        let statements = &self.0.statements;
        // From here on the row of the run is locked: a process that is frozen now does not keep it.
        sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '10s'")
            .execute(&mut *transaction)
            .await
            .map_err(|error| refuses(&error).unwrap_or_else(|| Failure::from(error).into()))?;
        let statement = match on_recorded {
            OnRecorded::Refuse => &statements.append,
            OnRecorded::Replace => &statements.replace,
        };
        let added = statement
            .query()
            .bind(lease.slot())
            .bind(text::stored(lease.run()))
            .bind(lease.token().cast_signed())
            .bind(record.input.map(|input| input.to_bits().cast_signed()))
            .bind(i16::from(record.outcome.kind().to_number()))
            .bind(text::stored(&record.key))
            .bind(text::stored(record.outcome.payload().as_str()))
            .execute(&mut *transaction)
            .await;
        let added = match added {
            Ok(added) => added.rows_affected() == 1,
            Err(error) if is_duplicate(&error) => false,
            Err(error) => return Err(refuses(&error).unwrap_or_else(|| Failure::from(error).into())),
        };
        if !added {
            drop(transaction.rollback().await);
            let (held, _) = self.look(lease, record).await?;
            let already =
                StoreError::AlreadyRecorded { run: (**lease.run()).into(), key: record.key.clone() };
            return Err(if held { already } else { lost(lease) });
        }
        match Patience::new(self.0.patience).within(transaction.commit()).await {
            Ok(()) => Ok(()),
            // Whether it was committed is not known: the record says so. Where it is not there the server may
            // still be at it, so only what is there counts.
            Err(error) if is_transient(&error) => match self.look(lease, record).await? {
                (_, true) => Ok(()),
                _ => Err(Failure::from(error).into()),
            },
            Err(error) => Err(refuses(&error).unwrap_or_else(|| Failure::from(error).into())),
        }
    }

    /// Whether the lease is held, and whether this very record was written under it.
    async fn look(&self, lease: &Lease, record: &Record) -> Result<(bool, bool), StoreError> {
        let statements = &self.0.statements;
        self.insist(|mut connection| async move {
            let row = statements
                .look
                .query()
                .bind(lease.slot())
                .bind(text::stored(lease.run()))
                .bind(lease.token().cast_signed())
                .bind(text::stored(&record.key))
                .bind(i16::from(record.outcome.kind().to_number()))
                .bind(text::stored(record.outcome.payload().as_str()))
                .fetch_one(&mut *connection)
                .await?;
            Ok((row.try_get(0)?, row.try_get::<Option<bool>, _>(1)?.unwrap_or(false)))
        })
        .await
    }
}
