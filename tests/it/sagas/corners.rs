//! Corner cases of sagas on durable runs.

use std::sync::atomic::{AtomicBool, Ordering};

use awaitly::guard::Refusal;
use awaitly::journal::{Outcome, Payload, Status};
use awaitly::persistence::MemoryStore;
use awaitly::saga::{DurableSaga, SagaError, SagaOptions, saga, saga_with};
use awaitly::store::{Answer, DueQuery, Operate, RunId, Store};
use awaitly::{DurableRun, RunError, Workflow, parallel, step};
use tokio_util::sync::CancellationToken;

use super::{TripError, World};

type Ended<T> = Result<T, SagaError<TripError>>;

fn id(run: &str) -> RunId {
    RunId::new(run).unwrap()
}

async fn status(store: &MemoryStore) -> Status {
    store.load(&id("r")).await.unwrap().unwrap().header.status
}

async fn answer(store: &MemoryStore, key: &'static str) {
    let yes = Outcome::Value(Payload::encode(&true).unwrap());
    assert_eq!(store.answer(Answer::new(id("r"), key, yes)).await.unwrap(), Ok(()));
}

/// Books a seat with the saga's idempotency keys.
async fn seat<'c>(saga: &DurableSaga<'c, TripError>, world: &'c World) -> Result<(), TripError> {
    let (key, undo_key) = (saga.idempotency_key("seat"), saga.idempotency_key("undo seat"));
    step!(saga, "seat", compensate = move |_| world.act(undo_key.clone()), world.act(key));
    Ok(())
}

#[tokio::test]
async fn compensation_inside_another_step_is_refused() {
    let (store, world) = (MemoryStore::new(), World::default());
    let workflow = Workflow::new("trip").store(store.clone());
    let hidden = async |run: &DurableRun| -> Ended<()> {
        saga(run, async |saga| {
            let (_, _) = parallel!(saga, { a: seat(&saga, &world), b: world.act("b") });
            Ok(())
        })
        .await
    };
    let error = workflow.run("r", hidden).await.unwrap_err().into_error();
    assert!(matches!(&error, TripError::Run(RunError::Refused { by, .. }) if &**by == "saga"), "{error}");
    assert!(error.to_string().contains("build it in the body of the saga"), "{error}");
    assert_eq!(world.calls("r/seat"), 0);
    assert_eq!(status(&store).await, Status::Running, "a corrected body can resume the run");

    let nested = async |run: &DurableRun| -> Ended<()> {
        saga(run, async |saga| {
            let inn = async {
                let inn = saga.nested(async |saga| seat(&saga, &world).await).await;
                inn.map_err(SagaError::into_error)
            };
            step!(saga, "inn", inn);
            Ok(())
        })
        .await
    };
    let error = workflow.run("other", nested).await.unwrap_err().into_error();
    assert!(error.to_string().contains("build it in the body of the saga"), "{error}");
}

#[tokio::test]
async fn saga_resumed_in_a_cancelled_run_is_fully_undone() {
    let (store, world) = (MemoryStore::new(), World::default());
    let body = async |run: &DurableRun| -> Ended<bool> {
        saga(run, async |saga| {
            seat(&saga, &world).await?;
            step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room"));
            Ok(step!(run.wait_for("manager")))
        })
        .await
    };
    let workflow = Workflow::new("trip").store(store.clone());
    workflow.run("r", body).await.unwrap_err();
    let token = CancellationToken::new();
    token.cancel();
    let ended = workflow.clone().cancel_on(token).run("r", body).await.unwrap_err();
    assert!(ended.is_undone() && ended.in_doubt().is_empty());
    assert_eq!(world.done(), ["r/seat", "room", "undo room", "r/undo seat"]);
    assert_eq!(status(&store).await, Status::Cancelled);
}

#[tokio::test]
async fn retried_saga_has_new_idempotency_keys() {
    let (store, world, full) = (MemoryStore::new(), World::default(), AtomicBool::new(true));
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<()> {
        saga(run, async |saga| {
            seat(&saga, &world).await?;
            if full.load(Ordering::Relaxed) {
                step!(saga, "charge", world.refuse("charge"));
            }
            Ok(())
        })
        .await
    };
    workflow.run("r", body).await.unwrap_err();
    workflow.retry("r", body).await.unwrap_err();
    full.store(false, Ordering::Relaxed);
    // The process dies during the third time, and the resumed run keeps the keys of the third time.
    world.fuse.set(2);
    let workflow = Workflow::new("trip").store(store.clone());
    assert!(world.fuse.watch(workflow.retry("r", body)).await.is_none());
    world.fuse.set(0);
    assert_eq!(workflow.run("r", body).await, Ok(()));
    let keys = ["r/seat", "r/undo seat", "r/seat@2", "r/undo seat@2", "r/seat@3"];
    assert_eq!(world.done(), keys);
}

