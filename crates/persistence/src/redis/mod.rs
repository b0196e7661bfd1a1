//! A store on a Redis server.

mod claim;
mod dispatch;
mod error;
mod exchange;
mod fields;
mod joined;
mod labels;
mod link;
mod listen;
mod lists;
mod names;
mod nonces;
mod op;
mod open;
mod operate;
mod options;
mod parts;
mod records;
mod releases;
mod reply;
mod schedules;
mod scripts;
mod server;
mod store;
mod submit;
mod waiting;
mod walk;
mod writer;

pub use options::RedisOptions;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Key, Record, Timestamp, WaitEntry};
use awaitly_core::store::{Bell, Lease, StoreError};
use futures_util::future::join3;
use redis::{Client, Cmd, ProtocolVersion};

use crate::calls::{Call, Calls};
use crate::group::{Sender, queue};
use crate::limits;
use claim::Arrived;
use link::Link;
use listen::Listener;
use names::Names;
use nonces::Nonces;
use op::{Caller, Kind, Op, To};
use releases::Releases;
use reply::Reply;
use scripts::Script;
use writer::Writer;

/// A store on a Redis server, which many processes on many machines share.
///
/// A clone is a handle to one store. After the last handle is dropped, queued writes are still carried out in the
/// background, as long as the runtime in which the store was connected is alive.
///
/// # Durability
/// A journal is as durable as the server's settings, and most servers are not set up for durability. With `appendonly
/// no`, which is Redis's default, a restart of the server loses everything since its last snapshot. With `appendonly
/// yes` and `appendfsync everysec`, a crash of the server's machine may undo the last second; only with `appendfsync
/// always` does an acknowledged write survive a crash. [`durability`] reports the settings found when connecting; the
/// log reports them too, and warns if they are weaker than `appendfsync always`. A replica that takes over may lack the
/// newest writes with any settings, because Redis replicates after it answers. `Durability::Batched` has the effect of
/// `Sync` here.
///
/// Each write is one script, which takes effect completely or has no effect. Writes of concurrent runs that arrive
/// while an answer is awaited are sent together. There is no timer, so a single run never waits for others.
///
/// # Leases
/// Leases follow the server's clock, like all times here: if the clock is set back, leases last longer by that amount.
/// A lease lasts until it expires, even if its process was killed. If the server forgets a lease in a crash, the owner
/// can no longer write, even if another lease has been given an equal token since.
///
/// A lease is valid for the server process that gave it. After a restart, or after a replica takes over, the server
/// refuses writes under older leases with [`StoreError::LeaseLost`], so that no record follows an outcome that was
/// acknowledged and forgotten. The runs are then due, and resume from the stored records. There is one exception: if
/// the store found `appendfsync always` and no replica when it connected, the server forgets no acknowledged write, so
/// leases survive a restart.
///
/// A lease is released by a task of the runtime in which the store was connected. [`close`](Self::close) waits until
/// the leases that this store released are free, and so does every call that reads, for example [`now`]. If the runtime
/// ends first, the leases last until they expire.
///
/// # When the server goes away
/// If the answer to a write is lost, the store sends the write again over a new connection, and the script recognises
/// whether the first copy was carried out. The attempts continue until [`RedisOptions::patience`] ends, by default
/// after 30 seconds. The write then fails with [`StoreError::Unavailable`], and it may or may not have happened. There
/// is one exception: the store does not repeat a [`delete`] that may have happened, because the second call could not
/// report which runs the first call deleted.
///
/// # The server
/// The store needs Redis 5 or newer, or a compatible server, alone or with replicas. [`connect`](Self::connect) refuses
/// a Redis Cluster, because the scripts touch several keys of a run, which a cluster spreads over machines.
///
/// A server that evicts keys when its memory is full (`maxmemory-policy allkeys-*`) also evicts journals; the store
/// logs an error about this setting when it connects. If the server evicted some records of a run, the run can no
/// longer be loaded: calls fail with [`StoreError::Corrupt`]. If it evicted the whole run, the run begins again.
///
/// TLS is not built in: an address that begins with `rediss:` works if your program turns on a TLS feature of the crate
/// `redis`.
///
/// All keys begin with a prefix, `awaitly:` unless [`RedisOptions::prefix`] sets another; other keys are never touched.
/// No call scans the whole database. The store's keys have no expiry, except those that hold the answer of one call, in
/// case it is lost: they expire after a day at most.
///
/// # Rights
/// This command creates a user with exactly the rights that a store with the prefix `awaitly` uses, on Redis 6.2 or
/// newer. Enter it as one line:
///
/// ```text
/// ACL SETUSER app on >secret resetkeys ~awaitly:* resetchannels &awaitly:wakes -@all
///     +evalsha +script|load +client|id +client|kill +info +config|get +ping +select +time
///     +get +set +incr +incrby +exists +unlink +publish +subscribe
///     +hget +hmget +hgetall +hkeys +hlen +hexists +hset +hdel +hincrby
///     +zadd +zrem +zremrangebyscore +zscore +zcount
///     +zrange +zrangebylex +zrangebyscore +zrevrangebyscore
/// ```
///
/// `+select` is needed for an address that names another database than 0. The crate `redis` also sends its name with
/// `CLIENT SETINFO`, and ignores a refusal. The store works without some of these rights, with restrictions:
///
/// - Without `CLIENT KILL`, the server does not close a lost connection. Commands in flight on it may be carried out
///   after later ones, so a late replacement of a record may undo a newer one. The store logs a warning each time.
///   Appends, endings and openings recognise their earlier copy however late it is.
/// - Without `CONFIG GET`, the durability of the server is unknown: [`durability`] and a warning say so. A
///   `maxmemory-policy` that evicts journals is not noticed, and each restart interrupts runs.
/// - Without the channel `awaitly:wakes`, or without `PUBLISH` and `SUBSCRIBE`, [`wakes`] reports only this store's own
///   changes, and other processes are not notified of them: poll [`due`] periodically. After the first call of
///   [`wakes`], the store tries to subscribe twice a second, each time over a new connection.
///
/// [`due`]: awaitly_core::store::Operate::due
/// [`now`]: awaitly_core::store::Operate::now
/// [`wakes`]: awaitly_core::store::Operate::wakes
/// [`delete`]: awaitly_core::store::Operate::delete
/// [`durability`]: awaitly_core::store::Store::durability
///
/// # Limits
/// A run of more than 250 000 records and waiting entries can be neither imported nor migrated: the store returns
/// [`StoreError::Unstorable`].
///
/// # Cancel safety
/// If the future of a write is dropped while it waits for a place in the queue, the write does not happen. If it is
/// dropped after that, the write happens completely. If the future of an `open` is dropped before its lease arrives,
/// the store releases the lease.
///
/// # Examples
/// ```no_run
/// use awaitly_core::store::{Open, Owner, RunId, Store};
/// use awaitly_persistence::RedisStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://127.0.0.1:6379").await?;
/// let run = RunId::new("order-42")?;
/// store.open(Open::new(run.clone(), "checkout", Owner::unique())).await?;
/// assert!(store.load(&run).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    ops: Sender<Op>,
    /// The calls of clients and workers. They have a connection of their own, so that the writes of a run do not wait for
    /// the transfer of large batches.
    batches: Sender<Op>,
    /// The calls that read, and the listening task.
    calls: Calls,
    /// The connection for reads. They do not wait for writes, except for releases of leases.
    reader: Link,
    releases: Releases,
    arrived: Arrived,
    names: Names,
    nonces: Nonces,
    bell: Bell,
    listener: Listener,
    durability: server::Durability,
}

