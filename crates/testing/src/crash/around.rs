//! The calls of a crash test's store: boundaries around writes, and only the runs of the case in lists.

use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;

use awaitly_core::journal::Key;
use awaitly_core::store::around::{Call, Parts, Reply, Request};
use awaitly_core::store::{Around, Durability, Lease, OnRecorded, Opened, RunId, Store, StoreError, Submit};

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::notes::Origin;
use super::process::Unflushed;
use super::store::{CrashStore, Writing};
use super::watcher::Watcher;

impl<S: Store> Around for CrashStore<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.process.store
    }

    async fn around<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        let Watcher { scope, .. } = self.watcher();
        self.watcher().shuffle(self.process.calls.fetch_add(1, Ordering::Relaxed)).await;
        scope.enter(request.parts())?;
        let limit = self.widen(request.parts());
        let mut answer = match (act_of(request.parts()), R::CALL) {
            (Some(Act::Renewal), _) => self.renew(request).await?,
            (Some(Act::Claim), _) => self.claim(request).await?,
            (Some(act), _) => self.pass(act, request).await?,
            (None, _) => self.look(request).await?,
        };
        scope.leave(R::reply(&mut answer));
        if let Reply::Due(due) = R::reply(&mut answer) {
            due.truncate(limit);
        }
        Ok(answer)
    }

    fn release_around(&self, lease: &Lease) {
        let Watcher { scope, notes, life, .. } = self.watcher();
        let Ok(lease) = scope.outer_lease(lease) else { return };
        if life.is_dead() {
            return;
        }
        let mut held = self.process.held();
        if held.unflushed.iter().any(|write| write.run() == lease.run()) {
            held.unflushed.push(Unflushed::Release(lease));
        } else {
            notes.freed(&self.noted(lease.run()));
            self.process.store.release(&lease);
        }
    }
}

/// Returns the act of a call, or `None` if the call has no boundaries.
fn act_of(parts: Parts<'_>) -> Option<Act> {
    Some(match parts {
        Parts::Open { .. } => Act::Open,
        Parts::Append { .. } | Parts::Replace { .. } => Act::Record,
        Parts::Wait { .. } => Act::Question,
        Parts::Settle { .. } => Act::Settling,
        Parts::Revive { .. } => Act::Revival,
        Parts::Rewrite { .. } => Act::Migration,
        Parts::Finish { .. } => Act::End,
        Parts::Restart { .. } => Act::Restart,
        Parts::Renew { .. } => Act::Renewal,
        Parts::Answer { .. } => Act::Answer,
        Parts::Cancel { .. } | Parts::CancelWithoutUndo { .. } => Act::Cancellation,
        Parts::Commit { .. } => Act::Commit,
        Parts::Submit { .. } => Act::Submission,
        Parts::Claim { .. } => Act::Claim,
        Parts::SendMail { .. } => Act::Sending,
        Parts::Receive { .. } => Act::Message,
        Parts::Publish { .. } => Act::Publication,
        Parts::PutSchedules { .. } => Act::Schedules,
        // Each worker declares its queues, even if there are none.
        Parts::Configure { queues, .. } if queues.is_empty() => return None,
        Parts::Configure { .. } | Parts::PauseQueues { .. } => Act::Queues,
        Parts::Pause { .. } => Act::Pausing,
        Parts::Reschedule { .. } => Act::Rescheduling,
        _ => return None,
    })
}

impl<S: Store> CrashStore<S> {
    /// Removes the limit of a query for due runs of a shared store, so that those of other cases do not displace the
    /// ones of this case. Returns the limit.
    fn widen(&self, parts: Parts<'_>) -> usize {
        match parts {
            Parts::Due { query } if self.watcher().scope.prefix().is_some() => {
                let limit = query.page_limit();
                *query = query.clone().limit(usize::MAX);
                limit
            }
            _ => usize::MAX,
        }
    }

    /// Calls the store, with a boundary before and after.
    async fn pass<R: Request<S>>(&self, act: Act, mut request: R) -> Result<R::Answer, StoreError> {
        self.refuse_after_end(&act, request.parts().key()).await;
        let parts = request.parts();
        let (run, key) = (parts.run().cloned(), parts.key().cloned());
        let _writing = run.as_ref().filter(|_| act.is_of_body()).map(|run| Writing::begin(self, run));
        self.note_late(&parts);
        self.cross(Side::Before, &act, key.as_ref(), run.as_ref()).await?;
        let answer = match self.put_off(&mut request) {
            Some(answer) => answer,
            None => {
                if let Some(run) = &run {
                    self.flush(run).await?;
                }
                self.process.still(self.send(run.as_ref(), key.clone(), request)).await?
            }
        };
        self.cross(Side::After, &act, key.as_ref(), run.as_ref()).await?;
        Ok(answer)
    }

    /// Stays pending if the process is over, because a process ends with all its tasks. A task that still writes after
    /// an end without an accident is a finding.
    async fn refuse_after_end(&self, act: &Act, key: Option<&Key>) {
        let Watcher { life, notes, .. } = self.watcher();
        if !life.is_over() {
            return;
        }
        if life.has_ended() && life.accident().is_none() && !matches!(act, Act::Claim | Act::Renewal) {
            let write = Boundary::new(Side::Before, act.clone(), key.cloned()).to_string();
            notes.find(Finding::WriteAfterEnd { write, last_step: notes.last_step() });
        }
        pending().await
    }

