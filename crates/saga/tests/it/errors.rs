use std::error::Error as _;

use awaitly_core::clock::secs;
use awaitly_core::{AsRunError, Error, Run, RunError, run, step};
use awaitly_saga::{SagaError, SagaOptions, saga, saga_with};

use crate::world::{Refused, TripError, World, refused};

/// An error with all that one can have.
async fn full() -> SagaError<TripError> {
    let world = World::default();
    let options = SagaOptions::new().stop_on_failure();
    let trip = run(async |run| {
        saga_with(run, options, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            step!(saga, "room", compensate = |_| world.refuse("the inn"), world.act("room"));
            let tour = saga.step("tour", || world.hang("tour")).compensate(|_| world.act("undo tour"));
            tour.timeout(secs(1)).await.unwrap_err();
            Err::<(), _>(refused("body"))
        })
        .await
    });
    trip.await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn error_text_lists_steps_left_after_body_error() {
    let error = full().await;
    assert_eq!(
        error.to_string(),
        "body is refused; `room` could not be undone: the inn is refused; `seat` was not undone; \
         whether `tour` took effect is not known: look before it is done again"
    );
    assert_eq!(SagaError::new(refused("body")).to_string(), "body is refused");
    assert_eq!(error.into_error(), refused("body"));
}

#[test]
fn saga_error_shows_the_run_error_of_its_body() {
    let waits = RunError::Waiting { step: "manager".into() };
    assert_eq!(SagaError::new(waits.clone()).as_run_error(), Some(&waits));
    assert_eq!(SagaError::new(Error::<TripError>::Run(waits.clone())).as_run_error(), Some(&waits));
    assert_eq!(SagaError::new(Error::Failed(refused("body"))).as_run_error(), None);
}

#[tokio::test(start_paused = true)]
async fn error_comes_back_from_json_as_it_was() {
    let error = full().await;
    let json = serde_json::to_string(&error).unwrap();
    assert_eq!(serde_json::from_str::<SagaError<TripError>>(&json).unwrap(), error);

    let plain = SagaError::new(refused("body"));
    let json = serde_json::to_value(&plain).unwrap();
    assert_eq!(json, serde_json::json!({ "error": { "Refused": "body" } }));
    assert_eq!(serde_json::from_value::<SagaError<TripError>>(json).unwrap(), plain);
}

#[test]
fn error_has_the_source_of_the_bodys_error() {
    #[derive(Debug, thiserror::Error)]
    #[error("the trip failed")]
    struct Caused(#[source] Refused);

    let error = SagaError::new(Caused(Refused("body".into())));
    assert_eq!(error.source().unwrap().to_string(), "body is refused");
}

#[test]
fn error_is_hardly_larger_than_that_of_the_body() {
    assert!(size_of::<SagaError<u64>>() <= 16);
    assert!(size_of::<SagaError<TripError>>() <= size_of::<TripError>() + 8);
}

#[tokio::test]
async fn function_around_saga_can_use_saga_error() {
    async fn trip(run: &Run, world: &World, open: bool) -> Result<usize, SagaError<TripError>> {
        if !open {
            step!(run, "open", world.refuse("open"));
        }
        run.sleep("pause", secs(0)).await.map_err(TripError::from).map_err(SagaError::new)?;
        let days = saga(run, async |saga| Ok(step!(saga, "seat", world.act("seat")))).await?;
        Ok(days)
    }

    let world = World::default();
    assert_eq!(run(async |run| trip(run, &world, true).await).await, Ok(4));
    let failed = run(async |run| trip(run, &world, false).await).await;
    assert_eq!(failed, Err(SagaError::new(refused("open"))));
}

#[tokio::test]
async fn error_may_be_an_erased_one() {
    let world = World::default();
    type Any = Box<dyn std::error::Error + Send + Sync>;
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.refuse("undo seat"), world.act("seat"));
            step!(saga, "charge", world.refuse("charge"));
            Ok::<_, Any>(())
        })
        .await
    });
    let error = trip.await.unwrap_err();
    assert!(error.error().is::<Refused>());
    assert!(error.failed()[0].error.is::<Refused>());
}

#[tokio::test]
async fn error_without_room_for_ours_takes_it_beside() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            step!(saga, "charge", world.refuse("charge"));
            Ok::<_, Error<Refused>>(())
        })
        .await
    });
    let error = trip.await.unwrap_err();
    assert_eq!(error.error().failed(), Some(&Refused("charge".into())));
}
