use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use awaitly::clock::{days, secs};
use awaitly::journal::Status;
use awaitly::journal::{Outcome, Payload};
use awaitly::persistence::MemoryStore;
use awaitly::saga::{SagaError, SagaOptions, saga, saga_with};
use awaitly::store::{Answer, Cancelled, DueQuery, Operate, RunId, Store};
use awaitly::{DurableRun, RunError, Workflow, step};
use tokio_util::sync::CancellationToken;

use super::{Refused, TripError, World};

fn id(run: &str) -> RunId {
    RunId::new(run).unwrap()
}

async fn status(store: &MemoryStore, run: &str) -> Status {
    store.load(&id(run)).await.unwrap().unwrap().header.status
}

/// A saga with a seat, a room, an answer from outside, and a charge that can fail.
struct Trip {
    store: MemoryStore,
    world: World,
    options: SagaOptions,
    refuse_charge: AtomicBool,
    refuse_undo: AtomicBool,
}

impl Trip {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            world: World::default(),
            options: SagaOptions::new(),
            refuse_charge: AtomicBool::new(false),
            refuse_undo: AtomicBool::new(false),
        }
    }

    fn workflow(&self) -> Workflow {
        Workflow::new("trip").store(self.store.clone())
    }

    async fn charge(&self) -> Result<u64, Refused> {
        match self.refuse_charge.load(Ordering::Relaxed) {
            true => self.world.refuse("charge").await,
            false => self.world.act("charge").await,
        }
    }

    async fn undo(&self, what: &str) -> Result<u64, Refused> {
        match self.refuse_undo.load(Ordering::Relaxed) {
            true => self.world.refuse(what).await,
            false => self.world.act(what).await,
        }
    }

    async fn body(&self, run: &DurableRun) -> Result<u64, SagaError<TripError>> {
        saga_with(run, self.options, async |saga| {
            step!(saga, "seat", compensate = |_| self.undo("undo seat"), self.world.act("seat"));
            step!(saga, "room", compensate = |_| self.world.act("undo room"), self.world.act("room"));
            let agreed: bool = step!(run.wait_for("manager"));
            assert!(agreed);
            Ok(step!(saga, "charge", compensate = |_| self.world.act("refund"), self.charge()))
        })
        .await
    }

    async fn run(&self) -> Result<u64, SagaError<TripError>> {
        self.workflow().run("r", async |run| self.body(run).await).await
    }

    async fn agree(&self) {
        let outcome = Outcome::Value(Payload::encode(&true).unwrap());
        let answered = self.store.answer(Answer::new(id("r"), "manager", outcome)).await.unwrap();
        assert_eq!(answered, Ok(()));
    }
}

fn refused(what: &str) -> TripError {
    TripError::Refused(what.to_owned())
}

#[tokio::test]
async fn failure_after_a_pause_undoes_the_steps_before_it() {
    let trip = Trip::new();
    let paused = trip.run().await.unwrap_err();
    assert_eq!(paused.into_error(), TripError::Run(RunError::Waiting { step: "manager".into() }));
    assert_eq!(trip.world.done(), ["seat", "room"]);
    trip.agree().await;
    trip.refuse_charge.store(true, Ordering::Relaxed);
    assert_eq!(trip.run().await, Err(SagaError::new(refused("charge"))));
    assert_eq!(trip.world.done(), ["seat", "room", "undo room", "undo seat"]);
    assert_eq!(status(&trip.store, "r").await, Status::Failed);
    assert_eq!(trip.run().await, Err(SagaError::new(refused("charge"))), "the error is recorded");
}

#[tokio::test]
async fn retry_starts_an_undone_saga_again() {
    let trip = Trip::new();
    trip.run().await.unwrap_err();
    trip.agree().await;
    trip.refuse_charge.store(true, Ordering::Relaxed);
    trip.run().await.unwrap_err();
    trip.refuse_charge.store(false, Ordering::Relaxed);
    let again = trip.workflow().retry("r", async |run| trip.body(run).await).await;
    assert_eq!(again, Ok(7));
    // The services are called again, but the fixed keys of these tests prevent a second effect.
    assert_eq!(
        (trip.world.calls("seat"), trip.world.calls("undo seat"), trip.world.calls("charge")),
        (2, 1, 1)
    );
}

