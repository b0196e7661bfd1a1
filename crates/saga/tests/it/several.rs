use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{ms, secs};
use awaitly_core::guard::Refusal;
use awaitly_core::retry::Jitter;
use awaitly_core::{Error, Limit, Retry, RunError, parallel, run, step};
use awaitly_saga::{SagaError, saga};
use tokio::time::Instant;

use crate::world::{Refused, TripError, World, refused};

#[tokio::test(start_paused = true)]
async fn parallel_step_completed_after_failure_is_undone() {
    let (world, began) = (World::default(), Instant::now());
    let trip = run(async |run| {
        saga(run, async |saga| {
            step!(saga, "seat", compensate = |_| world.act("undo seat"), world.act("seat"));
            parallel!(saga, "inn", {
                slow: step!(compensate = |_| world.act("undo slow"), world.act_after(secs(9), "slow")),
                charge: world.refuse_after(secs(3), "charge"),
                fast: step!(compensate = |_| world.act("undo fast"), world.act("fast")),
            });
            Ok::<_, TripError>(())
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("charge"))));
    assert_eq!(world.log(), ["seat", "fast", "no charge", "slow", "undo slow", "undo fast", "undo seat"]);
    assert_eq!(began.elapsed(), secs(9), "the failure is told when all have ended");
}

#[tokio::test(start_paused = true)]
async fn of_several_parallel_failures_the_first_in_time_is_told() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            parallel!(saga, "inn", {
                late: world.refuse_after(secs(2), "late"),
                early: world.refuse_after(secs(1), "early"),
                last: step!(compensate = |_| world.act("undo last"), world.act_after(secs(3), "last")),
            });
            Ok::<_, TripError>(())
        })
        .await
    });
    assert_eq!(trip.await, Err(SagaError::new(refused("early"))));
    assert_eq!(world.log(), ["no early", "no late", "last", "undo last"]);
}

#[tokio::test]
async fn parallel_steps_that_all_succeed_give_their_values() {
    let world = World::default();
    let trip = run(async |run| {
        saga(run, async |saga| {
            let (a, b) =
                parallel!(saga, { a: world.act("seat"), b: step!(timeout = secs(1), world.act("inn")) });
            Ok::<_, TripError>((a, b))
        })
        .await
    });
    assert_eq!(trip.await, Ok((4, 3)));
}

#[tokio::test(start_paused = true)]
async fn failed_item_stops_new_items_and_awaits_running_ones() {
    let (world, began) = (World::default(), Instant::now());
    let send = async |item: u64| match item {
        2 => world.refuse_after(secs(2), "2").await,
        item => world.act_after(secs(item), item.to_string()).await.map(|_| item as usize),
    };
    let sent = run(async |run| {
        saga(run, async |saga| {
            let each = saga.each("send", [1, 9, 2, 3, 4], send).concurrency(3);
            Ok(step!(each.compensate(|item| world.act(format!("undo {item}")))))
        })
        .await
    });
    assert_eq!(sent.await, Err(SagaError::new(refused("2"))));
    // The 3 took the place of the 1; when the 2 failed, nothing took its place.
    assert_eq!(world.log(), ["1", "no 2", "3", "9", "undo 9", "undo 3", "undo 1"]);
    assert_eq!(began.elapsed(), secs(9));
}

#[tokio::test(start_paused = true)]
async fn list_item_and_compensation_have_retry_and_timeout() {
    let (world, attempts, undos) = (World::default(), AtomicU32::new(0), AtomicU32::new(0));
    let send = async |item: &'static str| match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => world.hang("hang").await.map(|_| item),
        1 => world.refuse(item).await.map(|_| item),
        _ => world.act(item).await.map(|_| item),
    };
    let undo = async |item: &'static str| match undos.fetch_add(1, Ordering::Relaxed) {
        0 => world.hang("hang").await,
        1 => world.refuse(item).await,
        _ => world.act(format!("undo {item}")).await,
    };
    let began = Instant::now();
    let sent = run(async |run| {
        saga(run, async |saga| {
            let retry = Retry::fixed(ms(100)).attempts(3).jitter(Jitter::None);
            let each = saga.each("send", ["a", "b"], send).retry(retry.clone()).timeout(secs(1));
            let sent = step!(each.compensate(&undo).compensate_retry(retry).compensate_timeout(secs(5)));
            assert_eq!(sent, ["a", "b"]);
            Err::<(), _>(refused("body"))
        })
        .await
    });
    assert_eq!(sent.await, Err(SagaError::new(refused("body"))));
    assert_eq!(world.log(), ["hang", "no a", "a", "b", "hang", "no b", "undo b", "undo a"]);
    assert_eq!(began.elapsed(), secs(1 + 5) + ms(4 * 100));
}

