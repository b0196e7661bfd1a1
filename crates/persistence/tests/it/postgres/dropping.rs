//! Calls and transactions that are dropped by a thread that is in no runtime.

use std::thread;
use std::time::Duration;

use awaitly_core::store::{Store, Transactional};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::locked::session;
use super::{Schema, url};
use crate::given::{begin, keys, run_id};

fn drop_elsewhere(dropped: impl Send + 'static) {
    thread::spawn(move || drop(dropped)).join().expect("nothing panics");
}

#[tokio::test]
async fn transaction_dropped_outside_a_runtime_rolls_back() {
    let schema = Schema::new();
    let store = schema.options().connections(1).connect(&url()).await.unwrap();
    schema.sql("CREATE TABLE {s}.accounts (cents bigint)").await;
    let mut transaction = Transactional::begin(&store).await.unwrap();
    let insert = format!("INSERT INTO {}.accounts VALUES (1)", schema.0);
    transaction.execute(AssertSqlSafe(insert)).await.unwrap();
    drop_elsewhere(transaction);
    // The pool has one connection, which is there again.
    begin(&store, "order-42").await;
    assert!(keys(&store, "order-42").await.is_empty());
    schema.sql("DO $$ BEGIN ASSERT (SELECT count(*) FROM {s}.accounts) = 0; END $$").await;
}

#[tokio::test]
async fn call_dropped_outside_a_runtime_gives_its_connection_back() {
    let schema = Schema::new();
    let store = schema.options().connections(1).connect(&url()).await.unwrap();
    begin(&store, "order-42").await;
    // So that the call is dropped while it waits for an answer.
    let session = session(&schema, "LOCK TABLE {s}.runs").await;
    let loading = store.clone();
    let mut call = Box::pin(async move { loading.load(&run_id("order-42")).await });
    assert!(tokio::time::timeout(Duration::from_millis(200), call.as_mut()).await.is_err());
    drop_elsewhere(call);
    session.close().await.unwrap();
    assert!(keys(&store, "order-42").await.is_empty());
}
