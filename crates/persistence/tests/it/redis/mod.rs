//! These need a server: `cargo xtask test` starts one, or set `AWAITLY_REDIS_URL`.

mod connection;
mod durability;
mod eviction;
mod foreign;
mod hanging_up;
mod names;
mod private;
mod resending;
mod restarting;
mod rights;
mod tokens;
mod waking;

use std::time::Duration;

use awaitly_core::store::{Owner, StoreError};
use awaitly_persistence::{RedisOptions, RedisStore};

use crate::behind::{Served, tests_behind_a_proxy};
use crate::place::{Place, Placed};
use crate::proxy::Proxy;

mod conformance {
    use super::InRedis;
    awaitly_persistence::conformance_tests!(InRedis::new().await);
    awaitly_persistence::closing_tests!(InRedis::new().await);
    awaitly_persistence::dispatch_tests!(InRedis::new().await);
}

/// Two connections to one place, as of two processes.
mod alternating {
    use super::Keys;
    use crate::alternating::Alternating;

    awaitly_persistence::conformance_tests!(Alternating::<Keys>::new().await);
}

/// Far longer than a test takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn url() -> String {
    std::env::var("AWAITLY_REDIS_URL").expect(
        "AWAITLY_REDIS_URL names the server for these tests: run `cargo xtask test`, or set it to \
         `redis://127.0.0.1:6379` or wherever one is that may be written",
    )
}

type InRedis = Placed<Keys>;

/// The keys under a prefix that no other test has.
pub(crate) struct Keys {
    prefix: String,
    url: String,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self::under(format!("awaitly-test-{}", Owner::unique().as_str()))
    }

    fn under(prefix: String) -> Self {
        Self { prefix, url: url() }
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions::new().prefix(&*self.prefix)
    }

    /// Does something to the server beside the store.
    fn command(&self, name: &str, key: &str, args: &[&str]) -> redis::Value {
        let mut connection = redis::Client::open(url()).unwrap().get_connection().unwrap();
        redis::cmd(name).arg(self.name(key)).arg(args).query(&mut connection).unwrap()
    }

    /// The whole name of a key.
    fn name(&self, key: &str) -> String {
        format!("{}:{key}", self.prefix)
    }
}

impl Keys {
    /// Everything under the prefix, as the commands that make it, one a line: JSON, with `{p}` for the prefix.
    pub(crate) fn dump(&self) -> String {
        let mut connection = redis::Client::open(url()).unwrap().get_connection().unwrap();
        let pattern = format!("{}:*", self.prefix);
        let mut keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(&mut connection).unwrap();
        keys.sort();
        let mut lines = String::new();
        for key in keys {
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut connection).unwrap();
            let (read, write): (&[&str], &str) = match kind.as_str() {
                "hash" => (&["HGETALL"], "HSET"),
                "zset" => (&["ZRANGE", "0", "-1", "WITHSCORES"], "ZADD"),
                "set" => (&["SMEMBERS"], "SADD"),
                "string" => (&["GET"], "SET"),
                other => panic!("a key of the type {other}"),
            };
            let held: redis::Value =
                redis::cmd(read[0]).arg(&key).arg(&read[1..]).query(&mut connection).unwrap();
            let held: Vec<String> = match kind.as_str() {
                "string" => vec![redis::from_redis_value(held).unwrap()],
                _ => redis::from_redis_value(held).unwrap(),
            };
            let mut command = vec![write.to_owned(), key];
            match kind.as_str() {
                // A score stands before its member where it is written, and behind it where it is read.
                "zset" => held.chunks(2).for_each(|pair| command.extend([pair[1].clone(), pair[0].clone()])),
                _ => command.extend(held),
            }
            let line = serde_json::to_string(&command).unwrap().replace(&self.prefix, "{p}");
            lines += &(line + "\n");
        }
        lines
    }

    /// Carries out what [`dump`](Self::dump) gave, under this prefix.
    pub(crate) fn restore(&self, lines: &str) {
        let mut connection = redis::Client::open(url()).unwrap().get_connection().unwrap();
        for line in lines.lines() {
            let command: Vec<String> = serde_json::from_str(&line.replace("{p}", &self.prefix)).unwrap();
            redis::cmd(&command[0]).arg(&command[1..]).exec(&mut connection).unwrap();
        }
    }

    fn delete_all(&self) -> redis::RedisResult<()> {
        let mut connection = redis::Client::open(&*self.url)?.get_connection()?;
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{}*", self.prefix)).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<Vec<u8>>) = scan.query(&mut connection)?;
            if !keys.is_empty() {
                redis::cmd("UNLINK").arg(keys).exec(&mut connection)?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let deleted = self.delete_all();
        // A second panic would hide the first.
        assert!(deleted.is_ok() || std::thread::panicking(), "keys were left behind: {deleted:?}");
    }
}

impl Place for Keys {
    type Store = RedisStore;

    fn empty() -> Self {
        Self::new()
    }

    async fn open(&self) -> RedisStore {
        self.options().connect(url()).await.unwrap()
    }
}

impl Served for Keys {
    fn address() -> String {
        redis::Client::open(url()).unwrap().get_connection_info().addr().to_string()
    }

    async fn open_through(&self, proxy: &Proxy, patience: Duration) -> RedisStore {
        let client = redis::Client::open(url()).unwrap();
        let settings = client.get_connection_info().redis_settings();
        let user = settings.username().unwrap_or_default();
        let password = settings.password().map(|password| format!("{user}:{password}@")).unwrap_or_default();
        let through = format!("redis://{password}127.0.0.1:{}/{}", proxy.port(), settings.db());
        self.options().patience(patience).connect(through).await.unwrap()
    }

    async fn close(store: RedisStore) -> Result<(), StoreError> {
        store.close().await
    }

    async fn losing_the_answer<T>(proxy: &Proxy, _: &'static str, doing: impl Future<Output = T>) -> T {
        connection::with_a_lost_answer(proxy, doing).await
    }
}

tests_behind_a_proxy!(Keys);
