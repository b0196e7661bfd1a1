//! What is carried out on a connection of the pool, and tried again where that was lost.

use std::io::ErrorKind;
use std::time::Duration;

use awaitly_core::store::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;

use super::PostgresStore;
use super::link::Patience;
use super::schema::Failure;

/// A connection of the pool.
pub(super) type Connection = PoolConnection<Postgres>;

impl PostgresStore {
    /// A connection of the pool, for what is not carried out twice: where its answer is lost, that is
    /// [`StoreError::Unavailable`], and who asks again learns what became of it.
    pub(super) async fn connection(&self) -> Result<Connection, StoreError> {
        self.insist(|connection| async { Ok(connection) }).await
    }

    /// How long a try may take that goes through much: a large journal, many runs.
    fn longest(&self) -> Duration {
        self.0.patience.max(Duration::from_secs(30))
    }

    pub(super) async fn in_time<T>(
        &self,
        act: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        within(self.longest(), act).await.map_err(StoreError::from)
    }

    /// Carries out `act` on a connection of the pool, and once more where the connection was lost. It must leave
    /// the same when it is carried out twice. What is about one run and not its whole journal: a try has its part of
    /// the patience.
    pub(super) fn insist<T, Fut>(
        &self,
        act: impl Fn(Connection) -> Fut,
    ) -> impl Future<Output = Result<T, StoreError>>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.insist_for(Patience::new(self.0.patience).longest(), act)
    }

    /// The same for what goes through much.
    pub(super) fn insist_at_length<T, Fut>(
        &self,
        act: impl Fn(Connection) -> Fut,
    ) -> impl Future<Output = Result<T, StoreError>>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.insist_for(self.longest(), act)
    }

    async fn insist_for<T, Fut>(
        &self,
        longest: Duration,
        act: impl Fn(Connection) -> Fut,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.0.turns.settled().await?;
        let mut patience = Patience::new(self.0.patience);
        loop {
            // On the heap: callers' futures hold one of these for each of their own calls.
            let attempt = Box::pin(async {
                let connection = self.0.pool.acquire().await?;
                act(connection).await
            });
            match within(longest, attempt).await {
                Ok(value) => return Ok(value),
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Postgres(error)) => patience.after(error).await?,
            }
        }
    }
}

/// A connection that was cut without a word never answers.
pub(super) async fn within<T>(
    longest: Duration,
    act: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let done = tokio::time::timeout(longest, act).await;
    done.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()).into()))
}
