//! A store in PostgreSQL.

mod dispatch;
mod error;
mod insist;
mod lane;
mod link;
mod list;
mod open;
mod operate;
mod options;
mod patience;
mod pool;
mod rows;
mod schema;
mod statements;
mod store;
mod text;
mod transaction;
mod wakes;
mod write;

pub use options::PostgresOptions;
pub use transaction::PostgresTransaction;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use awaitly_core::store::{Bell, StoreError};
use futures_util::future::{join, join3};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgPool};

use crate::calls::Calls;
use crate::group::{Sender, queue};
use dispatch::Vacuum;
use error::{store_error, unwritable};
use lane::{HeldUp, Lane, Notices, Op, Releasing, Turns, Unflushed};
use link::{Link, Planner, writable};
use pool::{Connection, Length, Pool};
use schema::{Failure, Schema};
use statements::Statements;
use wakes::Listening;

/// A store in PostgreSQL, which many processes on many machines share.
///
/// The statements need PostgreSQL 12 or newer (`AS MATERIALIZED`, `plan_cache_mode`); the store is tested only with 15.
///
/// The store uses the application's pool or a pool of its own. For the frequent operations of runs it opens two more
/// connections, so that records never wait for queries on the pool. The first claim opens a third one, and the first
/// submission a fourth one. A clone is a handle to one store. After the last
/// handle is dropped, queued writes are still carried out in the background; [`close`](Self::close) waits for them.
///
/// # Durability
/// A write that returned `Ok` is committed with the server's `synchronous_commit`, which is `on` by default. If the
/// server has `off`, the store sets `on` for its own writes and for no others. The durability of a commit depends on
/// the server's `fsync`, which the store reads when it opens: see
/// [`durability`](awaitly_core::store::Store::durability). A crash of the server may lose a run that was opened and has
/// recorded no outcome; the run then begins again.
///
/// A record with [`Batched`](awaitly_core::store::Durability::Batched) durability is committed with
/// `synchronous_commit=off`. If the connection is lost before such records are certainly on the disk, their runs are
/// interrupted ([`StoreError::LeaseLost`]) and resume from the stored records, so that a journal has no gap. Some
/// writes need all earlier records of the run on the disk: a question, the replacement of a record, a transactional
/// step and the end of the run. If some of these records may not be on the disk yet, the store first flushes them with
/// one more commit (of an empty logical-decoding message with the prefix `awaitly`).
///
/// Writes of concurrent runs share statements and commits: writes that queue up during a commit go into the next one.
/// There is no timer, so a single run never waits for others. A step takes one statement, one commit, and one row of
/// about 90 bytes beside its key and value.
///
/// # Leases
/// Leases follow the server's clock, so the clocks of the processes may be wrong by hours. A lease lasts until it
/// expires, even if its process was killed; [`close`](Self::close) waits until the released leases are free. A release
/// may fail because another session has locked the table or the run's row, or because the server is away for longer
/// than [`patience`](PostgresOptions::patience). In that case the store tries again each second, for at most ten
/// minutes. In one statement, every write checks the fencing token and locks the run's row against a takeover, so the
/// store refuses the writes of an owner that was frozen and replaced. One statement renews all leases of a process
/// that need a renewal.
///
/// # Queues
/// A submission is one statement and one commit that waits for the disk; concurrent submissions share them. A claim takes
/// two statements for all queues without limits, and a short transaction for each queue with due runs that has limits or is
/// fair. One row of `queues` is locked during such a transaction, so claims of one such queue follow each other. Neither a
/// claim nor the completion of a claimed run changes an index of the table of runs, whose pages have room for that.
///
/// The table `ready` has a row for each due run, which a claim deletes. A claim becomes slower if many deleted rows have not
/// been vacuumed. The store sets the table's options so that autovacuum looks after it early. A process that claims many
/// runs also vacuums it itself, if its role owns the table.
///
/// All processes that use a schema need a version of this library that knows queues: while an older version is connected,
/// do not open the store with a newer one.
///
/// # When the server goes away
/// The store repeats a write until [`patience`](PostgresOptions::patience) ends, by default after 30 seconds. The write
/// then fails with [`StoreError::Unavailable`], which interrupts its run; the run can be resumed later. If a connection
/// is silent for a third of that time, the store closes it and the idle connections of the pool, and tries a new
/// connection. If a connection was cut between a commit and its answer, the store looks for the write before it repeats
/// the write, so no write is stored twice. The store does not repeat the operators' calls `answer`, `cancel`,
/// `delete`, `import`, `pause` and `reschedule` if they may have happened: they return [`StoreError::Unavailable`].
///
/// # Tables
/// The tables are in a separate schema, `awaitly` unless [`schema`](PostgresOptions::schema) sets another. The store
/// creates and updates them when it opens, in one process at a time. If the store's role did not create the tables, it
/// needs `USAGE` on the schema, and `SELECT`, `INSERT`, `UPDATE` and `DELETE` on its tables.
///
/// # Cancel safety
/// If the future of a write is dropped while it waits for a place in the queue, the write does not happen. If it is
/// dropped after that, the write happens completely, or it does not happen. If the future of an `open` is dropped
/// before its lease arrives, the store releases the lease.
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
    pool: Pool,
    schema: Schema,
    statements: Arc<Statements>,
    /// The lane for records.
    appends: Sender<Op>,
    unflushed: Unflushed,
    /// The lane for beginnings and endings of runs, and for leases.
    turns: Arc<Turns>,
    /// The lane for claims, and the lane for submissions. Each connects with its first operation.
    claims: Sender<Op>,
    submissions: Sender<Op>,
    channel: Arc<str>,
    bell: Bell,
    listening: Listening,
    alive: Arc<()>,
    /// The calls on the pool, and the listening task.
    calls: Calls,
    durability: &'static str,
}

