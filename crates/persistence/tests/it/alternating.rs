//! Two handles on one place, as in two processes: whoever opens a run next is the other one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use awaitly_core::journal::{Key, Outcome, Record, Settling};
use awaitly_core::store::{
    Answer, Answered, Cancelled, DeleteIf, Due, DueQuery, Durability, Ending, Imported, Lease, Open, Opened,
    Operate, Page, Renewed, Rewrite, RunId, RunQuery, RunSummary, Store, StoreError, StoredRun, Wait,
    WaitQuery, Waiting, Wakes,
};

use crate::given::run_id;
use crate::place::Place;

pub(crate) struct Alternating<P: Place> {
    stores: [P::Store; 2],
    turn: AtomicUsize,
    /// Which store gave a lease: a lease is used where it was given.
    givers: Mutex<HashMap<(RunId, u64), usize>>,
    _place: P,
}

impl<P: Place> Alternating<P> {
    pub(crate) async fn new() -> Self {
        let place = P::empty();
        let stores = [place.open().await, place.open().await];
        Self { stores, turn: AtomicUsize::new(0), givers: Mutex::default(), _place: place }
    }

    fn giver(&self, lease: &Lease) -> &P::Store {
        let givers = self.givers.lock().unwrap();
        &self.stores[givers.get(&(lease.run().clone(), lease.token())).copied().unwrap_or(0)]
    }

    /// The other store. A release is not waited for: each must have carried it out before the other can see it.
    async fn next(&self) -> usize {
        for store in &self.stores {
            let nobodys = Lease::new(run_id("nobody"), 1, i64::MAX);
            store.renew(&nobodys, Duration::ZERO).await.unwrap_err();
            assert_eq!(store.load(nobodys.run()).await, Ok(None));
        }
        self.turn.fetch_add(1, Ordering::Relaxed) % 2
    }
}

impl<P: Place> Store for Alternating<P> {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        let turn = self.next().await;
        let opened = self.stores[turn].open(request).await?;
        if let Opened::Held { lease, .. } = &opened {
            self.givers.lock().unwrap().insert((lease.run().clone(), lease.token()), turn);
        }
        Ok(opened)
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.giver(lease).append(lease, record, durability).await
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.giver(lease).replace(lease, record, durability).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        self.giver(lease).wait(lease, wait).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        self.giver(lease).settle(lease, record, settling).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        self.giver(lease).revive(lease, drop).await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        self.giver(lease).rewrite(lease, rewrite).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        self.giver(lease).finish(lease, ending).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        self.giver(lease).renew(lease, ttl).await
    }

    fn release(&self, lease: &Lease) {
        self.giver(lease).release(lease);
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.stores[self.next().await].load(run).await
    }

    fn durability(&self) -> &'static str {
        self.stores[0].durability()
    }
}

impl<P: Place> Operate for Alternating<P> {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        self.stores[self.next().await].list(query).await
    }

    async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        self.stores[self.next().await].waiting(query).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        self.stores[self.next().await].due(query).await
    }

    // Not every store tells what another one on the same place did, so these are done where one listens.

    async fn answer(&self, answer: Answer) -> Result<Answered, StoreError> {
        self.stores[0].answer(answer).await
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.stores[0].cancel(run).await
    }

    async fn cancel_without_undo(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.stores[0].cancel_without_undo(run).await
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        self.stores[self.next().await].delete(runs, condition).await
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<Imported, StoreError> {
        self.stores[self.next().await].import(run, stored).await
    }

    fn wakes(&self) -> Wakes {
        self.stores[0].wakes()
    }
}
