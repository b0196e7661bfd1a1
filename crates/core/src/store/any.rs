use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Durability, Ending, Lease, Open, Opened, Renewed, Rewrite, RunId, Store, StoreError, StoredRun, Wait,
};
use crate::journal::{Key, Outcome, Record, Settling};

/// Any store, chosen when the program runs. Cheap to clone; clones are the same store.
///
/// ```
/// # fn choose(file: Option<impl awaitly_core::store::Store>, memory: impl awaitly_core::store::Store) {
/// use awaitly_core::store::AnyStore;
///
/// let store = match file {
///     Some(file) => AnyStore::new(file),
///     None => AnyStore::new(memory),
/// };
/// # }
/// ```
#[derive(Clone)]
pub struct AnyStore(Arc<dyn Twin>);

/// The answer of a store, on its way.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// [`Store`] with its futures in boxes, so that it can stand behind a pointer.
trait Twin: Send + Sync {
    fn open(self: Arc<Self>, request: Open) -> Answer<Opened>;
    fn append(self: Arc<Self>, lease: Lease, record: Record, durability: Durability) -> Answer<()>;
    fn replace(self: Arc<Self>, lease: Lease, record: Record, durability: Durability) -> Answer<()>;
    fn wait(self: Arc<Self>, lease: Lease, wait: Wait) -> Answer<()>;
    fn settle(self: Arc<Self>, lease: Lease, record: Record, settling: Settling) -> Answer<Option<Outcome>>;
    fn revive(self: Arc<Self>, lease: Lease, drop: Vec<Key>) -> Answer<()>;
    fn rewrite(self: Arc<Self>, lease: Lease, rewrite: Rewrite) -> Answer<()>;
    fn finish(self: Arc<Self>, lease: Lease, ending: Ending) -> Answer<()>;
    fn renew(self: Arc<Self>, lease: Lease, ttl: Duration) -> Answer<Renewed>;
    fn release(&self, lease: &Lease);
    fn load(self: Arc<Self>, run: RunId) -> Answer<Option<StoredRun>>;
    fn durability(&self) -> &'static str;
}

impl<S: Store> Twin for S {
    fn open(self: Arc<Self>, request: Open) -> Answer<Opened> {
        Box::pin(async move { Store::open(&*self, request).await })
    }

    fn append(self: Arc<Self>, lease: Lease, record: Record, durability: Durability) -> Answer<()> {
        Box::pin(async move { Store::append(&*self, &lease, record, durability).await })
    }

    fn replace(self: Arc<Self>, lease: Lease, record: Record, durability: Durability) -> Answer<()> {
        Box::pin(async move { Store::replace(&*self, &lease, record, durability).await })
    }

    fn wait(self: Arc<Self>, lease: Lease, wait: Wait) -> Answer<()> {
        Box::pin(async move { Store::wait(&*self, &lease, wait).await })
    }

    fn settle(self: Arc<Self>, lease: Lease, record: Record, settling: Settling) -> Answer<Option<Outcome>> {
        Box::pin(async move { Store::settle(&*self, &lease, record, settling).await })
    }

    fn revive(self: Arc<Self>, lease: Lease, drop: Vec<Key>) -> Answer<()> {
        Box::pin(async move { Store::revive(&*self, &lease, drop).await })
    }

    fn rewrite(self: Arc<Self>, lease: Lease, rewrite: Rewrite) -> Answer<()> {
        Box::pin(async move { Store::rewrite(&*self, &lease, rewrite).await })
    }

    fn finish(self: Arc<Self>, lease: Lease, ending: Ending) -> Answer<()> {
        Box::pin(async move { Store::finish(&*self, &lease, ending).await })
    }

    fn renew(self: Arc<Self>, lease: Lease, ttl: Duration) -> Answer<Renewed> {
        Box::pin(async move { Store::renew(&*self, &lease, ttl).await })
    }

    fn release(&self, lease: &Lease) {
        Store::release(self, lease);
    }

    fn load(self: Arc<Self>, run: RunId) -> Answer<Option<StoredRun>> {
        Box::pin(async move { Store::load(&*self, &run).await })
    }

    fn durability(&self) -> &'static str {
        Store::durability(self)
    }
}

impl AnyStore {
    /// A handle on `store`.
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }

    /// [`Store::open`]
    pub(crate) fn open(&self, request: Open) -> Answer<Opened> {
        Arc::clone(&self.0).open(request)
    }

    /// [`Store::append`]
    pub(crate) fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Answer<()> {
        Arc::clone(&self.0).append(lease.clone(), record, durability)
    }

    /// [`Store::replace`]
    pub(crate) fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Answer<()> {
        Arc::clone(&self.0).replace(lease.clone(), record, durability)
    }

    /// [`Store::wait`]
    pub(crate) fn wait(&self, lease: &Lease, wait: Wait) -> Answer<()> {
        Arc::clone(&self.0).wait(lease.clone(), wait)
    }

    /// [`Store::settle`]
    pub(crate) fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Answer<Option<Outcome>> {
        Arc::clone(&self.0).settle(lease.clone(), record, settling)
    }

    /// [`Store::revive`]
    pub(crate) fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Answer<()> {
        Arc::clone(&self.0).revive(lease.clone(), drop)
    }

    /// [`Store::rewrite`]
    pub(crate) fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Answer<()> {
        Arc::clone(&self.0).rewrite(lease.clone(), rewrite)
    }

    /// [`Store::finish`]
    pub(crate) fn finish(&self, lease: &Lease, ending: Ending) -> Answer<()> {
        Arc::clone(&self.0).finish(lease.clone(), ending)
    }

    /// [`Store::renew`]
    pub(crate) fn renew(&self, lease: &Lease, ttl: Duration) -> Answer<Renewed> {
        Arc::clone(&self.0).renew(lease.clone(), ttl)
    }

    /// [`Store::release`]
    pub(crate) fn release(&self, lease: &Lease) {
        self.0.release(lease);
    }

    /// [`Store::load`]
    ///
    /// # Errors
    /// What the store meets.
    pub async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        Arc::clone(&self.0).load(run.clone()).await
    }

    /// [`Store::durability`]
    #[must_use]
    pub fn durability(&self) -> &'static str {
        self.0.durability()
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyStore").field(&self.durability()).finish()
    }
}
