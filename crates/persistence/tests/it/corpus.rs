//! What earlier versions wrote: every later one must still read it, and go on with it.
//!
//! The files are in `tests/corpus`, named for the store and the version of its format. They are written once, by
//! the version that made the format, with `cargo test -p awaitly-persistence --all-features --test it -- --ignored
//! writes_the_corpus`, and are never written again.

use std::fs;
use std::path::{Path, PathBuf};

use awaitly_core::dispatch::{Place, Queue};
use awaitly_core::journal::{
    Fingerprint, Header, Key, Outcome, Payload, Record, ResumeState, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::{
    Claim, Configure, DeleteIf, Dispatch, Durability, Input, Open, Opened, Operate, Owner, Pausing,
    QueueState, RunId, Store, StoredRun, Submit, Submitted,
};
use awaitly_persistence::operate::{Exported, OperateExt};
use awaitly_persistence::{MemoryStore, SqliteStore};
use tempfile::TempDir;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name)
}

fn id(status: Status) -> RunId {
    RunId::new(format!("order-{status}")).unwrap()
}

/// The statuses that the first formats knew.
const OLDER: [Status; 5] =
    [Status::Running, Status::Waiting, Status::Completed, Status::Failed, Status::Cancelled];

/// A run of each status, with something of everything that a run can hold.
fn made(status: Status) -> StoredRun {
    let at = Timestamp::from_millis;
    let mut header = Header::new("checkout".into(), 2, status, at(1_795_000_000_000));
    header.changed = at(1_795_000_001_000);
    header.input = Some(Input::of(&["tea", "mug"]).unwrap().fingerprint);
    if status.has_ended() {
        header.outcome = Some(Outcome::Value(Payload::encode(status.as_str()).unwrap()));
    }
    if status == Status::Queued {
        let start = at(1_795_000_000_000);
        header.place = Place::new("orders", Some("ann".into()), -3, start);
        // The first turn of the key in a fair queue.
        header.place.rank = 1;
        header.place.start_by = Some(at(1_995_000_000_000));
        (header.wake, header.crashes) = (Some(start), 2);
    }
    if status == Status::Failed {
        header.error = Some("it's declined".into());
        header.failed_on = vec![Key::from("charge")];
    }
    let mut waits = Vec::new();
    if status == Status::Waiting {
        header.wake = Some(at(1_995_000_000_000));
        waits.push(WaitEntry {
            key: "manager".into(),
            token: "0123456789abcdef".into(),
            request: Payload::from_stored("{\"prompt\":\"may I?\"}"),
            since: at(1_795_000_002_000),
            expires: Some(at(1_995_000_000_000)),
        });
    }
    StoredRun { header, input: Some(Payload::from_stored("[\"tea\",\"mug\"]")), records: records(), waits }
}

fn records() -> Vec<Record> {
    let record = |key: &'static str, outcome, input| Record { key: key.into(), outcome, input };
    let refused =
        "{\"refused\":{\"step\":\"ship\",\"by\":\"breaker\",\"reason\":\"open\",\"retry_after\":null}}";
    vec![
        record("reserve", Outcome::Value(Payload::encode(&7).unwrap()), None),
        record(
            "charge",
            Outcome::Failed(Payload::encode("it's declined \0 🫖").unwrap()),
            Some(Fingerprint::of(&42).unwrap()),
        ),
        record("ship[0]", Outcome::Stopped(Payload::from_stored(refused)), None),
    ]
}

/// The runs are what they were, and those that have not ended go on.
async fn reads_and_goes_on(store: &impl Operate) {
    for status in OLDER {
        assert_eq!(store.load(&id(status)).await.unwrap().unwrap(), made(status), "{status}");
    }
    go_on(store).await;
}

async fn go_on(store: &impl Operate) {
    for status in [Status::Running, Status::Waiting] {
        let request = Open::new(id(status), "checkout", Owner::unique()).version(2);
        let Opened::Held { lease, run, .. } = store.open(request).await.unwrap() else { panic!("not held") };
        assert_eq!(run.records, records());
        store.revive(&lease, vec![]).await.unwrap();
        let next =
            Record { key: "next".into(), outcome: Outcome::Value(Payload::encode(&1).unwrap()), input: None };
        store.append(&lease, next.clone(), Durability::Sync).await.unwrap();
        let stored = store.load(&id(status)).await.unwrap().unwrap();
        assert_eq!(stored.records, [records(), vec![next]].concat());
    }
}

