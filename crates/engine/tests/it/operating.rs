use awaitly_core::clock::{hours, mins};
use awaitly_core::journal::Status;
use awaitly_core::store::{DeleteIf, Operate, Reschedule, RunQuery};
use awaitly_core::{DurableRun, Error, RunError, step};
use awaitly_engine::{Ailment, Contract, RunExt, Worker};
use futures_util::future::join_all;

use crate::world::{SUM, memory, sum, work};

const PICKY: Contract<u64, u64, RunError> = Contract::new("picky");

#[tokio::test(start_paused = true)]
async fn dead_letters_are_retried_and_purged_in_bulk() {
    let (store, client) = memory();
    let fixed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_fixed = fixed.clone();
    let picky = move |run: DurableRun, number: u64| {
        let is_fixed = is_fixed.load(std::sync::atomic::Ordering::Relaxed);
        async move {
            match is_fixed || number.is_multiple_of(2) {
                true => Ok(number),
                false => Err(RunError::Empty { what: run.id().into() }),
            }
        }
    };
    let worker = Worker::new(store.clone()).serve(PICKY, picky).serve(SUM, sum);
    let runs = (0..1200).map(|number| (number.to_string(), number));
    let runs = client.start_many(PICKY, runs).queue("q").await.unwrap();
    work(&worker, join_all(runs.iter().map(|run| run.as_ref().unwrap().result()))).await;
    let dead = || RunQuery::new().queue("q").status(Status::Failed);
    fixed.store(true, std::sync::atomic::Ordering::Relaxed);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = seen.clone();
    let retried = client.bulk(dead()).on_progress(move |progress| noted.lock().unwrap().push(progress.seen));
    let retried = retried.retry().await.unwrap();
    assert_eq!(
        (retried.seen, retried.changed, retried.to_string()),
        (600, 600, "600 of 600 runs changed".into())
    );
    assert_eq!(*seen.lock().unwrap(), [500, 600]);
    let results = work(&worker, join_all(runs.iter().map(|run| run.as_ref().unwrap().result()))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(client.bulk(dead()).delete().await.unwrap().seen, 0);
    let completed = client.bulk(RunQuery::new().queue("q").status(Status::Completed));
    assert_eq!(completed.delete().await.unwrap().changed, 1200);
    assert!(store.list(RunQuery::new()).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn queued_runs_are_moved_paused_and_cancelled_in_bulk() {
    let (store, client) = memory();
    let runs = (0..10_u64).map(|number| (number.to_string(), vec![number]));
    client.start_many(SUM, runs).queue("old").after(hours(1)).await.unwrap();
    let old = || client.bulk(RunQuery::new().queue("old"));
    let moved = old().reschedule(Reschedule::new().queue("new").priority(5)).await.unwrap();
    assert_eq!((moved.changed, old().cancel().await.unwrap().seen), (10, 0));
    let new = || client.bulk(RunQuery::new().queue("new"));
    assert_eq!((new().pause().await.unwrap().changed, new().pause().await.unwrap().changed), (10, 0));
    assert_eq!(new().resume().await.unwrap().changed, 10);
    assert_eq!(new().cancel().await.unwrap().changed, 10);
    let ticked = Worker::new(store).serve(SUM, sum).tick(hours(2)).await.unwrap();
    assert_eq!(ticked.executed, 0);
}

#[tokio::test(start_paused = true)]
async fn doctor_names_runs_that_nothing_continues() {
    const ASK: Contract<u64, u64, RunError> = Contract::new("ask");
    let (store, client) = memory();
    let ask = async |run: DurableRun, n: u64| if n == 0 { run.receive("never").await } else { Ok(n) };
    let worker = Worker::new(store.clone()).serve(ASK, ask);
    client.start(ASK, "waits", &0).await.unwrap();
    client.start(SUM, "not served", &vec![]).await.unwrap();
    client.start(SUM, "later", &vec![]).after(hours(1)).await.unwrap();
    client.start(SUM, "in a paused queue", &vec![]).queue("paused").await.unwrap();
    client.pause_queue("paused").await.unwrap();
    worker.run_until(tokio::time::sleep(mins(2))).await.unwrap();
    let found = client.doctor().await.unwrap();
    assert_eq!((found.checked, found.stuck().count(), found.findings.len()), (4, 0, 1));
    let text = "run `not served` of `sum` is due: start a worker that serves its workflow, or look at the limits of its queue";
    assert_eq!(found.findings[0].to_string(), text);

    // A program that wrote into the store itself.
    let mut stored =
        awaitly_core::store::Store::load(&store, &"waits".parse().unwrap()).await.unwrap().unwrap();
    stored.waits.clear();
    store.import("broken".parse().unwrap(), stored).await.unwrap();
    let found = client.doctor().await.unwrap();
    let stuck: Vec<_> = found.stuck().map(|finding| (&*finding.run, &finding.ailment)).collect();
    assert_eq!(stuck, [("broken", &Ailment::Stuck)]);
}

#[tokio::test(start_paused = true)]
async fn retry_continues_a_run_whose_child_is_gone() {
    const PARENT: Contract<u64, u64, Error<RunError>> = Contract::new("parent");
    let (store, client) = memory();
    let parent = async |run: DurableRun, n: u64| Ok(step!(run.child(SUM, "sum", &vec![n])));
    let worker = Worker::new(store.clone()).serve(PARENT, parent);
    let run = client.start(PARENT, "parent", &7).await.unwrap();
    work(&worker, tokio::time::sleep(mins(1))).await;
    assert_eq!(store.delete(vec!["parent/sum".parse().unwrap()], DeleteIf::Free).await.unwrap().len(), 1);
    let found = client.doctor().await.unwrap();
    let ailment = Ailment::ChildIsGone { step: "sum".into(), child: "parent/sum".parse().unwrap() };
    assert_eq!(found.stuck().map(|finding| &finding.ailment).collect::<Vec<_>>(), [&ailment]);
    let text = "run `parent` of `parent` waits at `sum` for the child `parent/sum`, which has ended or is gone: continue the run with `retry`";
    assert_eq!(found.findings[0].to_string(), text);
    assert!(run.retry().await.unwrap());
    assert_eq!(work(&worker.serve(SUM, sum), run.result()).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn retry_of_a_sleeping_run_does_not_shorten_its_sleep() {
    const NAP: Contract<u64, u64, RunError> = Contract::new("nap");
    let (store, client) = memory();
    let nap = async |run: DurableRun, n: u64| {
        step!(run.sleep("nap", hours(n)));
        Ok(n)
    };
    let worker = Worker::new(store).serve(NAP, nap);
    let begun = tokio::time::Instant::now();
    let run = client.start(NAP, "a", &2).await.unwrap();
    let done = async {
        assert!(!run.retry().await.unwrap(), "a queued run begins by itself");
        tokio::time::sleep(hours(1)).await;
        assert!(run.retry().await.unwrap());
        run.result().await
    };
    assert_eq!(work(&worker, done).await, Ok(2));
    assert!(begun.elapsed() >= hours(2), "{:?}", begun.elapsed());
}
