//! Queues on a server: old tables, indexes, other sessions, and connections that are cut.

use std::collections::HashSet;
use std::time::Duration;

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::Status;
use awaitly_core::store::{
    Claim, Claimed, Configure, Dispatch, Ending, Held, Operate, Owner, RunQuery, Start, Store, Submit,
    Submitted,
};
use awaitly_persistence::PostgresStore;
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::locked::session;
use super::{InSchema, Schema, url};
use crate::behind::{self, Served};
use crate::given::{load, run_id};
use crate::proxy::Way;

type Behind = behind::Behind<Schema>;

const LONG: Duration = Duration::from_secs(20);

fn run(id: &str) -> Submit {
    Submit::new(run_id(id), "checkout").queue("orders")
}

async fn submit(store: &PostgresStore, ids: impl IntoIterator<Item = String>) {
    let batch: Vec<_> = ids.into_iter().map(|id| run(&id)).collect();
    let expected = vec![Ok(Submitted::Queued); batch.len()];
    assert_eq!(store.submit(batch).await.unwrap(), expected);
}

fn request(limit: usize) -> Claim {
    Claim::new(Owner::unique()).serve("checkout", 2).limit(limit)
}

async fn claim(store: &PostgresStore, limit: usize) -> Claimed {
    store.claim(request(limit)).await.unwrap()
}

fn names(held: &[Held]) -> Vec<&str> {
    held.iter().map(|held| &**held.lease.run()).collect()
}

async fn finish(store: &PostgresStore, held: &[Held], status: Status) {
    let ends = held.iter().map(|held| store.finish(&held.lease, Ending::new(status)));
    join_all(ends).await.into_iter().for_each(Result::unwrap);
}

/// A number that the statistics of a table of the schema hold. The sessions of a store report when it is closed.
async fn counted(schema: &Schema, table: &str, column: &str) -> i64 {
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let sql = format!(
        "SELECT {column} FROM pg_stat_user_tables WHERE schemaname = '{}' AND relname = '{table}'",
        schema.0
    );
    let (count,): (i64,) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
    count
}

/// Ends the transaction of a session. Once this returns, its locks are free.
async fn unlock(mut session: PgConnection) {
    session.execute("ROLLBACK").await.unwrap();
    session.close().await.unwrap();
}