    /// Notes a record that reaches the store late, because the process dies at the next boundary.
    fn note_late(&self, parts: &Parts<'_>) {
        if let Parts::Append { lease, record, .. } | Parts::Replace { lease, record, .. } = parts
            && self.watcher().life.dies_next()
        {
            self.watcher().notes.late(&self.noted(lease.run()), (*lease).clone(), (*record).clone());
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
        run: Option<&RunId>,
        key: Option<Key>,
        mut request: R,
    ) -> Result<R::Answer, StoreError> {
        let notes = &self.watcher().notes;
        let batch = submitted(request.parts());
        let Some(run) = run.filter(|_| batch.is_empty()) else {
            let mut answer = request.send(self.inner()).await?;
            if let Reply::Submit(results) = R::reply(&mut answer) {
                self.check_submitted(&batch, results);
            }
            return Ok(answer);
        };
        let noted = self.noted(run);
        let mut keys = Vec::new();
        match request.parts() {
            Parts::Revive { drop, .. } => notes.revived(&noted, drop),
            Parts::Rewrite { rewrite, .. } => {
                keys.extend(rewrite.contents.records.iter().map(|record| record.key.clone()));
                notes.rewritten(&noted, []);
            }
            Parts::Restart { .. } => notes.rewritten(&noted, []),
            _ => {}
        }
        let ttl = ttl_of(request.parts());
        let mut answer = request.send(self.inner()).await?;
        match (R::reply(&mut answer), key) {
            (Reply::Open(opened), _) => {
                if let Opened::Held { lease, .. } = &*opened {
                    self.note_taken(lease, ttl);
                }
                self.check(run, opened).await;
            }
            (Reply::Finish(()) | Reply::CancelWithoutUndo(_), _) => notes.freed(&noted),
            (Reply::Restart(()), _) => notes.restarted(&noted),
            (Reply::Rewrite(()), _) => notes.rewritten(&noted, keys),
            (Reply::Wait(()), Some(key)) => notes.questioned(&noted, key),
            (
                Reply::Append(())
                | Reply::Replace(())
                | Reply::Commit(())
                | Reply::Settle(Some(_))
                | Reply::Receive(Some(_))
                | Reply::Answer(Ok(())),
                Some(key),
            ) => notes.acknowledged(&noted, key),
            _ => {}
        }
        Ok(answer)
    }

    async fn renew<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        let Watcher { life, notes, .. } = self.watcher();
        let ttl = ttl_of(request.parts());
        let lease = request.parts().lease().cloned();
        let renewed = if life.has_idled() {
            self.look(request).await
        } else {
            let renewed = self.pass(Act::Renewal, request).await;
            life.idled();
            renewed
        };
        if let (Ok(_), Some(lease)) = (&renewed, lease) {
            notes.renewed(&self.noted(lease.run()), lease.token(), self.until(ttl));
        }
        renewed
    }

    /// Claims runs. A claim that finds none has no boundary after it, and no second one before it.
    async fn claim<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        let life = &self.watcher().life;
        self.refuse_after_end(&Act::Claim, None).await;
        if !life.has_idled() {
            self.cross(Side::Before, &Act::Claim, None, None).await?;
        }
        let ttl = ttl_of(request.parts());
        let mut answer = self.process.still(request.send(self.inner())).await?;
        if let Reply::Claim(claimed) = R::reply(&mut answer) {
            if self.watcher().scope.prefix().is_some() {
                claimed.schedule = self.process.still(self.process.next_schedule()).await?;
            }
            if claimed.runs.is_empty() {
                life.idled();
                return Ok(answer);
            }
            claimed.runs.iter().for_each(|held| self.note_taken(&held.lease, ttl));
            self.check_claimed(claimed).await;
        }
        self.cross(Side::After, &Act::Claim, None, None).await?;
        Ok(answer)
    }

    /// Calls the store without a boundary.
    async fn look<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        let Watcher { notes, life, .. } = self.watcher();
        if life.is_over() {
            // The task of a client then ends, instead of staying until the end of the runtime.
            if R::CALL == Call::Headers {
                return Err(StoreError::Closed);
            }
            return pending().await;
        }
        match request.parts() {
            Parts::Load { run } => self.flush(run).await?,
            Parts::Import { run, .. } => drop(notes.opened(&self.noted(run))),
            _ => {}
        }
        let mut answer = self.process.still(request.send(self.inner())).await?;
        if let Reply::Delete(deleted) = R::reply(&mut answer) {
            deleted.iter().for_each(|run| {
                notes.rewritten(&self.noted(run), []);
                notes.freed(&self.noted(run));
            });
        }
        Ok(answer)
    }
}

/// Returns the runs that a call submits.
fn submitted(parts: Parts<'_>) -> Vec<(RunId, Origin)> {
    let Parts::Submit { batch } = parts else { return Vec::new() };
    let origin = |submit: &Submit| if submit.parent.is_some() { Origin::Child } else { Origin::Start };
    batch.iter().map(|submit| (submit.run.clone(), origin(submit))).collect()
}

/// Returns the time for which a call takes or renews leases.
fn ttl_of(parts: Parts<'_>) -> Duration {
    match parts {
        Parts::Open { request } => request.ttl,
        Parts::Claim { claim } => claim.ttl,
        Parts::Renew { ttl, .. } => *ttl,
        _ => Duration::ZERO,
    }
}
