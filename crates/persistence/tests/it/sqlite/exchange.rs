//! Mail, published values, schedules and tags in a file: they survive, they go with their run, and damage is noticed.

use awaitly_core::dispatch::ChildQuestion;
use awaitly_core::journal::{Payload, Status};
use awaitly_core::store::{
    DeleteIf, Dispatch, Ending, Message, Operate, Publish, PutSchedule, RunQuery, ScheduleQuery, Store,
    StoreError, Submit, Submitted, Wait,
};

use super::InFolder;
use crate::given::{begin, run_id};

/// The tables with rows of runs, except `awaitly_runs`.
const OF_RUNS: [&str; 6] = [
    "awaitly_steps",
    "awaitly_waits",
    "awaitly_mail",
    "awaitly_mail_ids",
    "awaitly_published",
    "awaitly_tags",
];

fn text(text: &str) -> Payload {
    Payload::encode(text).unwrap()
}

/// A run with mail, published values and a tag, and a schedule.
async fn filled() -> InFolder {
    let fixture = InFolder::new().await;
    let store = &fixture.store;
    let order = Submit::new(run_id("order"), "checkout").tag("red").deduplicate("cart");
    assert_eq!(store.submit(vec![order]).await.unwrap(), [Ok(Submitted::Queued)]);
    let note = |note: &str| Message::new(run_id("order"), "note", text(note)).id(note);
    assert_eq!(store.send(vec![note("one"), note("two")]).await.unwrap(), [Ok(()), Ok(())]);
    let lease = begin(store, "order").await;
    let published = vec![Publish::value("progress", text("half")), Publish::item("log", 0, text("begun"))];
    store.publish(&lease, published).await.unwrap();
    assert!(store.receive(&lease, "note".into(), "first".into()).await.unwrap().is_some());
    store.release(&lease);
    let nightly = PutSchedule { name: "nightly".into(), version: None, put: Some((None, text("rule"))) };
    assert_eq!(store.put_schedules(vec![nightly]).await.unwrap(), [true]);
    fixture
}

fn rows(fixture: &InFolder, table: &str) -> i64 {
    fixture.sql().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn everything_survives_reopening() {
    let fixture = filled().await.reopen().await;
    let store = &fixture.store;
    let lease = begin(store, "order").await;
    let second = store.receive(&lease, "note".into(), "second".into()).await.unwrap().expect("there is mail");
    assert_eq!(second.payload(), &text("two"));
    let again = Message::new(run_id("order"), "note", text("again")).id("one");
    assert_eq!(store.send(vec![again]).await.unwrap(), [Ok(())]);
    assert_eq!(store.receive(&lease, "note".into(), "third".into()).await.unwrap(), None);
    assert_eq!(store.published(&run_id("order"), "progress".into()).await.unwrap(), Some(text("half")));
    let part = store.stream(&run_id("order"), "log".into(), 0, 9).await.unwrap().expect("the run exists");
    assert_eq!((part.items, part.ended), (vec![text("begun")], false));
    assert_eq!(store.list(RunQuery::new().tag("red")).await.unwrap().items.len(), 1);
    assert_eq!(store.schedules(ScheduleQuery::new()).await.unwrap().len(), 1);
    let duplicate = Submit::new(run_id("another"), "checkout").deduplicate("cart");
    let submitted = store.submit(vec![duplicate]).await.unwrap();
    assert_eq!(submitted, [Ok(Submitted::Duplicate(run_id("order")))]);
    let headers = store.headers(vec![run_id("missing"), run_id("order")]).await.unwrap();
    assert!(matches!(&headers[..], [None, Some(header)] if header.status == Status::Queued));
}

#[tokio::test]
async fn deleted_run_leaves_no_rows() {
    let fixture = filled().await;
    assert!(OF_RUNS[2..].iter().all(|table| rows(&fixture, table) > 0));
    let deleted = fixture.store.delete(vec![run_id("order")], DeleteIf::Free).await.unwrap();
    assert_eq!(deleted, [run_id("order")]);
    for table in OF_RUNS {
        assert_eq!(rows(&fixture, table), 0, "{table}");
    }
}

#[tokio::test]
async fn damaged_rows_are_corrupt() {
    let fixture = filled().await;
    let lease = begin(&fixture.store, "order").await;
    for table in ["awaitly_mail", "awaitly_published"] {
        assert!(fixture.sql().execute(&format!("UPDATE {table} SET payload = '\"\"'"), []).unwrap() > 0);
    }
    fixture.sql().execute("UPDATE awaitly_schedules SET rule = '\"\"'", []).unwrap();
    let store = &fixture.store;
    let corrupt = |error: Option<StoreError>| matches!(error, Some(StoreError::Corrupt { .. }));
    assert!(corrupt(store.receive(&lease, "note".into(), "second".into()).await.err()));
    assert!(corrupt(store.published(&run_id("order"), "progress".into()).await.err()));
    assert!(corrupt(store.stream(&run_id("order"), "log".into(), 0, 9).await.err()));
    assert!(corrupt(store.schedules(ScheduleQuery::new()).await.err()));
    let deletion = PutSchedule { name: "nightly".into(), version: Some(0), put: None };
    assert!(corrupt(store.put_schedules(vec![deletion]).await.err()));
    store.finish(&lease, Ending::new(Status::Completed)).await.unwrap();
}

#[tokio::test]
async fn unreadable_parent_does_not_keep_its_child_from_ending() {
    let fixture = InFolder::new().await;
    let parent = begin(&fixture.store, "parent").await;
    let question = ChildQuestion { child: run_id("child"), workflow: "checkout".into(), continues: false };
    let request = Payload::encode(&question).unwrap();
    let wait = Wait { request, ..crate::given::question("child", "token") };
    fixture.store.wait(&parent, wait).await.unwrap();
    let child = Submit::new(run_id("child"), "checkout").child_of(run_id("parent"), "child");
    assert_eq!(fixture.store.submit(vec![child]).await.unwrap(), [Ok(Submitted::Queued)]);
    let lease = begin(&fixture.store, "child").await;
    fixture.sql().execute("UPDATE awaitly_runs SET priority = 9 WHERE run_id = 'parent'", []).unwrap();
    fixture.store.finish(&lease, Ending::new(Status::Completed)).await.unwrap();
    let headers = fixture.store.headers(vec![run_id("child")]).await.unwrap();
    assert_eq!(headers[0].as_ref().map(|header| header.status), Some(Status::Completed));
}
