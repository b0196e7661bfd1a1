use awaitly_core::journal::{Payload, Settling, Status};
use awaitly_core::store::{
    Answer, DeleteIf, DueQuery, Ending, Operate, RunQuery, StoreError, Wait, WaitQuery,
};
use futures_util::future::{join_all, join3};

use super::leases::MINUTE;
use super::{Case, SYNC, ok, rewrite, value};

/// A closed store refuses every call on every handle with [`StoreError::Closed`], and its wakes end.
pub(super) async fn closed_store_takes_no_calls<S: Operate + Clone>(
    store: S,
    close: impl AsyncFn(S) -> Result<(), StoreError>,
) {
    let case = Case::new(&store, "closed");
    let lease = case.begin().await;
    let stored = case.stored().await;
    let mut wakes = store.wakes();
    ok("close", close(store.clone()).await);

    let (run, closed) = (case.run.clone(), StoreError::Closed);
    let refused = |call: &str, error: Option<StoreError>| {
        assert_eq!(error.as_ref(), Some(&closed), "of `{call}` on a closed store");
    };
    let record = || value("charge", "a");
    let question =
        Wait { key: "ask".into(), token: "t".into(), request: Payload::from_stored("1"), expires_in: None };
    refused("open", store.open(case.request()).await.err());
    refused("append", store.append(&lease, record(), SYNC).await.err());
    refused("replace", store.replace(&lease, record(), SYNC).await.err());
    refused("wait", store.wait(&lease, question).await.err());
    refused("settle", store.settle(&lease, record(), Settling::Expire).await.err());
    refused("revive", store.revive(&lease, vec![]).await.err());
    refused("rewrite", store.rewrite(&lease, rewrite(2, vec![record()])).await.err());
    refused("finish", store.finish(&lease, Ending::new(Status::Waiting)).await.err());
    refused("renew", store.renew(&lease, MINUTE).await.err());
    refused("load", store.load(&run).await.err());
    refused("list", store.list(RunQuery::new()).await.err());
    refused("waiting", store.waiting(WaitQuery::new()).await.err());
    refused("due", store.due(DueQuery::new()).await.err());
    let answer = Answer::new(run.clone(), "ask", record().outcome);
    refused("answer", store.answer(answer).await.err());
    refused("cancel", store.cancel(&run).await.err());
    refused("cancel_without_undo", store.cancel_without_undo(&run).await.err());
    refused("delete", store.delete(vec![run.clone()], DeleteIf::Free).await.err());
    refused("import", store.import(run, stored).await.err());
    store.release(&lease);
    assert!(!wakes.changed().await, "nothing changes any more for a listener of before");
    assert!(!store.wakes().changed().await, "nothing changes any more for a new listener");
}

/// Calls that the store accepted before it was closed are carried out and answered.
pub(super) async fn closing_answers_the_calls_before_it<S: Operate + Clone>(
    store: S,
    close: impl AsyncFn(S) -> Result<(), StoreError>,
) {
    let case = Case::new(&store, "accepted");
    let lease = case.begin().await;
    let appends =
        (0..20).map(async |number: u32| store.append(&lease, value(number.to_string(), "a"), SYNC).await);
    // Each call is polled before the store is closed.
    let done = join3(join_all(appends), store.load(&case.run), close(store.clone())).await;
    let (appended, loaded, closed) = done;
    ok("close", closed);
    appended.into_iter().for_each(|answer| ok("append", answer));
    assert!(ok("load", loaded).is_some());
}

/// All handles may be closed, one after another or concurrently. Each caller waits for the end.
pub(super) async fn every_handle_can_be_closed<S: Operate + Clone>(
    store: S,
    close: impl AsyncFn(S) -> Result<(), StoreError>,
) {
    let case = Case::new(&store, "handles");
    let lease = case.begin().await;
    case.append(&lease, value("charge", "a")).await;
    for closed in join_all((0..4).map(|_| close(store.clone()))).await {
        ok("close", closed);
    }
    ok("close", close(store.clone()).await);
    assert_eq!(store.load(&case.run).await, Err(StoreError::Closed));
}