/// A store on a copy of a file of the corpus, with the folder of the copy.
async fn copied(name: &str) -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journals.db");
    fs::copy(corpus(name), &file).unwrap();
    (SqliteStore::open(file).await.unwrap(), folder)
}

#[cfg(all(feature = "postgres", feature = "redis"))]
#[tokio::test]
#[ignore = "writes the files that later versions are tested with"]
async fn writes_the_corpus() {
    let store = SqliteStore::open(corpus("sqlite-4.db")).await.unwrap();
    fill(&store).await;
    fill_queue(&store).await;
    store.close().await.unwrap();
    fs::remove_dir_all(corpus("sqlite-4.db-owners")).unwrap();
    let store = MemoryStore::new();
    fill(&store).await;
    let mut lines = String::new();
    for status in Status::ALL {
        let exported = store.export(&id(status)).await.unwrap().unwrap();
        lines += &(serde_json::to_string(&exported).unwrap() + "\n");
    }
    fs::write(corpus("export-1.jsonl"), lines).unwrap();
    let schema = crate::postgres::Schema::new();
    fill(&schema.store().await).await;
    fs::write(corpus("postgres-3.sql"), schema.dump().await).unwrap();
    let keys = crate::redis::Keys::new();
    fill(&keys.options().connect(crate::redis::url()).await.unwrap()).await;
    fs::write(corpus("redis-3.jsonl"), keys.dump()).unwrap();
}

fn orders() -> Queue {
    Queue::new("orders").concurrency(50).per_key(1).fair()
}

/// Leaves a paused queue, in which two runs of a key were submitted.
async fn fill_queue(store: &SqliteStore) {
    store.configure(vec![orders()], Configure::Declare).await.unwrap();
    store.pause_queues(vec!["orders".into()], Pausing::Pause).await.unwrap();
    let runs = ["first", "second"].map(|run| RunId::new(run).unwrap());
    let submit = |run: &RunId| Submit::new(run.clone(), "checkout").queue("orders").key("ann");
    store.submit(runs.iter().map(submit).collect()).await.unwrap();
    assert_eq!(store.delete(runs.to_vec(), DeleteIf::Free).await.unwrap(), runs);
}

async fn fill(store: &impl Operate) {
    for status in Status::ALL {
        let _ = store.import(id(status), made(status)).await.unwrap();
    }
}

#[tokio::test]
async fn sqlite_1() {
    let (store, _folder) = copied("sqlite-1.db").await;
    for status in OLDER {
        let stored = store.load(&id(status)).await.unwrap().unwrap();
        let made = made(status);
        // Made by running them, so the moments are those of that day; nothing waited for an answer yet.
        assert!(stored.header.created <= stored.header.changed);
        let mut header = made.header;
        header.wake = None;
        let mut found = stored.header.clone();
        (found.created, found.changed) = (header.created, header.changed);
        assert_eq!((found, stored.input, stored.records), (header, made.input, made.records), "{status}");
        assert!(stored.waits.is_empty());
    }
    go_on(&store).await;
}

#[tokio::test]
async fn sqlite_2() {
    let (store, _folder) = copied("sqlite-2.db").await;
    reads_and_goes_on(&store).await;
}

#[tokio::test]
async fn sqlite_3() {
    let (store, _folder) = copied("sqlite-3.db").await;
    reads_and_goes_on(&store).await;
}

