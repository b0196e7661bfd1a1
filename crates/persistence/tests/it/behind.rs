//! Stores behind a proxy.

use std::time::Duration;

use awaitly_core::journal::Status;
use awaitly_core::store::{Ending, Operate, Store, StoreError};
use futures_util::future::join_all;

use crate::clock::fast;
use crate::given::{append, begin, keys, load, request, run_id, value};
use crate::place::Place;
use crate::proxy::{Proxy, Way};

/// A place on a server.
pub(crate) trait Served: Place {
    /// The host and port of the server.
    fn address() -> String;

    /// Opens a store that reaches the server through `proxy`.
    async fn open_through(&self, proxy: &Proxy, patience: Duration) -> Self::Store;

    async fn close(store: Self::Store) -> Result<(), StoreError>;

    /// Does something that names `text`, whose answer is lost at first.
    async fn losing_the_answer<T>(proxy: &Proxy, text: &'static str, doing: impl Future<Output = T>) -> T;
}

/// Declares the tests below for a place.
macro_rules! tests_behind_a_proxy {
    ($place:ty) => {
        $crate::behind::tests_behind_a_proxy! { $place:
            closed_store_holds_no_connection
            append_with_lost_answer_is_acknowledged_once
            appends_sharing_a_lost_answer_are_acknowledged_once
            finish_with_lost_answer_is_acknowledged_only_once
            calls_wait_while_the_server_is_away
            store_works_again_after_server_was_unavailable
        }
    };
    ($place:ty: $($test:ident)*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::behind::$test::<$place>().await;
        })*
    };
}

pub(crate) use tests_behind_a_proxy;

/// A store behind a proxy, beside one that is not. The place goes last.
pub(crate) struct Behind<P: Served> {
    pub(crate) proxy: Proxy,
    pub(crate) far: P::Store,
    pub(crate) near: P::Store,
    pub(crate) place: P,
}

impl<P: Served> Behind<P> {
    pub(crate) async fn new(patience: Duration) -> Self {
        let (proxy, place) = (Proxy::start(P::address()).await, P::empty());
        let near = place.open().await;
        Self { far: place.open_through(&proxy, patience).await, proxy, near, place }
    }
}

/// Far longer than a test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A closed store has no connection to its server any more, and its leases that were given back are free.
pub(crate) async fn closed_store_holds_no_connection<P: Served>() {
    let Behind { proxy, far, near, place: _place } = Behind::<P>::new(PATIENCE).await;
    let mut wakes = far.wakes();
    assert!(wakes.changed().await, "the store listens");
    let (given_back, ended) = (begin(&far, "given back").await, begin(&far, "ended").await);
    append(&far, &ended, value("charge", "1")).await.unwrap();
    far.finish(&ended, Ending::new(Status::Waiting)).await.unwrap();
    far.release(&given_back);
    load(&far, "ended").await;
    assert!(proxy.open() > 2, "{}", proxy.open());
    let other = far.clone();
    let given_back = begin(&far, "given back").await;
    far.release(&given_back);
    P::close(far).await.unwrap();
    begin(&near, "given back").await;
    proxy.all_closed().await;
    drop(other);
}

pub(crate) async fn append_with_lost_answer_is_acknowledged_once<P: Served>() {
    let Behind { proxy, far, near, place: _place } = Behind::<P>::new(PATIENCE).await;
    let lease = begin(&far, "order-42").await;
    // The statement is prepared from now on, so the answer that is lost is that of its execution.
    append(&far, &lease, value("warm", "1")).await.unwrap();
    P::losing_the_answer(&proxy, "charge", append(&far, &lease, value("charge", "1"))).await.unwrap();
    assert_eq!(keys(&near, "order-42").await, ["warm", "charge"]);
    let again = append(&far, &lease, value("charge", "1")).await;
    let refused = StoreError::AlreadyRecorded { run: "order-42".into(), key: "charge".into() };
    assert_eq!(again, Err(refused), "another append is another, though it says the same");
}

pub(crate) async fn appends_sharing_a_lost_answer_are_acknowledged_once<P: Served>() {
    let Behind { proxy, far, near, place: _place } = Behind::<P>::new(PATIENCE).await;
    let runs: Vec<_> = (0..32).map(|number| format!("order-{number}")).collect();
    let leases = join_all(runs.iter().map(|run| begin(&far, run))).await;
    let append_to_all =
        async |key| join_all(leases.iter().map(|lease| append(&far, lease, value(key, "1")))).await;
    for key in ["a", "b"] {
        append_to_all(key).await;
    }
    let fates = P::losing_the_answer(&proxy, "charge", append_to_all("charge")).await;
    assert!(fates.iter().all(Result::is_ok), "{fates:?}");
    for run in &runs {
        assert_eq!(keys(&near, run).await, ["a", "b", "charge"]);
    }
}

pub(crate) async fn finish_with_lost_answer_is_acknowledged_only_once<P: Served>() {
    let Behind { proxy, far, near, place: _place } = Behind::<P>::new(PATIENCE).await;
    let warm = begin(&far, "order-41").await;
    far.finish(&warm, Ending::new(Status::Completed)).await.unwrap();
    let lease = begin(&far, "order-42").await;
    let ending = Ending { error: Some("so that it is seen".into()), ..Ending::new(Status::Failed) };
    let finish = far.finish(&lease, ending.clone());
    P::losing_the_answer(&proxy, "so that it is seen", finish).await.unwrap();
    assert_eq!(load(&near, "order-42").await.header.status, Status::Failed);
    assert_eq!(far.finish(&lease, ending).await, Err(StoreError::LeaseLost { run: "order-42".into() }));
}

pub(crate) async fn calls_wait_while_the_server_is_away<P: Served>() {
    let Behind { proxy, far, near, place: _place } = Behind::<P>::new(PATIENCE).await;
    let lease = begin(&far, "order-42").await;
    let before = proxy.calls();
    proxy.set(Way::Closed);
    let run = run_id("order-42");
    let (appended, loaded, ()) =
        tokio::join!(append(&far, &lease, value("charge", "1")), far.load(&run), async {
            // Long enough that both have met the closed door.
            proxy.called(before + 4).await;
            proxy.reopen().await;
        });
    assert_eq!(appended, Ok(()));
    assert!(loaded.unwrap().is_some());
    assert_eq!(keys(&near, "order-42").await, ["charge"]);
}

pub(crate) async fn store_works_again_after_server_was_unavailable<P: Served>() {
    let behind = Behind::<P>::new(Duration::from_millis(200)).await;
    let Behind { proxy, far, near, .. } = &behind;
    let lease = begin(far, "order-42").await;
    proxy.set(Way::Closed);
    for fate in [
        fast(append(far, &lease, value("charge", "1"))).await,
        fast(far.finish(&lease, Ending::new(Status::Completed))).await,
        fast(far.revive(&lease, vec![])).await,
        fast(far.renew(&lease, PATIENCE)).await.map(drop),
        fast(far.load(&run_id("order-42"))).await.map(drop),
        fast(far.open(request("order-43"))).await.map(drop),
    ] {
        assert!(matches!(fate, Err(StoreError::Unavailable { .. })), "{fate:?}");
    }
    proxy.set(Way::Open);
    append(far, &lease, value("ship", "1")).await.unwrap();
    assert_eq!(keys(near, "order-42").await, ["ship"]);
}