impl PostgresStore {
    /// Opens a store with a pool of its own and the default [`PostgresOptions`], creates its tables if they do not
    /// exist, and brings them up to date.
    ///
    /// # Errors
    /// Returns the errors of [`open`](Self::open), and [`StoreError::NotThere`] if the URL is invalid.
    ///
    /// # Panics
    /// Panics if it is called outside of a tokio runtime.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        PostgresOptions::new().connect(url).await
    }

    /// Opens a store on the application's pool with the default [`PostgresOptions`], creates its tables if they do not
    /// exist, and brings them up to date.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the server cannot be reached; [`StoreError::NotThere`] if it refuses the
    /// user, lacks the database, or uses another encoding than `UTF8`; [`StoreError::ReadOnly`] if the server is a
    /// standby, if `default_transaction_read_only` is on, or if the role may not create the tables;
    /// [`StoreError::NewerFormat`] if a newer version of this library created the tables, and then the database is
    /// unchanged.
    ///
    /// # Panics
    /// Panics if it is called outside of a tokio runtime.
    ///
    /// # Examples
    /// ```no_run
    /// use awaitly_core::store::Store;
    /// use awaitly_persistence::PostgresStore;
    ///
    /// # async fn open(pool: sqlx::PgPool) -> Result<(), awaitly_core::store::StoreError> {
    /// let store = PostgresStore::open(pool).await?;
    /// println!("an acknowledged write survives as with {}", store.durability());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(pool: PgPool) -> Result<Self, StoreError> {
        PostgresOptions::new().open(pool).await
    }

    async fn start(options: PostgresOptions, pool: Pool) -> Result<Self, StoreError> {
        let schema = Schema::new(&options.schema)?;
        let tried = AtomicBool::new(false);
        let prepare = {
            let (schema, tried) = (&schema, &tried);
            move |mut connection: Connection| async move {
                let connection = &mut *connection;
                utf8(connection).await?;
                match writable(connection).await {
                    // A new connection may lead to the server that has taken over.
                    Err(error) if unwritable(&error).is_some() && tried.swap(true, Ordering::Relaxed) => {
                        return Err(Failure::Refused(store_error(&error)));
                    }
                    writable => writable?,
                }
                schema.migrate(connection).await?;
                Ok(durability(connection).await?)
            }
        };
        let durability = pool.insist(pool.patience(), Length::Long, prepare).await?;
        let (statements, bell) = (Arc::new(Statements::new(&schema)), Bell::new());
        let (channel, releasing) = (Arc::<str>::from(schema.channel()), Releasing::default());
        let lane = |unflushed, planner| {
            let (sender, ops) = queue(options.queue);
            let lane = Lane {
                ops,
                link: Link::new(pool.connect_options(), planner),
                statements: Arc::clone(&statements),
                patience: options.patience,
                bell: bell.clone(),
                channel: Arc::clone(&channel),
                releasing: releasing.clone(),
                held_up: HeldUp::default(),
                unflushed,
                claims: 0,
                vacuum: Vacuum::default(),
                notices: Notices::default(),
            };
            tokio::spawn(lane.run());
            sender
        };
        let unflushed = Unflushed::default();
        let (appends, turns) =
            (lane(unflushed.clone(), Planner::Usual), lane(Unflushed::default(), Planner::Usual));
        let claims = lane(Unflushed::default(), Planner::FollowsIndexes);
        let submissions = lane(Unflushed::default(), Planner::Usual);
        let turns = Arc::new(Turns { ops: turns, patience: options.patience, releasing });
        tracing::info!(schema = schema.name(), durability, "opened a store of journals");
        Ok(Self(Arc::new(Shared {
            pool,
            schema,
            statements,
            appends,
            unflushed,
            turns,
            claims,
            submissions,
            channel,
            bell,
            listening: Listening::default(),
            alive: Arc::new(()),
            calls: Calls::new(),
            durability,
        })))
    }

    #[doc = include_str!("../close.md")]
    /// - Leases that are still held last until they expire. To release them, drop the futures of the runs before this
    ///   call. If a lock or an outage delays a release, the store tries again until its patience ends.
    /// - The application's pool stays open. The store closes a pool of its own after the transactions of steps end.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if a step's transaction outlasts the patience.
    ///
    /// # Cancel safety
    /// If the future is dropped after its first poll, the store still closes.
    pub async fn close(self) -> Result<(), StoreError> {
        self.0.bell.end();
        // All of them close at the first poll.
        // The lane for leases ends last, because claims release leases through it.
        let others = join3(self.0.appends.close(), self.0.claims.close(), self.0.submissions.close());
        let lanes = join(others, self.0.turns.ops.close());
        let ((), ((appends, claims, submissions), turns)) = join(self.0.calls.close(), lanes).await;
        appends.and(claims).and(submissions).and(turns)?;
        self.0.pool.close().await
    }
}

