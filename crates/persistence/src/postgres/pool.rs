//! Calls on a connection of the pool, tried again on another one if that was lost.

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

/// The pool of connections, and how a call gets one that answers.
pub(super) struct Pool {
    connections: PgPool,
    runtime: Handle,
    patience: Duration,
    /// How often the idle connections were closed.
    emptied: AtomicUsize,
}

/// How much data a call reads or writes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// One run, and not its whole journal.
    Short,
    /// A large journal, or many runs.
    Long,
}

impl Pool {
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn new(connections: PgPool, patience: Duration) -> Self {
        Self { connections, runtime: Handle::current(), patience, emptied: AtomicUsize::new(0) }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.patience)
    }

    pub(super) fn connect_options(&self) -> Arc<PgConnectOptions> {
        self.connections.connect_options()
    }

    /// Carries out `act` on a connection, and once more on another one if the connection was lost or leads to a server
    /// that cannot be written. `act` must leave the same if it is carried out twice, also at once.
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

    /// Carries out `act`, which may not be carried out twice, once there is a connection that answers.
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

    /// `asks`: finds out first whether the connection can be written over.
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

    /// Makes a try that may last long. A connection that says nothing for the time of a short try may be silent, or busy. So
    /// a second one is tried beside it, and the first answer counts.
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

    /// Closes the idle connections, since another one of the pool was silent or led to the wrong server. If many calls find
    /// this out at the same time, only the first closes them, so that no call closes the new connections of the others.
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
    /// Whether to find out first if the connection can be written over.
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
        // On the heap: callers' futures hold one of these for each of their own calls.
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

    /// Carries out `act` on a connection of the pool, and once more if the connection was lost. It must leave the same if
    /// it is carried out twice. For one run and not its whole journal: a try has its part of the patience.
    pub(super) fn insist<T: Send, Fut>(
        &self,
        act: impl Fn(Connection) -> Fut + Send + Sync,
    ) -> impl Future<Output = Result<T, StoreError>>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        self.insist_for(self.patience(), Length::Short, act)
    }

    /// The same for a large journal or many runs. `act` may be carried out twice at the same time.
    pub(super) fn insist_at_length<T: Send, Fut>(
        &self,
        act: impl Fn(Connection) -> Fut + Send + Sync,
    ) -> impl Future<Output = Result<T, StoreError>>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        self.insist_for(self.patience(), Length::Long, act)
    }

    /// The same for a part of a call.
    pub(super) async fn insist_for<T: Send, Fut>(
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

    /// Carries out `act` once on a connection of the pool: if its answer is lost, that is [`StoreError::Unavailable`], and
    /// a caller that asks again learns what became of it.
    pub(super) async fn once<T, Fut>(
        &self,
        length: Length,
        act: impl FnOnce(Connection) -> Fut,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let patience = self.patience();
        self.0.turns.settled(patience).await?;
        self.0.pool.once(patience, length, act).await
    }
}

/// A connection of the pool, which may be dropped outside of a runtime.
///
/// A call that is dropped in the middle leaves its connection in an unknown state: silent, busy, or in a transaction that was
/// just begun. `sqlx` would give it back to the pool, and wait for its answer without a limit while its place in the pool is
/// taken. So the connection goes back only after a call that came to its end, and is closed otherwise. The connection itself
/// cannot tell the two apart when it is dropped, since the call owns it. Therefore it is put on a desk, and the caller of
/// the call takes it from there; if the desk is dropped with the connection on it, the call did not come to its end.
#[derive(Debug)]
pub(super) struct Connection {
    /// `None` once it is on the desk.
    lent: Option<PoolConnection<Postgres>>,
    desk: Arc<Desk>,
}

/// Where a call puts its connection when it no longer uses it.
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

    /// Puts it back into the pool. It is not used after that.
    pub(super) fn give_back(&mut self) {
        self.desk.give_back(self.lent.take());
    }

    /// Puts it back into the pool once the server has carried out everything that was queued on it, or closes it if the server
    /// does not answer within a second.
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

    /// Enters the runtime, since the pool spawns a task for this.
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