/// Ends the sessions that wait for a lock on this table.
async fn cut_waiting_sessions(schema: &Schema, table: &str) {
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks \
         WHERE NOT granted AND relation = '{}.{table}'::regclass",
        schema.0
    );
    loop {
        let (cut,): (i64,) =
            sqlx::query_as(AssertSqlSafe(sql.as_str())).fetch_one(&mut connection).await.unwrap();
        if cut > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn due_runs_of_old_tables_are_claimed() {
    let schema = Schema::new();
    let tables = include_str!("../../../src/postgres/migrations/0001.sql").replace("{schema}", "{s}");
    let old = |id: &str, status: &str, owner: &str, until: &str, wake: &str| {
        format!(
            "INSERT INTO {{s}}.runs (run_id, workflow, version, status, token, owner, lease_until, created_at, changed_at, \
             wake_at) VALUES ('{id}', 'checkout', 2, '{status}', 1, {owner}, {until}, 1, 1, {wake});"
        )
    };
    let future = "4000000000000";
    let rows = [
        old("released", "running", "NULL", "0", "NULL"),
        old("expired", "running", "'a'", "7", "NULL"),
        old("held", "running", "'a'", future, "NULL"),
        old("awake", "waiting", "NULL", "0", "7"),
        old("asleep", "waiting", "NULL", "0", future),
        old("asked", "waiting", "NULL", "0", "NULL"),
        old("completed", "completed", "NULL", "0", "NULL"),
        old("failed", "failed", "NULL", "0", "NULL"),
    ]
    .concat();
    let made = "CREATE TABLE {s}.migrations (version integer PRIMARY KEY, applied_at bigint NOT NULL); \
         INSERT INTO {s}.migrations VALUES (1, 0);";
    schema.script(&format!("CREATE SCHEMA {{s}}; {tables} {made} {rows}")).await;
    let store = schema.store().await;
    let claimed = claim(&store, 9).await;
    assert_eq!(
        HashSet::<_>::from_iter(names(&claimed.runs)),
        HashSet::from(["released", "expired", "awake"])
    );
    let crashes: Vec<_> = claimed.runs.iter().map(|held| held.run.header.crashes).collect();
    assert_eq!(crashes.iter().sum::<u32>(), 1, "the owner of one run had died");
    for (status, count) in
        [(Status::Waiting, 3), (Status::Running, 3), (Status::Failed, 1), (Status::Completed, 1)]
    {
        let listed = store.list(RunQuery::new().status(status)).await.unwrap().items;
        assert_eq!(listed.len(), count, "{status}: {listed:?}");
    }
}

#[tokio::test]
async fn claim_and_completion_change_no_index() {
    let InSchema { store, place: schema } = InSchema::new().await;
    // So few that all versions of their rows fit into one page.
    submit(&store, (0..9).map(|number| format!("order-{number}"))).await;
    let held = claim(&store, 9).await.runs;
    finish(&store, &held, Status::Completed).await;
    store.close().await.unwrap();
    let (all, hot) =
        (counted(&schema, "runs", "n_tup_upd").await, counted(&schema, "runs", "n_tup_hot_upd").await);
    assert_eq!((all, hot), (18, 18));
}

#[tokio::test]
async fn claims_without_statistics_read_no_whole_table() {
    let InSchema { store, place: schema } = InSchema::new().await;
    submit(&store, (0..2000).map(|number| format!("order-{number}"))).await;
    let limited = (0..50)
        .map(|number| Submit::new(run_id(&format!("mail-{number}")), "mail").queue("mails").key("ann"));
    store.submit(limited.collect()).await.unwrap();
    let mails = Queue::new("mails").concurrency(9).per_key(3);
    store.configure(vec![mails], Configure::Set).await.unwrap();
    store.close().await.unwrap();
    let scans = async || {
        let (runs, ready) =
            (counted(&schema, "runs", "seq_scan").await, counted(&schema, "ready", "seq_scan").await);
        (runs, ready)
    };
    let before = scans().await;
    let store = schema.store().await;
    for _ in 0..5 {
        let served = request(100).serve("mail", 1);
        let held = store.claim(served).await.unwrap().runs;
        assert_eq!(held.len(), 100);
        finish(&store, &held, Status::Completed).await;
    }
    store.close().await.unwrap();
    assert_eq!(scans().await, before);
}

#[tokio::test]
async fn list_of_failed_runs_passes_over_completed_ones() {
    let InSchema { store, place: schema } = InSchema::new().await;
    submit(&store, ["first".to_owned()]).await;
    let held = claim(&store, 1).await.runs;
    finish(&store, &held, Status::Failed).await;
    submit(&store, (0..1500).map(|number| format!("order-{number}"))).await;
    for _ in 0..3 {
        let held = claim(&store, 500).await.runs;
        finish(&store, &held, Status::Completed).await;
    }
    store.close().await.unwrap();
    let read = async || {
        counted(&schema, "runs", "seq_tup_read").await
            + counted(&schema, "runs", "coalesce(idx_tup_fetch, 0)").await
    };
    let before = read().await;
    let store = schema.store().await;
    for status in [Status::Failed, Status::Waiting, Status::Cancelled] {
        let listed = store.list(RunQuery::new().status(status)).await.unwrap().items;
        assert_eq!(listed.len(), usize::from(status == Status::Failed));
    }
    store.close().await.unwrap();
    let read = read().await - before;
    assert!(read < 100, "{read} rows were read");
}

#[tokio::test]
async fn limits_hold_for_claims_of_two_stores_at_once() {
    let InSchema { store, place: schema } = InSchema::new().await;
    let other = schema.store().await;
    store.configure(vec![Queue::new("orders").concurrency(5).per_key(2)], Configure::Set).await.unwrap();
    let batch = (0..40).map(|number| run(&format!("order-{number}")).key(format!("key {}", number % 3)));
    store.submit(batch.collect()).await.unwrap();
    let (mut ended, mut rounds) = (HashSet::new(), 0);
    while ended.len() < 40 {
        let claims = (0..8).map(|number| claim(if number % 2 == 0 { &store } else { &other }, 3));
        let held: Vec<Held> = join_all(claims).await.into_iter().flat_map(|claimed| claimed.runs).collect();
        assert!(held.len() <= 5, "{} runs are held", held.len());
        for key in ["key 0", "key 1", "key 2"] {
            let of_key = held.iter().filter(|held| held.run.header.place.key.as_deref() == Some(key));
            assert!(of_key.count() <= 2);
        }
        finish(&store, &held, Status::Completed).await;
        let new = held.iter().filter(|held| ended.insert(held.lease.run().clone())).count();
        assert_eq!(new, held.len(), "each run starts once");
        rounds += 1;
        assert!(rounds < 200, "only {} of 40 runs were claimed", ended.len());
    }
}

#[tokio::test]
async fn each_run_is_claimed_by_one_of_two_stores() {
    let InSchema { store, place: schema } = InSchema::new().await;
    let other = schema.store().await;
    submit(&store, (0..300).map(|number| format!("order-{number}"))).await;
    let mut claimed = HashSet::new();
    for _ in 0..60 {
        let (one, two) = tokio::join!(claim(&store, 7), claim(&other, 7));
        for held in one.runs.iter().chain(&two.runs) {
            assert!(claimed.insert(held.lease.run().clone()), "{} was claimed twice", held.lease.run());
        }
    }
    assert_eq!(claimed.len(), 300);
}

#[tokio::test]
async fn directly_opened_run_counts_as_running() {
    let InSchema { store, place: _place } = InSchema::new().await;
    store.configure(vec![Queue::new("orders").concurrency(1)], Configure::Set).await.unwrap();
    submit(&store, ["a".to_owned(), "b".to_owned()]).await;
    let (lease, _) = crate::given::hold(&store, crate::given::request("a").version(2)).await;
    assert!(claim(&store, 9).await.runs.is_empty());
    store.finish(&lease, Ending::new(Status::Completed)).await.unwrap();
    assert_eq!(names(&claim(&store, 9).await.runs), ["b"]);
}

#[tokio::test]
async fn runs_held_before_a_limit_was_set_count_as_running() {
    let InSchema { store, place: _place } = InSchema::new().await;
    submit(&store, ["a".to_owned(), "b".to_owned()]).await;
    let held = claim(&store, 1).await.runs;
    store.configure(vec![Queue::new("orders").concurrency(1)], Configure::Set).await.unwrap();
    assert!(claim(&store, 9).await.runs.is_empty());
    finish(&store, &held, Status::Completed).await;
    assert_eq!(names(&claim(&store, 9).await.runs), ["b"]);
}

#[tokio::test]
async fn locked_run_stops_no_claim_of_others() {
    let InSchema { store, place: schema } = InSchema::new().await;
    submit(&store, ["a".to_owned(), "locked".to_owned(), "c".to_owned()]).await;
    let session = session(&schema, "SELECT FROM {s}.runs WHERE run_id = 'locked' FOR UPDATE").await;
    let claimed = claim(&store, 9).await;
    assert_eq!(names(&claimed.runs), ["a", "c"]);
    let next = claimed.next.map(|next| claimed.now.until(next));
    assert!(
        next.is_some_and(|next| next < Duration::from_secs(1)),
        "the run is looked at again soon: {next:?}"
    );
    unlock(session).await;
    assert_eq!(names(&claim(&store, 9).await.runs), ["locked"]);
}

#[tokio::test]
async fn locked_queue_stops_no_claim_of_others() {
    let InSchema { store, place: schema } = InSchema::new().await;
    store.configure(vec![Queue::new("limited").concurrency(1)], Configure::Set).await.unwrap();
    submit(&store, ["a".to_owned()]).await;
    store.submit(vec![Submit::new(run_id("b"), "checkout").queue("limited")]).await.unwrap();
    let session = session(&schema, "SELECT FROM {s}.queues WHERE name = 'limited' FOR UPDATE").await;
    let claimed = claim(&store, 9).await;
    assert_eq!(names(&claimed.runs), ["a"]);
    assert!(claimed.next.is_some_and(|next| claimed.now.until(next) < Duration::from_secs(1)));
    unlock(session).await;
    assert_eq!(names(&claim(&store, 9).await.runs), ["b"]);
}

#[tokio::test]
async fn claim_with_lost_answer_takes_each_run_once() {
    let Behind { proxy, far, near, place: _place } = Behind::new(LONG).await;
    submit(&far, (0..6).map(|number| format!("order-{number}"))).await;
    // The statements are prepared from now on. Only the statement that takes runs names the queue.
    assert_eq!(claim(&far, 1).await.runs.len(), 1);
    let claimed = Schema::losing_the_answer(&proxy, "orders", claim(&far, 3)).await;
    assert_eq!(names(&claimed.runs), ["order-1", "order-2", "order-3"]);
    assert_eq!(names(&claim(&near, 9).await.runs), ["order-4", "order-5"]);
    finish(&far, &claimed.runs, Status::Completed).await;
}

#[tokio::test]
async fn submission_with_lost_answer_adds_each_run_once() {
    let Behind { proxy, far, near, place: _place } = Behind::new(LONG).await;
    submit(&far, ["warm".to_owned(), "known".to_owned()]).await;
    let batch = vec![run("order-1"), run("known"), run("order-1"), run("order-2")];
    let submitted = Schema::losing_the_answer(&proxy, "order-1", far.submit(batch)).await.unwrap();
    let (queued, exists) = (Ok(Submitted::Queued), Ok(Submitted::Exists(Status::Queued)));
    assert_eq!(submitted, [queued.clone(), exists.clone(), exists, queued]);
    assert_eq!(names(&claim(&near, 9).await.runs), ["warm", "known", "order-1", "order-2"]);
}

#[tokio::test]
async fn killed_sessions_cost_no_run() {
    let InSchema { store, place: schema } = InSchema::new().await;
    submit(&store, ["a".to_owned()]).await;
    let locked = session(&schema, "LOCK TABLE {s}.ready").await;
    let submitting = async {
        store.submit(vec![run("b"), run("c")]).await.unwrap();
    };
    let cut = async {
        cut_waiting_sessions(&schema, "ready").await;
        locked.close().await.unwrap();
    };
    tokio::join!(submitting, cut);
    let locked = session(&schema, "LOCK TABLE {s}.claims IN EXCLUSIVE MODE").await;
    let cut = async {
        cut_waiting_sessions(&schema, "claims").await;
        locked.close().await.unwrap();
    };
    let (claimed, ()) = tokio::join!(claim(&store, 9), cut);
    assert_eq!(names(&claimed.runs), ["a", "b", "c"]);
    finish(&store, &claimed.runs, Status::Completed).await;
}

#[tokio::test]
async fn claim_waits_while_the_server_is_away() {
    let Behind { proxy, far, near, place: _place } = Behind::new(LONG).await;
    submit(&near, ["a".to_owned()]).await;
    proxy.set(Way::Closed);
    let (claimed, ()) = tokio::join!(claim(&far, 9), proxy.reopen());
    assert_eq!(names(&claimed.runs), ["a"]);
}

#[tokio::test]
async fn only_lapsed_leases_of_a_claim_are_due() {
    let InSchema { store, place: schema } = InSchema::new().await;
    let other = schema.store().await;
    submit(&store, (0..4).map(|number| format!("order-{number}"))).await;
    let lapsed = store.claim(request(9).ttl(Duration::ZERO)).await.unwrap().runs;
    let [ended, renewed, released, crashed] = &lapsed[..] else { panic!("{lapsed:?}") };
    finish(&store, std::slice::from_ref(ended), Status::Completed).await;
    store.renew(&renewed.lease, LONG).await.unwrap();
    store.release(&released.lease);
    store.now().await.unwrap();
    let next = claim(&other, 9).await.runs;
    assert_eq!(names(&next), ["order-2", "order-3"]);
    assert_eq!((next[0].run.header.crashes, next[1].run.header.crashes), (0, 1));
    assert!(next[1].lease.token() > crashed.lease.token());
    store.renew(&renewed.lease, Duration::ZERO).await.unwrap();
    assert_eq!(names(&claim(&other, 9).await.runs), ["order-1"]);
}

#[tokio::test]
async fn ranks_of_the_server_are_those_of_core() {
    let InSchema { store, place: _place } = InSchema::new().await;
    let now = store.now().await.unwrap();
    let starts = [
        Start::Now,
        Start::In(Duration::from_micros(1_500)),
        Start::In(Duration::MAX),
        Start::At(now.after(LONG)),
        Start::At(now.before(LONG)),
    ];
    for (number, start) in starts.into_iter().enumerate() {
        for priority in [0, 7, i32::MIN, i32::MAX] {
            let id = format!("order-{number}-{priority}");
            let submit = run(&id).start(start).priority(priority).key("ann").start_by(now);
            store.submit(vec![submit.clone()]).await.unwrap();
            let header = load(&store, &id).await.header;
            assert_eq!(header, submit.header(submit.place(header.created), header.created), "{id}");
        }
    }
}