impl RedisStore {
    /// Connects to the server at the address `url`, with the default [`RedisOptions`].
    ///
    /// # Errors
    /// Returns [`StoreError::NotThere`] if the address is invalid, or if the server refuses the user, is too old, or is
    /// part of a cluster; [`StoreError::Unavailable`] if the server does not answer, without further attempts;
    /// [`StoreError::NewerFormat`] if a newer version of this library wrote the data, and then the data is unchanged;
    /// [`StoreError::Corrupt`] if the store's keys hold foreign data; [`StoreError::ReadOnly`] if the server accepts no
    /// writes because it is a replica; [`StoreError::Full`] if its memory is full or it cannot save its data.
    ///
    /// # Panics
    /// Panics if it is called outside of a tokio runtime.
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, StoreError> {
        RedisOptions::new().connect(url).await
    }

    async fn start(options: RedisOptions, url: &str) -> Result<Self, StoreError> {
        let RedisOptions { prefix, queue: places, patience } = options;
        let names = Names::new(prefix)?;
        let client = client(url).map_err(|error| error::lost(&error))?;
        let reader = Link::new(client.clone(), patience);
        let (durability, memory) = server::inspect(&reader, &names).await?;
        let bell = Bell::new();
        let writer = || {
            let (ops, queued) = queue(places);
            let (link, bell) = (Link::new(client.clone(), patience), bell.clone());
            tokio::spawn(Writer { ops: queued, link, bell, patience, memory }.run());
            ops
        };
        let (ops, batches) = (writer(), writer());
        let address = client.get_connection_info().addr().to_string();
        tracing::info!(
            server = %address,
            prefix = names.prefix(),
            durability = durability.as_str(),
            "connected to a store of journals"
        );
        if durability != server::Durability::Always {
            tracing::warn!(
                durability = durability.as_str(),
                "acknowledged writes may be lost with the server"
            );
        }
        let listener = Listener::new(client);
        Ok(Self(Arc::new(Shared {
            ops,
            batches,
            calls: Calls::new(),
            reader,
            releases: Releases::default(),
            arrived: Arrived::default(),
            names,
            nonces: Nonces::new(),
            bell,
            listener,
            durability,
        })))
    }

