mod databases;
mod dispatching;
mod dropping;
mod locked;
mod reconnecting;
mod sharing;
mod silent;

use std::time::Duration;

use awaitly_core::store::{Owner, StoreError};
use awaitly_persistence::{PostgresOptions, PostgresStore};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use crate::behind::{Served, tests_behind_a_proxy};
use crate::place::{Place, Placed};
use crate::proxy::{Proxy, Way};

mod conformance {
    use super::InSchema;
    awaitly_persistence::conformance_tests!(InSchema::new().await);
    awaitly_persistence::closing_tests!(InSchema::new().await);
    awaitly_persistence::dispatch_tests!(InSchema::new().await);
}

/// Two stores on one schema, as in two processes.
mod alternating {
    use super::Schema;
    use crate::alternating::Alternating;

    awaitly_persistence::conformance_tests!(Alternating::<Schema>::new().await);
}

/// The server that the tests run against.
pub(crate) fn url() -> String {
    std::env::var("AWAITLY_POSTGRES_URL").expect(
        "the tests of PostgresStore need a server: name one in AWAITLY_POSTGRES_URL, or call `cargo xtask test`, which finds one",
    )
}

fn unused_name() -> String {
    format!("awaitly_test_{}", Owner::unique().as_str().replace('-', "_"))
}

/// A schema that is gone when the test is over, however it went.
pub(crate) struct Schema(String);

impl Schema {
    pub(crate) fn new() -> Self {
        Self(unused_name())
    }

    fn options(&self) -> PostgresOptions {
        PostgresOptions::new().schema(self.0.as_str()).connections(3)
    }

    pub(crate) async fn store(&self) -> PostgresStore {
        self.options().connect(&url()).await.unwrap()
    }

    /// Many statements past the store, in the same form.
    pub(crate) async fn script(&self, sql: &str) {
        let mut connection = PgConnection::connect(&url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.replace("{s}", &self.0))).execute(&mut connection).await.unwrap();
    }

    /// All rows, as the statements that make them.
    pub(crate) async fn dump(&self) -> String {
        let mut connection = PgConnection::connect(&url()).await.unwrap();
        let mut lines = String::new();
        for (table, order) in [("runs", "id"), ("steps", "seq"), ("waits", "key")] {
            let sql = format!(
                "SELECT quote_literal(row_to_json(t)::text) FROM {}.{table} t ORDER BY {order}",
                self.0
            );
            let rows: Vec<(String,)> =
                sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
            for (row,) in rows {
                lines += &format!(
                    "INSERT INTO {{s}}.{table} OVERRIDING SYSTEM VALUE \
                     SELECT * FROM json_populate_record(NULL::{{s}}.{table}, {row});\n"
                );
            }
        }
        for (table, column) in [("runs", "id"), ("steps", "seq")] {
            lines += &format!(
                "SELECT setval(pg_get_serial_sequence('{{s}}.{table}', '{column}'), max({column})) FROM {{s}}.{table};\n"
            );
        }
        lines
    }

    /// A statement past the store. Where it says `{s}` it gets the schema.
    async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&url()).await.unwrap();
        connection.execute(AssertSqlSafe(sql.replace("{s}", &self.0))).await.unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        clean_up(format!("DROP SCHEMA IF EXISTS {} CASCADE", self.0));
    }
}

/// A database that is gone when the test is over.
struct Database(String);

impl Database {
    /// Makes one. `how` follows its name in the statement.
    async fn new(how: &str) -> Self {
        let database = Self(unused_name());
        database.sql(&format!("CREATE DATABASE {{d}} {how}")).await;
        database
    }

    /// A statement on the server's own database. Where it says `{d}` it gets the name.
    async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&url()).await.unwrap();
        connection.execute(AssertSqlSafe(sql.replace("{d}", &self.0))).await.unwrap();
    }

    fn connect_options(&self) -> PgConnectOptions {
        url().parse::<PgConnectOptions>().unwrap().database(&self.0)
    }

    async fn open(&self, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
        let pool = PgPoolOptions::new().max_connections(3).connect_lazy_with(self.connect_options());
        options.open(pool).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        clean_up(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.0));
    }
}

fn clean_up(sql: String) {
    // A runtime of its own: that of the test is busy with this very test.
    let dropped = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&url()).await.unwrap();
            // A test that failed may have left a lock behind, which goes with its runtime.
            connection.execute("SET lock_timeout = '3s'").await.unwrap();
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        });
    });
    let dropped = dropped.join();
    assert!(dropped.is_ok() || std::thread::panicking(), "the test could not clean up");
}

type InSchema = Placed<Schema>;

impl Place for Schema {
    type Store = PostgresStore;

    fn empty() -> Self {
        Self::new()
    }

    async fn open(&self) -> PostgresStore {
        self.store().await
    }
}

impl Served for Schema {
    fn address() -> String {
        let target: PgConnectOptions = url().parse().unwrap();
        format!("{}:{}", target.get_host(), target.get_port())
    }

    async fn open_through(&self, proxy: &Proxy, patience: Duration) -> PostgresStore {
        let target: PgConnectOptions = url().parse().unwrap();
        let through = target.host("127.0.0.1").port(proxy.port()).to_url_lossy();
        self.options().patience(patience).connect(through.as_str()).await.unwrap()
    }

    async fn close(store: PostgresStore) -> Result<(), StoreError> {
        store.close().await
    }

    async fn losing_the_answer<T>(proxy: &Proxy, text: &'static str, doing: impl Future<Output = T>) -> T {
        proxy.set(Way::LosesTheAnswerTo(text));
        let done = doing.await;
        assert_eq!(proxy.way(), Way::Open, "no answer was lost");
        done
    }
}

tests_behind_a_proxy!(Schema);
