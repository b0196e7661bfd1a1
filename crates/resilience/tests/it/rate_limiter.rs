use std::sync::{Arc, Mutex};
use std::time::Duration;

use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_core::{Error, RunError, run};
use awaitly_resilience::rate_limiter::{Options, RateLimited, RateLimiter};
use awaitly_resilience::{CallError, GuardExt, Keyed};

use crate::{ApiError, all_begun, begun, ok, run_out, settle};

fn options(clock: &VirtualClock, calls: u32, burst: u32) -> Options {
    RateLimiter::options("api", calls, secs(1)).burst(burst).clock(clock.clone())
}

fn keyed<K: Eq + std::hash::Hash>(options: Options) -> Keyed<K, RateLimiter> {
    Keyed::new(move |_| options.clone().build())
}

fn limited(retry_after: Duration) -> CallError<ApiError, RateLimited> {
    CallError::Refused(RateLimited { name: "api".into(), retry_after: Some(retry_after) })
}

#[tokio::test]
async fn limiter_begins_full_and_refills_up_to_burst() {
    let clock = VirtualClock::new();
    let limiter = options(&clock, 10, 20).refuse().build();
    for left in (0..20).rev() {
        assert_eq!(limiter.call(ok).await, Ok(7));
        assert_eq!(limiter.available(), left);
    }
    assert_eq!(limiter.call(ok).await, Err(limited(ms(100))));
    clock.advance(ms(99));
    assert_eq!(limiter.call(ok).await, Err(limited(ms(1))));
    clock.advance(ms(1));
    assert_eq!(limiter.call(ok).await, Ok(7));
    clock.advance(secs(3600));
    assert_eq!(limiter.available(), 20);
    assert_eq!((0..30).filter(|_| limiter.try_acquire().is_ok()).count(), 20);
}

#[tokio::test]
async fn its_burst_is_twice_the_rate_unless_set() {
    assert_eq!(RateLimiter::per_second("api", 7).burst(), 14);
    let (api, external) = (Options::api("api").build(), Options::external("api").build());
    assert_eq!((api.burst(), api.interval()), (20, ms(100)));
    assert_eq!((external.burst(), external.interval()), (10, ms(200)));
}

#[tokio::test]
async fn waiters_get_tokens_on_time_in_order() {
    let clock = VirtualClock::new();
    let limiter = options(&clock, 10, 1).build();
    assert_eq!(limiter.call(ok).await, Ok(7));
    let order = Arc::new(Mutex::new(Vec::new()));
    for number in 0..5 {
        let (limiter, order, clock) = (limiter.clone(), Arc::clone(&order), clock.clone());
        tokio::spawn(async move {
            limiter.acquire().await.unwrap();
            order.lock().unwrap().push((number, clock.elapsed()));
        });
        settle().await;
    }
    assert_eq!(limiter.waiting(), 5);
    assert!(limiter.try_acquire().is_err());
    run_out(&clock, || order.lock().unwrap().len() == 5).await;
    let expected: Vec<_> = (0..5).map(|n| (n, ms(100 * (n + 1)))).collect();
    assert_eq!(*order.lock().unwrap(), expected);
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test]
async fn try_acquire_does_not_overtake_waiters() {
    let clock = VirtualClock::new();
    let limiter = options(&clock, 10, 1).build();
    limiter.acquire().await.unwrap();
    let first = begun(limiter.cost(1).acquire()).await;
    // The token is there, and the first one has not been asked since.
    clock.advance(ms(100));
    let refused = limiter.try_acquire().unwrap_err();
    assert_eq!(refused.retry_after, Some(ms(200)));
    assert_eq!(first.await, Ok(()));
}

#[tokio::test]
async fn refusal_behind_waiters_names_the_time_of_its_own_tokens() {
    let clock = VirtualClock::new();
    let options = || options(&clock, 10, 5);
    let (limiter, keys) = (options().build(), keyed::<u32>(options()));
    limiter.cost(5).acquire().await.unwrap();
    keys.key(&1).cost(5).acquire().await.unwrap();
    let (_waits, of_key) = (begun(limiter.acquire()).await, keys.key(&1));
    let _waits_for_key = begun(of_key.acquire()).await;
    assert_eq!(keys.key(&1).cost(3).try_acquire().unwrap_err().retry_after, Some(ms(400)));
    assert_eq!(keys.key(&1).cost(6).try_acquire().unwrap_err().retry_after, None, "never");
    assert_eq!(limiter.try_acquire().unwrap_err().retry_after, Some(ms(200)));
}

#[tokio::test]
async fn dropped_waiter_gives_its_place_back() {
    let clock = VirtualClock::new();
    let limiter = options(&clock, 10, 1).build();
    limiter.acquire().await.unwrap();
    let mut waiters = all_begun(3, || limiter.acquire()).await;
    drop(waiters.remove(0));
    drop(waiters.remove(0));
    assert_eq!(limiter.waiting(), 1);
    clock.advance(ms(100));
    assert_eq!(waiters.remove(0).await, Ok(()), "the first token is for who is left");
    assert_eq!((limiter.waiting(), clock.sleepers()), (0, 0));
}