    #[doc = include_str!("../close.md")]
    /// - A lease that is still held becomes free only when it expires. To release it earlier, drop the future of its
    ///   run before this call.
    ///
    /// # Errors
    /// Currently returns no error.
    ///
    /// # Cancel safety
    /// If the future is dropped after its first poll, the store still closes.
    pub async fn close(self) -> Result<(), StoreError> {
        self.0.bell.end();
        // Both close at the first poll.
        let ((), written, dispatched) =
            join3(self.0.calls.close(), self.0.ops.close(), self.0.batches.close()).await;
        self.0.reader.close().await;
        written.and(dispatched)
    }

    fn call(&self, script: Script, run: &str) -> Cmd {
        script.call(&self.0.names, run)
    }

    /// Returns the call of a script that only the holder of the lease may make.
    fn call_by(&self, lease: &Lease, script: Script) -> Cmd {
        let mut call = self.call(script, lease.run());
        call.arg(lease.token()).arg(holder(lease));
        call
    }

    fn nonce(&self) -> String {
        nonces::text(self.0.nonces.next())
    }

    /// Begins a call that reads, after all earlier releases of this store are carried out.
    async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        let call = self.0.calls.begin()?;
        self.released().await?;
        Ok(Reader { link: &self.0.reader, _call: call })
    }

    /// Waits until all earlier releases of this store are carried out.
    async fn released(&self) -> Result<(), StoreError> {
        if let Some(given_back) = self.0.releases.open() {
            let (call, to, kind) = (redis::cmd("PING"), To::Any, Kind::Plain);
            self.0.ops.ask(|fate| Op { call, to, kind, caller: Caller::Reply(fate) }).await?;
            self.0.releases.close(given_back);
        }
        Ok(())
    }

    /// Passes a call about many runs or queues to the writer of batches, and waits for its reply.
    async fn batch(&self, call: Cmd) -> Result<Reply<'static>, StoreError> {
        self.released().await?;
        let (to, kind) = (To::Any, Kind::Wakes);
        let reply = self.0.batches.ask(|fate| Op { call, to, kind, caller: Caller::Reply(fate) }).await?;
        Reply::of("", reply)
    }

    /// Passes a call to the writer, and waits for its reply.
    async fn write<'a>(&self, run: &'a str, call: Cmd, to: To, kind: Kind) -> Result<Reply<'a>, StoreError> {
        let reply = self.0.ops.ask(|fate| Op { call, to, kind, caller: Caller::Reply(fate) }).await?;
        Reply::of(run, reply)
    }

    /// Passes a call of the lease holder to the writer; `key` is the key that may already have a record.
    async fn write_by<'a>(
        &self,
        lease: &'a Lease,
        key: Option<&Key>,
        call: Cmd,
        kind: Kind,
    ) -> Result<(String, Reply<'a>), StoreError> {
        let run = || (**lease.run()).into();
        let mut reply = self.write(lease.run(), call, To::One, kind).await?;
        match (reply.text("reply")?, key) {
            (word, _) if word == "lost" => Err(StoreError::LeaseLost { run: run() }),
            (word, _) if word == "failed" => Err(error::refused_in_script(&reply.text("reply")?)),
            (word, Some(key)) if word == "recorded" => {
                Err(StoreError::AlreadyRecorded { run: run(), key: key.clone() })
            }
            (word, _) => Ok((word, reply)),
        }
    }

    /// Passes a call of the lease holder to the writer, if the reply is only success or a refusal.
    async fn do_by<'a>(
        &self,
        lease: &'a Lease,
        key: Option<&Key>,
        call: Cmd,
        kind: Kind,
    ) -> Result<Reply<'a>, StoreError> {
        match self.write_by(lease, key, call, kind).await? {
            (word, reply) if word == "done" => Ok(reply),
            (_, reply) => Err(reply.corrupt("reply")),
        }
    }

    async fn record(&self, script: Script, lease: &Lease, record: &Record) -> Result<(), StoreError> {
        let mut call = self.call_by(lease, script);
        call.arg(self.nonce());
        add_record(&mut call, record);
        self.do_by(lease, Some(&record.key), call, Kind::Plain).await.map(drop)
    }
}

