//! Several stores on one server, and what is in their tables.

use std::time::Duration;

use awaitly_core::dispatch::ChildQuestion;
use awaitly_core::journal::{Payload, Status};
use awaitly_core::store::{
    Claim, Dispatch, Durability, Ending, Operate, Owner, Store, StoreError, Submit, Submitted, Wait,
};
use futures_util::future::join_all;

use super::{InSchema, Schema, url};
use crate::clock::fast;
use crate::given::{begin, keys, request, run_id, told, value};

#[tokio::test]
async fn stores_in_different_schemas_are_separate() {
    let (one, other) = (InSchema::new().await, InSchema::new().await);
    let lease = begin(&one.store, "order-42").await;
    one.store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    assert_eq!(other.store.load(&run_id("order-42")).await, Ok(None));
    begin(&other.store, "order-42").await;
    assert!(keys(&other.store, "order-42").await.is_empty());
}

#[tokio::test]
async fn concurrent_opens_create_tables_of_schema_once() {
    let schema = Schema::new();
    let stores = join_all((0..6).map(|_| schema.store())).await;
    for (number, store) in stores.iter().enumerate() {
        let lease = begin(store, &number.to_string()).await;
        store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    }
    schema.sql("DO $$ BEGIN ASSERT (SELECT count(*) FROM {s}.migrations) = 3; END $$").await;
    schema.sql("DO $$ BEGIN ASSERT (SELECT count(*) FROM {s}.steps) = 6; END $$").await;
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let InSchema { store, place: schema } = InSchema::new().await;
    store.close().await.unwrap();
    schema.sql("INSERT INTO {s}.migrations VALUES (7, 0)").await;
    let refused = schema.options().connect(&url()).await.unwrap_err();
    assert_eq!(refused, StoreError::NewerFormat { found: 7, supported: 3 });
}

#[tokio::test]
async fn run_of_a_newer_format_is_refused() {
    let InSchema { store, place: schema } = InSchema::new().await;
    begin(&store, "order-42").await;
    schema.sql("UPDATE {s}.runs SET format = 3").await;
    let refused = StoreError::NewerFormat { found: 3, supported: 1 };
    assert_eq!(store.open(request("order-42")).await, Err(refused.clone()));
    assert_eq!(store.load(&run_id("order-42")).await, Err(refused));
}

#[tokio::test]
async fn damaged_row_is_corrupt_and_spares_other_runs() {
    let InSchema { store, place: schema } = InSchema::new().await;
    let good = begin(&store, "good").await;
    for sql in ["UPDATE {s}.steps SET kind = 9", "UPDATE {s}.runs SET status = 'odd' WHERE run_id <> 'good'"]
    {
        let lease = begin(&store, sql).await;
        store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
        store.release(&lease);
        assert!(store.load(&run_id(sql)).await.is_ok());
        schema.sql(sql).await;
        let opened = store.open(request(sql)).await;
        assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?} after {sql}");
    }
    store.append(&good, value("charge", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&store, "good").await, ["charge"]);
}

#[tokio::test]
async fn tables_that_are_gone_are_a_typed_error() {
    let InSchema { store, place: schema } = InSchema::new().await;
    let lease = begin(&store, "order-42").await;
    schema.sql("DROP TABLE {s}.steps").await;
    let fate = store.append(&lease, value("charge", "1"), Durability::Sync).await;
    assert!(matches!(fate, Err(StoreError::Corrupt { .. })), "{fate:?}");
}

#[tokio::test]
async fn role_without_create_right_uses_existing_tables() {
    let InSchema { store, place: schema } = InSchema::new().await;
    store.close().await.unwrap();
    let role = &schema.0;
    for sql in [
        "CREATE ROLE {s} LOGIN",
        "GRANT USAGE ON SCHEMA {s} TO {s}",
        "GRANT ALL ON ALL TABLES IN SCHEMA {s} TO {s}",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA {s} TO {s}",
    ] {
        schema.sql(sql).await;
    }
    let options: sqlx::postgres::PgConnectOptions = url().parse().unwrap();
    let pool = sqlx::postgres::PgPoolOptions::new().connect_lazy_with(options.username(role));
    let store = schema.options().open(pool.clone()).await;
    let ran = match store {
        Ok(store) => {
            let lease = begin(&store, "order-42").await;
            let appended = store.append(&lease, value("charge", "1"), Durability::Sync).await;
            store.finish(&lease, Ending::new(Status::Completed)).await.unwrap();
            store.close().await.unwrap();
            appended
        }
        Err(error) => Err(error),
    };
    let other = Schema::new();
    let refused = other.options().open(pool.clone()).await.map(drop);
    pool.close().await;
    schema.sql("DROP OWNED BY {s}; DROP ROLE {s}").await;
    assert_eq!(ran, Ok(()));
    assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{refused:?}");
}

#[tokio::test]
async fn listener_wakes_after_change_by_another_store() {
    let schema = Schema::new();
    let (one, other) = (schema.store().await, schema.store().await);
    let lease = begin(&one, "order-42").await;
    one.finish(&lease, Ending::new(Status::Waiting)).await.unwrap();
    let mut wakes = other.wakes();
    told(&mut wakes, "the subscription").await;
    let _ = one.cancel(&run_id("order-42")).await.unwrap();
    told(&mut wakes, "a cancellation").await;
}

#[tokio::test]
async fn end_of_a_child_wakes_listeners_of_another_store() {
    let schema = Schema::new();
    let (one, other) = (schema.store().await, schema.store().await);
    let parent = begin(&one, "parent").await;
    let question = ChildQuestion { child: run_id("child"), workflow: "checkout".into(), continues: false };
    let request = Payload::encode(&question).unwrap();
    let wait = Wait { key: "job".into(), token: "token".into(), request, expires_in: None };
    one.wait(&parent, wait).await.unwrap();
    let rest = Ending { waits_on: vec!["job".into()], ..Ending::new(Status::Waiting) };
    one.finish(&parent, rest).await.unwrap();
    let child = Submit::new(run_id("child"), "checkout").child_of(run_id("parent"), "job");
    assert_eq!(one.submit(vec![child]).await.unwrap(), [Ok(Submitted::Queued)]);
    let claim = Claim::new(Owner::unique()).serve("checkout", 1);
    let child = one.claim(claim).await.unwrap().runs.remove(0).lease;
    let mut wakes = other.wakes();
    told(&mut wakes, "the subscription").await;
    // No change before the end of the child may arrive late.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut wakes = other.wakes();
    one.finish(&child, Ending::new(Status::Completed)).await.unwrap();
    told(&mut wakes, "the end of a child").await;
}

#[tokio::test]
async fn bad_url_error_omits_password() {
    for (url, patience) in
        [("postgres://me:s3cret@", 1), ("not a url s3cret", 1), ("postgres://me:s3cret@127.0.0.1:1/x", 1)]
    {
        let options = super::PostgresOptions::new().patience(Duration::from_millis(patience));
        let error = fast(options.connect(url)).await.unwrap_err();
        assert!(matches!(error, StoreError::NotThere { .. } | StoreError::Unavailable { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
    let error = super::PostgresOptions::new().schema("no\"name").connect(&url()).await.unwrap_err();
    assert!(matches!(error, StoreError::NotThere { .. }), "{error}");
}
