//! Runs that wait for an answer from outside, or until a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly::clock::{days, hours, secs};
use awaitly::journal::{Migration, Outcome, Payload, Status, Unanswered};
use awaitly::persistence::MemoryStore;
use awaitly::persistence::operate::OperateExt;
use awaitly::store::{Answer, Cancelled, DeleteIf, DueQuery, Operate, RunId, Store, WaitQuery};
use awaitly::{DurableRun, RunError, Workflow, step};
use futures_util::FutureExt;

use crate::durable::{Bank, OrderError};

fn id(run: &str) -> RunId {
    RunId::new(run).unwrap()
}

fn value<T: serde::Serialize>(value: &T) -> Outcome {
    Outcome::Value(Payload::encode(value).unwrap())
}

async fn status(store: &MemoryStore, run: &str) -> Status {
    store.load(&id(run)).await.unwrap().unwrap().header.status
}

async fn is_due(store: &MemoryStore, run: &str) -> bool {
    store.due(DueQuery::new()).await.unwrap().iter().any(|due| *due.run == *run)
}

/// Charges, asks the manager, and returns the sum of both values.
async fn order(run: &DurableRun, bank: &Bank) -> Result<u32, OrderError> {
    let charged = step!(run, bank.charge());
    let approved: u32 = step!(run.wait_for("manager").request("may I ship?").expires_in(days(3)));
    Ok(charged + approved)
}

#[tokio::test(start_paused = true)]
async fn waiting_run_completes_after_the_answer() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let workflow = Workflow::new("order").store(store.clone());
    let waiting: OrderError = RunError::Waiting { step: "manager".into() }.into();
    for _ in 0..2 {
        assert_eq!(workflow.run("r", async |run| order(run, &bank).await).await, Err(waiting.clone()));
        assert_eq!(status(&store, "r").await, Status::Waiting);
    }
    let asked = store.waiting(WaitQuery::new()).await.unwrap().items;
    let [asked] = asked.as_slice() else { panic!("asked {asked:?}") };
    assert_eq!(asked.entry.request.decode::<String>().unwrap(), "may I ship?");
    assert_eq!(asked.entry.token.len(), 32);
    assert!(!is_due(&store, "r").await);

    let answer = Answer::new(id("r"), "manager", value(&40)).token(asked.entry.token.clone());
    assert_eq!(store.answer(answer.clone()).await.unwrap(), Ok(()));
    assert_eq!(store.answer(answer).await.unwrap(), Err(Unanswered::AlreadyAnswered));
    assert!(is_due(&store, "r").await);
    assert_eq!(workflow.run("r", async |run| order(run, &bank).await).await, Ok(41));
    assert_eq!(bank.calls(), 1, "the step before the wait is not executed again");
}

#[tokio::test(start_paused = true)]
async fn answer_before_the_run_pauses_is_not_missed() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| {
        let answered = run.wait_for::<u32>("manager").await;
        if answered.is_err() {
            let answer = Answer::new(id("r"), "manager", value(&1));
            assert_eq!(store.answer(answer).await.unwrap(), Ok(()));
        }
        Ok::<_, OrderError>(answered?)
    };
    assert!(workflow.run("r", body).await.is_err());
    assert!(is_due(&store, "r").await);
    assert_eq!(workflow.run("r", body).await, Ok(1));
}

/// The second version renames the step `manager` to `boss`.
#[tokio::test(start_paused = true)]
async fn migrated_question_keeps_its_token_and_accepts_the_answer() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let old = Workflow::new("order").store(store.clone());
    assert!(old.run("r", async |run| order(run, &bank).await).await.is_err(), "it waits");
    let asked = store.load(&id("r")).await.unwrap().unwrap().waits;

    let new = old.version(2).migration(1, Migration::rename("manager", "boss"));
    let body = async |run: &DurableRun| {
        let charged = step!(run, bank.charge());
        let approved: u32 = step!(run.wait_for("boss").expires_in(days(3)));
        Ok::<_, OrderError>(charged + approved)
    };
    assert_eq!(new.run("r", body).await, Err(RunError::Waiting { step: "boss".into() }.into()));
    let waits = store.load(&id("r")).await.unwrap().unwrap().waits;
    assert_eq!(
        (&waits[0].token, waits[0].expires),
        (&asked[0].token, asked[0].expires),
        "the question is not asked again"
    );
    let old_key = Answer::new(id("r"), "manager", value(&40));
    assert_eq!(store.answer(old_key).await.unwrap(), Err(Unanswered::NotAsked));
    let answer = Answer::new(id("r"), "boss", value(&40)).token(asked[0].token.clone());
    assert_eq!(store.answer(answer).await.unwrap(), Ok(()));
    assert_eq!(new.run("r", body).await, Ok(41));
    assert_eq!(bank.calls(), 1);
}