/// A call that reads.
struct Reader<'a> {
    link: &'a Link,
    _call: Call,
}

impl Deref for Reader<'_> {
    type Target = Link;

    fn deref(&self) -> &Link {
        self.link
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.0.names.prefix())
            .field("durability", &self.0.durability)
            .finish_non_exhaustive()
    }
}

/// The older protocol suffices for all commands, and subscriptions use it.
fn client(url: &str) -> redis::RedisResult<Client> {
    let client = Client::open(url)?;
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    Client::open(info.set_redis_settings(settings))
}

/// Returns the identity of the lease holder, in the form that scripts compare.
fn holder(lease: &Lease) -> String {
    nonces::text(lease.slot().cast_unsigned())
}

fn lasting(ttl: Duration) -> u64 {
    millis(ttl.min(limits::LONGEST_TTL))
}

/// Converts a duration to milliseconds, rounded up as in [`Timestamp::after`].
fn millis(duration: Duration) -> u64 {
    Timestamp::default().after(duration).as_millis()
}

/// The maximum number of records and waiting entries that one call writes. Each takes up to four arguments, and servers
/// before version 7 close the connection on a call with more than a million arguments.
const MOST: usize = 250_000;

/// Refuses a journal that is too large for one call.
fn not_too_many(records: &[Record], waits: &[WaitEntry]) -> Result<(), StoreError> {
    let size = records.len() + waits.len();
    if size <= MOST {
        return Ok(());
    }
    let detail = format!("{size} records and entries that wait, at most {MOST} are written at once").into();
    Err(StoreError::Unstorable { detail })
}

/// Adds a record to the arguments of a script.
fn add_record(call: &mut Cmd, record: &Record) {
    let Record { key, outcome, input } = record;
    call.arg(&**key).arg(outcome.kind().to_number()).arg(records::fingerprint_text(*input));
    call.arg(outcome.payload().as_str());
}
