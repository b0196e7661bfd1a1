use std::future::IntoFuture;

use awaitly_core::clock::{days, hours, mins, ms, secs};
use awaitly_core::extend::undo;
use awaitly_core::journal::{Migration, Status};
use awaitly_core::store::{Open, Opened, Operate, Owner, Purpose, RunQuery, Store};
use awaitly_core::{DurableRun, Error, RunError, step};
use awaitly_engine::{Contract, RunExt, Worker};
use futures_util::future::{join, join_all, try_join};
use serde::{Deserialize, Serialize};

use crate::world::{Distant, Gauge, memory, work};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
enum Failure {
    #[error("sold out")]
    SoldOut,
    #[error(transparent)]
    Run(#[from] RunError),
}

const ORDER: Contract<u64, u64, Error<Failure>> = Contract::new("order");
const PART: Contract<u64, u64, Failure> = Contract::new("part");

async fn part(run: DurableRun, number: u64) -> Result<u64, Failure> {
    step!(run.sleep("delivery", hours(number)));
    if number == 13 { Err(Failure::SoldOut) } else { Ok(number * 10) }
}

/// Orders one part after the other.
async fn order(run: DurableRun, parts: u64) -> Result<u64, Error<Failure>> {
    let mut sum = 0;
    for number in 1..=parts {
        sum += step!(run.child(PART, format!("part {number}"), &number));
    }
    Ok(sum)
}

#[tokio::test(start_paused = true)]
async fn parent_waits_for_its_children_without_a_task() {
    let (store, client) = memory();
    let bodies = Gauge::default();
    let counted = bodies.clone();
    let body = move |run, parts| {
        let bodies = counted.clone();
        async move { bodies.during(order(run, parts)).await }
    };
    let worker = Worker::new(store.clone()).serve(ORDER, body).serve(PART, part);
    let parent = client.start(ORDER, "order", &3).await.unwrap();
    let done = async {
        tokio::time::sleep(hours(2)).await;
        assert_eq!(parent.state().await.unwrap().to_string(), "waiting for `part 2`");
        parent.result().await
    };
    assert_eq!(work(&worker, done).await, Ok(60));
    assert_eq!(bodies.total(), 4);
    let runs: Vec<_> =
        store.list(RunQuery::new()).await.unwrap().items.into_iter().map(|run| run.run).collect();
    let ids: Vec<_> = runs.iter().map(|run| &**run).collect();
    assert_eq!(ids, ["order/part 3", "order/part 2", "order/part 1", "order"]);
}

#[tokio::test(start_paused = true)]
async fn failed_child_fails_its_step_and_is_retried_with_its_parent() {
    const ONE: Contract<u64, u64, Error<Failure>> = Contract::new("one");
    let (store, client) = memory();
    let sold_out = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let stock = sold_out.clone();
    let part = move |_: DurableRun, number: u64| {
        let fails = stock.load(std::sync::atomic::Ordering::Relaxed);
        async move { if fails { Err(Failure::SoldOut) } else { Ok(number) } }
    };
    let one = async |run: DurableRun, number: u64| Ok(step!(run.child(PART, "part", &number)));
    let worker = Worker::new(store).serve(ONE, one).serve(PART, part);
    let parent = client.start(ONE, "one", &7).await.unwrap();
    let failed = work(&worker, parent.result()).await;
    assert_eq!(failed, Err(Error::Failed(Failure::SoldOut)));
    sold_out.store(false, std::sync::atomic::Ordering::Relaxed);
    assert!(parent.retry().await.unwrap());
    assert_eq!(work(&worker, parent.result()).await, Ok(7));
    assert!(!parent.retry().await.unwrap(), "a completed run stays completed");
}

#[tokio::test(start_paused = true)]
async fn child_that_another_process_holds_is_retried_later() {
    const ONE: Contract<u64, u64, Error<Failure>> = Contract::new("one");
    let (store, client) = memory();
    let bodies = Gauge::default();
    let counted = bodies.clone();
    let part = move |_: DurableRun, number: u64| {
        let bodies = counted.clone();
        async move {
            bodies.during(async {}).await;
            if bodies.total() == 1 { Err(Failure::SoldOut) } else { Ok(number) }
        }
    };
    let one = async |run: DurableRun, number: u64| Ok(step!(run.child(PART, "part", &number)));
    let worker = Worker::new(store.clone()).serve(ONE, one).serve(PART, part);
    let parent = client.start(ONE, "one", &7).await.unwrap();
    assert_eq!(work(&worker, parent.result()).await, Err(Error::Failed(Failure::SoldOut)));
    let hold = Open::new("one/part".parse().unwrap(), "part", Owner::unique()).existing().ttl(mins(1));
    assert!(matches!(store.open(hold.purpose(Purpose::Retry)).await.unwrap(), Opened::Held { .. }));
    assert!(parent.retry().await.unwrap());
    let result = tokio::time::timeout(mins(5), work(&worker, parent.result())).await;
    assert_eq!(result.expect("the run is not stuck"), Ok(7));
}

#[tokio::test(start_paused = true)]
async fn child_that_a_client_or_another_run_started_is_awaited() {
    const SHARED: Contract<String, u64, Error<Failure>> = Contract::new("shared");
    let (store, client) = memory();
    let shared = async |run: DurableRun, id: String| Ok(step!(run.child(PART, "part", &1).id(id)));
    let worker = Worker::new(store).serve(SHARED, shared).serve(PART, part);
    client.start(PART, "free", &1).await.unwrap();
    let runs = [("a", "free"), ("b", "common"), ("c", "common")];
    let runs = runs.map(|(run, child)| (run, child.to_owned()));
    let runs = client.start_many(SHARED, runs).await.unwrap();
    let results = join_all(runs.iter().map(|run| run.as_ref().unwrap().result()));
    let results = tokio::time::timeout(hours(2), work(&worker, results)).await.expect("no run is stuck");
    assert_eq!(results, [Ok(10), Ok(10), Ok(10)]);
}

#[tokio::test(start_paused = true)]
async fn children_run_at_once() {
    const BOTH: Contract<(), u64, Error<Failure>> = Contract::new("both");
    let (store, client) = memory();
    let both = async |run: DurableRun, ()| {
        let (one, two) = (run.child(PART, "one", &1), run.child(PART, "two", &2));
        let (one, two) = join(one.into_future(), two.into_future()).await;
        Ok(one? + two?)
    };
    let worker = Worker::new(store).serve(BOTH, both).serve(PART, part);
    let begun = tokio::time::Instant::now();
    let parent = client.start(BOTH, "both", &()).await.unwrap();
    assert_eq!(work(&worker, parent.result()).await, Ok(30));
    assert!(begun.elapsed() < hours(2) + secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn cancelled_parent_cancels_its_child_unless_it_is_detached() {
    const PAIR: Contract<(), u64, Error<Failure>> = Contract::new("pair");
    let (store, client) = memory();
    let pair = async |run: DurableRun, ()| {
        let (one, two) = (run.child(PART, "one", &20), run.child(PART, "two", &20).detached().id("free"));
        let (one, two) = join(one.into_future(), two.into_future()).await;
        Ok(one? + two?)
    };
    let worker = Worker::new(store).serve(PAIR, pair).serve(PART, part);
    let parent = client.start(PAIR, "pair", &()).await.unwrap();
    let (one, free) = (client.find(PART, "pair/one").unwrap(), client.find(PART, "free").unwrap());
    let done = async {
        tokio::time::sleep(hours(1)).await;
        let _ = parent.cancel().await.unwrap();
        (parent.result().await, one.result().await, free.result().await)
    };
    let (parent, one, free) = work(&worker, done).await;
    assert!(matches!(parent, Err(Error::Run(RunError::Cancelled { .. }))), "{parent:?}");
    assert!(matches!(one, Err(Failure::Run(RunError::Cancelled { .. }))), "{one:?}");
    assert_eq!(free, Ok(200));
}

#[tokio::test(start_paused = true)]
async fn child_of_a_compensation_continues_if_its_parent_is_cancelled() {
    const UNDOING: Contract<(), u64, Error<Failure>> = Contract::new("undoing");
    let (store, client) = memory();
    let undoing = async |run: DurableRun, ()| {
        let part = run.child(PART, "part", &20).await;
        if part.is_err() && !matches!(part, Err(Error::Run(RunError::Waiting { .. }))) {
            let refunding = run.clone();
            let refund = move || {
                let run = refunding.clone();
                async move { run.child(PART, "refund", &2).await }
            };
            let undone = undo::shielded(run.step("undo", refund)).await;
            undone.map_err(|error| match error {
                Error::Failed(error) => error,
                Error::Run(error) => Error::Run(error),
            })?;
        }
        part
    };
    let worker = Worker::new(store.clone()).serve(UNDOING, undoing).serve(PART, part);
    let parent = client.start(UNDOING, "undoing", &()).await.unwrap();
    let done = async {
        tokio::time::sleep(hours(1)).await;
        let _ = parent.cancel().await.unwrap();
        assert!(parent.result().await.is_err());
    };
    work(&worker, done).await;
    let children = store.list(RunQuery::new().workflow("part")).await.unwrap().items;
    let completed: Vec<_> = children.iter().filter(|child| child.status == Status::Completed).collect();
    assert_eq!((children.len(), completed.len()), (2, 1), "{children:?}");
    assert!(completed[0].run.ends_with("refund"), "{completed:?}");
}

#[tokio::test(start_paused = true)]
async fn renamed_step_waits_for_the_child_that_it_started() {
    const PAIR: Contract<(), u64, Error<Failure>> = Contract::new("pair");
    let (store, client) = memory();
    let (bodies, one) = (Gauge::default(), client.start(PAIR, "pair", &()).await.unwrap());
    let worker = |name: &'static str, version| {
        let (parent, counted) = (
            move |run: DurableRun, ()| async move {
                let (part, other) = (run.child(PART, name, &5), run.child(PART, "other", &1));
                let (part, other) = join(part.into_future(), other.into_future()).await;
                Ok(part? + other?)
            },
            bodies.clone(),
        );
        let part = move |run, number| {
            let bodies = counted.clone();
            async move { bodies.during(part(run, number)).await }
        };
        let rename = Migration::rename("part", "piece");
        Worker::new(store.clone())
            .serve_with(PAIR, |workflow| workflow.version(version).migration(1, rename), parent)
            .serve(PART, part)
    };
    work(&worker("part", 1), tokio::time::sleep(mins(10))).await;
    let ended = tokio::time::timeout(hours(6), work(&worker("piece", 2), one.result())).await;
    assert_eq!(ended.expect("the end of the child is found"), Ok(60));
    // Each child is executed before and after its sleep.
    assert_eq!(bodies.total(), 4);
}

#[tokio::test(start_paused = true)]
async fn id_of_another_run_fails_the_step() {
    const TAKEN: Contract<(), u64, Error<Failure>> = Contract::new("taken");
    let (store, client) = memory();
    let taken = async |run: DurableRun, ()| Ok(step!(run.child(PART, "part", &2).id("mine")));
    let worker = Worker::new(store).serve(TAKEN, taken).serve(PART, part);
    client.start(PART, "mine", &1).await.unwrap();
    let parent = client.start(TAKEN, "taken", &()).await.unwrap();
    let failed = work(&worker, parent.result()).await;
    assert_eq!(failed, Err(Error::Run(RunError::InputChanged { what: "the child `mine`".into() })));
    // An equal run that has ended already gives its result at once.
    const EQUAL: Contract<(), u64, Error<Failure>> = Contract::new("equal");
    let (store, client) = memory();
    let equal = async |run: DurableRun, ()| Ok(step!(run.child(PART, "part", &1).id("mine")));
    let worker = Worker::new(store).serve(EQUAL, equal).serve(PART, part);
    let mine = client.start(PART, "mine", &1).await.unwrap();
    work(&worker, mine.result()).await.unwrap();
    let parent = client.start(EQUAL, "equal", &()).await.unwrap();
    assert_eq!(work(&worker, parent.result()).await, Ok(10));
}

#[tokio::test(start_paused = true)]
async fn run_without_a_worker_cannot_start_children_and_stays_resumable() {
    let (store, client) = memory();
    let direct = awaitly_core::Workflow::new("order").store(store.clone()).input(&1);
    let body = async |run: &DurableRun| order(run.clone(), 1).await;
    let refused = direct.run("order", body).await;
    assert_eq!(refused, Err(Error::Run(RunError::NoWorker { step: "part 1".into() })));
    let worker = Worker::new(store).serve(ORDER, order).serve(PART, part);
    assert_eq!(work(&worker, client.find(ORDER, "order").unwrap().result()).await, Ok(10));
}

#[tokio::test(start_paused = true)]
async fn thousand_parents_with_children_complete() {
    let (store, client) = memory();
    let worker = Worker::new(store).serve(ORDER, order).serve(PART, part).concurrency(20);
    let parents = (0..1000).map(|number| (format!("order {number}"), 2));
    let parents = client.start_many(ORDER, parents).await.unwrap();
    let results = join_all(parents.iter().map(|parent| parent.as_ref().unwrap().result()));
    let results = tokio::time::timeout(days(1), work(&worker, results)).await.unwrap();
    assert!(results.into_iter().all(|result| result == Ok(30)));
}

#[tokio::test(start_paused = true)]
async fn failed_run_of_a_client_fails_the_step_that_waits_for_it() {
    const SHARED: Contract<String, u64, Error<Failure>> = Contract::new("shared");
    let (store, client) = memory();
    let shared = async |run: DurableRun, id: String| Ok(step!(run.child(PART, "part", &13).id(id)));
    let worker = Worker::new(store).serve(SHARED, shared).serve(PART, part);
    let ended = client.start(PART, "ended", &13).await.unwrap();
    assert_eq!(work(&worker, ended.result()).await, Err(Failure::SoldOut));
    client.start(PART, "running", &13).await.unwrap();
    for (run, child) in [("a", "ended"), ("b", "running")] {
        let parent = client.start(SHARED, run, &child.to_owned()).await.unwrap();
        let result = tokio::time::timeout(days(1), work(&worker, parent.result())).await;
        assert_eq!(result.expect("the parent is not stuck"), Err(Error::Failed(Failure::SoldOut)));
    }
    assert_eq!(ended.state().await.unwrap().to_string(), "failed: sold out", "nothing has retried it");
}

#[tokio::test(start_paused = true)]
async fn cancelled_parent_cancels_children_that_its_body_does_not_reach() {
    const PAIR: Contract<bool, u64, Error<Failure>> = Contract::new("pair");
    let (store, client) = memory();
    let store = Distant::new(store, ms(1), |_| true);
    let pair = async |run: DurableRun, is_busy: bool| {
        let (one, two) = (run.child(PART, "one", &20), run.child(PART, "two", &20));
        let both = try_join(one.into_future(), two.into_future()).await;
        if is_busy {
            // The execution goes on, and is cancelled here.
            let busy = async {
                tokio::time::sleep(hours(1)).await;
                Ok::<_, Failure>(())
            };
            step!(run, "work", busy);
        }
        both.map(|(one, two)| one + two)
    };
    let worker = Worker::new(store).serve(PAIR, pair).serve(PART, part);
    for (run, is_busy) in [("waiting", false), ("busy", true)] {
        let parent = client.start(PAIR, run, &is_busy).await.unwrap();
        let children = ["one", "two"].map(|child| client.find(PART, format!("{run}/{child}")).unwrap());
        let done = async {
            tokio::time::sleep(mins(30)).await;
            let _ = parent.cancel().await.unwrap();
            let parent = parent.result().await;
            assert!(matches!(parent, Err(Error::Run(RunError::Cancelled { .. }))), "{parent:?}");
            tokio::time::sleep(hours(1)).await;
            for child in &children {
                assert_eq!(child.state().await.unwrap().to_string(), "cancelled", "{run}");
            }
        };
        worker.run_until(done).await.unwrap();
    }
}
