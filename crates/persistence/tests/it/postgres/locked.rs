//! Tables and rows that another session keeps locked.

use std::time::Duration;

use awaitly_core::journal::Status;
use awaitly_core::store::{Ending, Lease, Opened, Operate, Store, StoreError};
use awaitly_persistence::PostgresStore;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::Instant;

use super::{InSchema, Schema, url};
use crate::given::{begin, hold, request};

/// Far longer than a test takes.
const TTL: Duration = Duration::from_secs(600);

/// How soon a lease is free after whatever held it up is gone.
const SOON: Duration = Duration::from_secs(20);

/// A session in a transaction that has carried out this statement.
pub(super) async fn session(schema: &Schema, sql: &str) -> PgConnection {
    let mut session = PgConnection::connect(&url()).await.unwrap();
    session.execute("BEGIN").await.unwrap();
    session.execute(AssertSqlSafe(sql.replace("{s}", &schema.0))).await.unwrap();
    session
}

async fn held_for_long(store: &PostgresStore, id: &str) -> Lease {
    let (lease, _) = hold(store, request(id).ttl(TTL)).await;
    lease
}

/// Asks again and again: other processes do not know that the lease is on its way back.
async fn is_free_soon(store: &PostgresStore, id: &str) {
    let began = Instant::now();
    while !matches!(store.open(request(id)).await.unwrap(), Opened::Held { .. }) {
        assert!(began.elapsed() < SOON, "the lease is still held");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn run_that_fails_under_a_table_lock_is_soon_free() {
    let InSchema { store, place: schema } = InSchema::new().await;
    let other = schema.store().await;
    let lease = held_for_long(&store, "order-42").await;
    let session = session(&schema, "LOCK TABLE {s}.runs").await;
    let fate = store.finish(&lease, Ending::new(Status::Completed)).await;
    assert!(matches!(fate, Err(StoreError::Unavailable { .. })), "{fate:?}");
    store.release(&lease);
    // Answered once the release has failed too.
    store.now().await.unwrap();
    session.close().await.unwrap();
    is_free_soon(&other, "order-42").await;
}

#[tokio::test]
async fn locked_row_keeps_no_other_lease_from_its_return() {
    let InSchema { store, place: schema } = InSchema::new().await;
    let other = schema.store().await;
    let leases = [held_for_long(&store, "locked").await, held_for_long(&store, "free").await];
    let session = session(&schema, "SELECT FROM {s}.runs WHERE run_id = 'locked' FOR UPDATE").await;
    leases.iter().for_each(|lease| store.release(lease));
    is_free_soon(&other, "free").await;
    begin(&store, "new").await;
    session.close().await.unwrap();
    is_free_soon(&other, "locked").await;
}

#[tokio::test]
async fn store_that_closes_gives_locked_leases_back_first() {
    let InSchema { store, place: schema } = InSchema::new().await;
    let other = schema.store().await;
    let lease = held_for_long(&store, "order-42").await;
    let session = session(&schema, "LOCK TABLE {s}.runs").await;
    store.release(&lease);
    store.now().await.unwrap();
    let (closed, unlocked) = tokio::join!(store.close(), session.close());
    closed.unwrap();
    unlocked.unwrap();
    hold(&other, request("order-42")).await;
}
