use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_resilience::single_flight::OwnKey;
use awaitly_resilience::{CallError, SingleFlight};
use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::{ApiError, begun, fails, hangs, ok, settle};

type Flights = SingleFlight<&'static str, u32, ApiError>;

#[tokio::test]
async fn concurrent_callers_share_one_call_and_its_answer() {
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
    assert_eq!(
        (flights.in_flight(), flights.call("bob", fails).await),
        (1, Err(CallError::Failed(ApiError("down"))))
    );
    end.send(()).unwrap();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(7));
    }
    assert_eq!((calls.load(Ordering::Relaxed), flights.in_flight()), (1, 0));
}

#[tokio::test]
async fn caller_after_the_answer_makes_new_call() {
    let flights = Flights::new();
    let late = flights.call("ada", hangs);
    assert_eq!(flights.call("ada", fails).await, Err(CallError::Failed(ApiError("down"))));
    drop(begun(late).await); // it does not get the old answer
    assert_eq!(flights.call("ada", ok).await, Ok(7));
}

#[tokio::test]
async fn dropped_or_panicked_caller_passes_call_to_next() {
    let flights = Flights::new();
    let first = begun(flights.call("ada", hangs)).await;
    let second = begun(flights.call("ada", async || panic!("a call of the test"))).await;
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

/// What an operation ends in that was refused its own key.
fn unless_own_key(error: CallError<ApiError, OwnKey>) -> ApiError {
    error.or(|OwnKey| ApiError("own key"))
}

/// An operation that asks for the first of `keys`, whose operation asks for the next one, and so on.
fn asks(flights: &Flights, keys: &'static [&'static str]) -> Pin<Box<dyn Future<Output = Never> + Send>> {
    let flights = flights.clone();
    Box::pin(async move {
        tokio::task::yield_now().await;
        let Some((key, others)) = keys.split_first() else { return ok().await };
        flights.call(*key, || asks(&flights, others)).await.map_err(unless_own_key)
    })
}

type Never = Result<u32, ApiError>;

const OWN_KEY: Result<u32, CallError<ApiError, OwnKey>> = Err(CallError::Failed(ApiError("own key")));

#[tokio::test]
async fn operation_that_asks_for_its_own_key_is_refused() {
    let flights = Flights::new();
    for circle in [&["ada"][..], &["bob", "ada"], &["bob", "cyd", "bob"]] {
        let call = flights.call("ada", || asks(&flights, circle));
        settled(call, OWN_KEY).await;
        assert_eq!(flights.in_flight(), 0);
    }
    let call = flights.call("ada", || asks(&flights, &["bob", "cyd"]));
    settled(call, Ok(7)).await;
}

/// Polls `call` often enough, instead of waiting for ever.
async fn settled<T: PartialEq + std::fmt::Debug>(call: impl Future<Output = T>, expected: T) {
    let mut call = std::pin::pin!(call);
    for _ in 0..20 {
        if let Some(ended) = call.as_mut().now_or_never() {
            return assert_eq!(ended, expected);
        }
        settle().await;
    }
    panic!("it waits for ever");
}

#[tokio::test]
async fn operations_waiting_on_each_other_are_refused() {
    let flights = Flights::new();
    let call = |key, asked| {
        let flights = flights.clone();
        tokio::spawn(async move { flights.call(key, || asks(&flights, asked)).await })
    };
    let (one, other) = (call("ada", &["bob"]), call("bob", &["ada"]));
    settle().await;
    assert!(one.is_finished() && other.is_finished(), "they wait for each other");
    assert_eq!((one.await.unwrap(), other.await.unwrap()), (OWN_KEY, OWN_KEY));
}

#[tokio::test]
async fn operation_on_another_thread_is_refused_its_own_key() {
    let flights = Flights::new();
    let (move_on, moved) = oneshot::channel::<()>();
    let mut call = Box::pin({
        let flights = flights.clone();
        async move {
            let inner = flights.clone();
            let operation = async move || {
                moved.await.unwrap();
                inner.call("ada", ok).await.map_err(unless_own_key)
            };
            flights.call("ada", operation).await
        }
    });
    assert!(futures_util::poll!(&mut call).is_pending());
    move_on.send(()).unwrap();
    let ended = std::thread::spawn(move || call.now_or_never()).join().unwrap();
    assert_eq!(ended, Some(OWN_KEY));
}

#[tokio::test]
async fn request_outside_of_the_operation_is_not_refused() {
    let flights = Flights::new();
    let leads = begun(flights.call("ada", hangs)).await;
    let waits = begun(flights.call("ada", ok)).await; // the thread no longer polls the operation
    // Two operations wait for the one key, and one of them asks for the other.
    let mut bob = Box::pin(flights.call("bob", || asks(&flights, &["ada"])));
    let mut cyd = Box::pin(flights.call("cyd", || asks(&flights, &["bob", "ada"])));
    for _ in 0..3 {
        assert!(futures_util::poll!(&mut bob).is_pending() && futures_util::poll!(&mut cyd).is_pending());
        settle().await;
    }
    drop(leads);
    assert_eq!((waits.await, bob.await, cyd.await), (Ok(7), Ok(7), Ok(7)));
    // Its arrows are gone with it.
    settled(flights.call("ada", || asks(&flights, &["bob"])), Ok(7)).await;
    settled(flights.call("bob", || asks(&flights, &["ada"])), Ok(7)).await;
}
