//! Journals in PostgreSQL.

mod error;
mod lane;
mod link;
mod open;
mod operate;
mod options;
mod rows;
mod schema;
mod statements;
mod text;
mod transaction;
mod wakes;
mod write;

pub use options::PostgresOptions;
pub use transaction::PostgresTransaction;

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Header, Key, Outcome, Record, Settling, Timestamp};
use awaitly_core::store::{
    Absent, Answer, Answered, Bell, Cancelled, DeleteIf, Due, DueQuery, Durability, Ending, Imported, Lease,
    OnRecorded, Open, Opened, Operate, Owner, Page, Renewed, Rewrite, RunId, RunQuery, RunSummary, Store,
    StoreError, StoredRun, Transactional, Wait, WaitQuery, Waiting, Wakes,
};
use sqlx::Row;
use sqlx::postgres::{PgPool, Postgres};
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::group::{Sender, queue};
use crate::limits;
use lane::{Append, Begin, Finish, Lane, Op, Releasing, Renew, Turns, Unflushed};
use link::{Link, Patience};
use open::Asked;
use schema::{Failure, Schema};
use statements::Statements;
use wakes::Listening;

/// Journals in PostgreSQL, which many processes on many machines share.
///
/// The server must be PostgreSQL 12 or newer by what the statements need (`AS MATERIALIZED`, `plan_cache_mode`); the
/// store is tested with 15 only.
///
/// It works on a pool that the application has, or one of its own; for what every run does again and again it
/// opens two connections more, so that records wait for nobody's queries. A clone is a handle on the same store.
/// Dropping the last handle lets the writes that are queued be carried out in the background;
/// [`close`](Self::close) waits for them.
///
/// # Durability
/// A write that returned `Ok` is committed with `synchronous_commit` as the server has it, `on` as a rule; where
/// that is `off` it is set to `on` for what the store writes, and for nothing else. What that survives depends on the
/// server's `fsync`, which is asked for at opening: see [`durability`](Store::durability). A run that was opened and has
/// recorded nothing may be forgotten in a crash of the server; it begins again then.
///
/// A record with [`Durability::Batched`] is committed with `synchronous_commit=off`. Where the connection is lost before
/// such records are certainly on the disk, their runs are interrupted ([`StoreError::LeaseLost`]) and resume from what is
/// there, so that a journal has no gap. A question, a replacement, a transactional step and the end of a run that follow
/// such a record bring it to the disk first, with one commit more (of a message of logical decoding that says nothing,
/// under the prefix `awaitly`).
///
/// Writes of concurrent runs share statements and commits: what queues up while one commit is on its way to the
/// disk goes with the next. There is no timer, so a single run waits for nobody. A step is one statement and one
/// commit, and one row of about 90 bytes beside its key and value.
///
/// # Leases
/// They run by the clock of the server: those of the processes may be wrong by hours. A lease lasts until its
/// time is over, also where its process was killed; [`close`](Self::close) waits until those that were given back are
/// free. Every write checks the fencing token and locks the row of
/// its run against those who would take it over, in one statement, so an owner that was frozen and replaced is
/// refused. All leases of a process that are to be renewed at one moment are renewed by one statement.
///
/// # When the server goes away
/// Writes wait and are tried again for as long as [`patience`](PostgresOptions::patience) lasts, 30 seconds unless
/// set; then they are [`StoreError::Unavailable`], and their runs are interrupted, to be resumed later. Where a
/// connection was cut between a commit and its answer, the write is looked for before it is done again, so it
/// is never there twice.
///
/// # Tables
/// They are in a schema of their own, `awaitly` unless [`schema`](PostgresOptions::schema) says otherwise, and
/// are made and brought up to date at opening, by one of the processes that open it at a time. With another role
/// than the one that made them, the store needs `USAGE` on the schema and all rights on the rows of its tables.
///
/// # Cancel safety
/// A write whose future is dropped while it waits for a place in the queue does not happen; later it happens
/// whole, or not at all. A lease whose future is dropped before it arrived is given back.
///
/// # Examples
/// ```no_run
/// use awaitly_core::store::{Open, Owner, RunId, Store};
/// use awaitly_persistence::PostgresStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::connect("postgres://app@localhost/orders").await?;
/// let run = RunId::new("order-42")?;
/// store.open(Open::new(run.clone(), "checkout", Owner::unique())).await?;
/// assert!(store.load(&run).await?.is_some());
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore(Arc<Shared>);

