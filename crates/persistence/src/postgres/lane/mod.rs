//! The writer tasks: they combine the frequent operations of all runs into as few statements as possible.
//!
//! Four tasks have a connection each: one appends records, one begins and ends runs and maintains their leases, one claims
//! runs, and one submits them. A record therefore never waits for the commit of an ending, nor a lease for the commit of a
//! record. The last two connect with their first operation.
//! Operations that have queued up since the last commit returned go into the next one: see [`group`](crate::group).

mod calls;
mod held_up;
mod notices;
mod ops;
mod parts;
mod place;
mod turns;
mod unflushed;
mod work;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::store::{Bell, StoreError};
use sqlx::Error;
use tokio::time::Instant;

pub(super) use held_up::HeldUp;
pub(super) use notices::Notices;
pub(super) use ops::{Append, Begin, Fate, Finish, Flush, Op, Release, Renew};
pub(super) use turns::{Releasing, Turns};
pub(super) use unflushed::Unflushed;

use super::dispatch::{Claiming, Submitting, Vacuum};
use super::error::{Reason, store_error};
use super::insist::{Attempts, insist};
use super::link::Link;
use super::patience::{Patience, Pause, within};
use super::schema::Failure;
use super::statements::Statements;
use crate::group::Receiver;
use calls::give_back_unlocked;
use parts::Parts;

/// A writer task.
pub(super) struct Lane {
    pub(super) ops: Receiver<Op>,
    pub(super) link: Link,
    pub(super) statements: Arc<Statements>,
    pub(super) patience: Duration,
    pub(super) bell: Bell,
    /// The channel that other processes listen to.
    pub(super) channel: Arc<str>,
    pub(super) releasing: Releasing,
    pub(super) held_up: HeldUp,
    pub(super) unflushed: Unflushed,
    /// The number of claims so far, so that each claim begins with another queue.
    pub(super) claims: usize,
    pub(super) vacuum: Vacuum,
    pub(super) notices: Notices,
}

/// The operations of a batch, with one statement for each kind.
struct Batch {
    begins: Parts<Begin>,
    appends: Parts<Append>,
    finishes: Parts<Finish>,
    renewals: Parts<Renew>,
    releases: Parts<Release>,
    flushes: Parts<Flush>,
    claims: Parts<Claiming>,
    submissions: Parts<Submitting>,
}

impl Lane {
    /// Writes until the store is closed or its last handle is dropped.
    pub(super) async fn run(mut self) {
        let mut ops = Vec::new();
        while self.take(&mut ops).await {
            let company = ops.len();
            let batch = Batch::sorted(ops.drain(..));
            // Each operation reports its own result.
            drop(insist(Carrying { lane: &mut self, batch }).await);
            self.ops.gather(company).await;
        }
        if self.notices.next().is_some() {
            self.notify().await;
        }
        let patience = Patience::new(self.patience);
        // The remaining leases last until they expire.
        drop(insist(Closing { lane: &mut self, patience }).await);
        self.link.close().await;
    }

    /// Waits for operations. Releases delayed leases and sends delayed notices meanwhile. Returns `false` if no more
    /// operations will arrive.
    async fn take(&mut self, ops: &mut Vec<Op>) -> bool {
        while let Some(next) = self.held_up.next().into_iter().chain(self.notices.next()).min() {
            if Instant::now() < next
                && let Ok(taken) = tokio::time::timeout_at(next, self.ops.take(ops)).await
            {
                return taken;
            }
            let is_due = |next: Option<Instant>| next.is_some_and(|next| next <= Instant::now());
            if is_due(self.notices.next()) {
                self.notify().await;
            }
            if is_due(self.held_up.next()) {
                self.release_held_up().await;
            }
        }
        self.ops.take(ops).await
    }

    /// Makes one attempt for each operation. If the error may pass, the operations that are left in the batch can be
    /// tried again.
    async fn attempt(&mut self, batch: &mut Batch) -> Result<(), Error> {
        batch.appends.carry_out(self).await?;
        // Renewals come first, so that no other work delays them.
        batch.renewals.carry_out(self).await?;
        // Released runs can be opened by the operations that follow.
        batch.releases.carry_out(self).await?;
        // A waiting run may have been answered meanwhile, and other processes have not been notified of that.
        let tells = batch.finishes.iter().any(|finish| !finish.ending.waits_on.is_empty());
        batch.finishes.carry_out(self).await?;
        if tells {
            self.notify().await;
        }
        batch.begins.carry_out(self).await?;
        batch.submissions.carry_out(self).await?;
        batch.claims.carry_out(self).await?;
        batch.flushes.carry_out(self).await
    }

    /// Handles a failed attempt: the connection is replaced, unless the server only refused the statement.
    fn failed(&mut self, error: &Error) {
        if Reason::of(error) != Reason::Single {
            self.link.lost();
            self.unflushed.are_in_doubt();
        }
    }