/// The answer arrives after the journal was read, and before the migrated journal is written.
#[tokio::test]
async fn answer_during_a_migration_is_not_lost() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let old = Workflow::new("order").store(store.clone());
    assert!(old.run("r", async |run| order(run, &bank).await).await.is_err(), "it waits");
    let (answering, migrated) = (store.clone(), Arc::new(AtomicU32::new(0)));
    let times = Arc::clone(&migrated);
    let migration = Migration::transform("charge", move |charged| {
        if times.fetch_add(1, Ordering::Relaxed) == 0 {
            let answered = answering.answer(Answer::new(id("r"), "manager", value(&40))).now_or_never();
            assert_eq!(answered.unwrap().unwrap(), Ok(()));
        }
        Ok(charged)
    });
    let new = old.version(2).migration(1, migration);
    assert_eq!(new.run("r", async |run| order(run, &bank).await).await, Ok(41));
    assert_eq!(migrated.load(Ordering::Relaxed), 2, "the journal is read and migrated again");
}

/// The next version renames the step that the run failed on, and a retry still drops its record.
#[tokio::test]
async fn retry_drops_a_renamed_failed_step() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    bank.fail.store(1, Ordering::Relaxed);
    let old = Workflow::new("order").store(store.clone());
    let pay = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, "pay", bank.charge()));
    assert!(old.run("r", pay).await.is_err());
    let new = old.version(2).migration(1, Migration::rename("pay", "charge"));
    let charge = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, "charge", bank.charge()));
    assert_eq!(new.retry("r", charge).await, Ok(2));
}

#[tokio::test]
async fn only_existing_does_not_create_a_run() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let workflow = Workflow::new("order").store(store.clone());
    let worker = workflow.clone().only_existing();
    let body = async |run: &DurableRun| order(run, &bank).await;
    let gone: OrderError = RunError::NoSuchRun { run: "r".into() }.into();
    assert_eq!(worker.run("r", body).await, Err(gone.clone()));
    assert_eq!(worker.retry("r", body).await, Err(gone.clone()));
    assert_eq!(worker.cancel("r", body).await, Err(gone.clone()));
    assert!(store.load(&id("r")).await.unwrap().is_none());
    assert!(workflow.run("r", body).await.is_err(), "it waits");
    assert!(matches!(worker.run("r", body).await, Err(OrderError::Run(RunError::Waiting { .. }))));
    assert_eq!(store.delete(vec![id("r")], DeleteIf::Free).await.unwrap(), [id("r")]);
    assert_eq!(worker.run("r", body).await, Err(gone), "the run was deleted after it was found to be due");
    assert_eq!(bank.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn expired_question_is_a_recorded_error() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let workflow = Workflow::new("order").store(store.clone());
    assert!(workflow.run("r", async |run| order(run, &bank).await).await.is_err());
    tokio::time::sleep(days(3) - secs(1)).await;
    assert!(!is_due(&store, "r").await);
    tokio::time::sleep(secs(2)).await;
    assert!(is_due(&store, "r").await, "a worker must deliver the expiry to the body");
    let late = Answer::new(id("r"), "manager", value(&1));
    assert_eq!(store.answer(late).await.unwrap(), Err(Unanswered::Expired));
    let expired: OrderError = RunError::Expired { step: "manager".into() }.into();
    for _ in 0..2 {
        assert_eq!(workflow.run("r", async |run| order(run, &bank).await).await, Err(expired.clone()));
    }
    assert_eq!(status(&store, "r").await, Status::Failed);

    // A retry asks again, with the full time until the expiry.
    store.retry(&id("r")).await.unwrap();
    assert!(is_due(&store, "r").await);
    assert!(workflow.run("r", async |run| order(run, &bank).await).await.is_err());
    let answer = Answer::new(id("r"), "manager", value(&40));
    assert_eq!(store.answer(answer).await.unwrap(), Ok(()));
    assert_eq!(workflow.run("r", async |run| order(run, &bank).await).await, Ok(41));
}

