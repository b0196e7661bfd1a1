use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use awaitly_resilience::{AuthRefresh, CallError};

use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::settle;

#[derive(Debug, Clone, PartialEq)]
enum Refused {
    Unauthorized,
    Down,
}

/// Takes every token from `valid` on.
async fn get(token: u32, valid: u32) -> Result<u32, Refused> {
    tokio::task::yield_now().await;
    if token >= valid { Ok(token) } else { Err(Refused::Unauthorized) }
}

fn ran_out(error: &Refused) -> bool {
    *error == Refused::Unauthorized
}

#[tokio::test]
async fn one_refresh_serves_all_callers_with_expired_credentials() {
    let refreshed = AtomicU32::new(0);
    let refresh = async || {
        let number = refreshed.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::task::yield_now().await;
        Ok::<_, Refused>(number)
    };
    let auth = AuthRefresh::new(0, refresh, ran_out);
    let ended = join_all((0..1000).map(|_| auth.call(|token| get(token, 1)))).await;
    assert!(ended.iter().all(|ended| *ended == Ok(1)));
    assert_eq!((refreshed.load(Ordering::Relaxed), auth.credentials()), (1, 1));
    assert_eq!(auth.call(|token| get(token, 1)).await, Ok(1));
    assert_eq!(refreshed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn there_is_one_attempt_more_and_no_other() {
    let auth = AuthRefresh::new(0, async || Ok::<_, Refused>(1), ran_out);
    let calls = AtomicU32::new(0);
    let ended = auth
        .call(|token| {
            calls.fetch_add(1, Ordering::Relaxed);
            get(token, 9)
        })
        .await;
    assert_eq!((ended, calls.into_inner()), (Err(CallError::Failed(Refused::Unauthorized)), 2));
    let other = auth.call(async |_| Err::<u32, _>(Refused::Down)).await;
    assert_eq!((other, auth.credentials()), (Err(CallError::Failed(Refused::Down)), 1));
}

#[tokio::test]
async fn failed_refresh_is_shared_and_dropped_refresh_is_redone() {
    let auth = AuthRefresh::new(0, async || Err::<u32, _>("no password"), ran_out);
    assert_eq!(auth.call(|token| get(token, 1)).await, Err(CallError::Refused("no password")));
    let failed = AtomicU32::new(0);
    let refresh = async || {
        failed.fetch_add(1, Ordering::Relaxed);
        settle().await;
        Err::<u32, _>("no password")
    };
    let locked = AuthRefresh::new(0, refresh, ran_out);
    let ended = join_all((0..1000).map(|_| locked.call(|token| get(token, 1)))).await;
    assert!(ended.iter().all(|ended| *ended == Err(CallError::Refused("no password"))));
    assert_eq!(failed.load(Ordering::Relaxed), 1, "those who waited for it share its error");
    let refreshes = AtomicU32::new(0);
    let refresh = async || {
        if refreshes.fetch_add(1, Ordering::Relaxed) == 0 {
            std::future::pending::<()>().await;
        }
        Ok::<_, Refused>(1)
    };
    let auth = AuthRefresh::new(0, refresh, ran_out);
    let mut hangs = Box::pin(auth.call(|token| get(token, 1)));
    let mut waits = Box::pin(auth.call(|token| get(token, 1)));
    for _ in 0..3 {
        assert!(futures_util::poll!(&mut hangs).is_pending() && futures_util::poll!(&mut waits).is_pending());
        settle().await;
    }
    drop(hangs);
    assert_eq!(waits.await, Ok(1));
}

#[tokio::test]
async fn call_that_the_refresh_makes_is_not_refreshed() {
    type Refresh = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<u32, Refused>> + Send>> + Send + Sync>;
    type Auth = AuthRefresh<u32, Refused, Refresh, fn(&Refused) -> bool>;
    let itself: Arc<OnceLock<Auth>> = Arc::default();
    let asks = Arc::clone(&itself);
    let refresh: Refresh = Box::new(move || {
        let auth = asks.get().unwrap().clone();
        Box::pin(async move {
            auth.call(async |_| Err::<u32, _>(Refused::Unauthorized))
                .await
                .map_err(|error| error.or(|refused| refused))
        })
    });
    let auth = itself.get_or_init(|| AuthRefresh::new(0, refresh, ran_out));
    let ended = auth.call(async |_| Err::<u32, _>(Refused::Unauthorized)).now_or_never();
    assert_eq!(ended, Some(Err(CallError::Refused(Refused::Unauthorized))));
}
