use awaitly_core::{run, step};
use awaitly_saga::{SagaError, SagaOptions, saga, saga_with};

use crate::world::{TripError, World, refused};

#[tokio::test]
async fn failed_nested_saga_is_undone_alone() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            let inn = saga.nested(async |saga| {
                step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room"));
                Ok(step!(saga, "bath", world.refuse("bath")))
            });
            assert_eq!(inn.await, Err(SagaError::new(refused("bath"))));
            Ok::<_, TripError>(step!(saga, "tent", world.act("tent")))
        })
        .await
    });
    assert_eq!(trip.await, Ok(4));
    assert_eq!(world.log(), ["seat", "room", "no bath", "undo room", "tent"]);
}

#[tokio::test]
async fn completed_nested_saga_is_undone_with_outer_saga() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            let inn = saga.nested(async |saga| {
                step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room"));
                assert_eq!(saga.registered(), ["room".into()]);
                Ok(step!(saga, "bath", compensate = |_| world.act("undo bath"), world.act("bath")))
            });
            inn.await.map_err(SagaError::into_error)?;
            assert_eq!(saga.registered(), ["seat".into(), "room".into(), "bath".into()]);
            step!(saga, "charge", world.refuse("charge"));
            Ok::<_, TripError>(())
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("charge"))));
    assert_eq!(world.log(), ["seat", "room", "bath", "no charge", "undo bath", "undo room", "undo seat"]);
}

#[tokio::test]
async fn failed_nested_undo_is_left_in_outer_saga() {
    let careful = SagaOptions::new();
    for (options, left) in [(careful, vec!["room"]), (careful.stop_on_failure(), vec!["room", "table"])] {
        let world = World::default();
        let trip = run(async |run| {
            saga_with(run, options, async |saga| {
                // It has nothing of its own to undo.
                let inn = saga.nested(async |saga| {
                    step!(saga, "table", compensate = |_| world.act("undo table"), world.act("table"));
                    step!(saga, "room", compensate = |_| world.refuse("undo room"), world.act("room"));
                    Err::<(), _>(refused("bath"))
                });
                let inn = inn.await.unwrap_err();
                assert_eq!(inn.failed()[0].step, "room".into());
                step!(saga, "quote", world.act("quote"));
                Err::<(), _>(inn.into_error())
            })
            .await
        });
        let error = trip.await.unwrap_err();
        assert!(error.failed().is_empty() && !error.is_undone(), "{error}");
        let mut names: Vec<_> = error.left().iter().map(|key| &**key).collect();
        names.sort_unstable();
        assert_eq!(names, left);
    }
}

#[tokio::test]
async fn dropped_nested_saga_is_undone_by_outer_saga() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let inn = saga.nested(async |saga| {
                step!(saga, "room", compensate = |_| world.act("undo room"), world.act("room"));
                step!(saga, "bath", compensate = |_| world.act("undo bath"), world.hang("bath"));
                Ok::<_, TripError>(())
            });
            tokio::select! {
                biased;
                _ = inn => unreachable!(),
                () = std::future::ready(()) => {}
            }
            Err::<(), _>(refused("body"))
        })
        .await
    });
    let error = trip.await.unwrap_err();
    assert_eq!(world.log(), ["room", "bath", "undo room"]);
    assert_eq!(error.in_doubt(), ["bath".into()]);
}