#[tokio::test]
async fn call_takes_its_cost_and_excessive_cost_is_refused() {
    let clock = VirtualClock::new();
    let limiter = options(&clock, 10, 10).build();
    assert_eq!(limiter.cost(7).call(ok).await, Ok(7));
    assert_eq!(limiter.available(), 3);
    let refused = limiter.cost(11).call(ok).await;
    let never = RateLimited { name: "api".into(), retry_after: None };
    assert_eq!(
        never.to_string(),
        "rate limit `api` is reached: the call costs more than its burst, so split it"
    );
    assert_eq!(refused, Err(CallError::Refused(never.clone())));
    let waits = begun(limiter.cost(5).call(ok)).await;
    for cost in [11, 3_074_457_347, u32::MAX] {
        let refused = limiter.cost(cost).call(ok).await;
        assert_eq!(refused, Err(CallError::Refused(never.clone())), "though somebody waits");
    }
    assert_eq!(clock.advance_to_next(), Some(ms(200)));
    assert_eq!(waits.await, Ok(7));
    // The product of this cost and the interval does not fit into 64 bits.
    let slow = || RateLimiter::options("api", 10, secs(60)).clock(clock.clone());
    assert!(slow().build().cost(3_074_457_347).call(ok).await.unwrap_err().is_refused());
    assert!(keyed::<u32>(slow()).key(&1).cost(3_074_457_347).call(ok).await.unwrap_err().is_refused());
    let keys = keyed::<u32>(options(&clock, 10, 10));
    assert!(keys.key(&1).cost(u32::MAX).call(ok).await.unwrap_err().is_refused());
}

#[tokio::test]
async fn reset_fills_limiter_and_serves_waiters_first() {
    let clock = VirtualClock::new();
    let limiter = options(&clock, 1, 3).build();
    limiter.cost(3).acquire().await.unwrap();
    let waiter = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.acquire().await }
    });
    settle().await;
    limiter.reset();
    assert_eq!(waiter.await.unwrap(), Ok(()));
    assert_eq!((limiter.available(), clock.elapsed()), (2, Duration::ZERO));
}

#[tokio::test]
async fn each_key_has_tokens_of_its_own() {
    let clock = VirtualClock::new();
    let limiter = keyed::<String>(options(&clock, 1, 2).refuse());
    for key in ["ada", "bob"] {
        for _ in 0..2 {
            assert_eq!(limiter.key(key).call(ok).await, Ok(7));
        }
        assert_eq!(limiter.key(key).call(ok).await, Err(limited(secs(1))));
    }
    assert_eq!(limiter.key("ada").available(), 0);
    limiter.key("ada").reset();
    assert_eq!(limiter.key("ada").cost(2).call(ok).await, Ok(7));
    assert_eq!(limiter.key("bob").call(ok).await, Err(limited(secs(1))));
}

#[tokio::test]
async fn keys_whose_tokens_are_all_there_are_forgotten() {
    let clock = VirtualClock::new();
    let limiter = keyed::<u32>(options(&clock, 10, 1));
    for key in 0..10_000_u32 {
        limiter.key(&key).acquire().await.unwrap();
        clock.advance(ms(1));
    }
    assert!(limiter.keys() <= 2048 + 100, "{}", limiter.keys());
    assert!(limiter.key(&9999).try_acquire().is_err(), "the newest are not");
}

#[tokio::test]
async fn flooded_key_does_not_hold_up_another_one() {
    let clock = VirtualClock::new();
    let limiter = keyed::<String>(options(&clock, 10, 1));
    for _ in 0..1000 {
        let flood = limiter.key("flood");
        tokio::spawn(async move { flood.acquire().await });
    }
    settle().await;
    assert_eq!(limiter.key("flood").waiting(), 999);
    let waited = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..10 {
        let (calm, waited, clock) = (limiter.key("calm"), Arc::clone(&waited), clock.clone());
        tokio::spawn(async move {
            calm.acquire().await.unwrap();
            waited.lock().unwrap().push(clock.elapsed());
        });
    }
    run_out(&clock, || waited.lock().unwrap().len() == 10).await;
    let alone: Vec<_> = (0..10).map(|n| ms(100 * n)).collect();
    assert_eq!(*waited.lock().unwrap(), alone, "as if nobody else were there");
}

#[tokio::test]
async fn first_come_first_served_over_a_hundred_thousand() {
    const CALLERS: usize = 100_000;
    let clock = VirtualClock::new();
    let limiter = RateLimiter::options("api", 1000, secs(1)).burst(1).clock(clock.clone()).build();
    let order = Arc::new(Mutex::new(Vec::with_capacity(CALLERS)));
    for number in 0..CALLERS {
        let (limiter, order) = (limiter.clone(), Arc::clone(&order));
        tokio::spawn(async move {
            limiter.acquire().await.unwrap();
            order.lock().unwrap().push(number);
        });
    }
    while order.lock().unwrap().len() < CALLERS {
        tokio::task::yield_now().await;
        clock.advance_to_next();
    }
    assert!(order.lock().unwrap().iter().copied().eq(0..CALLERS));
    assert_eq!(clock.elapsed(), ms(CALLERS as u64 - 1), "no token was lost, and none was given twice");
}

#[tokio::test]
async fn step_waits_for_its_token_or_is_refused() {
    let clock = VirtualClock::new();
    let limiter = options(&clock, 1, 1).refuse().build();
    let refused = run(async |run| {
        run.step("first", ok).guard(&limiter).await.unwrap();
        match run.step("second", ok).guard(limiter.cost(1)).await {
            Err(Error::Run(refused)) => Err::<u32, RunError>(refused),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let reason = "rate limit is reached: ask again in 1000 ms".into();
    let expected =
        RunError::Refused { step: "second".into(), by: "api".into(), reason, retry_after: Some(secs(1)) };
    assert_eq!(refused, Err(expected));
}