struct Shared {
    pool: PgPool,
    schema: Schema,
    statements: Arc<Statements>,
    /// Records.
    appends: Sender<Op>,
    unflushed: Unflushed,
    /// Beginnings and endings of runs, and leases.
    turns: Turns,
    channel: Arc<str>,
    patience: Duration,
    bell: Bell,
    listening: Listening,
    alive: Arc<()>,
    durability: &'static str,
}

impl PostgresStore {
    /// Opens a store with a pool of its own, makes its tables where there are none, and brings them up to date,
    /// with the defaults of [`PostgresOptions`].
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`StoreError::NotThere`] where the URL is invalid.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        PostgresOptions::new().connect(url).await
    }

    /// The same on a pool that the application has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the server cannot be reached; [`StoreError::NotThere`] where it refuses
    /// the user or has no such database; [`StoreError::ReadOnly`] where the tables cannot be made;
    /// [`StoreError::NewerFormat`] where a newer version made them, and then nothing was touched.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(pool: PgPool) -> Result<Self, StoreError> {
        PostgresOptions::new().open(pool).await
    }

    async fn start(options: PostgresOptions, pool: PgPool) -> Result<Self, StoreError> {
        let schema = Schema::new(&options.schema)?;
        let mut patience = Patience::new(options.patience);
        let durability = loop {
            let ready = async {
                let mut connection = pool.acquire().await?;
                schema.migrate(&mut connection).await?;
                Ok::<_, Failure>(durability(&mut connection).await?)
            };
            match ready.await {
                Ok(durable) => break durable,
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Postgres(error)) => patience.after(error).await?,
            }
        };
        let (statements, bell) = (Arc::new(Statements::new(&schema)), Bell::new());
        let (channel, releasing) = (Arc::<str>::from(schema.channel()), Releasing::default());
        let lane = |unflushed| {
            let (sender, ops) = queue(options.queue);
            let lane = Lane {
                ops,
                link: Link::new(pool.connect_options()),
                statements: Arc::clone(&statements),
                patience: options.patience,
                bell: bell.clone(),
                channel: Arc::clone(&channel),
                releasing: Arc::clone(&releasing),
                unflushed,
            };
            tokio::spawn(lane.run());
            sender
        };
        let unflushed = Unflushed::default();
        let (appends, turns) = (lane(unflushed.clone()), lane(Unflushed::default()));
        let turns = Turns { ops: turns, releasing: Arc::clone(&releasing) };
        tracing::info!(schema = schema.name(), durability, "opened a store of journals");
        Ok(Self(Arc::new(Shared {
            pool,
            schema,
            statements,
            appends,
            unflushed,
            turns,
            channel,
            patience: options.patience,
            bell,
            listening: Listening::default(),
            alive: Arc::new(()),
            durability,
        })))
    }

    /// Waits until everything that was written is committed, leases that are being given back among it, and closes the
    /// connections that write. Other handles answer [`StoreError::Closed`] from then on where they would write over
    /// these. The pool is left as it is.
    ///
    /// # Errors
    /// None today.
    ///
    /// # Cancel safety
    /// The store closes also when the future is dropped after its first poll.
    pub async fn close(self) -> Result<(), StoreError> {
        let (appends, turns) = (close(&self.0.appends), close(&self.0.turns.ops));
        self.0.bell.end();
        for closing in [appends, turns].into_iter().flatten() {
            // No answer: another handle was closing already.
            drop(closing.await);
        }
        Ok(())
    }

    /// A connection of the pool, for what is not carried out twice: where its answer is lost, that is
    /// [`StoreError::Unavailable`], and who asks again learns what became of it.
    async fn connection(&self) -> Result<Connection, StoreError> {
        self.insist(|connection| async { Ok(connection) }).await
    }

    /// How long a try may take that goes through much: a large journal, many runs.
    fn longest(&self) -> Duration {
        self.0.patience.max(Duration::from_secs(30))
    }

    async fn in_time<T>(&self, act: impl Future<Output = Result<T, Failure>>) -> Result<T, StoreError> {
        within(self.longest(), act).await.map_err(StoreError::from)
    }

    /// Before something is written that is not a record: what was recorded before it under this lease is on the disk, or
    /// the lease was given back.
    async fn flushed(&self, lease: &Lease) -> Result<(), StoreError> {
        if self.0.unflushed.concern(lease) {
            self.0.appends.ask(Op::Flush).await?;
        }
        Ok(())
    }

    async fn ask_for(&self, request: &Open) -> Result<Asked, StoreError> {
        let (statements, back) = (&self.0.statements, &self.0.turns);
        let ask = |mut connection: Connection| async move {
            open::ask(&mut connection, statements, request, back).await
        };
        self.insist(ask).await
    }

    /// Carries out `act` on a connection of the pool, and once more where the connection was lost. It must leave
    /// the same when it is carried out twice. What is about one run and not its whole journal: a try has its part of
    /// the patience.
    fn insist<T, Fut>(&self, act: impl Fn(Connection) -> Fut) -> impl Future<Output = Result<T, StoreError>>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.insist_for(Patience::new(self.0.patience).longest(), act)
    }

    /// The same for what goes through much.
    fn insist_at_length<T, Fut>(
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
async fn within<T>(longest: Duration, act: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let done = tokio::time::timeout(longest, act).await;
    done.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()).into()))
}

