//! Cancellation: a request stays due until the body has undone its work.

use std::sync::Mutex;

use awaitly::clock::{days, secs};
use awaitly::journal::Status;
use awaitly::persistence::MemoryStore;
use awaitly::saga::{DurableSaga, SagaError, saga};
use awaitly::store::{Cancelled, Operate};
use awaitly::{DurableRun, Error, RunError, Workflow, parallel, step};
use tokio_util::sync::CancellationToken;

use super::{answer, id, is_due, status};

type Ended<T> = Result<T, SagaError<RunError>>;

#[derive(Default)]
struct Hotel(Mutex<Vec<&'static str>>);

impl Hotel {
    async fn act(&self, what: &'static str) -> Result<u32, RunError> {
        self.0.lock().unwrap().push(what);
        Ok(7)
    }

    fn acts(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

async fn room(saga: &DurableSaga<'_, RunError>, hotel: &'static Hotel) -> Result<(), RunError> {
    step!(saga, "room", compensate = |_| hotel.act("give back"), hotel.act("book"));
    Ok(())
}

/// Books a room, and waits for a signature.
async fn signed(run: &DurableRun, hotel: &'static Hotel) -> Ended<u32> {
    saga(run, async |saga| {
        room(&saga, hotel).await?;
        // Long enough for an operator to cancel the run.
        tokio::time::sleep(secs(1)).await;
        run.wait_for("signature").await
    })
    .await
}

fn hotel() -> &'static Hotel {
    Box::leak(Box::default())
}

fn cancelled_at(step: &'static str) -> RunError {
    RunError::Cancelled { step: Some(step.into()) }
}

#[tokio::test(start_paused = true)]
async fn request_before_a_pause_stays_due_until_undone() {
    let (store, hotel) = (MemoryStore::new(), hotel());
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| signed(run, hotel).await;
    let (ended, requested) = tokio::join!(workflow.run("r", body), async {
        tokio::time::sleep(secs(1) / 2).await;
        store.cancel(&id("r")).await.unwrap()
    });
    assert_eq!(requested, Cancelled::Requested);
    assert!(matches!(ended.unwrap_err().into_error(), RunError::Waiting { .. }));
    assert_eq!((status(&store, "r").await, hotel.acts()), (Status::Waiting, vec!["book"]));
    assert!(is_due(&store, "r").await, "its work is not undone yet");
    let ended = workflow.run("r", body).await;
    assert_eq!(ended, Err(SagaError::new(cancelled_at("signature"))));
    assert_eq!((status(&store, "r").await, hotel.acts()), (Status::Cancelled, vec!["book", "give back"]));
    assert_eq!(workflow.run("r", body).await, ended, "each later call returns the same error");
    assert!(!is_due(&store, "r").await);
}

#[tokio::test(start_paused = true)]
async fn request_survives_a_crash_of_the_owner() {
    let (store, hotel) = (MemoryStore::new(), hotel());
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| signed(run, hotel).await;
    let died = tokio::time::timeout(secs(1) / 2, workflow.run("r", body)).await;
    assert!(died.is_err());
    assert_eq!(store.cancel(&id("r")).await.unwrap(), Cancelled::Requested);
    assert!(workflow.run("r", body).await.is_err());
    assert_eq!((status(&store, "r").await, hotel.acts()), (Status::Cancelled, vec!["book", "give back"]));
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_busy_run_leaves_a_request() {
    let (store, hotel) = (MemoryStore::new(), hotel());
    let workflow = Workflow::new("order").store(store.clone()).lease(secs(3));
    let body = async |run: &DurableRun| -> Ended<u32> {
        saga(run, async |saga| {
            room(&saga, hotel).await?;
            run.sleep("long", days(1)).await?;
            Ok(1)
        })
        .await
    };
    let (ended, refused) = tokio::join!(workflow.run("r", body), async {
        tokio::time::sleep(secs(1) / 2).await;
        workflow.cancel("r", body).await
    });
    assert!(matches!(refused.unwrap_err().into_error(), RunError::Busy { .. }));
    assert_eq!(ended, Err(SagaError::new(cancelled_at("long"))), "its owner reads the request");
    assert_eq!(hotel.acts(), ["book", "give back"]);
}

#[tokio::test(start_paused = true)]
async fn new_run_is_cancelled_without_calling_its_body() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |_: &DurableRun| Ok::<u32, RunError>(7);
    let cancelled = Err(RunError::Cancelled { step: None });
    assert_eq!(workflow.cancel("r", body).await, cancelled);
    assert_eq!(status(&store, "r").await, Status::Cancelled);
    assert_eq!(workflow.run("r", body).await, cancelled);
}

#[tokio::test(start_paused = true)]
async fn body_that_returns_a_value_completes_despite_cancellation() {
    let (store, token) = (MemoryStore::new(), CancellationToken::new());
    let workflow = Workflow::new("order").store(store.clone()).cancel_on(token.clone());
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        token.cancel();
        Ok(run.step("mail", async || Ok::<u32, RunError>(1)).await.unwrap_or(2))
    };
    assert_eq!(workflow.run("r", body).await, Ok(2));
    assert_eq!(status(&store, "r").await, Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn run_past_too_late_to_cancel_refuses_cancellation() {
    let (store, hotel, token) = (MemoryStore::new(), hotel(), CancellationToken::new());
    let workflow = Workflow::new("order").store(store.clone()).cancel_on(token.clone());
    let body = async |run: &DurableRun| -> Ended<u32> {
        saga(run, async |saga| {
            room(&saga, hotel).await?;
            run.too_late_to_cancel().await?;
            run.too_late_to_cancel().await?;
            let mail: u32 = step!(run.wait_for("mail"));
            Ok(mail)
        })
        .await
    };
    assert!(workflow.run("r", body).await.is_err());
    assert_eq!(store.cancel(&id("r")).await.unwrap(), Cancelled::TooLate);
    let refused = workflow.cancel("r", body).await.unwrap_err().into_error();
    assert_eq!(refused, RunError::TooLateToCancel { run: "r".into() });
    token.cancel();
    answer(&store, "r", "mail", 3).await;
    assert_eq!(workflow.run("r", body).await, Ok(3));
    assert_eq!(hotel.acts(), ["book"]);
}

#[tokio::test(start_paused = true)]
async fn request_before_too_late_to_cancel_takes_effect() {
    let (store, hotel) = (MemoryStore::new(), hotel());
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<u32> {
        saga(run, async |saga| {
            room(&saga, hotel).await?;
            tokio::time::sleep(secs(1)).await;
            run.too_late_to_cancel().await?;
            Ok(step!(run, "mail", hotel.act("mail")))
        })
        .await
    };
    let (ended, requested) = tokio::join!(workflow.run("r", body), async {
        tokio::time::sleep(secs(1) / 2).await;
        store.cancel(&id("r")).await.unwrap()
    });
    assert_eq!(requested, Cancelled::Requested);
    assert_eq!(ended, Err(SagaError::new(cancelled_at("too late to cancel"))));
    assert_eq!(hotel.acts(), ["book", "give back"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_saga_continues_a_waiting_undo_after_the_answer() {
    let (store, hotel) = (MemoryStore::new(), hotel());
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<u32> {
        let asking = run.clone();
        saga(run, async |saga| {
            room(&saga, hotel).await?;
            let by_hand = move |_: u32| {
                let asking = asking.clone();
                async move { asking.wait_for::<u32>("refund by hand").await }
            };
            step!(saga, "card", compensate = by_hand, hotel.act("charge"));
            run.wait_for("signature").await
        })
        .await
    };
    assert!(workflow.run("r", body).await.is_err());
    assert_eq!(store.cancel(&id("r")).await.unwrap(), Cancelled::Requested);
    let waits = workflow.run("r", body).await.unwrap_err();
    assert!(!waits.is_undone(), "{waits}");
    assert_eq!(waits.left(), ["card".into(), "room".into()]);
    assert_eq!(waits.into_error(), RunError::Waiting { step: "undo card/refund by hand".into() });
    assert_eq!(status(&store, "r").await, Status::Waiting);
    assert!(!is_due(&store, "r").await, "the run waits for the refund");
    answer(&store, "r", "undo card/refund by hand", 1).await;
    let ended = workflow.run("r", body).await.unwrap_err();
    assert_eq!(ended, SagaError::new(cancelled_at("signature")));
    assert_eq!(status(&store, "r").await, Status::Cancelled);
    assert_eq!(hotel.acts(), ["book", "charge", "give back"]);
}

#[tokio::test(start_paused = true)]
async fn run_cancelled_during_its_undo_does_not_continue_forward() {
    let (store, hotel) = (MemoryStore::new(), hotel());
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<u32> {
        saga(run, async |saga| {
            room(&saga, hotel).await?;
            let inner = saga
                .nested(async |saga| {
                    let slow = |_: u32| async {
                        tokio::time::sleep(secs(5)).await;
                        hotel.act("refund").await
                    };
                    step!(saga, "card", compensate = slow, hotel.act("charge"));
                    run.wait_for::<u32>("signature").await
                })
                .await;
            match inner {
                Ok(signed) => Ok(signed),
                Err(waits) if matches!(waits.error(), RunError::Waiting { .. }) => Err(waits.into_error()),
                Err(_) => Ok(step!(run, "other way", hotel.act("other way"))),
            }
        })
        .await
    };
    assert!(workflow.run("r", body).await.is_err());
    assert_eq!(store.cancel(&id("r")).await.unwrap(), Cancelled::Requested);
    let died = tokio::time::timeout(secs(1), workflow.run("r", body)).await;
    assert!(died.is_err(), "the undo is running");
    assert!(workflow.run("r", body).await.is_err());
    assert_eq!(hotel.acts(), ["book", "charge", "refund", "give back"]);
    assert_eq!(status(&store, "r").await, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn cancelled_run_reaches_its_saga_after_failed_branches() {
    let (store, hotel) = (MemoryStore::new(), hotel());
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<u32> {
        let never = std::future::pending::<Result<u32, RunError>>;
        let sold_out = async || Err::<u32, RunError>(RunError::Expired { step: "offer".into() });
        let both = async || -> Result<(u32, u32), RunError> {
            Ok(parallel!(run, "offers", { slow: never(), gone: sold_out() }))
        };
        if let Err(error) = both().await
            && error.pauses()
        {
            return Err(SagaError::new(error));
        }
        let each = run.each("hotels", [0, 1], async |hotel: u32| match hotel {
            0 => std::future::pending().await,
            _ => Err::<u32, RunError>(RunError::Expired { step: "hotel".into() }),
        });
        if let Err(Error::Run(error)) = each.concurrency(2).await
            && error.pauses()
        {
            return Err(SagaError::new(error));
        }
        signed(run, hotel).await
    };
    assert!(matches!(workflow.run("r", body).await.unwrap_err().into_error(), RunError::Waiting { .. }));
    let cancelled = workflow.cancel("r", body).await.unwrap_err();
    assert_eq!(cancelled, SagaError::new(cancelled_at("signature")));
    assert_eq!((status(&store, "r").await, hotel.acts()), (Status::Cancelled, vec!["book", "give back"]));
}

#[tokio::test(start_paused = true)]
async fn unrecorded_first_step_of_a_cancelled_run_is_in_doubt() {
    let (store, hotel) = (MemoryStore::new(), hotel());
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| -> Ended<u32> {
        saga(run, async |saga| {
            let slow = async {
                hotel.act("book").await?;
                std::future::pending::<Result<u32, RunError>>().await
            };
            let room: u32 = step!(saga, "room", compensate = |_: u32| hotel.act("give back"), slow);
            Ok(room)
        })
        .await
    };
    let died = tokio::time::timeout(secs(1), workflow.run("r", body)).await;
    assert!(died.is_err() && hotel.acts() == ["book"]);
    let cancelled = workflow.cancel("r", body).await.unwrap_err();
    assert_eq!(cancelled.in_doubt(), ["room".into()]);
    assert_eq!(status(&store, "r").await, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn saga_cancelled_during_a_wait_returns_the_cancellation() {
    let (store, hotel, token) = (MemoryStore::new(), hotel(), CancellationToken::new());
    let workflow = Workflow::new("order").store(store.clone()).cancel_on(token.clone());
    let body = async |run: &DurableRun| -> Ended<u32> {
        saga(run, async |saga| {
            room(&saga, hotel).await?;
            let asked = run.wait_for("signature").await;
            token.cancel();
            asked
        })
        .await
    };
    assert_eq!(workflow.run("r", body).await, Err(SagaError::new(cancelled_at("signature"))));
    assert_eq!((status(&store, "r").await, hotel.acts()), (Status::Cancelled, vec!["book", "give back"]));
}
