use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{ms, secs};
use awaitly_core::retry::Jitter;
use awaitly_core::{Limit, Retry, RunError, Workflow, run, step};
use awaitly_saga::{SagaError, SagaOptions, saga, saga_with};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::{Refused, TripError, World, refused};

/// Three steps, of which the one in the middle cannot be undone.
async fn stuck_in_the_middle(world: &World, options: SagaOptions) -> SagaError<TripError> {
    let trip = run(async |run| {
        saga_with(run, options, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            step!(saga, "room", compensate = |_| world.refuse("undo room"), world.act("room"));
            step!(saga, "tour", compensate = |_| world.act("undo tour"), world.act("tour"));
            Err::<(), _>(refused("body"))
        })
        .await
    });
    trip.await.unwrap_err()
}

#[tokio::test]
async fn failed_compensation_does_not_stop_others() {
    let world = World::default();
    let error = stuck_in_the_middle(&world, SagaOptions::new()).await;
    assert_eq!(world.log(), ["seat", "room", "tour", "undo tour", "no undo room", "undo seat"]);
    assert_eq!(error.error(), &refused("body"));
    assert!(!error.is_undone());
    let [failed] = error.failed() else { panic!("{error}") };
    assert_eq!((&*failed.step, &failed.error), ("room", &refused("undo room")));
    assert!(error.left().is_empty() && error.in_doubt().is_empty());
}

#[tokio::test]
async fn stop_on_give_up_names_remaining_steps() {
    let world = World::default();
    let error = stuck_in_the_middle(&world, SagaOptions::new().stop_on_failure()).await;
    assert_eq!(world.log(), ["seat", "room", "tour", "undo tour", "no undo room"]);
    assert_eq!(error.failed()[0].step, "room".into());
    assert_eq!(error.left(), ["seat".into()]);
    assert!(!error.is_undone());
}

#[tokio::test]
async fn failed_compensations_are_listed_in_undo_order() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.refuse("seat"), world.act("seat"));
            step!(saga, "room", compensate = |_| world.refuse("room"), world.act("room"));
            Err::<(), _>(refused("body"))
        })
        .await
    });
    let error = trip.await.unwrap_err();
    assert_eq!(error.failed().iter().map(|failed| &*failed.step).collect::<Vec<_>>(), ["room", "seat"]);
}

#[tokio::test(start_paused = true)]
async fn compensation_has_its_own_retry_and_timeout() {
    let (world, attempts) = (World::default(), AtomicU32::new(0));
    let undo = async || match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => world.refuse("undo room").await,
        1 => world.hang("hang").await,
        _ => world.act("undo room").await,
    };
    let began = Instant::now();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let retry = Retry::fixed(secs(10)).attempts(3).jitter(Jitter::None);
            step!(
                saga,
                "room",
                compensate = |_| undo(),
                compensate_retry = retry,
                compensate_timeout = secs(2),
                world.act("room")
            );
            Err::<(), _>(refused("body"))
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("body"))));
    assert_eq!(world.log(), ["room", "no undo room", "hang", "undo room"]);
    assert_eq!(began.elapsed(), secs(10 + 2 + 10));
}

#[tokio::test(start_paused = true)]
async fn retry_of_a_compensation_looks_at_its_error() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let retry = Retry::fixed(secs(1)).attempts(9).when(|Refused(what): &Refused| what != "gone");
            let room = saga.step("room", || world.act("room")).compensate(|_| world.refuse("gone"));
            step!(room.compensate_retry(retry));
            Err::<(), _>(refused("body"))
        })
        .await
    });
    assert_eq!(trip.await.unwrap_err().failed()[0].error, refused("gone"));
    assert_eq!(world.log(), ["room", "no gone"]);
}