/// A queued run with its place, and the state of its queue.
#[tokio::test]
async fn sqlite_4() {
    let (store, _folder) = copied("sqlite-4.db").await;
    assert_eq!(store.load(&id(Status::Queued)).await.unwrap().unwrap(), made(Status::Queued));
    assert_eq!(store.queues().await.unwrap(), [QueueState::new(orders(), true)]);
    let claim = || Claim::new(Owner::unique()).serve("checkout", 2);
    let held = store.claim(claim()).await.unwrap().runs;
    assert_eq!(held.len(), 1, "the running run was given back");
    store.release(&held[0].lease);
    store.pause_queues(vec!["orders".into()], Pausing::Resume).await.unwrap();
    let next = Submit::new(RunId::new("next").unwrap(), "checkout").queue("orders").key("ann");
    assert_eq!(store.submit(vec![next]).await.unwrap(), [Ok(Submitted::Queued)]);
    let held = store.claim(claim().limit(9)).await.unwrap().runs;
    let queued: Vec<_> = held.iter().filter(|held| &*held.run.header.place.queue == "orders").collect();
    assert_eq!(queued.len(), 1, "the limit of the key");
    assert_eq!((queued[0].lease.run(), &queued[0].run.records[..]), (&id(Status::Queued), &records()[..]));
    let rank = store.load(&RunId::new("next").unwrap()).await.unwrap().unwrap().header.place.rank;
    assert_eq!(rank, 2, "two runs of the key were submitted before");
    for held in &held {
        store.release(&held.lease);
    }
    reads_and_goes_on(&store).await;
}

#[tokio::test]
async fn export_1() {
    let store = MemoryStore::new();
    for line in fs::read_to_string(corpus("export-1.jsonl")).unwrap().lines() {
        let exported: Exported = serde_json::from_str(line).unwrap();
        assert_eq!(store.import_exported(exported).await, Ok(true));
    }
    reads_and_goes_on(&store).await;
}

#[test]
fn state_1() {
    let text = fs::read_to_string(corpus("state-1.json")).unwrap();
    let state: ResumeState = serde_json::from_str(&text).unwrap();
    assert_eq!((&*state.run, &*state.workflow, state.version), ("order-running", "checkout", 2));
    assert_eq!(state.input.as_ref().map(Payload::as_str), Some("[\"tea\",\"mug\"]"));
    assert_eq!(state.records, records());
}

/// The rows, with `{s}` for the schema.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_1() {
    let schema = crate::postgres::Schema::new();
    // The tables of that version, brought up to date by this one.
    let tables = include_str!("../../src/postgres/migrations/0001.sql").replace("{schema}", "{s}");
    let rows = fs::read_to_string(corpus("postgres-1.sql")).unwrap();
    schema
        .script(&format!(
            "CREATE SCHEMA {{s}}; {tables} \
             CREATE TABLE {{s}}.migrations (version integer PRIMARY KEY, applied_at bigint NOT NULL); \
             INSERT INTO {{s}}.migrations VALUES (1, 0); {rows}"
        ))
        .await;
    reads_and_goes_on(&schema.store().await).await;
}

/// The rows of a schema whose tables this version makes.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_3() {
    let schema = crate::postgres::Schema::new();
    let tables = [1, 2, 3].map(|number| {
        let file = format!("{}/src/postgres/migrations/000{number}.sql", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(file).unwrap().replace("{schema}", "{s}")
    });
    let rows = fs::read_to_string(corpus("postgres-3.sql")).unwrap();
    schema
        .script(&format!(
            "CREATE SCHEMA {{s}}; {} \
             CREATE TABLE {{s}}.migrations (version integer PRIMARY KEY, applied_at bigint NOT NULL); \
             INSERT INTO {{s}}.migrations VALUES (1, 0), (2, 0), (3, 0); {rows}",
            tables.concat()
        ))
        .await;
    let store = schema.store().await;
    reads_and_goes_on(&store).await;
    assert_eq!(store.load(&id(Status::Queued)).await.unwrap().unwrap(), made(Status::Queued));
}

/// Each key with its type and what it holds, with `{p}` for the prefix.
#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_1() {
    let keys = crate::redis::Keys::new();
    keys.restore(&fs::read_to_string(corpus("redis-1.jsonl")).unwrap());
    reads_and_goes_on(&keys.options().connect(crate::redis::url()).await.unwrap()).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_2() {
    let keys = crate::redis::Keys::new();
    keys.restore(&fs::read_to_string(corpus("redis-2.jsonl")).unwrap());
    reads_and_goes_on(&keys.options().connect(crate::redis::url()).await.unwrap()).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_3() {
    let keys = crate::redis::Keys::new();
    keys.restore(&fs::read_to_string(corpus("redis-3.jsonl")).unwrap());
    let store = keys.options().connect(crate::redis::url()).await.unwrap();
    reads_and_goes_on(&store).await;
    assert_eq!(store.load(&id(Status::Queued)).await.unwrap().unwrap(), made(Status::Queued));
}
