//! The whole engine on each real store: two workers with connections of their own, in real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{hours, ms, secs};
use awaitly_core::dispatch::Queue;
use awaitly_core::journal::Status;
use awaitly_core::store::{Cancelled, Dispatch, Owner, RunQuery, Unsent};
use awaitly_core::{DurableRun, Error, Retry, RunError, step};
use awaitly_engine::{Client, Contract, Finding, Follow, RunExt, Schedule, SendError, StartError, Worker};
use awaitly_persistence::{MemoryStore, PostgresOptions, PostgresStore, RedisOptions, SqliteStore};
use futures_util::future::{join, join_all};

use crate::world::Gauge;

type Failure = Error<RunError>;

const ORDER: Contract<u64, u64, Failure> = Contract::new("order");
const PART: Contract<u64, u64, RunError> = Contract::new("part");
const FLAKY: Contract<u64, u64, RunError> = Contract::new("flaky");
const TICK: Contract<(), bool, RunError> = Contract::new("tick");
const ROUND: Contract<u64, u64, RunError> = Contract::new("round");

/// Counted across both workers.
#[derive(Clone, Default)]
struct World {
    parts: Gauge,
    failures: Arc<AtomicU32>,
}

/// Waits for a payment and for a part, and reports its progress.
async fn order(run: DurableRun, number: u64) -> Result<u64, Failure> {
    let paid: u64 = step!(run.receive("payments"));
    let mut log = run.stream("log");
    step!(log.append("paid"));
    let part = step!(run.child(PART, "part", &number).queue("parts"));
    step!(log.append("made"));
    step!(run.publish("total", &(paid + part)));
    Ok(paid + part)
}

/// Counts to three, with a fresh journal for each number.
async fn round(run: DurableRun, number: u64) -> Result<u64, RunError> {
    step!(run.sleep("rest", ms(1)));
    if number == 3 { Ok(number) } else { Err(run.restart(&(number + 1))) }
}

fn worker<S: Dispatch + Clone>(store: S, world: &World) -> Worker<S> {
    let World { parts, failures } = world.clone();
    let part = move |_: DurableRun, number: u64| {
        let parts = parts.clone();
        async move {
            parts.during(tokio::time::sleep(ms(5))).await;
            Ok(number * 10)
        }
    };
    let flaky = move |_: DurableRun, number: u64| {
        let fails = failures.fetch_add(1, Ordering::Relaxed) < 2;
        async move { if fails { Err(RunError::Empty { what: "stock".into() }) } else { Ok(number) } }
    };
    Worker::new(store)
        .serve(ORDER, order)
        .serve(PART, part)
        .serve(TICK, async |run: DurableRun, ()| Ok(run.scheduled_for().is_some()))
        .serve(ROUND, round)
        .serve_with(FLAKY, |workflow| workflow.retry_runs(Retry::fixed(ms(20)).attempts(5)), flaky)
        .queue(Queue::new("parts").concurrency(3))
}

/// Orders that wait for mail and for children, in a limited queue.
async fn take_orders<S: Dispatch + Clone>(client: &Client<S>) {
    let numbers = (0..20).map(|number| (format!("order-{number}"), number));
    let orders = client.start_many(ORDER, numbers).tag("today").await.unwrap();
    for (number, order) in orders.iter().enumerate() {
        order.as_ref().unwrap().send("payments", &number).id("first").await.unwrap();
        let again = order.as_ref().unwrap().send("payments", &999).id("first").await;
        // The order may have ended in the meantime.
        assert!(matches!(again, Ok(()) | Err(SendError::Unsent(Unsent::Ended { .. }))), "{again:?}");
    }
    let results = join_all(orders.iter().map(|order| order.as_ref().unwrap().result())).await;
    let expected: Vec<_> = (0..20).map(|number| Ok(number * 11)).collect();
    assert_eq!(results, expected);
    let seventh = orders[7].as_ref().unwrap();
    assert_eq!(seventh.published::<u64>("total").await.unwrap(), Some(77));
    assert_eq!(seventh.stream::<String>("log", 0, Follow::Never).await.unwrap(), ["paid", "made"]);
    let tagged = client.store().list(RunQuery::new().tag("today").status(Status::Completed)).await.unwrap();
    assert_eq!(tagged.items.len(), 20);
    let parts = client.store().list(RunQuery::new().queue("parts")).await.unwrap();
    assert_eq!(parts.items.len(), 20);
    assert!(parts.items.iter().all(|part| &*part.workflow == "part"));
}

/// Retries, restarts and schedules.
async fn wait<S: Dispatch + Clone>(client: &Client<S>) {
    let flaky = client.start(FLAKY, "flaky", &5).await.unwrap();
    let round = client.start(ROUND, "round", &0).await.unwrap();
    assert_eq!(join(flaky.result(), round.result()).await, (Ok(5), Ok(3)));
    let ticks = client.schedule("ticks", Schedule::every(secs(1)), TICK, &()).await.unwrap();
    tokio::time::sleep(ms(2500)).await;
    ticks.pause().await.unwrap();
    tokio::time::sleep(ms(100)).await;
    let completed = RunQuery::new().workflow("tick").status(Status::Completed);
    let fired = client.store().list(completed).await.unwrap().items.len();
    assert!((2..=4).contains(&fired), "{fired} runs in 2.5 seconds");
}