#[tokio::test]
async fn rejection_or_answer_of_another_type_is_a_typed_error() {
    for (outcome, is_right) in [
        (
            value(&"not a number"),
            (|error| matches!(error, RunError::Undecodable { .. })) as fn(&RunError) -> bool,
        ),
        (
            Outcome::Failed(Payload::encode("too dear").unwrap()),
            |error| matches!(error, RunError::Rejected { reason, .. } if &**reason == "\"too dear\""),
        ),
    ] {
        let store = MemoryStore::new();
        let workflow = Workflow::new("order").store(store.clone());
        let body = async |run: &DurableRun| Ok::<u32, RunError>(run.wait_for("manager").await?);
        assert!(matches!(workflow.run("r", body).await, Err(RunError::Waiting { .. })));
        assert_eq!(store.answer(Answer::new(id("r"), "manager", outcome)).await.unwrap(), Ok(()));
        let error = workflow.run("r", body).await.unwrap_err();
        assert!(is_right(&error), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_sleep_parks_the_run_until_it_is_due() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("order").store(store.clone()).park_after(secs(60));
    let body = async |run: &DurableRun| {
        run.sleep("blink", secs(30)).await?;
        run.sleep("night", hours(8)).await?;
        Ok::<_, RunError>(())
    };
    let parked = Err(RunError::Waiting { step: "night".into() });
    assert_eq!(workflow.run("r", body).await, parked);
    assert_eq!(workflow.run("r", body).await, parked, "the sleep has not ended");
    tokio::time::sleep(hours(7)).await;
    assert!(!is_due(&store, "r").await);
    tokio::time::sleep(hours(1)).await;
    assert!(is_due(&store, "r").await);
    assert_eq!(workflow.run("r", body).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn earliest_of_several_waits_wakes_the_run() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("order").store(store.clone()).park_after(Duration::ZERO);
    let body = async |run: &DurableRun| {
        let asked = async { run.wait_for::<u32>("manager").expires_in(hours(2)).await };
        let (slept, asked) = tokio::join!(run.sleep("soon", hours(1)), asked);
        slept?;
        asked
    };
    assert!(matches!(workflow.run("r", body).await, Err(RunError::Waiting { .. })));
    let wake = store.load(&id("r")).await.unwrap().unwrap().header.wake.unwrap();
    assert_eq!(store.now().await.unwrap().until(wake).as_secs().div_ceil(60), 60);
    tokio::time::sleep(hours(1)).await;
    assert!(is_due(&store, "r").await);
    assert_eq!(workflow.run("r", body).await, Err(RunError::Waiting { step: "manager".into() }));
    assert!(!is_due(&store, "r").await);
}

#[tokio::test(start_paused = true)]
async fn running_run_is_cancelled_through_its_store() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("order").store(store.clone()).lease(secs(30));
    let begun = AtomicU32::new(0);
    let body = async |run: &DurableRun| {
        begun.fetch_add(1, Ordering::Relaxed);
        run.sleep("long", days(1)).await?;
        Ok::<_, RunError>(())
    };
    let (ran, cancelled) = tokio::join!(workflow.run("r", body), async {
        tokio::time::sleep(secs(1)).await;
        store.cancel(&id("r")).await.unwrap()
    });
    assert_eq!(cancelled, Cancelled::Requested);
    assert_eq!(ran, Err(RunError::Cancelled { step: Some("long".into()) }));
    assert_eq!(status(&store, "r").await, Status::Cancelled);

    // If the owner dies before it reads the request, the request stays for the next owner.
    store.retry(&id("r")).await.unwrap();
    let died = tokio::time::timeout(secs(1), workflow.run("r", body)).await;
    assert!(died.is_err());
    assert_eq!(store.cancel(&id("r")).await.unwrap(), Cancelled::Requested);
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}
