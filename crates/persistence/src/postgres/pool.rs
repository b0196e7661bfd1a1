//! Calls on a connection of the pool, repeated on another one if the connection was lost.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use awaitly_core::store::StoreError;
use futures_util::future::select;
use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, Postgres};
use tokio::runtime::Handle;

use super::PostgresStore;
use super::error::{Reason, is_read_only, mistrusts_others};
use super::insist::{Attempts, insist};
use super::link::writable;
use super::patience::{Patience, Pause, within};
use super::schema::Failure;

/// The pool of connections. It finds a responsive connection for each call.
pub(super) struct Pool {
    connections: PgPool,
    owner: Owner,
    runtime: Handle,
    patience: Duration,
    /// The number of times that the idle connections were closed.
    emptied: AtomicUsize,
}

/// The owner of a pool, which closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Application,
    Store,
}

/// The amount of data that a call reads or writes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// One run without its whole journal.
    Short,
    /// A large journal, or many runs.
    Long,
}

impl Pool {
    /// # Panics
    /// Panics if it is called outside of a tokio runtime.
    pub(super) fn new(connections: PgPool, owner: Owner, patience: Duration) -> Self {
        Self { connections, owner, runtime: Handle::current(), patience, emptied: AtomicUsize::new(0) }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.patience)
    }

    /// Closes the pool if it belongs to the store. Waits for open transactions.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        if self.owner == Owner::Application {
            return Ok(());
        }
        let longest = self.patience.max(Duration::from_secs(1));
        let closed = tokio::time::timeout(longest, self.connections.close()).await;
        let detail = "PostgreSQL: a transaction of a step is not over";
        closed.map_err(|_| StoreError::Unavailable { detail: detail.into() })
    }

    pub(super) fn connect_options(&self) -> Arc<PgConnectOptions> {
        self.connections.connect_options()
    }

    /// Carries out `act` on a connection, and repeats it on another one if the connection was lost or leads to a
    /// read-only server. `act` must have one effect if it is carried out twice, even concurrently.
    pub(super) async fn insist<T: Send, Fut>(
        &self,
        patience: Patience,
        length: Length,
        act: impl Fn(Connection) -> Fut + Send + Sync,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        insist(Call { pool: self, patience, length, act, asks: false }).await
    }

    /// Carries out `act`, which must not be repeated, on a responsive connection.
    pub(super) async fn once<T, Fut>(
        &self,
        patience: Patience,
        length: Length,
        act: impl FnOnce(Connection) -> Fut,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let connection = self.insist(patience, Length::Short, |connection| async { Ok(connection) }).await?;
        let longest = match length {
            Length::Short => patience.longest(),
            Length::Long => patience.longest_at_length(),
        };
        within(longest, Box::pin(connection.lend_to(act))).await.map_err(StoreError::from)
    }

    /// If `asks` is set, first checks that the connection can write.
    async fn attempt<T, Fut>(&self, asks: bool, act: impl FnOnce(Connection) -> Fut) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let lent = Some(self.connections.acquire().await?);
        let desk = Desk { returned: Mutex::new(None), runtime: self.runtime.clone() };
        let mut connection = Connection { lent, desk: Arc::new(desk) };
        if asks {
            writable(&mut connection).await?;
        }
        connection.lend_to(act).await
    }

    /// Makes an attempt that may take long. A connection that gives no answer within the time of a short attempt may be
    /// silent or busy, so a second attempt runs beside it, and the first answer counts.
    async fn at_length<T, Fut>(
        &self,
        patience: Patience,
        emptied: usize,
        attempt: impl Fn() -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>> + Unpin,
    {
        let mut first = attempt();
        if let Ok(done) = tokio::time::timeout(patience.longest(), &mut first).await {
            return done;
        }
        self.close_idle(emptied);
        let both = async {
            let (done, other) = select(first, attempt()).await.factor_first();
            if let Err(Failure::Postgres(_)) = done { other.await } else { done }
        };
        within(patience.longest_at_length(), both).await
    }

    /// Closes the idle connections, because a connection of the pool was silent or led to the wrong server. If many
    /// calls notice this at once, only the first one closes them, so that no call closes the others' new connections.
    fn close_idle(&self, emptied: usize) {
        let next = emptied.wrapping_add(1);
        if self.emptied.compare_exchange(emptied, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            for _ in 0..self.connections.num_idle() {
                drop(self.connections.try_acquire().map(PoolConnection::detach));
            }
        }
    }
}

/// A call on a connection of the pool.
struct Call<'p, F> {
    pool: &'p Pool,
    patience: Patience,
    length: Length,
    act: F,
    /// Whether to check first that the connection can write.
    asks: bool,
}

