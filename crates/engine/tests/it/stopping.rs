use awaitly_core::clock::{hours, mins, ms, secs};
use awaitly_core::journal::Refused;
use awaitly_core::store::around::{Call, Request};
use awaitly_core::store::{
    Around, Claim, Dispatch, DueQuery, Open, Opened, Operate, Owner, Store, StoreError,
};
use awaitly_core::{DurableRun, RunError};
use awaitly_engine::{Contract, Phase, Worker};
use awaitly_persistence::MemoryStore;

use crate::world::{Claims, Gauge, SUM, memory, sum, work};

const NAP: Contract<u64, u64, RunError> = Contract::new("nap");

/// Sleeps without the store, as a body does that calls a slow service.
async fn nap(_: DurableRun, millis: u64) -> Result<u64, RunError> {
    tokio::time::sleep(ms(millis)).await;
    Ok(millis)
}

#[tokio::test(start_paused = true)]
async fn draining_worker_finishes_executions_and_claims_no_more() {
    let (store, client) = memory();
    let (running, queued) =
        (client.start(NAP, "running", &5_000).await.unwrap(), client.start(NAP, "queued", &1).await.unwrap());
    let worker = Worker::new(store).serve(NAP, nap).concurrency(1);
    worker.run_until(tokio::time::sleep(secs(1))).await.unwrap();
    assert!(running.has_ended().await.unwrap(), "it had time to end");
    assert!(matches!(queued.state().await.unwrap().phase, Phase::Queued { .. }));
}

#[tokio::test(start_paused = true)]
async fn execution_beyond_the_grace_period_is_interrupted_and_resumed_elsewhere() {
    let (store, client) = memory();
    let run = client.start(NAP, "long", &90_000).await.unwrap();
    let begun = tokio::time::Instant::now();
    let worker = || Worker::new(store.clone()).serve(NAP, nap).grace(secs(10));
    worker().run_until(tokio::time::sleep(secs(1))).await.unwrap();
    assert_eq!(begun.elapsed(), secs(11));
    assert!(matches!(run.state().await.unwrap().phase, Phase::Running { .. }));
    assert_eq!(run.state().await.unwrap().crashes, 0);
    assert_eq!(work(&worker(), run.result()).await, Ok(90_000));
    assert!(begun.elapsed() < secs(103), "the lease was free at once: {:?}", begun.elapsed());
    assert_eq!(run.state().await.unwrap().crashes, 0, "a worker that stops is not a crash");
}

#[tokio::test(start_paused = true)]
async fn dropped_worker_stops_at_once_and_frees_its_leases() {
    let (store, client) = memory();
    let run = client.start(NAP, "long", &60_000).await.unwrap();
    let gauge = Gauge::default();
    let counted = gauge.clone();
    let body = move |run, millis| {
        let gauge = counted.clone();
        async move { gauge.during(nap(run, millis)).await }
    };
    let worker = Worker::new(store.clone()).serve(NAP, body);
    let dropped = tokio::time::timeout(secs(5), worker.run_until(std::future::pending())).await;
    assert!(dropped.is_err());
    tokio::time::sleep(ms(1)).await;
    assert_eq!(store.due(DueQuery::new()).await.unwrap().len(), 1);
    assert_eq!(work(&worker, run.result()).await, Ok(60_000));
    assert_eq!(gauge.total(), 2);
}

#[tokio::test(start_paused = true)]
async fn closed_store_ends_the_worker() {
    let (store, _) = memory();
    let worker = Worker::new(store.clone()).serve(SUM, sum);
    let working = tokio::spawn(async move { worker.run_until(std::future::pending()).await });
    tokio::time::sleep(secs(1)).await;
    store.close().await.unwrap();
    assert_eq!(working.await.unwrap(), Err(StoreError::Closed));
}

#[tokio::test(start_paused = true)]
async fn worker_continues_when_a_failing_store_recovers() {
    let (store, client) = memory();
    let run = client.start(SUM, "a", &vec![1]).await.unwrap();
    let failing = Claims::failing(store, 8);
    let worker = Worker::new(failing.clone()).serve(SUM, sum);
    let begun = tokio::time::Instant::now();
    worker.run_until(async { assert_eq!(run.result().await, Ok(1)) }).await.unwrap();
    assert!(
        begun.elapsed() > secs(5) && begun.elapsed() < mins(1),
        "it waits between attempts: {:?}",
        begun.elapsed()
    );
    assert!(failing.made() < 30, "{} claims", failing.made());
}

#[tokio::test(start_paused = true)]
async fn idle_worker_rarely_asks_the_store() {
    let (store, client) = memory();
    // A run of a workflow that no worker serves is due all the time.
    client.start(NAP, "other", &1).await.unwrap();
    let counted = Claims::counted(store);
    let worker = Worker::new(counted.clone()).serve(SUM, sum);
    worker.run_until(tokio::time::sleep(mins(10))).await.unwrap();
    assert!(counted.made() <= 70, "{} claims in ten minutes", counted.made());
}

/// A store that never records the end of an execution.
#[derive(Clone)]
struct Endless(MemoryStore);

impl Around for Endless {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if R::CALL == Call::Finish {
            std::future::pending::<()>().await;
        }
        request.send(&self.0).await
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_worker_frees_the_runs_that_it_has_claimed_and_not_begun() {
    let (store, client) = memory();
    client.start(SUM, "poisonous", &vec![1]).await.unwrap();
    for _ in 0..5 {
        let claim = Claim::new(Owner::unique()).serve("sum", 1).ttl(secs(1));
        assert_eq!(store.claim(claim).await.unwrap().runs.len(), 1);
        tokio::time::sleep(secs(2)).await;
    }
    for run in ["a", "b"] {
        client.start(SUM, run, &vec![1]).await.unwrap();
    }
    let worker = Worker::new(Endless(store.clone())).serve(SUM, sum);
    assert!(tokio::time::timeout(secs(1), worker.run_until(std::future::pending())).await.is_err());
    tokio::time::sleep(ms(1)).await;
    let due: Vec<_> = store.due(DueQuery::new()).await.unwrap().into_iter().map(|due| due.run).collect();
    assert_eq!(due.iter().map(|run| &**run).collect::<Vec<_>>(), ["a", "b"]);
    // Its count stays, so another worker fails it.
    tokio::time::sleep(mins(1)).await;
    let poisonous = client.find(SUM, "poisonous").unwrap();
    let failed = work(&Worker::new(store).serve(SUM, sum), poisonous.result()).await;
    assert!(matches!(failed, Err(RunError::CrashedRepeatedly { .. })), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn each_run_has_the_lease_of_its_workflow() {
    const REPORT: Contract<u64, u64, RunError> = Contract::new("report");
    let (store, client) = memory();
    client.start(NAP, "short", &60_000).await.unwrap();
    client.start(REPORT, "long", &60_000).await.unwrap();
    let worker =
        Worker::new(store.clone()).serve(NAP, nap).serve_with(REPORT, |report| report.lease(hours(1)), nap);
    let test = async {
        tokio::time::sleep(secs(1)).await;
        for (run, workflow, least, most) in [("short", "nap", 1, 30), ("long", "report", 3500, 3600)] {
            let open = Open::new(run.parse().unwrap(), workflow, Owner::unique()).existing();
            let Opened::Refused(Refused::Busy { remaining }) = store.open(open.version(1)).await.unwrap()
            else {
                panic!("`{run}` is held");
            };
            assert!((secs(least)..=secs(most)).contains(&remaining), "{run}: {remaining:?}");
        }
    };
    worker.run_until(test).await.unwrap();
}
