use awaitly_core::clock::{hours, secs};
use awaitly_core::journal::Status;
use awaitly_core::step::ValuesOnly;
use awaitly_core::store::{Cancelled, Operate, StoreError};
use awaitly_core::{DurableRun, Error, RunError, step};
use awaitly_engine::{Client, Contract, Phase, StartError, Worker};
use serde::{Deserialize, Serialize};

use crate::world::{SUM, memory, sum, work};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Declined(u64);

impl std::fmt::Display for Declined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "declined: {}", self.0)
    }
}

const PAY: Contract<u64, u64, Error<Declined>> = Contract::new("pay");

async fn pay(run: DurableRun, cents: u64) -> Result<u64, Error<Declined>> {
    let charge = |cents| async move { if cents > 100 { Err(Declined(cents)) } else { Ok(cents) } };
    Ok(step!(run, "charge", charge(cents)))
}

#[tokio::test(start_paused = true)]
async fn result_is_typed_as_the_body_returned_it() {
    let (store, client) = memory();
    let (small, large) =
        (client.start(PAY, "a", &7).await.unwrap(), client.start(PAY, "b", &700).await.unwrap());
    let worker = Worker::new(store).serve(PAY, pay).serve(SUM, sum);
    let results = work(&worker, async { (small.result().await, large.result().await) }).await;
    assert_eq!(results, (Ok(7), Err(Error::Failed(Declined(700)))));
    let state = large.state().await.unwrap();
    assert!(matches!(state.phase, Phase::Ended { status: Status::Failed, .. }));
    assert_eq!(state.to_string(), "failed: declined: 700");
    // Another client reads the recorded result, without a worker.
    let other = client.find(PAY, "b").unwrap();
    assert_eq!(other.result().await, Err(Error::Failed(Declined(700))));
}

#[tokio::test(start_paused = true)]
async fn error_without_serde_comes_back_as_text() {
    const REPORT: Contract<(), u64, NoSerde, ValuesOnly> = Contract::new("report").errors_as_text();
    #[derive(Debug)]
    struct NoSerde(String);
    impl std::fmt::Display for NoSerde {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }
    impl From<RunError> for NoSerde {
        fn from(error: RunError) -> Self {
            Self(error.to_string())
        }
    }
    let (store, client) = memory();
    let report = client.start(REPORT, "may", &()).await.unwrap();
    let body = async |_: DurableRun, ()| Err(NoSerde("no data".into()));
    let worker = Worker::new(store).serve(REPORT, body);
    let failed = work(&worker, report.result()).await.unwrap_err();
    assert_eq!(failed.0, "run `may` failed: no data");
}

#[tokio::test]
async fn run_id_is_started_once() {
    let (_, client) = memory();
    let first = client.start(SUM, "a", &vec![1]).await.unwrap();
    let again = client.start(SUM, "a", &vec![1]).queue("other").await.unwrap();
    assert_eq!((first.id(), &*again.state().await.unwrap().queue), (again.id(), ""));
    let changed = client.start(SUM, "a", &vec![2]).await.unwrap_err();
    assert_eq!(changed.to_string(), "run `a` was started with another input: use another run id");
    let other = client.start(PAY, "a", &1).await.unwrap_err();
    assert!(matches!(other, StartError::OtherWorkflow { workflow, .. } if &*workflow == "sum"));
    assert!(matches!(client.start(SUM, "", &vec![]).await, Err(StartError::InvalidRunId(_))));
}

