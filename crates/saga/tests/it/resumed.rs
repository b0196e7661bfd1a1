//! What a resumed saga finds. A life ends where its future is dropped.

use std::future::ready;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly_core::clock::secs;
use awaitly_core::{DurableRun, Workflow, parallel, step};
use awaitly_persistence::MemoryStore;
use awaitly_saga::{SagaError, saga};
use tokio::time::timeout;

use crate::world::{Refused, TripError, World, refused};

/// A run of several lives.
struct Trip {
    workflow: Workflow,
    world: World,
    lives: AtomicU32,
}

impl Trip {
    fn new() -> Self {
        let workflow = Workflow::new("trip").store(MemoryStore::new());
        Self { workflow, world: World::default(), lives: AtomicU32::new(0) }
    }

    /// A life that ends in the middle.
    async fn dies_after<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        time: Duration,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, SagaError<TripError>>,
    ) {
        let run = self.workflow.run("r", body);
        assert!(timeout(time, run).await.is_err(), "it has ended");
        self.lives.fetch_add(1, Ordering::Relaxed);
    }

    fn is_first(&self) -> bool {
        self.lives.load(Ordering::Relaxed) == 0
    }

    /// Undoes; in its first life it does not get to it.
    async fn undo(&self, what: &str) -> Result<usize, Refused> {
        if self.is_first() {
            std::future::pending().await
        }
        self.world.act(format!("undo {what}")).await
    }

    /// Does a thing, and in its first life does not get to say so.
    async fn die_saying(&self, what: &str) -> Result<usize, Refused> {
        self.world.act(what).await?;
        if self.is_first() { std::future::pending().await } else { Ok(0) }
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_steps_are_undone_in_reverse_record_order() {
    let trip = Trip::new();
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            parallel!(saga, "inn", {
                late: step!(compensate = |_| trip.undo("late"), trip.world.act_after(secs(2), "late")),
                early: step!(compensate = |_| trip.undo("early"), trip.world.act_after(secs(1), "early")),
            });
            Err::<(), _>(refused("body"))
        })
        .await
    };
    trip.dies_after(secs(9), body).await;
    // It finds them in the order in which they stand, and goes by that of the record.
    assert_eq!(trip.workflow.run("r", body).await, Err(SagaError::new(refused("body"))));
    assert_eq!(trip.world.log(), ["early", "late", "undo late", "undo early"]);
}

#[tokio::test(start_paused = true)]
async fn resumed_list_with_early_failure_undoes_later_items() {
    // Before and after it is recorded that the saga is undone.
    for life in [secs(2), secs(9)] {
        let trip = Trip::new();
        let send = async |item: u64| match item {
            0 => trip.world.refuse_after(secs(3), "0").await.map(|_| 0),
            item => trip.world.act(item.to_string()).await.map(|_| item),
        };
        let undo = async |item: u64| trip.undo(&item.to_string()).await;
        let body = async |run: &DurableRun| {
            saga(run, async |saga| {
                // The program of the second life does fewer at the same time.
                let list = saga.each("send", 0..4, send).concurrency(if trip.is_first() { 2 } else { 1 });
                step!(list.compensate(&undo));
                Ok::<_, TripError>(())
            })
            .await
        };
        trip.dies_after(life, body).await;
        assert_eq!(trip.workflow.run("r", body).await, Err(SagaError::new(refused("0"))));
        assert_eq!(trip.world.log(), ["1", "2", "3", "no 0", "undo 3", "undo 2", "undo 1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_items_of_later_batches_are_undone_after_a_failure() {
    let trip = Trip::new();
    let send = async |item: char| match item {
        'x' => trip.world.refuse("x").await.map(|_| item),
        'c' => trip.die_saying("c").await.map(|_| item),
        item => trip.world.act(item).await.map(|_| item),
    };
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            // The program of the second life has another item, in the first batch.
            let items = if trip.is_first() { "abc" } else { "xabyz" };
            let list = saga.each("send", items.chars(), send).key_by(char::to_string);
            let list = list.batches(1).pause(secs(1));
            step!(list.compensate(|item| trip.world.act(format!("undo {item}"))));
            Ok::<_, TripError>(())
        })
        .await
    };
    trip.dies_after(secs(9), body).await;
    assert_eq!(trip.world.log(), ["a", "b", "c"]);
    assert_eq!(trip.workflow.run("r", body).await, Err(SagaError::new(refused("x"))));
    // An execution has one item in flight, and the first one without an outcome was the x.
    assert_eq!(trip.world.log(), ["a", "b", "c", "no x", "undo b", "undo a"]);
}

#[tokio::test(start_paused = true)]
async fn interrupted_item_begins_again_despite_recorded_failure() {
    let trip = Trip::new();
    let send = async |item: u64| match item {
        0 => trip.world.refuse_after(secs(1), "0").await.map(|_| 0),
        2 => trip.die_saying("2").await.map(|_| 2),
        item => trip.world.act(item.to_string()).await.map(|_| item),
    };
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            let list = saga.each("send", 0..4, send).concurrency(2);
            step!(list.compensate(|item| trip.world.act(format!("undo {item}"))));
            Ok::<_, TripError>(())
        })
        .await
    };
    trip.dies_after(secs(9), body).await;
    assert_eq!(trip.world.log(), ["1", "2", "no 0"]);
    assert_eq!(trip.workflow.run("r", body).await, Err(SagaError::new(refused("0"))));
    // It had its effect before, so it has to be known, and undone; the one behind it never began.
    assert_eq!(trip.world.log(), ["1", "2", "no 0", "2", "undo 2", "undo 1"]);
}

