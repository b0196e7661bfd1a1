use awaitly_core::clock::{hours, mins, ms, secs};
use awaitly_core::journal::{Outcome, Payload, Record};
use awaitly_core::store::around::Request;
use awaitly_core::store::{Around, Claim, Dispatch, Durability, Lease, Owner, Store, StoreError};
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::{Client, Worker};
use awaitly_persistence::MemoryStore;
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::world::{Claims, SUM, memory, sum, work};

/// Claims a run as a process does that dies at once.
async fn crash(store: &MemoryStore, progress: Option<u32>) {
    let claim = Claim::new(Owner::unique()).serve("sum", 1).ttl(secs(1));
    let claimed = store.claim(claim).await.unwrap();
    if let (Some(step), [held]) = (progress, &claimed.runs[..]) {
        let outcome = Outcome::Value(Payload::encode(&1).unwrap());
        let record = Record { key: format!("step {step}").into(), outcome, input: None };
        store.append(&held.lease, record, Durability::Sync).await.unwrap();
    }
    tokio::time::sleep(secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn run_that_kills_its_process_fails_and_others_complete() {
    let (store, client) = memory();
    let poisonous = client.start(SUM, "poisonous", &vec![1]).await.unwrap();
    for _ in 0..5 {
        crash(&store, None).await;
    }
    let other = client.start(SUM, "other", &vec![2]).await.unwrap();
    let worker = Worker::new(store).serve(SUM, sum);
    let results = work(&worker, async { (poisonous.result().await, other.result().await) }).await;
    assert_eq!(results, (Err(RunError::CrashedRepeatedly { run: "poisonous".into(), crashes: 5 }), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn run_that_progresses_between_crashes_completes() {
    let (store, client) = memory();
    let slow = client.start(SUM, "slow", &vec![1]).await.unwrap();
    for step in 0..20 {
        crash(&store, Some(step)).await;
    }
    let worker = Worker::new(store).serve(SUM, sum);
    assert_eq!(work(&worker, slow.result()).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn run_that_cannot_be_executed_rests_longer_each_time() {
    let (store, client) = memory();
    let run = client.start(SUM, "old", &vec![1]).await.unwrap();
    let parked = async |run: DurableRun, _: Vec<u64>| {
        step!(run.sleep("a while", secs(5)));
        Ok(1)
    };
    Worker::new(store.clone()).serve(SUM, parked).tick(secs(2)).await.unwrap();
    // Version 2 has no migration from version 1, so the run cannot be opened.
    let counted = Claims::counted(store.clone());
    let worker = Worker::new(counted.clone()).serve_with(SUM, |sums| sums.version(2), sum);
    worker.run_until(tokio::time::sleep(mins(10))).await.unwrap();
    assert!(counted.made() < 100, "{} claims in ten minutes", counted.made());
    let state = run.state().await.unwrap();
    assert!(state.to_string().starts_with("asleep"), "{state}");
    // The corrected code executes it.
    let corrected = Worker::new(store).serve(SUM, sum);
    assert_eq!(work(&corrected, run.result()).await, Ok(1));
}

/// The store of a process that can die: then no call reaches the store any more, and no lease is released.
#[derive(Clone)]
struct Mortal {
    store: MemoryStore,
    is_dead: watch::Sender<bool>,
}

impl Mortal {
    fn new(store: MemoryStore) -> Self {
        Self { store, is_dead: watch::Sender::new(false) }
    }

    async fn die(&self) {
        self.is_dead.send_replace(true);
        std::future::pending().await
    }

    async fn dies(&self) {
        let _ = self.is_dead.subscribe().wait_for(|is_dead| *is_dead).await;
    }
}

impl Around for Mortal {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if *self.is_dead.borrow() {
            std::future::pending::<()>().await;
        }
        request.send(&self.store).await
    }

    fn release_around(&self, lease: &Lease) {
        if !*self.is_dead.borrow() {
            self.store.release(lease);
        }
    }
}

/// Starts processes, one after the other, until `done` is ready. The run `poisonous` kills its process. The first step of
/// each other run takes some seconds. Returns the number of processes.
async fn live(store: &MemoryStore, done: impl Future<Output = ()>) -> u32 {
    let mut done = std::pin::pin!(done);
    for process in 1.. {
        let mortal = Mortal::new(store.clone());
        let dying = mortal.clone();
        let body = move |run: DurableRun, numbers: Vec<u64>| {
            let process = dying.clone();
            async move {
                if run.id() == "poisonous" {
                    tokio::time::sleep(ms(10)).await;
                    process.die().await;
                }
                let slow = async || {
                    tokio::time::sleep(secs(numbers[0])).await;
                    Ok::<_, RunError>(numbers[0])
                };
                Ok(step!(run, "slow", slow()))
            }
        };
        let worker = Worker::new(mortal.clone()).serve(SUM, body);
        tokio::select! {
            stopped = worker.run_until(&mut done) => {
                stopped.unwrap();
                return process;
            }
            () = mortal.dies() => {}
        }
        drop(worker);
        tokio::time::sleep(secs(31)).await;
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn runs_beside_a_poisonous_one_complete() {
    for seconds in [3, 8] {
        let store = MemoryStore::new();
        let client = Client::new(store.clone());
        let runs = (0..21).map(|number| match number {
            10 => ("poisonous".to_owned(), vec![1]),
            _ => (format!("run {number}"), vec![seconds]),
        });
        let runs = client.start_many(SUM, runs).await.unwrap();
        let results = std::cell::RefCell::default();
        let done = async {
            let ends = join_all(runs.iter().map(|run| run.as_ref().unwrap().result()));
            *results.borrow_mut() = tokio::time::timeout(hours(1), ends).await.expect("all runs end");
        };
        let processes = live(&store, done).await;
        let failed: Vec<_> = results.into_inner().into_iter().filter_map(Result::err).collect();
        assert_eq!(failed, [RunError::CrashedRepeatedly { run: "poisonous".into(), crashes: 5 }]);
        assert!(processes <= 6, "{processes} processes");
    }
}
