use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_resilience::SingleFlight;
use tokio::sync::oneshot;

use crate::{ApiError, fails, ok, settle};

type Flights = SingleFlight<&'static str, u32, ApiError>;

#[tokio::test]
async fn callers_at_the_same_time_share_one_call_and_its_answer() {
    let (flights, calls) = (Flights::new(), Arc::new(AtomicU32::new(0)));
    let (end, ended) = oneshot::channel::<()>();
    let mut ended = Some(ended);
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let (flights, calls, ended) = (flights.clone(), Arc::clone(&calls), ended.take());
            tokio::spawn(async move {
                let call = async || {
                    calls.fetch_add(1, Ordering::Relaxed);
                    ended.unwrap().await.unwrap();
                    ok().await
                };
                flights.call("ada", call).await
            })
        })
        .collect();
    settle().await;
    assert_eq!((flights.in_flight(), flights.call("bob", fails).await), (1, Err(ApiError("down"))));
    end.send(()).unwrap();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(7));
    }
    assert_eq!((calls.load(Ordering::Relaxed), flights.in_flight()), (1, 0));
}

#[tokio::test]
async fn who_comes_after_the_answer_makes_a_new_call() {
    let flights = Flights::new();
    let mut late = Box::pin(flights.call("ada", pending));
    assert_eq!(flights.call("ada", fails).await, Err(ApiError("down")));
    assert!(futures_util::poll!(&mut late).is_pending(), "it does not get the old answer");
    drop(late);
    assert_eq!(flights.call("ada", ok).await, Ok(7));
}

#[tokio::test]
async fn where_the_caller_is_dropped_or_panics_the_next_one_calls() {
    let flights = Flights::new();
    let mut first = Box::pin(flights.call("ada", pending));
    assert!(futures_util::poll!(&mut first).is_pending());
    let mut second = Box::pin(flights.call("ada", async || panic!("a call of the test")));
    assert!(futures_util::poll!(&mut second).is_pending());
    let third = tokio::spawn({
        let flights = flights.clone();
        async move { flights.call("ada", ok).await }
    });
    settle().await;
    drop(first);
    let flights = flights.clone();
    let second = std::panic::AssertUnwindSafe(second);
    assert!(futures_util::FutureExt::catch_unwind(second).await.is_err());
    assert_eq!(third.await.unwrap(), Ok(7));
    assert_eq!(flights.in_flight(), 0);
}