    /// Notifies other processes. If this fails, they find out by polling.
    async fn notify(&mut self) {
        self.notices.are_sent();
        let attempt = async {
            let connection = self.link.connection().await?;
            self.statements.notify.query().bind(&*self.channel).execute(connection).await
        };
        if let Err(error) = within(Patience::new(self.patience).longest(), attempt).await {
            self.link.lost();
            tracing::warn!(error = %store_error(&error), "other processes were not told");
        }
    }

    /// Makes another attempt to release the delayed leases.
    async fn release_held_up(&mut self) {
        let leases = self.held_up.leases();
        let attempt = async {
            let connection = self.link.connection().await?;
            give_back_unlocked(connection, &self.statements, &self.channel, &leases).await
        };
        let rest = within(Patience::new(self.patience).longest(), attempt).await;
        if let Err(error) = &rest {
            self.failed(error);
        }
        let done = self.held_up.settle(rest.as_ref().ok());
        if !done.is_empty() {
            self.releasing.are_free(&done);
            self.bell.ring();
        }
    }
}

/// A batch that a lane carries out.
struct Carrying<'l> {
    lane: &'l mut Lane,
    batch: Batch,
}

impl Attempts for Carrying<'_> {
    type Done = ();

    async fn attempt(&mut self) -> Result<(), Failure> {
        Ok(self.lane.attempt(&mut self.batch).await?)
    }

    /// Refuses each operation of every kind whose patience is over, so that no kind uses up the patience of the kinds
    /// after it.
    fn is_over_after(&mut self, pause: Pause, error: &StoreError) -> bool {
        self.batch.refuse_late(self.lane, pause, error);
        self.batch.is_empty()
    }
}

/// The release of the delayed leases when the store is closed.
struct Closing<'l> {
    lane: &'l mut Lane,
    patience: Patience,
}

impl Attempts for Closing<'_> {
    type Done = ();

    async fn attempt(&mut self) -> Result<(), Failure> {
        if self.lane.held_up.next().is_some() {
            self.lane.release_held_up().await;
        }
        match self.lane.held_up.next() {
            None => Ok(()),
            Some(_) => Err(Error::Io(ErrorKind::WouldBlock.into()).into()),
        }
    }

    fn is_over_after(&mut self, pause: Pause, _: &StoreError) -> bool {
        self.patience.is_over_after(pause)
    }
}

impl Batch {
    fn sorted(ops: impl Iterator<Item = Op>) -> Self {
        let (mut appends, mut begins, mut finishes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut renewals, mut releases, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut claims, mut submissions) = (Vec::new(), Vec::new());
        for op in ops {
            match op {
                Op::Begin(begin) => begins.push(begin),
                Op::Append(append) => appends.push(append),
                Op::Finish(finish) => finishes.push(finish),
                Op::Renew(renew) => renewals.push(renew),
                Op::Release(release) => releases.push(release),
                Op::Flush(flush) => flushes.push(flush),
                Op::Claim(claim) => claims.push(claim),
                Op::Submit(submission) => submissions.push(submission),
            }
        }
        // If the caller is gone, the lease would never be released. The others are sorted in one order for all
        // processes, so that two processes that begin the same runs do not deadlock.
        begins.retain(|begin| !begin.fate.is_closed());
        claims.retain(|claim: &Claiming| !claim.fate.is_closed());
        begins.sort_by(|one, next| one.request.run.cmp(&next.request.run));
        Self {
            begins: Parts::one(begins),
            appends: Parts::of(distinct(appends)),
            finishes: Parts::one(finishes),
            renewals: Parts::one(renewals),
            releases: Parts::one(releases),
            flushes: Parts::one(flushes),
            claims: Parts::of(claims.into_iter().map(|claim| vec![claim]).collect::<Vec<_>>()),
            submissions: Parts::one(submissions),
        }
    }

    fn is_empty(&self) -> bool {
        self.begins.is_empty()
            && self.appends.is_empty()
            && self.finishes.is_empty()
            && self.renewals.is_empty()
            && self.releases.is_empty()
            && self.flushes.is_empty()
            && self.claims.is_empty()
            && self.submissions.is_empty()
    }

    /// Gives up the operations for which an attempt after this pause is too late.
    fn refuse_late(&mut self, lane: &mut Lane, pause: Pause, error: &StoreError) {
        self.begins.refuse_late(lane, pause, error);
        self.appends.refuse_late(lane, pause, error);
        self.finishes.refuse_late(lane, pause, error);
        self.renewals.refuse_late(lane, pause, error);
        self.releases.refuse_late(lane, pause, error);
        self.flushes.refuse_late(lane, pause, error);
        self.claims.refuse_late(lane, pause, error);
        self.submissions.refuse_late(lane, pause, error);
    }
}

/// Splits appends into parts with distinct keys, because a record waits for the result of an earlier record under its
/// key.
fn distinct(mut appends: Vec<Append>) -> Vec<Vec<Append>> {
    let mut parts = Vec::new();
    while appends.len() > 1 {
        let mut keys = HashSet::with_capacity(appends.len());
        let (now, later): (Vec<_>, Vec<_>) =
            appends.into_iter().partition(|one| keys.insert((one.lease.slot(), one.record.key.clone())));
        parts.push(now);
        appends = later;
    }
    parts.push(appends);
    parts
}
