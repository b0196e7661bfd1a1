//! Vacuums the table of due runs.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Error};
use tokio::task::JoinHandle;

/// The number of claimed runs after which the table is vacuumed.
const MANY: usize = 50_000;

/// Vacuums `ready` while a process claims many runs. The index of this table begins with the entries of claimed runs,
/// and each claim reads these entries until a vacuum removes them. The server itself checks only once a minute whether
/// a table needs a vacuum. If the store's role does not own the table, the server skips the vacuum.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Vacuum {
    claimed: usize,
    running: Option<JoinHandle<()>>,
}

impl Vacuum {
    /// Counts claimed runs. When there are many, vacuums the table in the background.
    pub(in crate::postgres) fn note(
        &mut self,
        claimed: usize,
        options: &Arc<PgConnectOptions>,
        sql: &Arc<str>,
    ) {
        self.claimed += claimed;
        if self.claimed < MANY || self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        self.claimed = 0;
        let (options, sql) = (Arc::clone(options), Arc::clone(sql));
        self.running = Some(tokio::spawn(async move {
            if let Err(error) = vacuum(&options, sql).await {
                tracing::debug!(%error, "the table of due runs was not vacuumed");
            }
        }));
    }
}

impl Drop for Vacuum {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

async fn vacuum(options: &PgConnectOptions, sql: Arc<str>) -> Result<(), Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}