#[tokio::test]
async fn retry_repeats_failed_compensations() {
    for options in [SagaOptions::new(), SagaOptions::new().stop_on_failure()] {
        let mut trip = Trip::new();
        trip.options = options;
        trip.run().await.unwrap_err();
        trip.agree().await;
        trip.refuse_charge.store(true, Ordering::Relaxed);
        trip.refuse_undo.store(true, Ordering::Relaxed);
        let failed = trip.run().await.unwrap_err();
        assert!(!failed.is_undone());
        assert_eq!(failed.failed()[0].step, "seat".into());
        assert_eq!(failed.failed()[0].error, refused("undo seat"));
        assert_eq!(
            failed.to_string(),
            "charge is not to be had; `seat` could not be undone: undo seat is not to be had"
        );
        assert_eq!(trip.world.calls("undo room"), 1);

        trip.refuse_undo.store(false, Ordering::Relaxed);
        let retry = async || trip.workflow().retry("r", async |run| trip.body(run).await).await;
        assert_eq!(retry().await, Err(SagaError::new(refused("charge"))), "all steps are undone now");
        assert_eq!(trip.world.done(), ["seat", "room", "undo room", "undo seat"]);
        assert_eq!((trip.world.calls("undo room"), trip.world.calls("seat")), (1, 1));
        trip.refuse_charge.store(false, Ordering::Relaxed);
        assert_eq!(retry().await, Ok(7), "another retry starts the saga again");
    }
}

#[tokio::test]
async fn cancelled_waiting_run_is_undone() {
    let trip = Trip::new();
    trip.run().await.unwrap_err();
    let cancelled = Err(SagaError::new(TripError::Run(RunError::Cancelled { step: Some("manager".into()) })));
    let cancel = async || trip.workflow().cancel("r", async |run| trip.body(run).await).await;
    assert_eq!(cancel().await, cancelled);
    assert_eq!(trip.world.done(), ["seat", "room", "undo room", "undo seat"]);
    assert_eq!(status(&trip.store, "r").await, Status::Cancelled);
    assert_eq!(cancel().await, cancelled, "no step is undone twice");
    assert_eq!(trip.world.calls("undo seat"), 1);
    // A retry starts the saga again, and asks again.
    let again = trip.workflow().retry("r", async |run| trip.body(run).await).await.unwrap_err();
    assert_eq!(again.into_error(), TripError::Run(RunError::Waiting { step: "manager".into() }));
    assert_eq!(trip.world.calls("seat"), 2);
}

#[tokio::test]
async fn waiting_run_cancelled_by_an_operator_is_undone_when_resumed() {
    let trip = Trip::new();
    trip.run().await.unwrap_err();
    assert_eq!(trip.store.cancel(&id("r")).await.unwrap(), Cancelled::Requested);
    assert_eq!(trip.world.done(), ["seat", "room"]);
    assert_eq!(trip.store.due(DueQuery::new()).await.unwrap().len(), 1, "a worker must undo the steps");
    let cancelled = trip.run().await;
    assert_eq!(trip.world.done(), ["seat", "room", "undo room", "undo seat"]);
    assert_eq!(status(&trip.store, "r").await, Status::Cancelled);
    let step = Some("manager".into());
    assert_eq!(cancelled, Err(SagaError::new(TripError::Run(RunError::Cancelled { step }))));
    assert_eq!(trip.run().await, cancelled, "each later call returns the same error");
}

#[tokio::test]
async fn run_marked_without_undo_can_still_be_undone() {
    let trip = Trip::new();
    trip.run().await.unwrap_err();
    assert_eq!(trip.store.cancel_without_undo(&id("r")).await.unwrap(), Cancelled::WithoutUndo);
    assert_eq!(trip.world.done(), ["seat", "room"]);
    trip.workflow().cancel("r", async |run| trip.body(run).await).await.unwrap_err();
    assert_eq!(trip.world.done(), ["seat", "room", "undo room", "undo seat"]);
}

