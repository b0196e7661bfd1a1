//! Run ids, requests, records, leases and questions for all tests, and what a store holds of a run.

use awaitly_core::journal::{Kind, Outcome, Payload, Record, Refused};
use awaitly_core::store::{
    Durability, Lease, Open, Opened, Owner, RunId, Store, StoreError, StoredRun, Wait,
};

pub(crate) fn run_id(id: &str) -> RunId {
    RunId::new(id).unwrap()
}

pub(crate) fn request(id: &str) -> Open {
    Open::new(run_id(id), "checkout", Owner::unique())
}

/// A record of the value that has this JSON form.
pub(crate) fn value(key: &str, json: &str) -> Record {
    let outcome = Outcome::from_parts(Kind::Value, Payload::from_stored(json));
    Record { key: String::from(key).into(), outcome, input: None }
}

/// A question without an expiry.
pub(crate) fn question(key: &str, token: &str) -> Wait {
    let request = Payload::from_stored("\"may I?\"");
    Wait { key: String::from(key).into(), token: token.into(), request, expires_in: None }
}

/// Gets the lease of a run.
pub(crate) async fn hold(store: &impl Store, request: Open) -> (Lease, StoredRun) {
    match store.open(request).await.unwrap() {
        Opened::Held { lease, run, .. } => (lease, run),
        other => panic!("expected the lease, got {other:?}"),
    }
}

/// Gets the lease of a run of `checkout`.
pub(crate) async fn begin(store: &impl Store, id: &str) -> Lease {
    hold(store, request(id)).await.0
}

pub(crate) async fn append(store: &impl Store, lease: &Lease, record: Record) -> Result<(), StoreError> {
    store.append(lease, record, Durability::Sync).await
}

/// Whether an owner holds the run.
pub(crate) async fn is_busy(store: &impl Store, id: &str) -> bool {
    matches!(store.open(request(id)).await.unwrap(), Opened::Refused(Refused::Busy { .. }))
}

pub(crate) async fn load(store: &impl Store, id: &str) -> StoredRun {
    store.load(&run_id(id)).await.unwrap().unwrap()
}

pub(crate) async fn records(store: &impl Store, id: &str) -> Vec<Record> {
    load(store, id).await.records
}

/// The keys of the records.
pub(crate) async fn keys(store: &impl Store, id: &str) -> Vec<String> {
    records(store, id).await.iter().map(|record| record.key.to_string()).collect()
}

/// Waits until a listener is told of something.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) async fn told(wakes: &mut awaitly_core::store::Wakes, of: &str) {
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), wakes.changed()).await;
    assert!(matches!(told, Ok(true)), "nobody was told of {of}");
}