/// A connection of the pool.
type Connection = sqlx::pool::PoolConnection<Postgres>;

fn close(lane: &Sender<Op>) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
    let (fate, closed) = oneshot::channel();
    lane.send(Op::Close(fate)).then_some(closed)
}

/// What an acknowledged write survives, as the server is set.
async fn durability(connection: &mut Connection) -> Result<&'static str, sqlx::Error> {
    let settings = sqlx::query("SELECT current_setting('fsync'), current_setting('synchronous_commit')");
    let row = settings.fetch_one(&mut **connection).await?;
    let (fsync, commit): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match (fsync.as_str(), commit.as_str()) {
        ("off", _) => "PostgreSQL, fsync=off: a crash of the server may destroy everything",
        (_, "local") => "PostgreSQL, synchronous_commit=local",
        (_, "remote_write") => "PostgreSQL, synchronous_commit=remote_write",
        (_, "remote_apply") => "PostgreSQL, synchronous_commit=remote_apply",
        // Where it is off it is set to on.
        _ => "PostgreSQL, synchronous_commit=on",
    })
}

impl Store for PostgresStore {
    async fn open(&self, mut request: Open) -> Result<Opened, StoreError> {
        // Who opened it is known by a name that nobody else has: a call whose answer was lost finds its lease by it.
        request.owner = Owner::new(format!("{} {}", request.owner.as_str(), Owner::unique().as_str()));
        let request = Arc::new(request);
        let statements = &self.0.statements;
        loop {
            let begin = Arc::clone(&request);
            let back = self.0.turns.clone();
            if request.absent == Absent::Begin
                && let Some(began) =
                    self.0.turns.ops.ask(|fate| Op::Begin(Begin { request: begin, fate, back })).await?
            {
                let header = Header::begin(&request, began.now);
                let input = request.input.as_ref().map(|input| input.payload.clone());
                let lease = began.lease.claim().ok_or(StoreError::Closed)?;
                let run = StoredRun { header, input, records: Vec::new(), waits: Vec::new() };
                return Ok(Opened::Held { lease, now: began.now, run });
            }
            // Where this future is dropped meanwhile, the task goes on, and gives the lease back that it gets.
            let (store, asking) = (self.clone(), Arc::clone(&request));
            let ask = async move { store.ask_for(&asking).await };
            let asked = tokio::spawn(ask.in_current_span()).await;
            let asked = asked.unwrap_or_else(|ended| match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Err(StoreError::Closed),
            })?;
            let (lease, now, run) = match asked {
                Asked::Opened(opened) => return Ok(opened),
                Asked::Held { lease, now, run } => (lease, now, run),
                Asked::Again => continue,
            };
            let slot = run.slot;
            let read = |mut connection: Connection| async move {
                Ok(open::journal(&mut connection, statements, slot).await?)
            };
            let (records, waits) = self.insist_at_length(read).await?;
            let lease = lease.claim().ok_or(StoreError::Closed)?;
            let run = StoredRun { header: run.header, input: run.input, records, waits };
            return Ok(Opened::Held { lease, now, run });
        }
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        if self.0.turns.gives_back(lease) {
            return Err(error::lost(lease));
        }
        let lease = lease.clone();
        self.0.appends.ask(|fate| Op::Append(Append { lease, record, durability, fate })).await
    }

    async fn replace(&self, lease: &Lease, record: Record, _: Durability) -> Result<(), StoreError> {
        self.flushed(lease).await?;
        let (statements, record) = (&self.0.statements, &record);
        self.insist(|mut connection| async move {
            write::replace(&mut connection, statements, lease, record).await
        })
        .await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        self.flushed(lease).await?;
        let (statements, wait) = (&self.0.statements, &wait);
        self.insist(
            |mut connection| async move { write::wait(&mut connection, statements, lease, wait).await },
        )
        .await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        self.flushed(lease).await?;
        let (statements, record) = (&self.0.statements, &record);
        self.insist(|mut connection| async move {
            write::close_entry(&mut connection, statements, lease, record, settling).await
        })
        .await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        let (statements, drop) = (&self.0.statements, drop.as_slice());
        self.insist(
            |mut connection| async move { write::revive(&mut connection, statements, lease, drop).await },
        )
        .await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        let (statements, rewrite) = (&self.0.statements, &rewrite);
        self.insist_at_length(|mut connection| async move {
            write::rewrite(&mut connection, statements, lease, rewrite).await
        })
        .await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        self.flushed(lease).await?;
        let (lease, ending) = (lease.clone(), Box::new(ending));
        self.0.turns.ops.ask(|fate| Op::Finish(Finish { lease, ending, fate })).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let lease = lease.clone();
        self.0.turns.ops.ask(|fate| Op::Renew(Renew { lease, ttl, fate })).await
    }

    fn release(&self, lease: &Lease) {
        self.0.turns.release(lease.clone());
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let statements = &self.0.statements;
        self.insist_at_length(
            |mut connection| async move { open::stored(&mut connection, statements, run).await },
        )
        .await
    }

    fn durability(&self) -> &'static str {
        self.0.durability
    }
}

