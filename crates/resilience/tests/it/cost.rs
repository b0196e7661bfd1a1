//! What a call that succeeds costs, as far as that is a fact and not a measurement: nothing is allocated.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use awaitly_core::{Retry, RunError, run, step};
use awaitly_resilience::{
    AdaptiveThrottle, CircuitBreaker, CombinedLimiter, ConcurrencyLimiter, GuardExt, Keyed, RateLimiter,
};

use crate::{ApiError, ok};

/// How many allocations a hundred more calls cost. None of them may have to wait.
fn allocations<F: Future<Output: std::fmt::Debug>>(call: impl Fn() -> F) -> u64 {
    let calls = || {
        for _ in 0..100 {
            let ended = pin!(call()).poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(ended, Poll::Ready(_)), "{ended:?}");
        }
    };
    // What is made once is made now.
    calls();
    measure(calls).count_total
}

fn plenty() -> RateLimiter {
    RateLimiter::options("plenty", u32::MAX, Duration::from_secs(1)).build()
}

#[test]
fn immediate_call_does_not_allocate() {
    let closed = CircuitBreaker::new("closed");
    let rate = CircuitBreaker::options("rate").last_calls(50).failure_rate(0.5, 10).build();
    let (open, rates, slots) = (CircuitBreaker::new("open"), plenty(), ConcurrencyLimiter::new("slots", 3));
    open.open();
    let combined = CombinedLimiter::new(plenty(), ConcurrencyLimiter::new("slots", 3));
    let (keys, throttle) = (&Keyed::new(|_: &u32| plenty()), AdaptiveThrottle::new("throttle"));
    let retry = Retry::fixed(Duration::from_secs(1));
    for (name, count) in [
        ("closed", allocations(|| closed.call(ok))),
        ("closed, by rate", allocations(|| rate.call(ok))),
        ("open", allocations(|| open.call(ok))),
        ("rate limiter", allocations(|| rates.call(ok))),
        ("keyed rate limiter", allocations(|| async { keys.key(&7).call(ok).await })),
        ("concurrency limiter", allocations(|| slots.call(ok))),
        ("combined limiter", allocations(|| combined.call(ok))),
        ("adaptive throttle", allocations(|| throttle.call(ok))),
        ("retry", allocations(|| retry.call(ok))),
    ] {
        assert_eq!(count, 0, "{name}");
    }
}

#[test]
fn all_guards_around_one_step_do_not_allocate() {
    let (breaker, rates) = (CircuitBreaker::new("closed"), plenty());
    let (slots, throttle) = (ConcurrencyLimiter::new("slots", 3), AdaptiveThrottle::new("throttle"));
    let (policy, second) = (Retry::fixed(Duration::from_secs(1)), Duration::from_secs(1));
    let one = || async {
        let ended: Result<u32, awaitly_core::Error<ApiError>> = run(async |run| {
            Ok(step!(
                run,
                "call",
                retry = policy.clone(),
                timeout = second,
                guard = &breaker,
                guard = &rates,
                guard = &slots,
                guard = &throttle,
                ok()
            ))
        })
        .await;
        ended.map_err(|_| RunError::Cancelled { step: None })
    };
    assert_eq!(allocations(one), 0);
}

#[test]
fn guard_of_a_key_takes_a_few_hundred_bytes() {
    const KEYS: u32 = 10_000;
    let keys = Keyed::new(|_: &u32| plenty());
    let used = measure(|| (0..KEYS).for_each(|key| keys.key(&key).try_acquire().unwrap()));
    assert!(used.bytes_max / u64::from(KEYS) <= 400, "{used:?}");
}