impl<T: Send, F, Fut> Attempts for Call<'_, F>
where
    F: Fn(Connection) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T, Failure>> + Send,
{
    type Done = T;

    async fn attempt(&mut self) -> Result<T, Failure> {
        let Self { pool, patience, length, act, asks } = self;
        let emptied = pool.emptied.load(Ordering::Relaxed);
        // On the heap, because callers' futures contain one of these for each of their calls.
        let attempt = || Box::pin(pool.attempt(*asks, &*act));
        let done = match length {
            Length::Short => within(patience.longest(), attempt()).await,
            Length::Long => pool.at_length(*patience, emptied, attempt).await,
        };
        if let Err(Failure::Postgres(error)) = &done {
            *asks |= is_read_only(error);
            if mistrusts_others(error) {
                pool.close_idle(emptied);
            }
        }
        done
    }

    fn is_over_after(&mut self, pause: Pause, _: &StoreError) -> bool {
        self.patience.is_over_after(pause)
    }
}

impl PostgresStore {
    pub(super) fn patience(&self) -> Patience {
        self.0.pool.patience()
    }

    /// Carries out `act` on a connection of the pool, and repeats it if the connection was lost. Two executions must have one
    /// effect; a long `act` may even be carried out twice at once.
    pub(super) fn insist<T: Send, Fut>(
        &self,
        length: Length,
        act: impl Fn(Connection) -> Fut + Send + Sync,
    ) -> impl Future<Output = Result<T, StoreError>>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        self.insist_for(self.patience(), length, act)
    }

    /// Carries out `act` like [`insist`](Self::insist), with this patience.
    pub(super) async fn insist_for<T: Send, Fut>(
        &self,
        patience: Patience,
        length: Length,
        act: impl Fn(Connection) -> Fut + Send + Sync,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        let _call = self.0.calls.begin()?;
        self.insist_on(patience, length, act).await
    }

    /// Carries out `act` as a part of a call that has begun.
    pub(super) async fn insist_on<T: Send, Fut>(
        &self,
        patience: Patience,
        length: Length,
        act: impl Fn(Connection) -> Fut + Send + Sync,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        self.0.turns.settled(patience).await?;
        self.0.pool.insist(patience, length, act).await
    }

    /// Carries out `act` once on a connection of the pool. A lost answer is [`StoreError::Unavailable`], and a repeated
    /// call reports the result.
    pub(super) async fn once<T, Fut>(
        &self,
        length: Length,
        act: impl FnOnce(Connection) -> Fut,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let (patience, _call) = (self.patience(), self.0.calls.begin()?);
        self.0.turns.settled(patience).await?;
        self.0.pool.once(patience, length, act).await
    }
}

/// A connection of the pool that may be dropped outside of a runtime.
///
/// A call that is dropped in the middle leaves its connection in an unknown state: silent, busy, or in a transaction
/// that has just begun. `sqlx` would return it to the pool and wait for its answer without a limit, while it occupies a
/// place in the pool. So the connection returns to the pool only after a completed call, and is closed otherwise. The
/// connection cannot tell the two cases apart when it is dropped, because the call owns it. Therefore a completed call
/// puts it on a desk, and the code that made the call takes it from there; a connection that is dropped elsewhere
/// belongs to an unfinished call.
#[derive(Debug)]
pub(super) struct Connection {
    /// `None` once the connection is on the desk.
    lent: Option<PoolConnection<Postgres>>,
    desk: Arc<Desk>,
}

/// The place for a connection that its call no longer uses.
#[derive(Debug)]
struct Desk {
    returned: Mutex<Option<PoolConnection<Postgres>>>,
    runtime: Handle,
}

impl Connection {
    async fn lend_to<T, Fut>(self, act: impl FnOnce(Self) -> Fut) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let desk = Arc::clone(&self.desk);
        let done = act(self).await;
        if !matches!(&done, Err(Failure::Postgres(error)) if Reason::of(error) == Reason::Passing) {
            desk.give_back(desk.take());
        }
        done
    }

    /// Returns the connection to the pool. It must not be used afterwards.
    pub(super) fn give_back(&mut self) {
        self.desk.give_back(self.lent.take());
    }

    /// Returns the connection to the pool once the server has carried out all queued work on it, or closes it if the
    /// server does not answer within a second.
    pub(super) fn give_back_if_it_answers(&mut self) {
        let Some(mut connection) = self.lent.take() else { return };
        self.desk.runtime.spawn(async move {
            let answered = tokio::time::timeout(Duration::from_secs(1), connection.ping()).await;
            if !matches!(answered, Ok(Ok(()))) {
                drop(connection.detach());
            }
        });
    }
}

impl Desk {
    fn take(&self) -> Option<PoolConnection<Postgres>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Enters the runtime, because the pool spawns a task here.
    fn give_back(&self, connection: Option<PoolConnection<Postgres>>) {
        let _runtime = self.runtime.enter();
        drop(connection);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        *self.desk.returned.lock().unwrap_or_else(PoisonError::into_inner) = self.lent.take();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(connection) = self.take() {
            let _runtime = self.runtime.enter();
            drop(connection.detach());
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "it is taken by what consumes or drops this, and by nothing else")]
    fn deref(&self) -> &PgConnection {
        self.lent.as_deref().expect("a connection that is in use is not on the desk")
    }
}

impl DerefMut for Connection {
    #[expect(clippy::expect_used, reason = "it is taken by what consumes or drops this, and by nothing else")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.lent.as_deref_mut().expect("a connection that is in use is not on the desk")
    }
}