#[tokio::test]
async fn on_cancel_keep_undoes_no_step() {
    let mut trip = Trip::new();
    trip.options = SagaOptions::new().keep_on_cancel();
    trip.run().await.unwrap_err();
    trip.workflow().cancel("r", async |run| trip.body(run).await).await.unwrap_err();
    assert_eq!(trip.world.done(), ["seat", "room"]);
    assert_eq!(status(&trip.store, "r").await, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn cancellation_does_not_stop_compensations() {
    let (store, world, token) = (MemoryStore::new(), World::default(), CancellationToken::new());
    let workflow = Workflow::new("trip").store(store.clone()).cancel_on(token.clone());
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            let slow = async {
                tokio::time::sleep(secs(60)).await;
                world.act("room").await
            };
            Ok::<_, TripError>(step!(saga, "room", compensate = |_| world.act("undo room"), slow))
        })
        .await
    };
    let (ended, ()) = tokio::join!(workflow.run("r", body), async {
        tokio::time::sleep(secs(1)).await;
        token.cancel();
    });
    let error = ended.unwrap_err();
    assert_eq!(error.error(), &TripError::Run(RunError::Cancelled { step: Some("room".into()) }));
    assert_eq!(error.in_doubt(), ["room".into()], "its operation was running");
    assert_eq!(world.done(), ["seat", "undo seat"]);
    assert_eq!(status(&store, "r").await, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn resumed_undo_does_not_wait_for_sleeps() {
    let (store, world) = (MemoryStore::new(), World::default());
    let workflow = Workflow::new("trip").store(store.clone()).deadline(secs(10));
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            saga.sleep("cool-off", days(3)).await?;
            Ok::<_, TripError>(())
        })
        .await
    };
    // The process dies before the compensation is recorded.
    world.fuse.set(3);
    assert!(world.fuse.watch(workflow.run("r", body)).await.is_none());
    world.fuse.set(0);
    let began = tokio::time::Instant::now();
    let error = workflow.run("r", body).await.unwrap_err();
    assert!(matches!(error.error(), TripError::Run(RunError::Timeout { .. })), "{error}");
    assert_eq!(world.done(), ["seat", "undo seat"]);
    assert!(began.elapsed() < secs(1));
}

#[tokio::test]
async fn panic_undoes_the_saga_and_fails_the_run() {
    let (store, world, bodies) = (MemoryStore::new(), World::default(), AtomicU32::new(0));
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| {
        bodies.fetch_add(1, Ordering::Relaxed);
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            if bodies.load(Ordering::Relaxed) < 10 {
                panic!("a bug");
            }
            Ok::<_, TripError>(())
        })
        .await
    };
    let panicked =
        Err(SagaError::new(TripError::Run(RunError::Panicked { step: None, message: "a bug".into() })));
    assert_eq!(workflow.run("r", body).await, panicked);
    assert_eq!(world.done(), ["seat", "undo seat"]);
    assert_eq!(status(&store, "r").await, Status::Failed);
}

#[tokio::test]
async fn step_that_the_body_no_longer_reaches_is_not_undone() {
    let (store, world, first) = (MemoryStore::new(), World::default(), AtomicBool::new(true));
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            if first.load(Ordering::Relaxed) {
                step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            }
            step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room"));
            step!(saga, "charge", world.refuse("charge"));
            Ok::<_, TripError>(())
        })
        .await
    };
    // Two actions and a refusal have five boundaries, so the process dies before the first compensation.
    world.fuse.set(6);
    assert!(world.fuse.watch(workflow.run("r", body)).await.is_none());
    world.fuse.set(0);
    first.store(false, Ordering::Relaxed);
    let error = workflow.run("r", body).await.unwrap_err();
    assert_eq!(error.failed().iter().map(|failed| &*failed.step).collect::<Vec<_>>(), ["seat"]);
    assert_eq!(world.done(), ["seat", "room", "undo room"]);
    // If the body reaches the step again, a retry undoes it.
    first.store(true, Ordering::Relaxed);
    let error = workflow.retry("r", body).await.unwrap_err();
    assert!(error.is_undone());
    assert_eq!(world.done(), ["seat", "room", "undo room", "undo seat"]);
}

#[tokio::test]
async fn steps_after_a_cancelled_saga_do_not_prevent_a_retry() {
    for give_up in [false, true] {
        let trip = Trip::new();
        let body = async |run: &DurableRun| {
            let ended = trip.body(run).await;
            if ended.is_err() {
                // The step is built, but it returns an error because the run is cancelled.
                let _ = run.step("tell somebody", || trip.world.act("told")).await;
            }
            ended
        };
        trip.workflow().run("r", body).await.unwrap_err();
        trip.refuse_undo.store(give_up, Ordering::Relaxed);
        let error = trip.workflow().cancel("r", body).await.unwrap_err();
        assert_eq!(error.is_undone(), !give_up);
        let ended = if give_up { Status::Failed } else { Status::Cancelled };
        assert_eq!(status(&trip.store, "r").await, ended, "a failed compensation fails the run");
        trip.refuse_undo.store(false, Ordering::Relaxed);
        let retry = async || trip.workflow().retry("r", body).await.unwrap_err();
        if give_up {
            assert!(retry().await.is_undone());
            assert_eq!(trip.world.calls("undo seat"), 1);
        }
        assert_eq!(retry().await.into_error(), TripError::Run(RunError::Waiting { step: "manager".into() }));
        assert_eq!(trip.world.calls("seat"), 2, "the saga starts again");
    }
}
