//! Databases that a store cannot be in, and those that it cannot be in any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awaitly_core::store::{Durability, Store, StoreError};
use awaitly_persistence::PostgresOptions;
use sqlx::Executor;
use sqlx::postgres::PgPoolOptions;
use tokio::time::Instant;

use super::{Database, InSchema, Schema, url};
use crate::given::{begin, keys, request, value};

/// Far less than the patience of the stores here.
const AT_ONCE: Duration = Duration::from_secs(10);

const READ_ONLY: &str = "ALTER DATABASE {d} SET default_transaction_read_only = on";

#[tokio::test]
async fn read_only_database_refuses_to_open() {
    let database = Database::new("").await;
    database.open(PostgresOptions::new()).await.unwrap().close().await.unwrap();
    database.sql(READ_ONLY).await;
    for options in [PostgresOptions::new(), PostgresOptions::new().schema("without_tables")] {
        let began = Instant::now();
        let refused = database.open(options).await.map(drop);
        assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{refused:?}");
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn database_made_read_only_later_refuses_writes_at_once() {
    let database = Database::new("").await;
    let store = database.open(PostgresOptions::new()).await.unwrap();
    let lease = begin(&store, "order-42").await;
    store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    database.sql(READ_ONLY).await;
    database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{d}'").await;
    let began = Instant::now();
    for fate in [
        store.append(&lease, value("ship", "1"), Durability::Sync).await,
        store.replace(&lease, value("charge", "2"), Durability::Sync).await,
        store.open(request("order-43")).await.map(drop),
    ] {
        assert!(matches!(fate, Err(StoreError::ReadOnly { .. })), "{fate:?}");
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(keys(&store, "order-42").await, ["charge"]);
}

#[tokio::test]
async fn write_over_a_demoted_connection_reaches_the_new_primary() {
    let (schema, demoted) = (Schema::new(), Arc::new(AtomicBool::new(false)));
    let is_demoted = Arc::clone(&demoted);
    // Connections that exist still lead to the server that may not be written any more, and new ones do not.
    let pool = PgPoolOptions::new().max_connections(3).before_acquire(move |connection, _| {
        let is_demoted = is_demoted.load(Ordering::Relaxed);
        Box::pin(async move {
            if is_demoted {
                connection.execute("SET default_transaction_read_only = on").await?;
            }
            Ok(true)
        })
    });
    let store = schema.options().open(pool.connect_lazy(&url()).unwrap()).await.unwrap();
    let lease = begin(&store, "order-42").await;
    futures_util::future::join_all((0..8).map(|_| store.load(lease.run()))).await;
    demoted.store(true, Ordering::Relaxed);
    store.replace(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&store, "order-42").await, ["charge"]);
}

#[tokio::test]
async fn database_that_is_not_utf8_refuses_to_open() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let how = format!("ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        let database = Database::new(&how).await;
        let refused = database.open(PostgresOptions::new()).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::NotThere { detail } if detail.contains(encoding)),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn patience_without_end_opens_and_writes() {
    let schema = Schema::new();
    let store = schema.options().patience(Duration::MAX).connect(&url()).await.unwrap();
    let in_schema = InSchema { store, place: schema };
    let lease = begin(&in_schema.store, "order-42").await;
    in_schema.store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&in_schema.store, "order-42").await, ["charge"]);
}
