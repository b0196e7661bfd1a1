//! Journals in PostgreSQL.

mod error;
mod insist;
mod lane;
mod link;
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
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::sync::oneshot;

use crate::group::{Sender, queue};
use error::{store_error, unwritable};
use lane::{HeldUp, Lane, Op, Releasing, Turns, Unflushed};
use link::{Link, writable};
use pool::{Connection, Length, Pool};
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
/// server's `fsync`, which is asked for at opening: see [`durability`](awaitly_core::store::Store::durability). A run
/// that was opened and has recorded nothing may be forgotten in a crash of the server; it begins again then.
///
/// A record with [`Batched`](awaitly_core::store::Durability::Batched) durability is committed with
/// `synchronous_commit=off`. Where the connection is lost before such records are certainly on the disk, their runs are
/// interrupted ([`StoreError::LeaseLost`]) and resume from what is there, so that a journal has no gap. A question, a
/// replacement, a transactional step and the end of a run that follow such a record bring it to the disk first, with one
/// commit more (of a message of logical decoding that says nothing, under the prefix `awaitly`).
///
/// Writes of concurrent runs share statements and commits: what queues up while one commit is on its way to the
/// disk goes with the next. There is no timer, so a single run waits for nobody. A step is one statement and one
/// commit, and one row of about 90 bytes beside its key and value.
///
/// # Leases
/// They run by the clock of the server: those of the processes may be wrong by hours. A lease lasts until its
/// time is over, also where its process was killed; [`close`](Self::close) waits until those that were given back are
/// free. If a lease cannot be given back, because another session has locked the table or the row of the run, or because the
/// server is away for longer than the patience, the store tries again each second, for ten minutes at most. Every write checks the fencing token and locks the row of its run against those who would take it over, in one
/// statement, so an owner that was frozen and replaced is refused. All leases of a process that are to be renewed at one moment are renewed by one statement.
///
/// # When the server goes away
/// Writes wait and are tried again for as long as [`patience`](PostgresOptions::patience) lasts, 30 seconds unless
/// set; then they are [`StoreError::Unavailable`], and their runs are interrupted, to be resumed later. A connection that
/// goes silent has a third of that time; then the store closes it and the idle ones of the pool, and tries a new one. Where a
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
    pool: Pool,
    schema: Schema,
    statements: Arc<Statements>,
    /// Records.
    appends: Sender<Op>,
    unflushed: Unflushed,
    /// Beginnings and endings of runs, and leases.
    turns: Arc<Turns>,
    channel: Arc<str>,
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
    /// Returns [`StoreError::Unavailable`] if the server cannot be reached; [`StoreError::NotThere`] if it refuses the
    /// user, has no such database, or keeps the database in another encoding than `UTF8`; [`StoreError::ReadOnly`] if the
    /// server is a standby, if `default_transaction_read_only` is on, or if the role may not make the tables;
    /// [`StoreError::NewerFormat`] if a newer version made them. Nothing is changed then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(pool: PgPool) -> Result<Self, StoreError> {
        PostgresOptions::new().open(pool).await
    }

    async fn start(options: PostgresOptions, pool: PgPool) -> Result<Self, StoreError> {
        let schema = Schema::new(&options.schema)?;
        let pool = Pool::new(pool, options.patience);
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
        let lane = |unflushed| {
            let (sender, ops) = queue(options.queue);
            let lane = Lane {
                ops,
                link: Link::new(pool.connect_options()),
                statements: Arc::clone(&statements),
                patience: options.patience,
                bell: bell.clone(),
                channel: Arc::clone(&channel),
                releasing: releasing.clone(),
                held_up: HeldUp::default(),
                unflushed,
            };
            tokio::spawn(lane.run());
            sender
        };
        let unflushed = Unflushed::default();
        let (appends, turns) = (lane(unflushed.clone()), lane(Unflushed::default()));
        let turns = Arc::new(Turns { ops: turns, patience: options.patience, releasing });
        tracing::info!(schema = schema.name(), durability, "opened a store of journals");
        Ok(Self(Arc::new(Shared {
            pool,
            schema,
            statements,
            appends,
            unflushed,
            turns,
            channel,
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
}

fn close(lane: &Sender<Op>) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
    let (fate, closed) = oneshot::channel();
    lane.send(Op::Close(fate)).then_some(closed)
}

/// Refuses a database whose encoding cannot keep every text, or that keeps bytes without a check.
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

/// What an acknowledged write survives, as the server is set.
async fn durability(connection: &mut PgConnection) -> Result<&'static str, sqlx::Error> {
    let settings = sqlx::query("SELECT current_setting('fsync'), current_setting('synchronous_commit')");
    let row = settings.fetch_one(connection).await?;
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

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.0.schema.name()).finish_non_exhaustive()
    }
}
