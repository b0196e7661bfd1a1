//! Runs that wait: for an answer from outside, and for their time to come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly::clock::{days, hours, secs};
use awaitly::journal::{Migration, Outcome, Payload, Status, Unanswered};
use awaitly::persistence::MemoryStore;
use awaitly::persistence::operate::OperateExt;
use awaitly::store::{Answer, Answered, Cancelled, DeleteIf, DueQuery, Operate, RunId, Store, WaitQuery};
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

/// Charges, asks, and ships what was answered.
async fn order(run: &DurableRun, bank: &Bank) -> Result<u32, OrderError> {
    let charged = step!(run, bank.charge());
    let approved: u32 = step!(run.wait_for("manager").request("may I ship?").expires_in(days(3)));
    Ok(charged + approved)
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_without_a_task_until_it_is_answered() {
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
    assert_eq!(store.answer(answer.clone()).await.unwrap(), Answered::Taken);
    assert_eq!(store.answer(answer).await.unwrap(), Answered::Refused(Unanswered::AlreadyAnswered));
    assert!(is_due(&store, "r").await);
    assert_eq!(workflow.run("r", async |run| order(run, &bank).await).await, Ok(41));
    assert_eq!(bank.calls(), 1, "what was recorded before the wait was not executed again");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_while_the_run_is_on_its_way_to_wait_is_not_missed() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| {
        let answered = run.wait_for::<u32>("manager").await;
        if answered.is_err() {
            let answer = Answer::new(id("r"), "manager", value(&1));
            assert_eq!(store.answer(answer).await.unwrap(), Answered::Taken);
        }
        Ok::<_, OrderError>(answered?)
    };
    assert!(workflow.run("r", body).await.is_err());
    assert!(is_due(&store, "r").await);
    assert_eq!(workflow.run("r", body).await, Ok(1));
}

/// The second version knows the manager as the boss.
#[tokio::test(start_paused = true)]
async fn a_question_goes_with_a_migration_and_takes_the_answer_under_its_token() {
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
        "nobody is asked anew"
    );
    let old_key = Answer::new(id("r"), "manager", value(&40));
    assert_eq!(store.answer(old_key).await.unwrap(), Answered::Refused(Unanswered::NotAsked));
    let answer = Answer::new(id("r"), "boss", value(&40)).token(asked[0].token.clone());
    assert_eq!(store.answer(answer).await.unwrap(), Answered::Taken);
    assert_eq!(new.run("r", body).await, Ok(41));
    assert_eq!(bank.calls(), 1);
}

/// Somebody answers after the journal was read, and before it is written in its new form.
#[tokio::test]
async fn an_answer_that_meets_a_migration_is_not_lost() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let old = Workflow::new("order").store(store.clone());
    assert!(old.run("r", async |run| order(run, &bank).await).await.is_err(), "it waits");
    let (answering, migrated) = (store.clone(), Arc::new(AtomicU32::new(0)));
    let times = Arc::clone(&migrated);
    let migration = Migration::transform("charge", move |charged| {
        if times.fetch_add(1, Ordering::Relaxed) == 0 {
            let answered = answering.answer(Answer::new(id("r"), "manager", value(&40))).now_or_never();
            assert_eq!(answered.unwrap().unwrap(), Answered::Taken);
        }
        Ok(charged)
    });
    let new = old.version(2).migration(1, migration);
    assert_eq!(new.run("r", async |run| order(run, &bank).await).await, Ok(41));
    assert_eq!(migrated.load(Ordering::Relaxed), 2, "what was read is migrated again");
}

/// The step that a run failed on has another key in the next version: a retry drops its record all the same.
#[tokio::test]
async fn what_a_run_failed_on_goes_with_a_migration() {
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
async fn who_resumes_only_what_is_there_begins_nothing() {
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
    assert_eq!(worker.run("r", body).await, Err(gone), "deleted after it was found to be due");
    assert_eq!(bank.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_in_time_is_an_error_that_stands() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let workflow = Workflow::new("order").store(store.clone());
    assert!(workflow.run("r", async |run| order(run, &bank).await).await.is_err());
    tokio::time::sleep(days(3) - secs(1)).await;
    assert!(!is_due(&store, "r").await);
    tokio::time::sleep(secs(2)).await;
    assert!(is_due(&store, "r").await, "somebody has to tell the body");
    let late = Answer::new(id("r"), "manager", value(&1));
    assert_eq!(store.answer(late).await.unwrap(), Answered::Refused(Unanswered::Expired));
    let expired: OrderError = RunError::Expired { step: "manager".into() }.into();
    for _ in 0..2 {
        assert_eq!(workflow.run("r", async |run| order(run, &bank).await).await, Err(expired.clone()));
    }
    assert_eq!(status(&store, "r").await, Status::Failed);

    // A retry asks anew, with as much time as before.
    store.retry(&id("r")).await.unwrap();
    assert!(is_due(&store, "r").await);
    assert!(workflow.run("r", async |run| order(run, &bank).await).await.is_err());
    let answer = Answer::new(id("r"), "manager", value(&40));
    assert_eq!(store.answer(answer).await.unwrap(), Answered::Taken);
    assert_eq!(workflow.run("r", async |run| order(run, &bank).await).await, Ok(41));
}

#[tokio::test]
async fn an_answer_of_another_type_or_a_no_is_a_typed_error() {
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
        assert_eq!(store.answer(Answer::new(id("r"), "manager", outcome)).await.unwrap(), Answered::Taken);
        let error = workflow.run("r", body).await.unwrap_err();
        assert!(is_right(&error), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_sleep_is_parked_where_the_workflow_says_so_and_goes_on_when_it_is_due() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("order").store(store.clone()).park_after(secs(60));
    let body = async |run: &DurableRun| {
        run.sleep("blink", secs(30)).await?;
        run.sleep("night", hours(8)).await?;
        Ok::<_, RunError>(())
    };
    let parked = Err(RunError::Waiting { step: "night".into() });
    assert_eq!(workflow.run("r", body).await, parked);
    assert_eq!(workflow.run("r", body).await, parked, "its time has not come");
    tokio::time::sleep(hours(7)).await;
    assert!(!is_due(&store, "r").await);
    tokio::time::sleep(hours(1)).await;
    assert!(is_due(&store, "r").await);
    assert_eq!(workflow.run("r", body).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_nearest_of_several_waits_wakes_the_run() {
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
async fn a_run_that_is_executed_is_cancelled_through_its_store() {
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

    // Where the owner died before it learnt of it, the next one does.
    store.retry(&id("r")).await.unwrap();
    let died = tokio::time::timeout(secs(1), workflow.run("r", body)).await;
    assert!(died.is_err());
    assert_eq!(store.cancel(&id("r")).await.unwrap(), Cancelled::Requested);
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}