#[tokio::test]
async fn named_saga_resumes_after_another_saga_was_inserted() {
    let (store, world, newer) = (MemoryStore::new(), World::default(), AtomicBool::new(false));
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<()> {
        if newer.load(Ordering::Relaxed) {
            saga_with(run, SagaOptions::new().name("greeting"), async |saga| {
                step!(saga, "hello", world.act("hello"));
                Ok::<_, TripError>(())
            })
            .await?;
        }
        saga_with(run, SagaOptions::new().name("trip"), async |saga| {
            seat(&saga, &world).await?;
            step!(saga, "charge", world.refuse("charge"));
            Ok(())
        })
        .await
    };
    // The process dies before the compensation.
    world.fuse.set(4);
    assert!(world.fuse.watch(workflow.run("r", body)).await.is_none());
    world.fuse.set(0);
    newer.store(true, Ordering::Relaxed);
    let error = workflow.run("r", body).await.unwrap_err();
    assert_eq!(error, SagaError::new(TripError::Refused("charge".into())));
    assert_eq!(world.done(), ["r/seat", "hello", "r/undo seat"]);
}

#[tokio::test]
async fn compensation_can_have_steps_and_wait() {
    let (store, world, token) = (MemoryStore::new(), World::default(), CancellationToken::new());
    let workflow = Workflow::new("trip").store(store.clone()).cancel_on(token.clone());
    let body = async |run: &DurableRun| -> Ended<()> {
        let refund = async || {
            step!(run, "look up", world.act("looked up"));
            let by_hand: bool = step!(run.wait_for("refund by hand"));
            Ok::<_, TripError>(by_hand)
        };
        let refund = &refund;
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| refund(), world.act("seat"));
            step!(saga, "charge", world.refuse("charge"));
            Ok(())
        })
        .await
    };
    let waits = workflow.run("r", body).await.unwrap_err();
    assert!(!waits.is_undone(), "{waits}");
    assert_eq!(status(&store).await, Status::Waiting, "the compensation waits for an answer");
    answer(&store, "undo seat/refund by hand").await;
    assert_eq!(workflow.run("r", body).await, Err(SagaError::new(TripError::Refused("charge".into()))));
    assert_eq!((world.calls("seat"), world.calls("looked up")), (1, 1));
}

#[tokio::test]
async fn cancelled_run_that_dies_during_its_undo_is_due() {
    let (store, world) = (MemoryStore::new(), World::default());
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<bool> {
        saga(run, async |saga| {
            seat(&saga, &world).await?;
            Ok(step!(run.wait_for("manager")))
        })
        .await
    };
    for cancelled_before in [false, true] {
        let run = if cancelled_before { "b" } else { "a" };
        workflow.run(run, body).await.unwrap_err();
        if cancelled_before {
            let cancelled = store.cancel(&id(run)).await.unwrap();
            assert_eq!(cancelled, awaitly::store::Cancelled::Requested);
        }
        world.fuse.set(1);
        assert!(world.fuse.watch(workflow.cancel(run, body)).await.is_none());
        world.fuse.set(0);
        assert!(
            store.due(DueQuery::new()).await.unwrap().iter().any(|due| *due.run == *run),
            "a worker must resume the undo"
        );
        let ended = workflow.run(run, body).await.unwrap_err();
        assert!(ended.is_undone());
        assert_eq!(world.calls(&format!("{run}/undo seat")), 1);
        assert_eq!(store.load(&id(run)).await.unwrap().unwrap().header.status, Status::Cancelled);
    }
}

