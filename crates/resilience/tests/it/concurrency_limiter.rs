use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use awaitly_core::run;
use awaitly_resilience::concurrency_limiter::{ConcurrencyLimiter, Full};
use awaitly_resilience::{CallError, GuardExt, Keyed};

use crate::{ApiError, all_begun, begun, fails, hangs, ok, settle, wait};

#[tokio::test]
async fn calls_are_bounded_by_slots_and_run_in_order() {
    let limiter = ConcurrencyLimiter::new("db", 3);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let order = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let limiter = limiter.clone();
            let (running, most, order) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&order));
            tokio::spawn(async move {
                let call = limiter.call(async || {
                    order.lock().unwrap().push(number);
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    for _ in 0..number % 7 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    ok().await
                });
                call.await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(7));
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(order.lock().unwrap().iter().copied().eq(0..50));
    let stats = limiter.stats();
    assert_eq!((stats.running, stats.waiting, stats.limit), (0, 0, 3));
}

#[tokio::test]
async fn full_queue_refuses_and_says_how_full() {
    let limiter = ConcurrencyLimiter::bounded("db", 1, 2);
    let mut calls = all_begun(3, || limiter.call(hangs)).await;
    let full = Full { name: "db".into(), running: 1, waiting: 2 };
    assert_eq!(
        full.to_string(),
        "concurrency limit `db` is reached: 1 calls run and 2 wait, so ask again later"
    );
    assert_eq!(limiter.call(ok).await, Err(CallError::Refused(full)));
    drop(calls.pop());
    let next = begun(limiter.call(ok)).await; // a dropped waiter has given its place back
    calls.clear();
    assert_eq!(next.await, Ok(7), "a dropped call has given its slot back");
}

#[tokio::test]
async fn with_no_place_to_wait_it_refuses_at_once() {
    let limiter = ConcurrencyLimiter::bounded("db", 1, 0);
    let _running = begun(limiter.call(hangs)).await;
    assert!(limiter.call(ok).await.unwrap_err().is_refused());
}

#[tokio::test]
async fn slot_comes_back_however_the_call_ends() {
    let limiter = ConcurrencyLimiter::new("db", 1);
    assert_eq!(limiter.call(fails).await, Err(CallError::Failed(ApiError("down"))));
    let panics = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.call(async || -> Result<u32, ApiError> { panic!("a call of the test") }).await }
    });
    assert!(panics.await.is_err());
    let step = run(async |run| run.step("fails", fails).guard(&limiter).await).await;
    assert!(step.is_err());
    assert_eq!((limiter.stats().running, limiter.call(ok).await), (0, Ok(7)));
}

#[tokio::test]
async fn turn_away_refuses_waiting_calls_and_keeps_running_ones() {
    let limiter = ConcurrencyLimiter::new("db", 1);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let running = begun(limiter.call(async || {
        ended.await.unwrap();
        ok().await
    }))
    .await;
    let waiting = begun(limiter.call(ok)).await;
    limiter.turn_away();
    assert!(waiting.await.unwrap_err().is_refused());
    let later = begun(limiter.call(ok)).await; // who comes later waits as before
    end.send(()).unwrap();
    assert_eq!((running.await, later.await), (Ok(7), Ok(7)));
    assert_eq!(limiter.stats().running, 0);
}

#[tokio::test]
async fn limiter_grows_and_shrinks_while_calls_run() {
    let limiter = ConcurrencyLimiter::new("db", 2);
    let mut calls = all_begun(4, || limiter.call(hangs)).await;
    assert_eq!((limiter.stats().running, limiter.stats().waiting), (2, 2));
    limiter.resize(3);
    wait(&mut calls).await;
    assert_eq!((limiter.stats().running, limiter.stats().waiting), (3, 1));
    limiter.resize(1);
    assert_eq!((limiter.stats().running, limiter.stats().limit), (3, 1));
    drop(calls.remove(0));
    wait(&mut calls).await;
    assert_eq!((limiter.stats().running, limiter.stats().waiting), (2, 1), "nobody follows");
    limiter.resize(2);
    drop(calls.remove(0));
    wait(&mut calls).await;
    assert_eq!((limiter.stats().running, limiter.stats().waiting), (2, 0));
    calls.clear();
    assert_eq!(limiter.stats().running, 0);
    limiter.resize(usize::MAX);
    limiter.resize(2);
    let huge = ConcurrencyLimiter::new("huge", usize::MAX);
    huge.resize(1);
    let stats = (limiter.stats(), huge.stats());
    assert_eq!((stats.0.running, stats.0.limit, stats.1.running, stats.1.limit), (0, 2, 0, 1));
}

#[tokio::test]
async fn dropped_waiter_does_not_restore_removed_slot() {
    let limiter = ConcurrencyLimiter::new("db", 2);
    let mut running = all_begun(2, || limiter.call(hangs)).await;
    let mut waiting = all_begun(2, || limiter.call(hangs)).await;
    // Both slots are handed on, and nobody looks.
    running.clear();
    limiter.resize(1);
    waiting.clear();
    let _calls = all_begun(2, || limiter.call(hangs)).await;
    assert_eq!((limiter.stats().running, limiter.stats().waiting), (1, 1));
}

#[tokio::test]
async fn each_key_has_own_slots_until_idle() {
    let limiter = Keyed::new(|_: &String| ConcurrencyLimiter::new("host", 1));
    let (flooded, calm) = (limiter.key("flooded"), limiter.key("calm"));
    let flood = all_begun(1000, || flooded.call(hangs)).await;
    assert_eq!((flooded.stats().running, flooded.stats().waiting), (1, 999));
    let step = run(async |run| run.step("calm", ok).guard(&calm).await).await;
    assert_eq!((step.unwrap(), calm.call(ok).await), (7, Ok(7)), "they do not wait");
    drop(calm);
    limiter.forget_idle();
    assert_eq!(limiter.keys(), 1);
    drop(flood);
    drop(flooded);
    settle().await;
    limiter.forget_idle();
    assert_eq!(limiter.keys(), 0);
}

#[tokio::test]
async fn preset_is_that_of_the_reference() {
    let stats = ConcurrencyLimiter::database("db").stats();
    assert_eq!((stats.limit, stats.max_waiting), (10, 100));
}