#[tokio::test]
async fn list_values_keep_item_order() {
    let sent = run(async |run| {
        saga(run, async |saga| {
            let slow_first = async |item: u8| {
                for _ in item..9 {
                    tokio::task::yield_now().await;
                }
                Ok::<_, Refused>(item)
            };
            let none = saga.each("none", [], async |item: u8| Ok::<_, RunError>(item));
            assert!(step!(none).is_empty());
            Ok::<_, TripError>(step!(saga.each("send", [1, 2, 3], slow_first).concurrency(9)))
        })
        .await
    });
    assert_eq!(sent.await, Ok(vec![1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn failure_in_batch_begins_no_later_batch() {
    let (world, began) = (World::default(), Instant::now());
    let send = async |item: u64| match item {
        4 => world.refuse("4").await,
        item => world.act_after(secs(item), item.to_string()).await,
    };
    let batches = Mutex::new(Vec::new());
    let sent = run(async |run| {
        saga(run, async |saga| {
            let each = saga.each("send", 1..7, send).concurrency(2).batches(2).pause(secs(10));
            let each = each.on_progress(|told| batches.lock().unwrap().push((told.batch, told.done)));
            Ok(step!(each.compensate(|_| world.act("undo"))))
        })
        .await
    });
    assert_eq!(sent.await, Err(SagaError::new(refused("4"))));
    assert_eq!(world.log(), ["1", "2", "no 4", "3", "undo", "undo", "undo"]);
    assert_eq!(*batches.lock().unwrap(), [(1, 2)]);
    assert_eq!(began.elapsed(), secs(2 + 10 + 3));
}

#[tokio::test(start_paused = true)]
async fn item_past_its_deadline_is_in_doubt() {
    let world = World::default();
    let send = async |item: &'static str| match item {
        "b" => world.hang("b").await,
        item => world.act(item).await,
    };
    let sent = run(async |run| {
        saga(run, async |saga| {
            let each = saga.each("send", ["a", "b", "c"], send).concurrency(3).deadline(secs(1));
            Ok(step!(each.compensate(|_| world.act("undo"))))
        })
        .await
    });
    let error = sent.await.unwrap_err();
    assert!(matches!(error.error(), TripError::Run(RunError::Timeout { limit: Limit::Step, .. })), "{error}");
    assert_eq!(error.in_doubt(), ["send".into()]);
    assert_eq!(world.log(), ["a", "b", "c", "undo", "undo"]);
}

#[tokio::test]
async fn settled_list_undoes_items_that_succeeded() {
    let world = World::default();
    let send = async |item: &'static str| match item {
        "b" => world.refuse("b").await,
        item => world.act(item).await,
    };
    let sent = run(async |run| {
        saga(run, async |saga| {
            let each = saga.each("send", ["a", "b", "c"], send).compensate(|_| world.act("undo"));
            let settled = each.settle().await;
            assert_eq!(settled, [Ok(1), Err(Error::Failed(Refused("b".into()))), Ok(1)]);
            Err::<(), _>(refused("body"))
        })
        .await
    });
    assert_eq!(sent.await, Err(SagaError::new(refused("body"))));
    assert_eq!(world.log(), ["a", "no b", "c", "undo", "undo"]);
}

#[tokio::test]
async fn guard_that_refuses_an_item_fails_the_list() {
    let world = World::default();
    let asked = AtomicU32::new(0);
    let open = || match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(Refusal::new("door", "it is shut")),
    };
    let sent = run(async |run| {
        saga(run, async |saga| {
            let each = saga.each("send", ["a", "b"], async |item| world.act(item).await).guard(&open);
            Ok::<_, TripError>(step!(each.compensate(|_| world.act("undo"))))
        })
        .await
    });
    let error = sent.await.unwrap_err();
    assert!(matches!(error.error(), TripError::Run(RunError::Refused { .. })), "{error}");
    assert!(error.in_doubt().is_empty(), "{error}");
    assert_eq!(world.log(), ["a", "undo"]);
}

#[tokio::test]
#[should_panic(expected = "`concurrency(0)` is refused")]
async fn concurrency_of_0_is_refused() {
    let sent = run(async |run| {
        saga(run, async |saga| {
            Ok::<_, TripError>(step!(
                saga.each("send", [1], async |item| Ok::<_, Refused>(item)).concurrency(0)
            ))
        })
        .await
    });
    let _ = sent.await;
}