/// Pauses, cancellations, deduplication and bulk operations.
async fn operate<S: Dispatch + Clone>(client: &Client<S>) {
    let late = client.start(ORDER, "late", &1).after(hours(1)).await.unwrap();
    late.pause().await.unwrap();
    assert_eq!(late.state().await.unwrap().to_string(), "queued, paused");
    late.resume().await.unwrap();
    assert_eq!(late.cancel().await.unwrap(), Cancelled::WithoutUndo);
    assert!(matches!(late.result().await, Err(Error::Run(RunError::Cancelled { .. }))));

    client.pause_queue("night").await.unwrap();
    let one = client.start(ROUND, "one", &0).queue("night").deduplicate("nightly").await.unwrap();
    let same = client.start(ROUND, "two", &1).queue("night").deduplicate("nightly").await.unwrap();
    assert_eq!((&**one.id(), &**same.id()), ("one", "one"));
    let parked = client.bulk(RunQuery::new().queue("night").status(Status::Queued));
    assert_eq!(parked.pause().await.unwrap().changed, 1);
    client.resume_queue("night").await.unwrap();
    tokio::time::sleep(ms(50)).await;
    assert_eq!(one.state().await.unwrap().to_string(), "queued in `night`, paused");
    one.resume().await.unwrap();
    assert_eq!(one.result().await, Ok(3));

    let unpaid = client.start(ORDER, "unpaid", &1).await.unwrap();
    while unpaid.state().await.unwrap().to_string() != "waiting for `payments`" {
        tokio::time::sleep(ms(5)).await;
    }
    assert_eq!(unpaid.cancel().await.unwrap(), Cancelled::Requested);
    assert!(matches!(unpaid.result().await, Err(Error::Run(RunError::Cancelled { .. }))));
    let gone = client.bulk(RunQuery::new().workflow("order")).delete().await.unwrap();
    assert_eq!(gone.changed, 22);
    assert_eq!(client.find(ORDER, "order-7").unwrap().published::<u64>("total").await.unwrap(), None);
}

/// Executes everything with two workers, each with a store of its own.
async fn works_on<S: Dispatch + Clone>(one: S, other: S) {
    crate::states::explain_themselves(one.clone()).await;
    let world = World::default();
    let client = Client::new(one.clone());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let until = || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.wait_for(|stopped| *stopped).await) }
    };
    let (first, second) = (worker(one, &world), worker(other, &world));
    let day = async {
        take_orders(&client).await;
        wait(&client).await;
        operate(&client).await;
        stop.send_replace(true);
    };
    let (first, second, ()) = tokio::join!(first.run_until(until()), second.run_until(until()), day);
    first.unwrap();
    second.unwrap();
    assert!(world.parts.most() <= 3, "{} parts at once", world.parts.most());
    let diagnosis = client.doctor().await.unwrap();
    assert_eq!(diagnosis.stuck().collect::<Vec<_>>(), [] as [&Finding; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    let store = MemoryStore::new();
    works_on(store.clone(), store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(folder.path().join("runs.db"));
    let (one, other) = (open().await.unwrap(), open().await.unwrap());
    works_on(one.clone(), other.clone()).await;
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis() {
    let url = std::env::var("AWAITLY_REDIS_URL").expect("`cargo xtask test` names a server");
    let prefix = format!("awaitly_engine_{}", Owner::unique().as_str());
    let open = || RedisOptions::new().prefix(&*prefix).connect(&url);
    let (one, other) = (open().await.unwrap(), open().await.unwrap());
    works_on(one.clone(), other.clone()).await;
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    let url = std::env::var("AWAITLY_POSTGRES_URL").expect("`cargo xtask test` names a server");
    let schema = format!("awaitly_engine_{}", Owner::unique().as_str().replace('-', "_"));
    let open = || PostgresOptions::new().schema(&*schema).connections(3).connect(&url);
    let (one, other) = (open().await.unwrap(), open().await.unwrap());
    works_on(one.clone(), other.clone()).await;
    starts_with_the_transaction(&url, one.clone()).await;
    one.close().await.unwrap();
    other.close().await.unwrap();
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    let psql = std::process::Command::new("psql").args([&url, "-qc", &drop]).status();
    assert!(psql.unwrap().success());
}

/// A run starts if and only if the application commits.
async fn starts_with_the_transaction(url: &str, store: PostgresStore) {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let client = Client::new(store.clone());
    client.set_queue(Queue::new("fair").fair()).await.unwrap();
    for queue in ["", "fair"] {
        let id = |name: &str| format!("{name} in {queue:?}");
        let start = |name| client.start(PART, id(name), &4).queue(queue).key("ann");
        let mut committed = pool.begin().await.unwrap();
        let run = start("committed").within(&mut committed).await.unwrap();
        assert!(matches!(run.state().await, Err(RunError::NoSuchRun { .. })), "not yet");
        start("committed").within(&mut *committed).await.unwrap();
        let changed = client.start(PART, id("committed"), &5).within(&mut committed).await;
        assert!(matches!(changed, Err(StartError::InputChanged { .. })), "{changed:?}");
        let mut rolled_back = pool.begin().await.unwrap();
        let never = start("rolled back").queue("").within(&mut rolled_back).await.unwrap();
        rolled_back.rollback().await.unwrap();
        committed.commit().await.unwrap();
        assert!(matches!(never.state().await, Err(RunError::NoSuchRun { .. })));
        let worker = worker(store.clone(), &World::default());
        let done = async { assert_eq!(run.result().await, Ok(40)) };
        worker.run_until(done).await.unwrap();
    }
    pool.close().await;
}
