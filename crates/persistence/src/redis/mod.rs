//! Journals on a Redis server.

mod error;
mod fields;
mod link;
mod listen;
mod lists;
mod names;
mod nonces;
mod op;
mod open;
mod operate;
mod options;
mod releases;
mod reply;
mod scripts;
mod server;
mod store;
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
use futures_util::future::join;
use redis::{Client, Cmd, ProtocolVersion};

use crate::calls::{Call, Calls};
use crate::group::{Sender, queue};
use crate::limits;
use link::Link;
use listen::Listener;
use names::Names;
use nonces::Nonces;
use op::{Caller, Kind, Op, To};
use releases::Releases;
use reply::Reply;
use scripts::Script;
use writer::Writer;

/// Journals on a Redis server, which many processes of many machines share.
///
/// A clone is a handle on the same store. Dropping the last handle lets the writes that are queued be carried out
/// in the background, for as long as the runtime lives that the store was connected in.
///
/// # Durability
/// A journal is as durable as the server is set to be, and most are not set to be: with `appendonly no`, which is
/// Redis's own default, a restart of the server loses everything since its last snapshot. With `appendonly yes`
/// and `appendfsync everysec` a crash of its machine may undo the last second, and only with `appendfsync always`
/// does an acknowledged write survive it. [`durability`] says what was found at connecting, the log says it too,
/// and warns where it is less than that. A replica that takes over may lack the newest writes in
/// any case: Redis copies to them later than it answers. `Durability::Batched` is the same as `Sync` here.
///
/// Each write is a script of its own that happens whole or not at all. What concurrent runs write while an answer is on
/// its way goes in one piece with the next sending. There is no timer, so a single run waits for nobody.
///
/// # Leases
/// They run by the clock of the server, as all times here do: where that is set back, leases last longer by as much.
/// A lease lasts until its time is over, also where its process was killed. What the server forgets in a crash is
/// forgotten for all: an owner whose lease it does not know any more cannot write, even where another lease has got
/// the same token since.
///
/// A lease is good for the server that gave it. After a restart, and where a replica takes over, its owner is refused
/// as one who has lost it, so that nothing is recorded behind an outcome that was acknowledged and forgotten; the run is
/// due then, and resumes from what is there. Only where nothing acknowledged is forgotten, with `appendfsync always` and
/// no replica, as found at connecting, does a lease outlive a restart.
///
/// A lease is given back by a task of the runtime that the store was connected in. [`close`](Self::close) waits for those
/// that this store gave back, and so does every call that reads, [`now`] for example. If the runtime ends first, they last
/// until their time is over.
///
/// # When the server goes away
/// A write whose answer was lost is sent again over a new connection, and recognises itself if it was carried out
/// the first time. That goes on for 30 seconds, or what [`RedisOptions::patience`] says, and ends with
/// [`StoreError::Unavailable`]: then the write may have happened or not. [`delete`] alone is not sent again once it
/// may have happened, because it could not say any more which runs it deleted.
///
/// # The server
/// Redis from version 5 on, or a compatible server, alone or with replicas. Not a Redis Cluster: the scripts
/// touch several keys of a run, which a cluster spreads over machines; one is refused at connecting. A server that
/// throws keys away when its memory is full (`maxmemory-policy allkeys-*`) throws away journals, and the log says so
/// as an error at connecting: a run that has lost records is [`StoreError::Corrupt`], and one that is gone as a whole
/// begins anew.
///
/// TLS is not built in: an address that begins with `rediss:` works where your program turns on a TLS feature of the
/// crate `redis`.
///
/// All names begin with a prefix, `awaitly:` unless [`RedisOptions::prefix`] says otherwise, and others are left
/// alone. Nothing expires by itself, and nothing looks through the whole database.
///
/// # Rights
/// This makes a user with the rights that a store with the prefix `awaitly` uses, and no others. It is one line, for
/// Redis 6.2 and newer:
///
/// ```text
/// ACL SETUSER app on >secret resetkeys ~awaitly:* resetchannels &awaitly:wakes -@all
///     +evalsha +script|load +client|id +client|kill +info +config|get +ping +select +time
///     +get +set +incr +exists +unlink +publish +subscribe
///     +hget +hmget +hgetall +hkeys +hlen +hexists +hset +hdel +hincrby
///     +zadd +zrem +zrange +zrangebylex +zrangebyscore +zrevrangebyscore
/// ```
///
/// `+select` is for an address that names another database than 0. The crate `redis` also tells its name by
/// `CLIENT SETINFO`, and does not mind a refusal. The store works without some of these rights, but loses something:
///
/// - Without `CLIENT KILL`, the server does not close a connection that was lost. What was sent over it may be carried
///   out after what came later, so a late replacement of a record may undo a newer one. A warning says so each time.
///   Appends, endings and openings recognise themselves however late they are.
/// - Without `CONFIG GET`, nobody knows how durable the server is: [`durability`] says that, and so does a warning. A
///   `maxmemory-policy` that throws journals away is not noticed, and each restart interrupts runs.
/// - Without the channel, or `PUBLISH` and `SUBSCRIBE`, [`wakes`] tells only what this store did itself, and other
///   processes do not hear of that: ask [`due`] from time to time. Once somebody listens, the store tries to subscribe
///   twice a second, each time over a new connection.
///
/// [`due`]: awaitly_core::store::Operate::due
/// [`now`]: awaitly_core::store::Operate::now
/// [`wakes`]: awaitly_core::store::Operate::wakes
/// [`delete`]: awaitly_core::store::Operate::delete
/// [`durability`]: awaitly_core::store::Store::durability
///
/// # Limits
/// A run of more than 250 000 records and entries that wait is neither imported nor migrated:
/// [`StoreError::Unstorable`].
///
/// # Cancel safety
/// A write whose future is dropped while it waits for a place in the queue does not happen; later it happens
/// whole. A lease whose future is dropped before it arrived is given back.
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
    /// Those that read, and the task that listens.
    calls: Calls,
    /// Reads do not wait for writes, but for what was given back.
    reader: Link,
    releases: Releases,
    names: Names,
    nonces: Nonces,
    bell: Bell,
    listener: Listener,
    durability: server::Durability,
}

