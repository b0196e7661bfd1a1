use std::task::{Context, Poll};

use awaitly_core::Retry;
use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_resilience::tower::GuardLayer;
use awaitly_resilience::{
    AuthRefresh, Cache, CallError, CircuitBreaker, ConcurrencyLimiter, Hedge, RateLimiter, SingleFlight,
};
use tower::layer::layer_fn;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{ApiError, settle};

/// A service that may be called only after it was asked whether it is ready.
#[derive(Debug)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<u32> for Strict {
    type Response = u32;
    type Error = ApiError;
    type Future = std::future::Ready<Result<u32, ApiError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ApiError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u32) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "it was not ready");
        std::future::ready(if number == 7 { Ok(7) } else { Err(ApiError("down")) })
    }
}

#[tokio::test]
async fn breaker_guards_a_service() {
    let breaker = CircuitBreaker::options("api").failures(2).clock(VirtualClock::new()).build();
    let mut service = GuardLayer::new(breaker).layer(Strict { ready: false });
    assert_eq!(service.ready().await.unwrap().call(7).await, Ok(7));
    for _ in 0..2 {
        let failed = service.ready().await.unwrap().call(1).await;
        assert_eq!(failed, Err(CallError::Failed(ApiError("down"))));
    }
    assert!(service.ready().await.unwrap().call(7).await.unwrap_err().is_refused());
}

#[tokio::test]
async fn requests_wait_for_their_turn_in_their_own_futures() {
    let clock = VirtualClock::new();
    let rate = RateLimiter::options("api", 1, secs(1)).burst(1).clock(clock.clone()).build();
    let service = GuardLayer::new(ConcurrencyLimiter::new("slots", 1)).layer(Strict { ready: false });
    let service = GuardLayer::new(rate).layer(service);
    let requests: Vec<_> = (0..3).map(|_| tokio::spawn(service.clone().oneshot(7))).collect();
    settle().await;
    assert_eq!(requests.iter().filter(|request| request.is_finished()).count(), 1);
    for _ in 0..2 {
        clock.advance(secs(1));
        settle().await;
    }
    for request in requests {
        assert_eq!(request.await.unwrap(), Ok(7));
    }
}

#[tokio::test]
async fn failure_answer_counts_and_reaches_caller() {
    let breaker = CircuitBreaker::options("api").failures(1).clock(VirtualClock::new()).build();
    let layer = GuardLayer::new(breaker.clone()).failure_when(|answer: &u32| *answer == 7);
    let mut service = layer.layer(Strict { ready: false });
    assert_eq!(service.ready().await.unwrap().call(7).await, Ok(7));
    assert_eq!(breaker.stats().all_failures, 1);
    assert!(service.ready().await.unwrap().call(7).await.unwrap_err().is_refused());
}

#[tokio::test]
async fn retry_hedge_and_cache_wrap_a_service() {
    let service = &Strict { ready: false };
    let retried = service_fn(async |number: u32| {
        let numbers = std::sync::atomic::AtomicU32::new(number);
        let attempt = || {
            let number = numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            service.clone().oneshot(number)
        };
        Retry::fixed(ms(1)).attempts(3).call(attempt).await
    });
    assert_eq!(retried.oneshot(5).await, Ok(7), "5 and 6 are refused");

    let hedge = layer_fn(|service: Strict| {
        service_fn(move |number: u32| {
            let service = service.clone();
            async move { Hedge::after(ms(1)).call(|| service.clone().oneshot(number)).await }
        })
    });
    assert_eq!(hedge.layer(service.clone()).oneshot(7).await, Ok(7));

    let (cache, flights) = (&Cache::options(9).build::<u32, u32, ApiError>(), &SingleFlight::new());
    for _ in 0..2 {
        let cached = service_fn(async |number: u32| {
            flights.call(number, || cache.call(number, || service.clone().oneshot(number))).await
        });
        assert_eq!(cached.oneshot(7).await, Ok(7));
    }
    assert_eq!(cache.hits(), 1);

    let auth = &AuthRefresh::new(1, async || Ok::<_, ApiError>(7), |error: &ApiError| error.0 == "down");
    let renewed = service_fn(async |()| auth.call(|token| service.clone().oneshot(token)).await);
    assert_eq!(renewed.oneshot(()).await, Ok(7));
}
