//! What operators do, on a store that has no rules of its own.

use std::time::Duration;

use awaitly_core::journal::{Key, Status};
use awaitly_core::store::{DueQuery, Ending, Operate, RunQuery, Store, StoreError, WaitQuery};
use awaitly_persistence::MemoryStore;
use awaitly_persistence::operate::{Copied, Exported, Fork, OperateError, OperateExt, Retention, copy};

use crate::given::{append, hold, keys, question, request, run_id, value};

/// A run that recorded `reserve` and `charge` and ended like that; `None`: somebody executes it.
async fn made(store: &MemoryStore, id: &str, ended: Option<Status>) {
    let (lease, _) = hold(store, request(id).version(3)).await;
    for (key, json) in [("reserve", "\"reserve\""), ("charge", "\"charge\"")] {
        append(store, &lease, value(key, json)).await.unwrap();
    }
    store.wait(&lease, question("ask", id)).await.unwrap();
    if let Some(status) = ended {
        let failed_on = if status == Status::Failed { vec![Key::from("charge")] } else { vec![] };
        let ending = Ending { error: Some("declined".into()), failed_on, ..Ending::new(status) };
        store.finish(&lease, ending).await.unwrap();
    }
}

async fn is_due(store: &MemoryStore, id: &str) -> bool {
    store.due(DueQuery::new()).await.unwrap().iter().any(|due| *due.run == *id)
}

#[tokio::test]
async fn retried_run_is_due_without_its_failed_steps() {
    let store = MemoryStore::new();
    made(&store, "failed", Some(Status::Failed)).await;
    store.retry(&run_id("failed")).await.unwrap();
    assert!(is_due(&store, "failed").await);
    assert_eq!(keys(&store, "failed").await, ["reserve"]);
    let header = store.load(&run_id("failed")).await.unwrap().unwrap().header;
    assert_eq!((header.status, header.error, header.version), (Status::Running, None, 3));
    made(&store, "cancelled", Some(Status::Cancelled)).await;
    store.retry(&run_id("cancelled")).await.unwrap();
    assert_eq!(keys(&store, "cancelled").await, ["reserve", "charge"]);
}

#[tokio::test]
async fn only_a_run_that_failed_or_was_cancelled_is_retried() {
    let store = MemoryStore::new();
    assert_eq!(store.retry(&run_id("nobody")).await, Err(OperateError::NoSuchRun));
    for status in [Status::Completed, Status::Waiting] {
        made(&store, status.as_str(), Some(status)).await;
        let before = store.load(&run_id(status.as_str())).await;
        assert_eq!(store.retry(&run_id(status.as_str())).await, Err(OperateError::NotFailed { status }));
        assert_eq!(store.load(&run_id(status.as_str())).await, before);
    }
    made(&store, "held", None).await;
    let status = Status::Running;
    assert_eq!(store.retry(&run_id("held")).await, Err(OperateError::NotFailed { status }));
}

#[tokio::test]
async fn fork_begins_with_edited_steps_up_to_key() {
    let store = MemoryStore::new();
    made(&store, "old", Some(Status::Completed)).await;
    let before = store.load(&run_id("old")).await;
    let fork = Fork::new(run_id("new")).up_to("reserve").edit("reserve", &7).unwrap();
    store.fork(&run_id("old"), fork).await.unwrap();
    assert_eq!(store.load(&run_id("old")).await, before);
    assert!(is_due(&store, "new").await);
    let new = store.load(&run_id("new")).await.unwrap().unwrap();
    assert_eq!(
        (&*new.header.workflow, new.header.version, new.header.status),
        ("checkout", 3, Status::Running)
    );
    assert_eq!(keys(&store, "new").await, ["reserve"]);
    assert_eq!(new.records[0].outcome.payload().as_str(), "7");
    assert!(new.waits.is_empty(), "the new run asks for itself");
    store.fork(&run_id("old"), Fork::new(run_id("whole"))).await.unwrap();
    assert_eq!(keys(&store, "whole").await, ["reserve", "charge"]);
}

