//! Submissions within a transaction of the application.

use awaitly_core::journal::Refused;
use awaitly_core::store::{StoreError, Submit, SubmitWithin, Submitted};
use sqlx::postgres::{PgConnection, Postgres};

use super::submit;
use crate::limits;
use crate::postgres::PostgresStore;
use crate::postgres::error::refuses;
use crate::postgres::schema::Failure;

/// Adds runs on a connection to the database of the store. It needs one statement, and two more if a run id exists. A
/// submission to a [fair](awaitly_core::dispatch::Queue::fair) queue locks its key until the transaction ends.
///
/// When the transaction commits, the store wakes the workers. The settings of the application's connection decide how
/// durable the commit is.
impl SubmitWithin<PgConnection> for PostgresStore {
    async fn submit_within(
        &self,
        connection: &mut PgConnection,
        batch: Vec<Submit>,
    ) -> Result<Vec<Result<Submitted, Refused>>, StoreError> {
        limits::submitted(&batch)?;
        let _call = self.0.calls.begin()?;
        let added = submit::within(connection, &self.0.statements, &self.0.channel, &batch).await;
        added.map_err(|error| refuses(&error).unwrap_or_else(|| Failure::from(error).into()))
    }
}

/// Calls the implementation for the connection of the transaction.
impl SubmitWithin<sqlx::Transaction<'_, Postgres>> for PostgresStore {
    async fn submit_within(
        &self,
        transaction: &mut sqlx::Transaction<'_, Postgres>,
        batch: Vec<Submit>,
    ) -> Result<Vec<Result<Submitted, Refused>>, StoreError> {
        self.submit_within(&mut **transaction, batch).await
    }
}
