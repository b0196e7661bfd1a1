use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{ms, secs};
use awaitly_core::retry::Budget;
use awaitly_resilience::{Hedge, Judge};
use tokio::time::{Instant, sleep};

use crate::ApiError;

/// What each call does: how long it takes in milliseconds, and whether it succeeds.
async fn hedged<P: Judge<ApiError, bool>>(
    hedge: &Hedge<P>,
    calls: &[(u64, bool)],
) -> (Result<u32, ApiError>, u32, u64) {
    let (begun, started) = (Instant::now(), AtomicU32::new(0));
    let call = || {
        let number = started.fetch_add(1, Ordering::Relaxed);
        let (takes, succeeds) = calls[number as usize];
        async move {
            sleep(ms(takes)).await;
            if succeeds { Ok(number) } else { Err(ApiError("down")) }
        }
    };
    let ended = hedge.call(call).await;
    (ended, started.load(Ordering::Relaxed), begun.elapsed().as_millis() as u64)
}

#[tokio::test(start_paused = true)]
async fn call_that_answers_in_time_is_the_only_one() {
    let hedge = Hedge::after(ms(50));
    assert_eq!(hedged(&hedge, &[(49, true)]).await, (Ok(0), 1, 49));
}

#[tokio::test(start_paused = true)]
async fn slow_call_is_hedged_and_first_success_wins() {
    let hedge = Hedge::after(ms(50)).at_most(3);
    assert_eq!(hedged(&hedge, &[(500, true), (20, true)]).await, (Ok(1), 2, 70));
    assert_eq!(hedged(&hedge, &[(120, true), (500, true), (500, true)]).await, (Ok(0), 3, 120));
}

#[tokio::test(start_paused = true)]
async fn failed_call_starts_next_and_last_failure_is_returned() {
    let hedge = Hedge::after(ms(50)).at_most(3);
    assert_eq!(hedged(&hedge, &[(10, false), (10, false), (10, true)]).await, (Ok(2), 3, 30));
    let all = [(10, false), (40, false), (10, false)];
    assert_eq!(hedged(&hedge, &all).await, (Err(ApiError("down")), 3, 60));
}

#[tokio::test(start_paused = true)]
async fn without_room_in_the_budget_there_is_one_call() {
    let budget = Budget::new(0, 0.0);
    let hedge = Hedge::after(ms(50)).at_most(3).budget(&budget);
    assert_eq!(hedged(&hedge, &[(500, true)]).await, (Ok(0), 1, 500));
    assert_eq!(hedged(&hedge, &[(10, false)]).await, (Err(ApiError("down")), 1, 10));
}

#[tokio::test(start_paused = true)]
async fn budget_bounds_hedged_calls_to_failing_service() {
    let budget = Budget::new(4, 0.1);
    let hedge = Hedge::after(ms(50)).at_most(3).budget(&budget);
    let mut calls = 0;
    for _ in 0..100 {
        calls += hedged(&hedge, &[(1, false), (1, false), (1, false)]).await.1;
    }
    assert!(calls <= 102, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn error_that_is_no_failure_is_the_answer() {
    let hedge = Hedge::after(ms(50)).at_most(3).failure_when(|error: &ApiError| error.0 != "down");
    assert_eq!(hedged(&hedge, &[(10, false)]).await, (Err(ApiError("down")), 1, 10));
}

#[tokio::test(start_paused = true)]
async fn others_are_dropped_with_the_first_success() {
    struct Dropped<'a>(&'a AtomicU32);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (dropped, started) = (AtomicU32::new(0), AtomicU32::new(0));
    let call = || {
        let (guard, first) = (Dropped(&dropped), started.fetch_add(1, Ordering::Relaxed) == 0);
        async move {
            let _guard = guard;
            sleep(if first { secs(9) } else { ms(1) }).await;
            Ok::<_, ApiError>(7)
        }
    };
    assert_eq!(Hedge::after(ms(50)).call(call).await, Ok(7));
    assert_eq!(dropped.into_inner(), 2);
}