#[tokio::test]
async fn after_step_hook_does_not_refuse_compensations() {
    let (store, world) = (MemoryStore::new(), World::default());
    let hook = |step: awaitly::StepInfo| async move {
        if step.step.key.starts_with("undo") { Err(Refusal::new("hook", "no")) } else { Ok(()) }
    };
    let workflow = Workflow::new("trip").store(store).after_step(hook);
    let body = async |run: &DurableRun| -> Ended<()> {
        saga(run, async |saga| {
            seat(&saga, &world).await?;
            step!(saga, "charge", world.refuse("charge"));
            Ok(())
        })
        .await
    };
    assert!(workflow.run("r", body).await.unwrap_err().is_undone());
    assert_eq!(world.done(), ["r/seat", "r/undo seat"]);
}

#[tokio::test]
async fn unrecorded_step_is_in_doubt_if_the_run_is_cancelled() {
    let (store, world) = (MemoryStore::new(), World::default());
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<()> {
        saga(run, async |saga| {
            seat(&saga, &world).await?;
            step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room"));
            Ok(())
        })
        .await
    };
    // The process dies after the effect and before its record.
    world.fuse.set(4);
    assert!(world.fuse.watch(workflow.run("r", body)).await.is_none());
    world.fuse.set(0);
    let ended = workflow.cancel("r", body).await.unwrap_err();
    assert_eq!(ended.in_doubt(), ["room".into()]);
    assert_eq!(world.done(), ["r/seat", "room", "r/undo seat"]);
}

#[tokio::test]
async fn recorded_step_dropped_by_try_join_is_undone() {
    let (store, world) = (MemoryStore::new(), World::default());
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<()> {
        saga(run, async |saga| {
            let b = saga.step("b", || world.refuse("b")).compensate(|_| world.act("undo b"));
            let a = saga.step("a", || world.act("a")).compensate(|_| world.act("undo a"));
            match tokio::try_join!(b.into_future(), a.into_future()) {
                Ok(_) => Ok(()),
                Err(_) => Err(TripError::Refused("b".into())),
            }
        })
        .await
    };
    // Both outcomes are recorded. The resumed body finds the failure first, and drops the other step before it is found.
    let failed = Outcome::Failed(Payload::encode(&super::Refused("b".into())).unwrap());
    let done = Outcome::Value(Payload::encode(&7_u64).unwrap());
    let record =
        |key: &str, outcome| awaitly::journal::Record { key: key.to_owned().into(), outcome, input: None };
    let records = vec![record("a", done), record("b", failed)];
    let now = store.now().await.unwrap();
    let header = awaitly::journal::Header::new("trip".into(), 1, Status::Running, now);
    let stored = awaitly::store::StoredRun { header, input: None, records, waits: Vec::new() };
    let _ = store.import(id("r"), stored).await.unwrap();
    let ended = workflow.run("r", body).await.unwrap_err();
    assert!(ended.is_undone());
    assert_eq!(world.done(), ["undo a"]);
}

#[tokio::test]
async fn retry_after_a_volatile_saga_keeps_recorded_steps() {
    let (store, world, fail) = (MemoryStore::new(), World::default(), AtomicBool::new(true));
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<()> {
        step!(run, "charge", async { world.act("charge").await.map_err(TripError::from) });
        saga(&run.volatile(), async |saga| {
            step!(saga, "charge", compensate = |_| world.act("undone"), world.act("other"));
            if fail.load(Ordering::Relaxed) { Err(TripError::Refused("x".into())) } else { Ok(()) }
        })
        .await
    };
    workflow.run("r", body).await.unwrap_err();
    fail.store(false, Ordering::Relaxed);
    assert_eq!(workflow.retry("r", body).await, Ok(()));
    assert_eq!(world.calls("charge"), 1);
}

#[tokio::test]
async fn retried_saga_inside_a_step_has_new_idempotency_keys() {
    let (store, world, full) = (MemoryStore::new(), World::default(), AtomicBool::new(true));
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Result<(), TripError> {
        let booked = async {
            let booked = saga(run, async |saga| {
                seat(&saga, &world).await?;
                if full.load(Ordering::Relaxed) {
                    step!(saga, "charge", world.refuse("charge"));
                }
                Ok::<_, TripError>(())
            });
            booked.await.map_err(SagaError::into_error)
        };
        step!(run, "book", booked);
        Ok(())
    };
    workflow.run("r", body).await.unwrap_err();
    workflow.retry("r", body).await.unwrap_err();
    full.store(false, Ordering::Relaxed);
    assert_eq!(workflow.retry("r", body).await, Ok(()));
    assert_eq!(world.done(), ["r/seat", "r/undo seat", "r/seat@2", "r/undo seat@2", "r/seat@3"]);
}
