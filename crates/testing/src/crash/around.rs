//! The calls of a crash test's store: boundaries around writes, and only the runs of the case in lists.

use std::future::pending;
use std::mem::take;

use awaitly_core::journal::Key;
use awaitly_core::store::around::{Call, Parts, Reply, Request};
use awaitly_core::store::{Around, Durability, Lease, OnRecorded, RunId, Store, StoreError};

use super::boundary::{Act, Side};
use super::process::Unflushed;
use super::store::{CrashStore, Writing};

impl<S: Store> Around for CrashStore<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.process.store
    }

    async fn around<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        self.enter(request.parts())?;
        match (Act::of(R::CALL), R::CALL) {
            (Some(Act::Renewal), _) => self.renew(request).await,
            (Some(act), _) => self.pass(act, request).await,
            (None, Call::List | Call::Waiting | Call::Due) if self.is_shared() => self.list(request).await,
            (None, _) => self.look(request).await,
        }
    }

    fn release_around(&self, lease: &Lease) {
        if self.watcher().life.is_dead() {
            return;
        }
        let mut held = self.process.held();
        if held.unflushed.iter().any(|write| write.run() == lease.run()) {
            held.unflushed.push(Unflushed::Release(lease.clone()));
        } else {
            self.process.store.release(lease);
        }
    }
}

impl Act {
    /// Returns the act of a call, or `None` if the call has no boundaries.
    const fn of(call: Call) -> Option<Self> {
        Some(match call {
            Call::Open => Self::Open,
            Call::Append | Call::Replace => Self::Record,
            Call::Wait => Self::Question,
            Call::Settle => Self::Settling,
            Call::Revive => Self::Revival,
            Call::Rewrite => Self::Migration,
            Call::Finish => Self::End,
            Call::Renew => Self::Renewal,
            Call::Answer => Self::Answer,
            Call::Cancel | Call::CancelWithoutUndo => Self::Cancellation,
            Call::Commit => Self::Commit,
            _ => return None,
        })
    }
}

impl<S: Store> CrashStore<S> {
    /// Replaces the run ids in a call with those in the shared store. Leases have such run ids already.
    fn enter(&self, parts: Parts<'_>) -> Result<(), StoreError> {
        let runs: Vec<&mut RunId> = match parts {
            Parts::Open { request } => vec![&mut request.run],
            Parts::Load { run }
            | Parts::Cancel { run }
            | Parts::CancelWithoutUndo { run }
            | Parts::Import { run, .. } => vec![run],
            Parts::Waiting { query } => query.run.iter_mut().collect(),
            Parts::Answer { answer } => vec![&mut answer.run],
            Parts::Delete { runs, .. } => runs.iter_mut().collect(),
            _ => Vec::new(),
        };
        for run in runs {
            *run = self.outer_run(run)?;
        }
        Ok(())
    }

    /// Calls the store, with a boundary before and after.
    async fn pass<R: Request<S>>(&self, act: Act, mut request: R) -> Result<R::Answer, StoreError> {
        let parts = request.parts();
        let (Some(run), key) = (parts.run().cloned(), parts.key().cloned()) else {
            return self.look(request).await;
        };
        let _writing = act.is_of_body().then(|| Writing::begin(self, &run));
        self.note_late(&run, &parts);
        self.cross(Side::Before, &act, key.as_ref(), &run).await?;
        let answer = match self.put_off(&mut request) {
            Some(answer) => answer,
            None => {
                self.flush(&run).await?;
                self.process.still(self.send(&run, key.clone(), request)).await?
            }
        };
        self.cross(Side::After, &act, key.as_ref(), &run).await?;
        Ok(answer)
    }

    /// Notes a record that reaches the store late, because the process dies at the next boundary.
    fn note_late(&self, run: &RunId, parts: &Parts<'_>) {
        if let Parts::Append { lease, record, .. } | Parts::Replace { lease, record, .. } = parts
            && self.watcher().life.dies_next()
        {
            self.watcher().notes.late(&self.noted(run), (*lease).clone(), (*record).clone());
        }
    }