#[tokio::test(start_paused = true)]
async fn compensation_that_takes_too_long_has_failed() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            let room = saga.step("room", || world.act("room")).compensate(|_| world.hang("undo room"));
            step!(room.compensate_timeout(ms(50)));
            Err::<(), _>(refused("body"))
        })
        .await
    });
    let error = trip.await.unwrap_err();
    let timeout =
        RunError::Timeout { step: "undo room".into(), attempt: 1, after: ms(50), limit: Limit::Attempt };
    assert_eq!(error.failed()[0].error, TripError::Run(timeout));
    assert_eq!(world.log(), ["seat", "room", "undo room", "undo seat"]);
}

#[tokio::test]
async fn compensation_that_panics_has_failed() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            let undo = async |length| {
                assert_eq!(length, 0, "a bug");
                Ok::<_, Refused>(())
            };
            step!(saga, "room", compensate = undo, world.act("room"));
            Err::<(), _>(refused("body"))
        })
        .await
    });
    let error = trip.await.unwrap_err();
    assert_eq!(error.error(), &refused("body"));
    let TripError::Run(RunError::Panicked { step, message }) = &error.failed()[0].error else {
        panic!("{error}")
    };
    assert_eq!(step.as_deref(), Some("undo room"));
    assert!(message.contains("a bug"), "{message}");
    assert_eq!(world.log(), ["seat", "room", "undo seat"]);
}

#[tokio::test]
async fn body_panic_resumes_after_undo() {
    let world: &World = Box::leak(Box::default());
    let trip = tokio::spawn(run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            assert!(world.log().is_empty(), "a bug");
            Ok::<_, TripError>(())
        })
        .await
    }));
    let panic = trip.await.unwrap_err().into_panic();
    assert!(panic.downcast_ref::<String>().unwrap().contains("a bug"));
    assert_eq!(world.log(), ["seat", "undo seat"]);
}

/// A seat, and a room for which it is cancelled in the middle.
async fn cancelled(world: &World, options: SagaOptions) -> SagaError<TripError> {
    let token = CancellationToken::new();
    let trips = Workflow::new("trip").cancel_on(token.clone());
    let trip = trips.run_volatile(async |run| {
        saga_with(run, options, async |saga| {
            step!(saga, "seat", compensate = |_| world.act_after(secs(9), "undo seat"), world.act("seat"));
            step!(saga, "room", compensate = |_| world.act("undo room"), world.act_after(secs(60), "room"));
            Ok::<_, TripError>(())
        })
        .await
    });
    let (trip, ()) = tokio::join!(trip, async {
        tokio::time::sleep(secs(1)).await;
        token.cancel();
    });
    trip.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn cancelled_saga_is_undone_to_the_end() {
    let world = World::default();
    let error = cancelled(&world, SagaOptions::new()).await;
    assert_eq!(error.error(), &TripError::Run(RunError::Cancelled { step: Some("room".into()) }));
    assert_eq!(world.log(), ["seat", "undo seat"]);
    assert_eq!(error.in_doubt(), ["room".into()]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_saga_with_keep_is_not_undone() {
    let world = World::default();
    let error = cancelled(&world, SagaOptions::new().keep_on_cancel()).await;
    assert_eq!(world.log(), ["seat"]);
    assert_eq!(error.in_doubt(), ["room".into()]);
}

#[tokio::test(start_paused = true)]
async fn saga_past_deadline_is_undone_without_deadline() {
    let world = World::default();
    let trips = Workflow::new("trip").deadline(secs(5));
    let trip = trips.run_volatile(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act_after(secs(60), "undo seat"), world.act("seat"));
            saga.sleep("pause", secs(100)).await?;
            Ok::<_, TripError>(())
        })
        .await
    });
    let error = trip.await.unwrap_err();
    assert!(matches!(error.error(), TripError::Run(RunError::Timeout { limit: Limit::Run, .. })), "{error}");
    assert_eq!(world.log(), ["seat", "undo seat"]);
}

#[tokio::test(start_paused = true)]
async fn dropped_volatile_saga_runs_no_compensation() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            step!(saga, "room", compensate = |_| world.act("undo room"), world.act_after(secs(60), "room"));
            Ok::<_, TripError>(())
        })
        .await
    });
    assert!(tokio::time::timeout(secs(1), trip).await.is_err());
    assert_eq!(world.log(), ["seat"]);
}