#[tokio::test(start_paused = true)]
async fn doubtful_steps_stay_in_doubt_after_resume() {
    // It dies while the nested saga is undone, or the one around it.
    for dies_at in ["room", "seat"] {
        let trip = Trip::new();
        let undo = async |what: &'static str| {
            if what == dies_at { trip.undo(what).await } else { trip.world.act(format!("undo {what}")).await }
        };
        let body = async |run: &DurableRun| {
            saga(run, async |saga| {
                step!(saga, "seat", compensate = |_| undo("seat"), trip.world.act("seat"));
                let inn = saga.nested(async |saga| {
                    step!(saga, "room", compensate = |_| undo("room"), trip.world.act("room"));
                    let slow = saga.step("slow", || trip.world.hang("slow")).timeout(secs(1));
                    slow.compensate(|_| undo("slow")).await.unwrap_err();
                    let dropped = saga.step("dropped", || trip.world.hang("dropped"));
                    tokio::select! {
                        biased;
                        _ = dropped.compensate(|_| undo("dropped")).into_future() => {}
                        () = ready(()) => {}
                    }
                    Err::<(), _>(refused("bath"))
                });
                let inn = inn.await.unwrap_err();
                assert_eq!(inn.in_doubt(), ["slow".into(), "dropped".into()]);
                Err::<(), _>(inn.into_error())
            })
            .await
        };
        trip.dies_after(secs(9), body).await;
        let error = trip.workflow.run("r", body).await.unwrap_err();
        assert_eq!(error.in_doubt(), ["slow".into(), "dropped".into()]);
        assert_eq!(trip.world.log(), ["seat", "room", "slow", "dropped", "undo room", "undo seat"]);
    }
}

#[tokio::test(start_paused = true)]
async fn resumed_outer_saga_undoes_dropped_nested_saga() {
    let trip = Trip::new();
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            let inn = saga.nested(async |saga| {
                step!(saga, "room", compensate = |_| trip.undo("room"), trip.world.act("room"));
                step!(saga, "bath", compensate = |_| trip.undo("bath"), trip.world.hang("bath"));
                Ok::<_, TripError>(())
            });
            // A life that undoes only finds the room, and comes to an end of its own.
            let _ = timeout(secs(1), inn).await;
            Err::<(), _>(refused("body"))
        })
        .await
    };
    trip.dies_after(secs(9), body).await;
    let error = trip.workflow.run("r", body).await.unwrap_err();
    assert!(error.is_undone(), "{error}");
    assert_eq!(error.in_doubt(), ["bath".into()]);
    assert_eq!(trip.world.log(), ["room", "bath", "undo room"]);
}

#[tokio::test(start_paused = true)]
async fn retry_repeats_failed_undo_of_nested_saga() {
    let trip = Trip::new();
    let undo =
        async || if trip.is_first() { trip.world.refuse("undo room").await } else { trip.undo("room").await };
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            let inn = saga.nested(async |saga| {
                step!(saga, "room", compensate = |_| undo(), trip.world.act("room"));
                Err::<(), _>(refused("bath"))
            });
            let inn = inn.await.unwrap_err();
            step!(saga, "quote", trip.world.act("quote"));
            Err::<(), _>(inn.into_error())
        })
        .await
    };
    let error = trip.workflow.run("r", body).await.unwrap_err();
    assert_eq!(error.left(), ["room".into()]);
    trip.lives.fetch_add(1, Ordering::Relaxed);
    assert_eq!(trip.workflow.retry("r", body).await, Err(SagaError::new(refused("bath"))));
    assert_eq!(trip.world.log(), ["room", "no undo room", "quote", "undo room"]);
}

#[tokio::test(start_paused = true)]
async fn compensation_that_panicked_is_tried_again_by_a_retry() {
    let trip = Trip::new();
    let undo = async || {
        assert!(!trip.is_first(), "a bug");
        trip.undo("room").await
    };
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| trip.world.act("undo seat"), trip.world.act("seat"));
            step!(saga, "room", compensate = |_| undo(), trip.world.act("room"));
            Err::<(), _>(refused("body"))
        })
        .await
    };
    let error = trip.workflow.run("r", body).await.unwrap_err();
    assert_eq!((error.error(), error.failed().len()), (&refused("body"), 1));
    trip.lives.fetch_add(1, Ordering::Relaxed);
    assert_eq!(trip.workflow.retry("r", body).await, Err(SagaError::new(refused("body"))));
    assert_eq!(trip.world.log(), ["seat", "room", "undo seat", "undo room"]);
}

#[tokio::test(start_paused = true)]
async fn concurrent_nested_sagas_keep_keys_of_build_order() {
    let trip = Trip::new();
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            let room = saga.nested(async |saga| {
                step!(saga, "room", compensate = |_| trip.world.act("undo room"), trip.world.act("room"));
                Ok(step!(saga, "last", trip.die_saying("last")))
            });
            let seat = saga.nested(async |saga| {
                step!(saga, "seat", compensate = |_| trip.world.act("undo seat"), trip.world.act("seat"));
                Ok(step!(saga, "charge", trip.world.refuse("charge")))
            });
            let slow_room = async {
                // In the second life it takes no time, and the room comes before the seat.
                step!(saga, "slow", trip.world.act_after(secs(2), "slow"));
                room.await.map_err(SagaError::into_error)
            };
            let seat = async {
                tokio::task::yield_now().await;
                seat.await
            };
            let (room, seat) = tokio::join!(slow_room, seat);
            assert_eq!(seat, Err(SagaError::new(refused("charge"))));
            room
        })
        .await
    };
    trip.dies_after(secs(9), body).await;
    assert_eq!(trip.workflow.run("r", body).await, Ok(0));
    assert_eq!(trip.world.log(), ["seat", "no charge", "undo seat", "slow", "room", "last", "last"]);
}