    /// Acknowledges a batched record. The next durable write makes it durable.
    fn put_off<R: Request<S>>(&self, request: &mut R) -> Option<R::Answer> {
        let (lease, record, on_recorded) = match request.parts() {
            Parts::Append { lease, record, durability: Durability::Batched } => {
                (lease.clone(), record.clone(), OnRecorded::Refuse)
            }
            Parts::Replace { lease, record, durability: Durability::Batched } => {
                (lease.clone(), record.clone(), OnRecorded::Replace)
            }
            _ => return None,
        };
        self.process.held().unflushed.push(Unflushed::Record(lease, record, on_recorded));
        request.acknowledge()
    }

    /// Calls the store and notes the change.
    async fn send<R: Request<S>>(
        &self,
        run: &RunId,
        key: Option<Key>,
        mut request: R,
    ) -> Result<R::Answer, StoreError> {
        let (noted, notes) = (self.noted(run), &self.watcher().notes);
        let mut keys = Vec::new();
        match request.parts() {
            Parts::Revive { drop, .. } => notes.revived(&noted, drop),
            Parts::Rewrite { rewrite, .. } => {
                keys.extend(rewrite.contents.records.iter().map(|record| record.key.clone()));
                notes.rewritten(&noted, []);
            }
            _ => {}
        }
        let mut answer = request.send(self.inner()).await?;
        match (R::reply(&mut answer), key) {
            (Reply::Open(opened), _) => self.check(run, opened).await,
            (Reply::Rewrite(()), _) => notes.rewritten(&noted, keys),
            (Reply::Wait(()), Some(key)) => notes.questioned(&noted, key),
            (
                Reply::Append(())
                | Reply::Replace(())
                | Reply::Commit(())
                | Reply::Settle(Some(_))
                | Reply::Answer(Ok(())),
                Some(key),
            ) => notes.acknowledged(&noted, key),
            _ => {}
        }
        Ok(answer)
    }

    async fn renew<R: Request<S>>(&self, request: R) -> Result<R::Answer, StoreError> {
        let life = &self.watcher().life;
        if life.has_only_renewed() {
            return self.look(request).await;
        }
        let renewed = self.pass(Act::Renewal, request).await;
        life.renewed();
        renewed
    }

    /// Calls the store without a boundary.
    async fn look<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        let notes = &self.watcher().notes;
        if self.watcher().life.is_dead() {
            return pending().await;
        }
        match request.parts() {
            Parts::Load { run } => self.flush(run).await?,
            Parts::Import { run, .. } => drop(notes.opened(&self.noted(run))),
            _ => {}
        }
        let mut answer = self.process.still(request.send(self.inner())).await?;
        if let Reply::Delete(deleted) = R::reply(&mut answer) {
            deleted.iter().for_each(|run| notes.rewritten(&self.noted(run), []));
            *deleted = deleted.iter().filter_map(|run| self.inner_run(run)).collect();
        }
        Ok(answer)
    }

    /// Returns whether the store also holds runs of other cases.
    fn is_shared(&self) -> bool {
        self.watcher().scope.is_some()
    }

    /// Calls the store, and removes the runs of other cases from the list. A page may then hold fewer items than its
    /// limit, which does not end a list.
    async fn list<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        let mut limit = usize::MAX;
        if let Parts::Due { query } = request.parts() {
            // The due runs of other cases must not displace those of this case.
            limit = query.page_limit();
            *query = query.clone().limit(usize::MAX);
        }
        let mut answer = self.look(request).await?;
        match R::reply(&mut answer) {
            Reply::List(page) => page.items = self.ours(take(&mut page.items), |summary| &mut summary.run),
            Reply::Waiting(page) => page.items = self.ours(take(&mut page.items), |waiting| &mut waiting.run),
            Reply::Due(due) => {
                *due = self.ours(take(due), |due| &mut due.run);
                due.truncate(limit);
            }
            _ => {}
        }
        Ok(answer)
    }

    /// Returns the items of this case, with their run ids in the case.
    fn ours<T>(&self, items: Vec<T>, run: impl Fn(&mut T) -> &mut RunId) -> Vec<T> {
        let ours = items.into_iter().filter_map(|mut item| {
            *run(&mut item) = self.inner_run(run(&mut item))?;
            Some(item)
        });
        ours.collect()
    }
}