/// Refuses a database whose encoding cannot represent every text, or that stores bytes without a check.
async fn utf8(connection: &mut PgConnection) -> Result<(), Failure> {
    let row = sqlx::query("SELECT current_setting('server_encoding')").fetch_one(connection).await?;
    let encoding: String = row.try_get(0)?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let detail =
        format!("PostgreSQL: the database has the encoding {encoding}, make one with ENCODING 'UTF8'").into();
    Err(StoreError::NotThere { detail }.into())
}

/// Returns the durability of an acknowledged write under the server's settings.
async fn durability(connection: &mut PgConnection) -> Result<&'static str, sqlx::Error> {
    let settings = sqlx::query("SELECT current_setting('fsync'), current_setting('synchronous_commit')");
    let row = settings.fetch_one(connection).await?;
    let (fsync, commit): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match (fsync.as_str(), commit.as_str()) {
        ("off", _) => "PostgreSQL, fsync=off: a crash of the server may destroy everything",
        (_, "local") => "PostgreSQL, synchronous_commit=local",
        (_, "remote_write") => "PostgreSQL, synchronous_commit=remote_write",
        (_, "remote_apply") => "PostgreSQL, synchronous_commit=remote_apply",
        // If the setting is `off`, the store sets it to `on`.
        _ => "PostgreSQL, synchronous_commit=on",
    })
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.0.schema.name()).finish_non_exhaustive()
    }
}
