//! A connection that is restored after a loss.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Error, Row};

use super::error::Unwritable;

/// A separate connection beside the pool: its writes never wait for queries on the pool.
pub(super) struct Link {
    options: Arc<PgConnectOptions>,
    planner: Planner,
    connection: Option<PgConnection>,
}

impl Link {
    pub(super) const fn new(options: Arc<PgConnectOptions>, planner: Planner) -> Self {
        Self { options, planner, connection: None }
    }

    /// Returns the connection, and restores it if it was lost.
    pub(super) async fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        if self.connection.is_none() {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            writable(&mut connection).await?;
            durable(&mut connection).await?;
            sqlx::raw_sql(SETTINGS).execute(&mut connection).await?;
            if self.planner == Planner::FollowsIndexes {
                sqlx::raw_sql(FOLLOW_INDEXES).execute(&mut connection).await?;
            }
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or(Error::WorkerCrashed)
    }

    pub(super) const fn options(&self) -> &Arc<PgConnectOptions> {
        &self.options
    }

    pub(super) fn lost(&mut self) {
        self.connection = None;
    }

    pub(super) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // All acknowledged writes are committed, so an error here concerns no caller.
            drop(connection.close().await);
        }
    }
}

/// The way in which the server plans the statements of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planner {
    /// By its statistics, but without reading whole tables.
    Usual,
    /// By indexes only. Each statement of a claim looks at few rows of tables that grow and shrink fast. Statistics of
    /// another moment, or none, would make the server read a whole table, or sort it.
    FollowsIndexes,
}

/// A lane repeats a few statements, and planning them each time would cost a third of a step. Their plans last, so they
/// must suit tables that have grown since: they may not read whole tables. The server would compile a plan that reads a
/// small table nevertheless, at each execution, because it overestimates the cost. The last setting limits the harm of a row
/// that another session keeps locked: it must not stop all runs of the process.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off; \
     SET lock_timeout = '2s'";

const FOLLOW_INDEXES: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off; \
     SET enable_bitmapscan = off; SET enable_material = off";

/// Makes commits wait for the disk if the server's setting does not. A stricter setting stays.
async fn durable(connection: &mut PgConnection) -> Result<(), Error> {
    let sql = "SELECT set_config('synchronous_commit', 'on', false) \
               WHERE current_setting('synchronous_commit') = 'off'";
    sqlx::query(sql).execute(connection).await.map(drop)
}

/// Fails with [`Unwritable`] if this connection cannot write.
pub(super) async fn writable(connection: &mut PgConnection) -> Result<(), Error> {
    let sql = "SELECT current_setting('transaction_read_only') = 'on', pg_is_in_recovery()";
    let row = sqlx::query(sql).fetch_one(connection).await?;
    match (row.try_get(0)?, row.try_get(1)?) {
        (_, true) => Err(Unwritable::Standby.into()),
        (true, false) => Err(Unwritable::Setting.into()),
        (false, false) => Ok(()),
    }
}
