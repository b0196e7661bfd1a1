use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{ms, secs};
use awaitly_core::guard::Refusal;
use awaitly_core::{FromStep, Retry, RunError, race, run, step};
use awaitly_saga::{SagaError, saga};

use crate::world::{Refused, TripError, World, refused};

#[tokio::test]
async fn completed_steps_with_compensation_are_undone_in_reverse() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            step!(saga, "quote", world.act("quote"));
            step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room"));
            step!(saga, "charge", compensate = |_| world.act("undo charge"), world.refuse("charge"));
            Ok::<_, TripError>(())
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("charge"))));
    assert_eq!(world.log(), ["seat", "quote", "room", "no charge", "undo room", "undo seat"]);
}

#[tokio::test]
async fn successful_saga_is_not_undone() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let seat = step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            // A failure that the body lives with.
            let room =
                saga.step("room", || world.refuse("room")).compensate(|_| world.act("undo room")).await;
            Ok::<_, TripError>((seat, room.is_err()))
        })
        .await
    });
    assert_eq!(trip.await, Ok((4, true)));
    assert_eq!(world.log(), ["seat", "no room"]);
}

#[tokio::test]
async fn compensation_gets_the_value_of_its_step() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let undo = |length| world.act(format!("undo what is {length} long"));
            for what in ["seat", "train"] {
                step!(saga, what, compensate = undo, world.act(what));
            }
            Err::<(), _>(refused("body"))
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("body"))));
    assert_eq!(world.log(), ["seat", "train", "undo what is 5 long", "undo what is 4 long"]);
}

#[tokio::test]
async fn skipped_step_with_compensation_is_not_undone() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let undo = |_| world.act("undo");
            let (some, none) = (
                step!(saga, "seat", compensate = undo, when = true, world.act("seat")),
                step!(
                    saga,
                    "room",
                    compensate = undo,
                    when = false,
                    because = "no room",
                    or = 0,
                    world.act("room")
                ),
            );
            assert_eq!((some, none), (Some(4), 0));
            Err::<(), _>(refused("body"))
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("body"))));
    assert_eq!(world.log(), ["seat", "undo"]);
}

#[tokio::test]
async fn registered_lists_steps_to_undo() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            assert!(saga.registered().is_empty());
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            step!(saga, "quote", world.act("quote"));
            assert_eq!(saga.registered(), ["seat".into()]);
            step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room"));
            assert_eq!(saga.registered(), ["seat".into(), "room".into()]);
            Ok::<_, TripError>(())
        })
        .await
    });
    trip.await.unwrap();
}

#[tokio::test]
async fn only_the_saga_that_fails_is_undone() {
    let world = World::default();
    let trips = run(async |run| {
        for (name, works) in &[("first", true), ("second", false)] {
            saga(run, async |saga| {
                step!(saga, *name, compensate = |_| world.act(format!("undo {name}")), world.act(*name));
                if *works { Ok(()) } else { Err(refused("body")) }
            })
            .await?;
        }
        Ok::<_, SagaError<TripError>>(())
    });
    assert_eq!(trips.await, Err(SagaError::new(refused("body"))));
    assert_eq!(world.log(), ["first", "second", "undo second"]);
}

#[tokio::test(start_paused = true)]
async fn saga_step_takes_retry_timeout_and_guard() {
    let (world, left, attempts) = (World::default(), AtomicU32::new(3), AtomicU32::new(0));
    let allowance = || {
        let took = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        took.map(drop).map_err(|_| Refusal::new("allowance", "used up"))
    };
    let room = async || match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => world.refuse("room").await,
        1 => world.hang("room").await,
        _ => world.act("room").await,
    };
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(
                saga,
                "room",
                retry = Retry::fixed(ms(10)).attempts(4),
                timeout = secs(1),
                guard = &allowance,
                compensate = |_| world.act("undo room"),
                room()
            );
            step!(
                saga,
                "seat",
                guard = &allowance,
                compensate = |_| world.act("undo seat"),
                world.act("seat")
            );
            Ok::<_, TripError>(())
        })
        .await
    });
    let error = trip.await.unwrap_err().into_error();
    assert!(
        matches!(&error, TripError::Run(RunError::Refused { by, .. }) if &**by == "allowance"),
        "{error}"
    );
    assert_eq!(world.log(), ["no room", "room", "room", "undo room"]);
}

#[tokio::test]
async fn race_is_undone_with_the_value_of_its_winner() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let undo = |length| world.act(format!("undo {length}"));
            race!(saga, "room", compensate = undo, { world.act("inn"), std::future::pending() });
            Err::<(), _>(refused("body"))
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("body"))));
    assert_eq!(world.log(), ["inn", "undo 3"]);
}

#[tokio::test]
async fn manual_step_returns_failure_to_body() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let inn = saga.step("inn", || world.act("inn")).compensate(|_| world.act("undo inn"));
            step!(inn);
            let room = saga.step("room", || world.refuse("room")).compensate(|_| world.act("undo room"));
            match room.await {
                Ok(room) => Ok(room),
                Err(failure) => Err(TripError::from_step(failure)),
            }
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("room"))));
    assert_eq!(world.log(), ["inn", "no room", "undo inn"]);
}

#[tokio::test(start_paused = true)]
async fn saga_is_send_and_compensations_borrow_outer_values() {
    async fn book(world: &World, rooms: &[&'static str]) -> Result<usize, SagaError<TripError>> {
        run(async |run| {
            saga(run, async |saga| {
                let mut total = 0;
                for room in rooms {
                    // What the body owns goes in by `move`.
                    let undo = format!("undo {room}");
                    let undo = move |_| world.act(undo.clone());
                    total += step!(saga, *room, compensate = undo, world.act_after(secs(1), *room));
                }
                let list = saga.each("more", [5, 3], async |room: usize| world.act(room.to_string()).await);
                step!(list.compensate(|length| world.act(format!("undo {length}"))));
                step!(saga, "charge", world.refuse("charge"));
                Ok(total)
            })
            .await
        })
        .await
    }

    let world = Arc::new(World::default());
    let booked = tokio::spawn({
        let world = Arc::clone(&world);
        async move { book(&world, &["attic", "inn"]).await }
    });
    assert_eq!(booked.await.unwrap(), Err(SagaError::new(refused("charge"))));
    let log = ["attic", "inn", "5", "3", "no charge", "undo 1", "undo 1", "undo inn", "undo attic"];
    assert_eq!(world.log(), log);
}

#[tokio::test]
async fn helper_takes_saga_and_borrowed_values() {
    use awaitly_saga::Saga;

    async fn book<'c>(saga: &Saga<'c, TripError>, world: &'c World) -> Result<usize, TripError> {
        Ok(step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room")))
    }

    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let room = book(&saga, &world).await?;
            Err::<(), _>(Refused(format!("{room}")).into())
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("4"))));
    assert_eq!(world.log(), ["room", "undo room"]);
}
