//! A connection that comes back.

use std::sync::Arc;
use std::time::Duration;

use awaitly_core::store::StoreError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Error};
use tokio::time::Instant;

use super::error::{is_transient, store_error};

/// A connection of its own, beside those of the pool: what it writes waits for nobody's queries.
pub(super) struct Link {
    options: Arc<PgConnectOptions>,
    connection: Option<PgConnection>,
}

impl Link {
    pub(super) const fn new(options: Arc<PgConnectOptions>) -> Self {
        Self { options, connection: None }
    }

    /// The connection, made anew where it was lost.
    pub(super) async fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        if self.connection.is_none() {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            durable(&mut connection).await?;
            // The same few statements over and over: planning each anew would cost a third of a step.
            sqlx::query("SET plan_cache_mode = force_generic_plan").execute(&mut connection).await?;
            // One row that somebody keeps locked must not keep all runs of the process from going on.
            sqlx::query("SET lock_timeout = '2s'").execute(&mut connection).await?;
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or(Error::WorkerCrashed)
    }

    pub(super) fn lost(&mut self) {
        self.connection = None;
    }

    pub(super) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // Everything that was acknowledged is committed: what goes wrong here concerns nobody.
            drop(connection.close().await);
        }
    }
}

/// Lets commits wait for the disk, where the server is set not to; where it is set to more, that stays.
pub(super) async fn durable(connection: &mut PgConnection) -> Result<(), Error> {
    let sql = "SELECT set_config('synchronous_commit', 'on', false) \
               WHERE current_setting('synchronous_commit') = 'off'";
    sqlx::query(sql).execute(connection).await.map(drop)
}

/// How long to go on trying.
#[derive(Clone)]
pub(super) struct Patience {
    until: Instant,
    /// How long one try may take.
    longest: Duration,
    pause: Duration,
}

impl Patience {
    pub(super) fn new(patience: Duration) -> Self {
        let longest = (patience / 3).max(Duration::from_secs(1));
        Self { until: Instant::now() + patience, longest, pause: Duration::from_millis(10) }
    }

    /// How long one try may take, so that there is time for another one.
    pub(super) const fn longest(&self) -> Duration {
        self.longest
    }

    /// Whether it is too late for another try.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() > self.until
    }

    /// Waits a moment before another try, or gives up.
    pub(super) async fn after(&mut self, error: Error) -> Result<(), StoreError> {
        if !is_transient(&error) || Instant::now() + self.pause > self.until {
            return Err(store_error(&error));
        }
        tracing::warn!(error = %store_error(&error), "trying again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_millis(500));
        Ok(())
    }

    /// Waits for `answer`, but leaves time for another try: a connection that was cut without a word never answers.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.longest, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }
}