#[tokio::test]
async fn fork_of_missing_run_or_key_is_refused() {
    let store = MemoryStore::new();
    let fork = |fork| store.fork(&*Box::leak(Box::new(run_id("old"))), fork);
    assert_eq!(fork(Fork::new(run_id("new"))).await, Err(OperateError::NoSuchRun));
    made(&store, "old", Some(Status::Completed)).await;
    let no_such_key = |key: &'static str| Err(OperateError::NoSuchKey { key: key.into() });
    assert_eq!(fork(Fork::new(run_id("new")).up_to("ship")).await, no_such_key("ship"));
    let beyond = Fork::new(run_id("new")).up_to("reserve").edit("charge", &1).unwrap();
    assert_eq!(fork(beyond).await, no_such_key("charge"));
    assert_eq!(store.load(&run_id("new")).await, Ok(None));
    assert_eq!(fork(Fork::new(run_id("old"))).await, Err(OperateError::Exists));
}

#[tokio::test(start_paused = true)]
async fn runs_are_kept_for_as_long_as_is_said() {
    let store = MemoryStore::new();
    for (id, status) in
        [("a", Status::Completed), ("b", Status::Failed), ("c", Status::Cancelled), ("d", Status::Waiting)]
    {
        made(&store, id, Some(status)).await;
    }
    made(&store, "e", None).await;
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(store.retain(Retention::ended_for(day)).await, Ok(0));
    tokio::time::sleep(day).await;
    made(&store, "young", Some(Status::Completed)).await;
    let other = Retention::ended_for(day).workflow("refund");
    assert_eq!(store.retain(other).await, Ok(0));
    assert_eq!(store.retain(Retention::ended_for(day).status(Status::Waiting)).await, Ok(0));
    assert_eq!(store.retain(Retention::ended_for(day).status(Status::Failed)).await, Ok(1));
    assert_eq!(store.load(&run_id("b")).await, Ok(None));
    assert_eq!(store.retain(Retention::ended_for(day).batch(1)).await, Ok(2));
    let left = store.list(RunQuery::new()).await.unwrap().items;
    let left: Vec<_> = left.iter().map(|run| run.run.to_string()).collect();
    assert_eq!(left, ["young", "e", "d"]);
}

#[tokio::test]
async fn exported_run_reads_well_and_comes_back() {
    let store = MemoryStore::new();
    made(&store, "order-42", Some(Status::Failed)).await;
    let exported = store.export(&run_id("order-42")).await.unwrap().unwrap();
    assert_eq!(store.export(&run_id("nobody")).await, Ok(None));
    let json = serde_json::to_string(&exported).unwrap();
    for part in [
        r#"{"format":1,"run":"order-42","header":{"workflow":"checkout","version":3,"status":"failed","error":"declined","failed_on":["charge"],"#,
        r#""records":[{"key":"reserve","outcome":{"value":"reserve"}},{"key":"charge","outcome":{"value":"charge"}}]"#,
        r#""waits":[{"key":"ask","token":"order-42","request":"may I?","#,
    ] {
        assert!(json.contains(part), "{part} is not in {json}");
    }
    let exported: Exported = serde_json::from_str(&json).unwrap();
    let other = MemoryStore::new();
    assert_eq!(other.import_exported(exported.clone()).await, Ok(true));
    assert_eq!(other.load(&run_id("order-42")).await, store.load(&run_id("order-42")).await);
    assert_eq!(other.import_exported(exported.clone()).await, Ok(false));
    let newer = json.replace("\"format\":1", "\"format\":9");
    let newer = other.import_exported(serde_json::from_str(&newer).unwrap()).await;
    assert_eq!(newer, Err(StoreError::NewerFormat { found: 9, supported: 1 }));
}

/// The statuses of runs that no owner executes.
const STATUSES: [Status; 4] = [Status::Waiting, Status::Completed, Status::Failed, Status::Cancelled];

#[tokio::test]
async fn copy_takes_all_runs_except_held_ones() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    for number in 0..250 {
        made(&from, &format!("run-{number}"), Some(STATUSES[number % 4])).await;
    }
    made(&from, "held", None).await;
    made(&to, "run-7", Some(Status::Completed)).await;
    let copied = copy(&from, &to, RunQuery::new()).await.unwrap();
    assert_eq!(copied, Copied { copied: 249, existed: 1, held: vec![run_id("held")], changed: vec![] });
    for number in (0..250).filter(|number| *number != 7) {
        let id = run_id(&format!("run-{number}"));
        assert_eq!(to.load(&id).await, from.load(&id).await);
    }
    assert_eq!(to.waiting(WaitQuery::new().limit(1000)).await.unwrap().items.len(), 63);
    let again = copy(&from, &to, RunQuery::new()).await.unwrap();
    assert_eq!((again.copied, again.existed), (0, 250));
}
