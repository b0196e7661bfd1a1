use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_core::{DurableRun, Error, RunError, Workflow};
use awaitly_resilience::single_flight::OwnKey;
use awaitly_resilience::{Cache, CallError};

use futures_util::FutureExt;

use crate::{ApiError, begun, fails, ok};

type Users = Cache<String, u32, ApiError>;

#[tokio::test]
async fn value_expires_after_ttl_from_end_of_call() {
    let clock = VirtualClock::new();
    let (users, calls): (Users, _) =
        (Cache::options(10).ttl(secs(60)).clock(clock.clone()).build(), AtomicU32::new(0));
    let fetch = async || {
        clock.advance(secs(50));
        Ok(calls.fetch_add(1, Ordering::Relaxed))
    };
    assert_eq!(users.call("ada".into(), fetch).await, Ok(0));
    clock.advance(secs(60) - ms(1));
    assert_eq!((users.call("ada".into(), fetch).await, users.get("ada")), (Ok(0), Some(0)));
    clock.advance(ms(1));
    assert_eq!(users.get("ada"), None);
    assert_eq!(users.call("ada".into(), fetch).await, Ok(1));
    assert_eq!((users.hits(), users.misses(), users.len()), (1, 2, 1));
}

#[tokio::test]
async fn error_is_kept_only_with_keep_errors() {
    let clock = VirtualClock::new();
    let forgets: Users = Cache::options(10).clock(clock.clone()).build();
    assert_eq!(forgets.call("ada".into(), fails).await, Err(CallError::Failed(ApiError("down"))));
    assert_eq!(forgets.call("ada".into(), ok).await, Ok(7));
    let keeps: Users = Cache::options(10).keep_errors(secs(5)).clock(clock.clone()).build();
    assert_eq!(keeps.call("ada".into(), fails).await, Err(CallError::Failed(ApiError("down"))));
    assert_eq!(
        (keeps.call("ada".into(), ok).await, keeps.get("ada")),
        (Err(CallError::Failed(ApiError("down"))), None)
    );
    clock.advance(secs(5));
    assert_eq!(keeps.call("ada".into(), ok).await, Ok(7));
}

#[tokio::test]
async fn concurrent_callers_share_one_call() {
    let (users, calls): (Users, _) = (Cache::options(10).build(), AtomicU32::new(0));
    let fetch = async || {
        tokio::task::yield_now().await;
        Ok(calls.fetch_add(1, Ordering::Relaxed))
    };
    let answers = futures_util::future::join_all((0..100).map(|_| users.call("ada".into(), fetch))).await;
    assert!(answers.into_iter().all(|answer| answer == Ok(0)));
    assert_eq!(users.call("ada".into(), fetch).await, Ok(0));
}

#[tokio::test]
async fn cache_respects_capacity_and_forgets_on_request() {
    let users: Users = Cache::options(100).build();
    for n in 0..10_000 {
        users.insert(n.to_string(), n);
    }
    assert!(users.len() <= 100, "{}", users.len());
    users.insert("ada".into(), 1);
    assert_eq!(users.get("ada"), Some(1));
    users.remove(&"ada".into());
    assert_eq!(users.get("ada"), None);
    users.clear();
    assert!(users.is_empty());
}

#[tokio::test]
async fn pending_answer_does_not_overwrite_later_change() {
    let users: Users = Cache::options(10).build();
    for outdate in [
        (|users: &Users| users.insert("ada".into(), 1)) as fn(&Users),
        |users| users.remove(&"ada".into()),
        |users| users.clear(),
    ] {
        users.clear();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let old = begun(users.call("ada".into(), async || {
            ended.await.unwrap();
            Ok(0)
        }))
        .await;
        outdate(&users);
        let kept = users.get("ada");
        end.send(()).unwrap();
        assert_eq!(old.await, Ok(0), "who asked before gets what was so then");
        assert_eq!(users.get("ada"), kept);
        assert_eq!(users.call("ada".into(), async || Ok(2)).await, Ok(kept.unwrap_or(2)));
    }
}

#[tokio::test]
async fn operation_that_asks_for_its_own_key_is_refused() {
    let users: Users = Cache::options(10).build();
    let ask =
        async || users.call("ada".into(), ok).await.map_err(|error| error.or(|OwnKey| ApiError("own key")));
    let refused = users.call("ada".into(), ask).now_or_never();
    assert_eq!(refused, Some(Err(CallError::Failed(ApiError("own key")))));
    let kept = users.call("ada".into(), async || {
        users.insert("ada".into(), 3);
        ask().await
    });
    assert_eq!(kept.now_or_never(), Some(Ok(3)), "what is kept is there for everyone");
    users.clear();
    let outdated = users.call("ada".into(), async || {
        users.remove(&"ada".into());
        ask().await
    });
    assert_eq!(outdated.now_or_never(), Some(Ok(7)), "nothing waits for what was outdated");
}

#[tokio::test]
async fn durable_step_takes_a_cached_call() {
    let users: Cache<u32, u32, String> = Cache::options(10).build();
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        let inside = || {
            let users = &users;
            users.call(1, async || users.call(1, async || Ok(7)).await.map_err(|error| error.to_string()))
        };
        match run.borrowing().step("before", inside).await {
            Err(Error::Failed(CallError::Failed(error))) => assert_eq!(error, OwnKey.to_string()),
            other => panic!("{other:?}"),
        }
        let users = users.clone();
        Ok(run.step("user", async move || users.call(1, async || Ok(7)).await).await.unwrap())
    };
    assert_eq!(Workflow::new("users").run("one", body).await, Ok(7));
}
