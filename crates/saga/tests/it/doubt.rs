use std::future::ready;

use awaitly_core::clock::secs;
use awaitly_core::{Error, Limit, RunError, Workflow, run, step};
use awaitly_saga::saga;
use tokio_util::sync::CancellationToken;

use crate::world::{TripError, World, refused};

#[tokio::test(start_paused = true)]
async fn timed_out_step_is_in_doubt_and_not_undone() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            step!(
                saga,
                "room",
                timeout = secs(1),
                compensate = |_| world.act("undo room"),
                world.hang("room")
            );
            Ok::<_, TripError>(())
        })
        .await
    });
    let error = trip.await.unwrap_err();
    let timeout =
        RunError::Timeout { step: "room".into(), attempt: 1, after: secs(1), limit: Limit::Attempt };
    assert_eq!(error.error(), &TripError::Run(timeout));
    assert_eq!(error.in_doubt(), ["room".into()]);
    assert!(error.is_undone(), "as far as is known");
    assert_eq!(world.log(), ["seat", "room", "undo seat"]);
}

#[tokio::test]
async fn only_dropped_step_with_compensation_is_in_doubt() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let room = saga.step("room", || world.hang("room")).compensate(|_| world.act("undo room"));
            let quote = saga.step("quote", || world.hang("quote"));
            let items = saga.each("send", [1, 2, 3], async |_: u8| world.hang("send").await);
            let items = items.concurrency(2).compensate(|_| world.act("undo send"));
            tokio::select! {
                biased;
                _ = room => unreachable!(),
                _ = quote => unreachable!(),
                _ = items => unreachable!(),
                () = ready(()) => {}
            }
            Err::<(), _>(refused("body"))
        })
        .await
    });
    let error = trip.await.unwrap_err();
    let mut doubts: Vec<_> = error.in_doubt().iter().map(|key| &**key).collect();
    doubts.sort_unstable();
    assert_eq!(doubts, ["room", "send", "send"], "the third item had not begun");
}

#[tokio::test]
async fn unstarted_or_ended_step_is_not_in_doubt() {
    let (world, token) = (World::default(), CancellationToken::new());
    let trips = Workflow::new("trip").cancel_on(token.clone());
    let trip = trips.run_volatile(async |run| {
        saga(run, async |saga| {
            drop(saga.step("never", || world.act("never")).compensate(|_| world.act("undo never")));
            let refused = saga.step("room", || world.refuse("room")).compensate(|_| world.act("undo room"));
            assert!(matches!(refused.await, Err(Error::Failed(_))));
            token.cancel();
            step!(saga, "late", compensate = |_| world.act("undo late"), world.act("late"));
            Ok::<_, TripError>(())
        })
        .await
    });
    let error = trip.await.unwrap_err();
    assert_eq!(error.error(), &TripError::Run(RunError::Cancelled { step: Some("late".into()) }));
    assert!(error.in_doubt().is_empty(), "{error}");
    assert_eq!(world.log(), ["no room"]);
}

#[tokio::test(start_paused = true)]
async fn step_past_deadline_is_not_in_doubt() {
    let world = World::default();
    let trips = Workflow::new("trip").deadline(secs(1));
    let trip = trips.run_volatile(async |run| {
        saga(run, async |saga| {
            tokio::time::sleep(secs(2)).await;
            Ok::<_, TripError>(step!(
                saga,
                "late",
                compensate = |_| world.act("undo late"),
                world.act("late")
            ))
        })
        .await
    });
    let error = trip.await.unwrap_err();
    assert!(matches!(error.error(), TripError::Run(RunError::Timeout { attempt: 0, .. })), "{error}");
    assert!(error.in_doubt().is_empty(), "{error}");
}
