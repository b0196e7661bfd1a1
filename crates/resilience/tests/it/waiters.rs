//! What `src/waiters.md` and `src/single_flight/callers.md` say of waiters that nobody polls.

use std::pin::Pin;

use awaitly_core::clock::{VirtualClock, secs};
use awaitly_resilience::{
    AdaptiveThrottle, AuthRefresh, Cache, CombinedLimiter, ConcurrencyLimiter, GuardExt, Keyed, RateLimiter,
    SingleFlight,
};
use futures_util::{FutureExt, poll};
use tokio::sync::oneshot;

use crate::{ApiError, begun, hangs, ok, settle};

type Ends<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Keeps a waiter that nobody polls, and says whether the one behind it goes on: while it is kept, once it is dropped.
async fn behind_a_kept_waiter<'a>(call: impl Fn() -> Ends<'a>, make_room: impl FnOnce()) -> (bool, bool) {
    let (mut kept, mut behind) = (call(), call());
    assert!(poll!(&mut kept).is_pending() && poll!(&mut behind).is_pending());
    make_room();
    let mut ended = false;
    for _ in 0..3 {
        settle().await;
        ended |= poll!(&mut behind).is_ready();
    }
    drop(kept);
    settle().await;
    (ended, ended || poll!(&mut behind).is_ready())
}

/// The calls of `make` as waiters.
macro_rules! waiter {
    ($make:expr) => {
        || -> Ends<'_> { Box::pin($make.map(|ended| assert!(ended.is_ok()))) }
    };
}

#[tokio::test]
async fn kept_waiter_holds_up_the_others_until_it_is_dropped() {
    let clock = VirtualClock::new();
    let mut all = Vec::new();

    let slots = ConcurrencyLimiter::new("slots", 1);
    let running = begun(slots.call(hangs)).await;
    all.push(("slots", behind_a_kept_waiter(waiter!(slots.call(ok)), || drop(running)).await));

    let slots = Keyed::new(|_: &u32| ConcurrencyLimiter::new("slots", 1)).key(&1);
    let running = begun(slots.call(hangs)).await;
    all.push(("slots of a key", behind_a_kept_waiter(waiter!(slots.call(ok)), || drop(running)).await));

    let rate = || RateLimiter::options("rate", 1, secs(1)).burst(1).clock(clock.clone());
    let pass = || clock.advance(secs(9));
    let tokens = rate().build();
    tokens.try_acquire().unwrap();
    all.push(("tokens", behind_a_kept_waiter(waiter!(tokens.call(ok)), pass).await));
    let options = rate();
    let tokens = Keyed::new(move |_: &u32| options.clone().build()).key(&1);
    tokens.try_acquire().unwrap();
    all.push(("tokens of a key", behind_a_kept_waiter(waiter!(tokens.call(ok)), pass).await));
    let both = CombinedLimiter::new(rate().build(), ConcurrencyLimiter::new("slots", 9));
    both.rate().try_acquire().unwrap();
    all.push(("both", behind_a_kept_waiter(waiter!(both.call(ok)), pass).await));

    let throttle = AdaptiveThrottle::options("throttle").start(1).bounds(1, 1).clock(clock.clone()).build();
    let running = begun(throttle.call(hangs)).await;
    all.push(("throttle", behind_a_kept_waiter(waiter!(throttle.call(ok)), || drop(running)).await));

    let flights = SingleFlight::new();
    let leads = begun(flights.call(1, hangs)).await;
    all.push(("flights", behind_a_kept_waiter(waiter!(flights.call(1, ok)), || drop(leads)).await));
    let cache: Cache<u32, u32, ApiError> = Cache::options(9).build();
    let leads = begun(cache.call(1, hangs)).await;
    all.push(("cache", behind_a_kept_waiter(waiter!(cache.call(1, ok)), || drop(leads)).await));
    let (end, ended) = oneshot::channel::<()>();
    let ended = ended.shared();
    let auth = AuthRefresh::new(
        0,
        || ended.clone().map(|_| Ok::<_, ApiError>(1)),
        |error: &ApiError| *error == ApiError("old"),
    );
    let get = || auth.call(async |token| if token == 0 { Err(ApiError("old")) } else { Ok(token) });
    all.push(("credentials", behind_a_kept_waiter(waiter!(get()), || end.send(()).unwrap()).await));

    for (which, outcome) in all {
        assert_eq!(outcome, (false, true), "{which}");
    }
}

#[tokio::test]
async fn unpolled_waiter_does_not_block_next() {
    let limiter = ConcurrencyLimiter::new("slots", 1);
    let running = begun(limiter.call(hangs)).await;
    let call = || {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.call(ok).await })
    };
    let (kept, behind) = (call(), call());
    settle().await;
    assert_eq!(limiter.stats().waiting, 2);
    drop(running);
    assert_eq!(behind.await.unwrap(), Ok(7), "though nobody has asked for the answer of the first");
    assert_eq!(kept.await.unwrap(), Ok(7));
}