impl Transactional for PostgresStore {
    type Transaction = PostgresTransaction;

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        self.begin_transaction().await.map(PostgresTransaction)
    }

    async fn commit(
        &self,
        transaction: Self::Transaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        self.commit_transaction(transaction.0, lease, &record, on_recorded).await
    }
}

impl Operate for PostgresStore {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        let (statements, query) = (&self.0.statements, &query);
        self.insist_at_length(|mut connection| async move {
            operate::list(&mut connection, statements, query).await
        })
        .await
    }

    async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        let (statements, query) = (&self.0.statements, &query);
        self.insist_at_length(|mut connection| async move {
            operate::waiting(&mut connection, statements, query).await
        })
        .await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        let (statements, query) = (&self.0.statements, &query);
        self.insist_at_length(|mut connection| async move {
            operate::due(&mut connection, statements, query).await
        })
        .await
    }

    /// Where the connection is lost before the answer's fate is known, this is [`StoreError::Unavailable`]: asked
    /// again, it says whether somebody has answered.
    async fn answer(&self, answer: Answer) -> Result<Answered, StoreError> {
        limits::answer(&answer.outcome)?;
        let mut connection = self.connection().await?;
        let answering = operate::answer(&mut connection, &self.0.statements, &self.0.channel, &answer);
        let answered = within(Patience::new(self.0.patience).longest(), answering).await?;
        self.0.bell.ring();
        Ok(answered)
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        let (statements, channel) = (&self.0.statements, &*self.0.channel);
        let mut connection = self.connection().await?;
        let cancelling = operate::cancel(&mut connection, statements, channel, run);
        let cancelled = within(Patience::new(self.0.patience).longest(), cancelling).await?;
        self.0.bell.ring();
        Ok(cancelled)
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        let (statements, runs) = (&self.0.statements, runs.as_slice());
        self.in_time(operate::delete(&mut *self.connection().await?, statements, runs, condition)).await
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<Imported, StoreError> {
        let (statements, channel, run, stored) = (&self.0.statements, &*self.0.channel, &run, &stored);
        let imported = self
            .in_time(operate::import(&mut *self.connection().await?, statements, channel, run, stored))
            .await?;
        self.0.bell.ring();
        Ok(imported)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let statements = &self.0.statements;
        self.insist(|mut connection| async move {
            let row = statements.now.query().fetch_one(&mut *connection).await?;
            Ok(rows::moment(row.try_get(0)?))
        })
        .await
    }

    /// What other processes do is told through `LISTEN`, on a connection that is opened when this is first called.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn wakes(&self) -> Wakes {
        let Shared { pool, schema, bell, listening, alive, .. } = &*self.0;
        listening.begin(&pool.connect_options(), schema.channel(), bell.clone(), Arc::downgrade(alive));
        bell.listen()
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.0.schema.name()).finish_non_exhaustive()
    }
}