#[tokio::test]
async fn input_without_json_form_is_refused_and_others_of_its_batch_start() {
    const MAP: Contract<std::collections::HashMap<(u8, u8), u8>, (), RunError> = Contract::new("map");
    let (store, client) = memory();
    let bad = std::collections::HashMap::from([((1, 2), 3)]);
    let one = client.start(MAP, "bad", &bad).await.unwrap_err();
    assert!(matches!(one, StartError::Unencodable { .. }), "{one}");
    let batch =
        [("bad", bad), ("good", std::collections::HashMap::new()), ("", std::collections::HashMap::new())];
    let started = client.start_many(MAP, batch).await.unwrap();
    assert!(matches!(started[0], Err(StartError::Unencodable { .. })));
    assert_eq!(&**started[1].as_ref().unwrap().id(), "good");
    assert!(matches!(started[2], Err(StartError::InvalidRunId(_))));
    assert_eq!(store.list(Default::default()).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_handles_wait_with_few_queries() {
    let (store, client) = memory();
    let runs = (0..2500_u64).map(|number| (number.to_string(), vec![number, 1]));
    let started = client.start_many(SUM, runs).await.unwrap();
    let worker = Worker::new(store).serve(SUM, sum).concurrency(100);
    let all = async {
        let results = started.iter().map(|run| run.as_ref().unwrap().result());
        futures_util::future::join_all(results).await
    };
    let results = work(&worker, all).await;
    assert!(results.into_iter().enumerate().all(|(number, sum)| sum == Ok(number as u64 + 1)));
}

#[tokio::test(start_paused = true)]
async fn result_of_missing_run_is_an_error() {
    let (store, client) = memory();
    let missing = client.find(SUM, "missing").unwrap();
    assert_eq!(missing.result().await, Err(RunError::NoSuchRun { run: "missing".into() }));
    assert!(matches!(missing.state().await, Err(RunError::NoSuchRun { .. })));
    assert!(!missing.pause().await.unwrap());
    assert_eq!(missing.cancel().await.unwrap(), Cancelled::NoSuchRun);
    let waiting = client.start(SUM, "a", &vec![]).await.unwrap();
    let result = tokio::spawn(async move { waiting.result().await });
    tokio::time::sleep(secs(5)).await;
    store.close().await.unwrap();
    assert_eq!(result.await.unwrap(), Err(RunError::Store(StoreError::Closed)));
}

#[test]
fn client_works_in_a_second_runtime_after_the_first_has_ended() {
    let (store, client) = memory();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let run = runtime().block_on(async {
        let run = client.start(SUM, "a", &vec![1, 2]).await.unwrap();
        assert!(tokio::time::timeout(secs(0), run.result()).await.is_err());
        run
    });
    let worker = Worker::new(store).serve(SUM, sum);
    assert_eq!(runtime().block_on(work(&worker, run.result())), Ok(3));
}

#[tokio::test(start_paused = true)]
async fn queued_run_is_cancelled_at_once_and_never_executed() {
    let (store, client) = memory();
    let run = client.start(SUM, "a", &vec![1]).after(hours(1)).await.unwrap();
    assert_eq!(run.state().await.unwrap().to_string(), "queued");
    assert_eq!(run.cancel().await.unwrap(), Cancelled::WithoutUndo);
    assert_eq!(run.result().await, Err(RunError::Cancelled { step: None }));
    let ticked = Worker::new(store).serve(SUM, sum).tick(secs(1)).await.unwrap();
    assert_eq!(ticked.executed, 0);
}

#[tokio::test(start_paused = true)]
async fn delayed_run_starts_at_its_time_and_late_run_never() {
    let (store, client) = memory();
    let begun = tokio::time::Instant::now();
    let delayed = client.start(SUM, "delayed", &vec![1]).after(hours(1)).await.unwrap();
    let now = store.now().await.unwrap();
    let late =
        client.start(SUM, "late", &vec![1]).after(hours(2)).start_by(now.after(hours(1))).await.unwrap();
    let worker = Worker::new(store).serve(SUM, sum);
    let both = async { (delayed.result().await, late.result().await) };
    let results = work(&worker, both).await;
    assert_eq!(results, (Ok(1), Err(RunError::Cancelled { step: None })));
    assert!(begun.elapsed() >= hours(2) && begun.elapsed() < hours(2) + secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn undecodable_input_fails_the_run_and_not_the_worker() {
    const OLD: Contract<String, u64, RunError> = Contract::new("sum");
    let (store, client) = memory();
    let bad = client.start(OLD, "bad", &"text".to_owned()).await.unwrap();
    let good = client.start(SUM, "good", &vec![2]).await.unwrap();
    let worker = Worker::new(store).serve(SUM, sum);
    let results = work(&worker, async { (bad.result().await, good.result().await) }).await;
    assert!(matches!(results, (Err(RunError::Undecodable { .. }), Ok(2))), "{results:?}");
}

#[test]
fn handles_and_clients_are_send_sync_and_small() {
    fn check<T: Send + Sync + Clone>() {}
    check::<Client<awaitly_persistence::MemoryStore>>();
    check::<awaitly_engine::RunHandle<awaitly_persistence::MemoryStore, u64, RunError, awaitly_core::Durable>>(
    );
}
