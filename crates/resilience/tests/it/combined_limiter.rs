use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_core::run;
use awaitly_resilience::combined_limiter::Limited;
use awaitly_resilience::{CallError, CombinedLimiter, ConcurrencyLimiter, GuardExt, RateLimiter};

use crate::{begun, hangs, ok, settle};

#[tokio::test]
async fn call_that_waits_for_its_token_keeps_no_slot() {
    let clock = VirtualClock::new();
    let rate = RateLimiter::options("api-rate", 10, secs(1)).burst(1).clock(clock.clone()).build();
    let limiter = CombinedLimiter::new(rate, ConcurrencyLimiter::new("api-slots", 1));
    assert_eq!(limiter.call(ok).await, Ok(7));
    let waiting = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.call(ok).await }
    });
    settle().await;
    assert_eq!((limiter.rate().waiting(), limiter.concurrency().stats().running), (1, 0));
    clock.advance(ms(100));
    assert_eq!(waiting.await.unwrap(), Ok(7));
}

#[tokio::test]
async fn both_limits_hold_and_each_refuses_with_its_own_type() {
    let clock = VirtualClock::new();
    let rate = RateLimiter::options("api-rate", 1, secs(1)).burst(2).refuse();
    let slots = ConcurrencyLimiter::bounded("api-slots", 1, 0);
    let limiter = CombinedLimiter::new(rate.clock(clock.clone()).build(), slots);
    let running = begun(limiter.call(hangs)).await;
    assert!(matches!(limiter.call(ok).await, Err(CallError::Refused(Limited::Concurrency(_)))));
    drop(running);
    assert_eq!(limiter.rate().available(), 1, "no token was spent on it");
    assert_eq!(run(async |run| run.step("get", ok).guard(&limiter).await).await.unwrap(), 7);
    assert!(matches!(limiter.call(ok).await, Err(CallError::Refused(Limited::Rate(_)))));
}

#[tokio::test]
async fn dropped_call_frees_its_slot_and_place() {
    let clock = VirtualClock::new();
    let rate = RateLimiter::options("api-rate", 10, secs(1)).burst(2).clock(clock.clone()).build();
    let limiter = CombinedLimiter::new(rate, ConcurrencyLimiter::new("api-slots", 1));
    let running = begun(limiter.call(hangs)).await;
    let waiting = begun(limiter.call(ok)).await;
    assert_eq!(limiter.concurrency().stats().waiting, 1);
    drop(waiting);
    assert_eq!(limiter.concurrency().stats().waiting, 0);
    drop(running);
    clock.advance(secs(1));
    assert_eq!(limiter.call(ok).await, Ok(7));
}