impl RedisStore {
    /// Connects to the server at that address, with the defaults of [`RedisOptions`]. Must be called within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::NotThere`] where the address is invalid, the server does not let the user in, is too old, or is
    /// part of a cluster; [`StoreError::Unavailable`] where it does not answer, which is not tried again;
    /// [`StoreError::NewerFormat`] where a newer version wrote there, and then nothing was touched;
    /// [`StoreError::Corrupt`] where something else stands under the names of the store;
    /// [`StoreError::ReadOnly`] and [`StoreError::Full`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, StoreError> {
        RedisOptions::new().connect(url).await
    }

    async fn start(options: RedisOptions, url: &str) -> Result<Self, StoreError> {
        let RedisOptions { prefix, queue: places, patience } = options;
        let names = Names::new(prefix)?;
        let client = client(url).map_err(|error| error::lost(&error))?;
        let reader = Link::new(client.clone(), patience);
        let (durability, memory) = server::inspect(&reader, &names).await?;
        let (ops, queued) = queue(places);
        let bell = Bell::new();
        let writer = Writer {
            ops: queued,
            link: Link::new(client.clone(), patience),
            bell: bell.clone(),
            patience,
            memory,
        };
        tokio::spawn(writer.run());
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
            calls: Calls::new(),
            reader,
            releases: Releases::default(),
            names,
            nonces: Nonces::new(),
            bell,
            listener,
            durability,
        })))
    }

    #[doc = include_str!("../close.md")]
    /// - Leases that are still held last until their time is over: drop the runs first.
    ///
    /// # Errors
    /// None today.
    ///
    /// # Cancel safety
    /// The store closes also if the future is dropped after its first poll.
    pub async fn close(self) -> Result<(), StoreError> {
        self.0.bell.end();
        // Both close at the first poll.
        let ((), written) = join(self.0.calls.close(), self.0.ops.close()).await;
        self.0.reader.close().await;
        written
    }

    fn call(&self, script: Script, run: &str) -> Cmd {
        script.call(&self.0.names, run)
    }

    /// The call of a script that only the holder of the lease may make.
    fn call_by(&self, lease: &Lease, script: Script) -> Cmd {
        let mut call = self.call(script, lease.run());
        call.arg(lease.token()).arg(holder(lease));
        call
    }

    fn nonce(&self) -> String {
        nonces::text(self.0.nonces.next())
    }

    /// Begins a call that reads, once everything is carried out that this store gave back before.
    async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        let call = self.0.calls.begin()?;
        if let Some(given_back) = self.0.releases.open() {
            let (call, to, kind) = (redis::cmd("PING"), To::Any, Kind::Plain);
            self.0.ops.ask(|fate| Op { call, to, kind, caller: Caller::Reply(fate) }).await?;
            self.0.releases.close(given_back);
        }
        Ok(Reader { link: &self.0.reader, _call: call })
    }

    /// Has the writer carry out a call.
    async fn write<'a>(&self, run: &'a str, call: Cmd, to: To, kind: Kind) -> Result<Reply<'a>, StoreError> {
        let reply = self.0.ops.ask(|fate| Op { call, to, kind, caller: Caller::Reply(fate) }).await?;
        Reply::of(run, reply)
    }

    /// The same for the holder of the lease; `key` is the one that may be recorded already.
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
            (word, Some(key)) if word == "recorded" => {
                Err(StoreError::AlreadyRecorded { run: run(), key: key.clone() })
            }
            (word, _) => Ok((word, reply)),
        }
    }

    /// The same for a call that is done or refused.
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

/// The older protocol does for everything here, and the one for subscriptions is it.
fn client(url: &str) -> redis::RedisResult<Client> {
    let client = Client::open(url)?;
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    Client::open(info.set_redis_settings(settings))
}

/// Who holds the lease, as scripts compare it.
fn holder(lease: &Lease) -> String {
    nonces::text(lease.slot().cast_unsigned())
}

fn lasting(ttl: Duration) -> u64 {
    millis(ttl.min(limits::LONGEST_TTL))
}

/// A part of a millisecond counts as a whole one, as in [`Timestamp::after`].
fn millis(duration: Duration) -> u64 {
    Timestamp::default().after(duration).as_millis()
}

/// How many records and entries that wait are written by one call at most. Each takes up to four arguments of a call, and servers
/// before version 7 hang up on one that has more than a million.
const MOST: usize = 250_000;

/// Refuses a journal that one call cannot hold.
fn not_too_many(records: &[Record], waits: &[WaitEntry]) -> Result<(), StoreError> {
    let size = records.len() + waits.len();
    if size <= MOST {
        return Ok(());
    }
    let detail = format!("{size} records and entries that wait, at most {MOST} are written at once").into();
    Err(StoreError::Unstorable { detail })
}

/// Adds what scripts are told of a record.
fn add_record(call: &mut Cmd, record: &Record) {
    let Record { key, outcome, input } = record;
    call.arg(&**key).arg(outcome.kind().to_number()).arg(fields::fingerprint_text(*input));
    call.arg(outcome.payload().as_str());
}
