use std::sync::Arc;

use awaitly_core::journal::Refused;
use awaitly_core::journal::{Header, Key, Outcome, Status};
use awaitly_core::store::{
    Cancelled, Dispatch, Lease, Open, Opened, Owner, Publish, Purpose, RunId, StoreError, Submit, Submitted,
};
use futures_util::future::BoxFuture;

/// The store of a worker, without its type, for the steps of the worker's runs.
pub(crate) struct Office(Box<dyn Calls>);

/// The calls of the steps.
trait Calls: Send + Sync {
    fn submit(&self, submit: Submit) -> BoxFuture<'static, Result<Result<Submitted, Refused>, StoreError>>;
    fn header(&self, run: RunId) -> BoxFuture<'static, Result<Option<Header>, StoreError>>;
    fn retry(&self, run: RunId) -> BoxFuture<'static, Result<bool, StoreError>>;
    fn cancel(&self, run: RunId) -> BoxFuture<'static, Result<Cancelled, StoreError>>;
    fn receive(
        &self,
        lease: Lease,
        mailbox: Arc<str>,
        key: Key,
    ) -> BoxFuture<'static, Result<Option<Outcome>, StoreError>>;
    fn publish(&self, lease: Lease, published: Vec<Publish>) -> BoxFuture<'static, Result<(), StoreError>>;
}

pub(crate) fn office(store: impl Dispatch + Clone) -> Office {
    Office(Box::new(Of(store)))
}

impl Office {
    pub(super) async fn submit(&self, submit: Submit) -> Result<Result<Submitted, Refused>, StoreError> {
        self.0.submit(submit).await
    }

    pub(super) async fn header(&self, run: RunId) -> Result<Option<Header>, StoreError> {
        self.0.header(run).await
    }

    pub(super) async fn retry(&self, run: RunId) -> Result<bool, StoreError> {
        self.0.retry(run).await
    }

    pub(super) async fn cancel(&self, run: RunId) -> Result<Cancelled, StoreError> {
        self.0.cancel(run).await
    }

    pub(super) async fn receive(
        &self,
        lease: Lease,
        mailbox: Arc<str>,
        key: Key,
    ) -> Result<Option<Outcome>, StoreError> {
        self.0.receive(lease, mailbox, key).await
    }

    pub(super) async fn publish(&self, lease: Lease, published: Vec<Publish>) -> Result<(), StoreError> {
        self.0.publish(lease, published).await
    }
}

struct Of<S>(S);

impl<S: Dispatch + Clone> Calls for Of<S> {
    fn submit(&self, submit: Submit) -> BoxFuture<'static, Result<Result<Submitted, Refused>, StoreError>> {
        let store = self.0.clone();
        Box::pin(async move {
            let missing = || StoreError::Corrupt { detail: "a submission without a result".into() };
            store.submit(vec![submit]).await?.pop().ok_or_else(missing)
        })
    }

    fn header(&self, run: RunId) -> BoxFuture<'static, Result<Option<Header>, StoreError>> {
        let store = self.0.clone();
        Box::pin(async move { Ok(store.headers(vec![run]).await?.pop().flatten()) })
    }

    fn retry(&self, run: RunId) -> BoxFuture<'static, Result<bool, StoreError>> {
        let store = self.0.clone();
        Box::pin(async move { retry(&store, run).await })
    }

    fn cancel(&self, run: RunId) -> BoxFuture<'static, Result<Cancelled, StoreError>> {
        let store = self.0.clone();
        Box::pin(async move { store.cancel(&run).await })
    }

    fn receive(
        &self,
        lease: Lease,
        mailbox: Arc<str>,
        key: Key,
    ) -> BoxFuture<'static, Result<Option<Outcome>, StoreError>> {
        let store = self.0.clone();
        Box::pin(async move { store.receive(&lease, mailbox, key).await })
    }

    fn publish(&self, lease: Lease, published: Vec<Publish>) -> BoxFuture<'static, Result<(), StoreError>> {
        let store = self.0.clone();
        Box::pin(async move { store.publish(&lease, published).await })
    }
}

/// Sets a failed, cancelled or waiting run back to running, so that a worker resumes it from the step that it failed on or
/// waits at. Returns `false` if the run is in another state, does not exist, or is held.
pub(crate) async fn retry<S: Dispatch>(store: &S, run: RunId) -> Result<bool, StoreError> {
    let Some(header) = store.headers(vec![run.clone()]).await?.pop().flatten() else { return Ok(false) };
    if !matches!(header.status, Status::Failed | Status::Cancelled | Status::Waiting) {
        return Ok(false);
    }
    let request = Open::new(run, header.workflow, Owner::unique()).version(header.version);
    match store.open(request.purpose(Purpose::Retry).existing()).await? {
        Opened::Held { lease, run, .. } => {
            let revived = store.revive(&lease, run.header.failed_on).await;
            store.release(&lease);
            revived.map(|()| true)
        }
        Opened::Ended(_) | Opened::Refused(_) => Ok(false),
    }
}
