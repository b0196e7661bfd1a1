use std::sync::{Arc, Mutex};

use awaitly_core::event::{Event, EventKind, Observer};
use awaitly_core::{DurableRun, Workflow, step};
use awaitly_saga::{SagaError, saga};

use crate::world::{TripError, World, refused};

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<EventKind>>>);

impl Observer for Told {
    fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.kind.clone());
    }
}

impl Told {
    /// The events as short text: the type, and what it is about.
    fn short(&self) -> Vec<String> {
        let short = |kind: &EventKind| {
            let kind = serde_json::to_value(kind).unwrap();
            let subject = kind["step"]["key"].as_str().or(kind["saga"].as_str()).unwrap_or_default();
            let number = ["steps", "failed"].map(|field| kind[field].as_u64()).into_iter().flatten().next();
            let text = format!("{} {subject}", kind["type"].as_str().unwrap());
            number.map_or(text.clone(), |number| format!("{text}: {number}")).trim().to_owned()
        };
        self.0.lock().unwrap().drain(..).collect::<Vec<_>>().iter().map(short).collect()
    }
}

#[tokio::test]
async fn events_of_a_saga_tell_its_story() {
    let (told, world) = (Told::default(), World::default());
    let trips = Workflow::new("trip").observe(told.clone());
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            step!(saga, "room", compensate = |_| world.refuse("undo room"), world.act("room"));
            step!(saga, "charge", world.refuse("charge"));
            Ok::<_, TripError>(())
        })
        .await
    };
    trips.run("r", body).await.unwrap_err();
    let story = [
        "run_started",
        "saga_started undo",
        "step_missed seat",
        "step_started seat",
        "step_succeeded seat",
        "step_recorded seat",
        "step_missed room",
        "step_started room",
        "step_succeeded room",
        "step_recorded room",
        "step_missed charge",
        "step_started charge",
        "step_failed charge",
        "step_recorded charge",
        "saga_failed undo",
        "step_missed undo",
        "step_started undo",
        "step_succeeded undo",
        "step_recorded undo",
        "undo_started undo: 2",
        "step_missed undo room",
        "step_started undo room",
        "step_failed undo room",
        "step_recorded undo room",
        "step_missed undo seat",
        "step_started undo seat",
        "step_succeeded undo seat",
        "step_recorded undo seat",
        "undo_ended undo: 1",
        "run_failed",
    ];
    assert_eq!(told.short(), story);
}

#[tokio::test]
async fn volatile_saga_reports_events_without_records() {
    let (told, world) = (Told::default(), World::default());
    let trips = Workflow::new("trip").observe(told.clone());
    let trip = trips.run_volatile(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            let nested = saga.nested(async |saga| Ok::<_, TripError>(step!(saga, "room", world.act("room"))));
            nested.await.map_err(SagaError::into_error)?;
            Err::<(), _>(refused("body"))
        })
        .await
    });
    trip.await.unwrap_err();
    let story = [
        "run_started",
        "saga_started undo",
        "step_started seat",
        "step_succeeded seat",
        "saga_started undo",
        "step_started room",
        "step_succeeded room",
        "saga_succeeded undo",
        "saga_failed undo",
        "undo_started undo: 1",
        "step_started undo seat",
        "step_succeeded undo seat",
        "undo_ended undo: 0",
        "run_failed",
    ];
    assert_eq!(told.short(), story);
}

#[tokio::test]
async fn saga_without_compensations_reports_failure() {
    let (told, world) = (Told::default(), World::default());
    let trips = Workflow::new("trip").observe(told.clone());
    let trip = trips.run_volatile(async |run| {
        saga(run, async |saga| Ok::<_, TripError>(step!(saga, "charge", world.refuse("charge")))).await
    });
    trip.await.unwrap_err();
    let story =
        ["run_started", "saga_started undo", "step_started charge", "step_failed charge", "saga_failed undo"];
    assert_eq!(told.short()[..5], story);
}

#[tokio::test]
async fn event_of_a_saga_comes_back_from_json() {
    let (told, world) = (Told::default(), World::default());
    let trips = Workflow::new("trip").observe(told.clone());
    let trip = trips.run_volatile(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            Err::<(), _>(refused("body"))
        })
        .await
    });
    trip.await.unwrap_err();
    let events = told.0.lock().unwrap();
    assert!(events.iter().any(|kind| matches!(kind, EventKind::UndoEnded { failed: 0, .. })));
    for kind in events.iter() {
        let json = serde_json::to_string(kind).unwrap();
        assert_eq!(serde_json::from_str::<EventKind>(&json).unwrap(), *kind);
    }
}
