//! The tasks that write: what every run does again and again, shared in as few statements as can be.
//!
//! There are two, each on a connection of its own: one appends records, the other begins and ends runs and keeps
//! their leases. So a record never waits for the commit of an ending, nor a lease for that of a record. What has
//! queued up since the last commit returned goes into the next one: see [`group`](crate::group).

mod calls;
mod ops;
mod turns;
mod unflushed;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use awaitly_core::store::{Bell, Lease, StoreError};
use sqlx::Error;
use sqlx::postgres::PgConnection;

pub(super) use ops::{Append, Began, Begin, Fate, Finish, Op, Renew};
pub(super) use turns::{Releasing, Turns, Unclaimed};
pub(super) use unflushed::Unflushed;

use super::error::{concerns_one, lost, store_error};
use super::link::{Link, Patience};
use super::statements::Statements;
use super::text;
use crate::group::Receiver;
use calls::{RefusedAppends, append, begin, finish, give_back, place, renew};

/// A task that writes.
pub(super) struct Lane {
    pub(super) ops: Receiver<Op>,
    pub(super) link: Link,
    pub(super) statements: Arc<Statements>,
    pub(super) patience: Duration,
    pub(super) bell: Bell,
    /// What other processes listen to.
    pub(super) channel: Arc<str>,
    pub(super) releasing: Releasing,
    pub(super) unflushed: Unflushed,
}

/// What a batch is made of, each kind for a statement of its own.
#[derive(Default)]
struct Batch {
    begins: Vec<Begin>,
    appends: Vec<Append>,
    finishes: Vec<Finish>,
    renewals: Vec<Renew>,
    releases: Vec<Lease>,
    flushes: Vec<Fate<()>>,
    closing: Vec<Fate<()>>,
}

impl Lane {
    /// Writes until the store is closed or its last handle is dropped.
    pub(super) async fn run(mut self) {
        let mut ops = Vec::new();
        let mut closing = Vec::new();
        while self.ops.take(&mut ops).await {
            let company = ops.len();
            let mut batch = Batch::sorted(ops.drain(..));
            if !batch.closing.is_empty() {
                // What is queued already is still carried out; nothing more is let in.
                self.ops.close();
                closing.append(&mut batch.closing);
            }
            self.carry_out(batch).await;
            self.ops.gather(company).await;
        }
        self.link.close().await;
        closing.into_iter().for_each(|fate: Fate<()>| drop(fate.send(Ok(()))));
    }

    async fn carry_out(&mut self, batch: Batch) {
        let Batch { begins, appends, finishes, renewals, releases, flushes, closing: _ } = batch;
        if !appends.is_empty() {
            self.append(appends).await;
        }
        // Nothing keeps leases from being renewed in time.
        if !renewals.is_empty() {
            self.renew(renewals, Patience::new(self.patience)).await;
        }
        // What is given back first can be opened next.
        if !releases.is_empty() {
            self.release(&releases).await;
        }
        if !finishes.is_empty() {
            self.finish(finishes, Patience::new(self.patience), false).await;
        }
        if !begins.is_empty() {
            self.begin(begins, Patience::new(self.patience)).await;
        }
        if !flushes.is_empty() {
            let flushed = self.flush().await;
            flushes.into_iter().for_each(|fate| drop(fate.send(flushed.clone())));
        }
    }

    /// Brings to the disk what was recorded before, or finds out that it may be lost.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let mut patience = Patience::new(self.patience);
        while !self.unflushed.is_empty() {
            let attempt = async {
                let connection =
                    certain(&mut self.link, &self.statements, &self.channel, &self.unflushed).await?;
                self.statements.flush.query().execute(connection).await
            };
            match patience.within(attempt).await {
                Ok(_) => self.unflushed.are_flushed(),
                Err(error) => {
                    self.failed(&error);
                    patience.after(error).await?;
                }
            }
        }
        Ok(())
    }

    /// A record that follows another one under the same key in the same batch waits for what becomes of that.
    async fn append(&mut self, mut appends: Vec<Append>) {
        while appends.len() > 1 {
            let mut keys = HashSet::with_capacity(appends.len());
            let (now, later): (Vec<_>, Vec<_>) =
                appends.into_iter().partition(|one| keys.insert((one.lease.slot(), one.record.key.clone())));
            self.append_distinct(now, Patience::new(self.patience), false).await;
            appends = later;
        }
        if !appends.is_empty() {
            self.append_distinct(appends, Patience::new(self.patience), false).await;
        }
    }

    /// `again`: an earlier attempt may have been committed, its answer was lost.
    async fn append_distinct(&mut self, appends: Vec<Append>, mut patience: Patience, mut again: bool) {
        loop {
            let attempt = async {
                let connection =
                    certain(&mut self.link, &self.statements, &self.channel, &self.unflushed).await?;
                append(connection, &self.statements, &appends, again).await
            };
            match patience.within(attempt).await {
                Ok(refused) => {
                    self.unflushed.note(&appends, &refused);
                    return answer_appends(appends, &refused);
                }
                // Where the reason lies in one of them, each is tried by itself.
                Err(error) if appends.len() > 1 && concerns_one(&error) => {
                    for one in appends {
                        if patience.is_over() {
                            drop(one.fate.send(Err(store_error(&error))));
                        } else {
                            Box::pin(self.append_distinct(vec![one], patience.clone(), again)).await;
                        }
                    }
                    return;
                }
                Err(error) => {
                    self.failed(&error);
                    again = true;
                    if let Err(error) = patience.after(error).await {
                        return appends.into_iter().for_each(|one| drop(one.fate.send(Err(error.clone()))));
                    }
                }
            }
        }
    }

    async fn begin(&mut self, begins: Vec<Begin>, mut patience: Patience) {
        // Who asked has gone: nobody would give the lease back. The others in one order for all processes, so that
        // two that begin the same runs do not wait for each other.
        let mut begins: Vec<_> = begins.into_iter().filter(|begin| !begin.fate.is_closed()).collect();
        begins.sort_by(|one, next| one.request.run.cmp(&next.request.run));
        loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                begin(connection, &self.statements, &begins).await
            };
            match patience.within(attempt).await {
                Ok(mut begun) => {
                    for Begin { request, fate, back } in begins {
                        let place =
                            (text::stored(&request.run).into_owned(), request.owner.as_str().to_owned());
                        let began = begun.remove(&place).map(|(slot, token, now)| {
                            let lease = Unclaimed::new(Lease::new(request.run.clone(), token, slot), back);
                            Began { lease, now }
                        });
                        drop(fate.send(Ok(began)));
                    }
                    return;
                }
                Err(error) if begins.len() > 1 && concerns_one(&error) => {
                    for one in begins {
                        if patience.is_over() {
                            drop(one.fate.send(Err(store_error(&error))));
                        } else {
                            Box::pin(self.begin(vec![one], patience.clone())).await;
                        }
                    }
                    return;
                }
                Err(error) => {
                    self.failed(&error);
                    if let Err(error) = patience.after(error).await {
                        return begins
                            .into_iter()
                            .for_each(|begin| drop(begin.fate.send(Err(error.clone()))));
                    }
                }
            }
        }
    }

    /// `again`: an earlier attempt may have been committed, its answer was lost.
    async fn finish(&mut self, finishes: Vec<Finish>, mut patience: Patience, mut again: bool) {
        let outcome = loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                finish(connection, &self.statements, &finishes, again).await
            };
            match patience.within(attempt).await {
                Ok(finished) => break Ok(finished),
                Err(error) if finishes.len() > 1 && concerns_one(&error) => {
                    for one in finishes {
                        if patience.is_over() {
                            drop(one.fate.send(Err(store_error(&error))));
                        } else {
                            Box::pin(self.finish(vec![one], patience.clone(), again)).await;
                        }
                    }
                    return;
                }
                Err(error) => {
                    self.failed(&error);
                    again = true;
                    if let Err(error) = patience.after(error).await {
                        break Err(error);
                    }
                }
            }
        };
        // One that waits may have been answered on its way, which other processes have not heard of.
        if outcome.is_ok() && finishes.iter().any(|finish| !finish.ending.waits_on.is_empty()) {
            self.notify().await;
        }
        for Finish { lease, fate, .. } in finishes {
            drop(fate.send(match &outcome {
                Ok(finished) if finished.contains(&place(&lease)) => Ok(()),
                Ok(_) => Err(lost(&lease)),
                Err(error) => Err(error.clone()),
            }));
        }
        self.bell.ring();
    }

    async fn renew(&mut self, renewals: Vec<Renew>, mut patience: Patience) {
        let outcome = loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                renew(connection, &self.statements.renew, &renewals).await
            };
            match patience.within(attempt).await {
                Ok(renewed) => break Ok(renewed),
                Err(error) if renewals.len() > 1 && concerns_one(&error) => {
                    for one in renewals {
                        if patience.is_over() {
                            drop(one.fate.send(Err(store_error(&error))));
                        } else {
                            Box::pin(self.renew(vec![one], patience.clone())).await;
                        }
                    }
                    return;
                }
                Err(error) => {
                    self.failed(&error);
                    if let Err(error) = patience.after(error).await {
                        break Err(error);
                    }
                }
            }
        };
        for Renew { lease, fate, .. } in renewals {
            drop(fate.send(match &outcome {
                Ok(renewed) => renewed.get(&place(&lease)).copied().ok_or_else(|| lost(&lease)),
                Err(error) => Err(error.clone()),
            }));
        }
    }

    /// An attempt failed: the connection is made anew, unless the server only refused what it was told.
    fn failed(&mut self, error: &Error) {
        if !concerns_one(error) {
            self.link.lost();
            self.unflushed.are_in_doubt();
        }
    }

    /// Where this fails other processes find out by asking.
    async fn notify(&mut self) {
        let attempt = async {
            let connection = self.link.connection().await?;
            self.statements.notify.query().bind(&*self.channel).execute(connection).await
        };
        if let Err(error) = Patience::new(self.patience).within(attempt).await {
            self.link.lost();
            tracing::warn!(error = %store_error(&error), "other processes were not told");
        }
    }

    /// Where this fails the leases last until their time is over.
    async fn release(&mut self, leases: &[Lease]) {
        let mut patience = Patience::new(self.patience);
        loop {
            let attempt = async {
                let connection = self.link.connection().await?;
                give_back(connection, &self.statements, &self.channel, leases).await
            };
            let Err(error) = patience.within(attempt).await else { break };
            if leases.len() > 1 && concerns_one(&error) {
                for lease in leases {
                    Box::pin(self.release(std::slice::from_ref(lease))).await;
                }
                return;
            }
            self.failed(&error);
            if let Err(error) = patience.after(error).await {
                tracing::warn!(%error, "leases could not be given back: they last until their time is over");
                break;
            }
        }
        let mut releasing = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        for lease in leases {
            releasing.remove(&place(lease));
        }
        drop(releasing);
        self.bell.ring();
    }
}

/// A connection on which records may be written: where the last one was lost with records that may not have been on the
/// disk, their leases are given back first.
async fn certain<'l>(
    link: &'l mut Link,
    statements: &Statements,
    channel: &str,
    unflushed: &Unflushed,
) -> Result<&'l mut PgConnection, Error> {
    let connection = link.connection().await?;
    let doubtful = unflushed.doubtful();
    if !doubtful.is_empty() {
        give_back(connection, statements, channel, &doubtful).await?;
        unflushed.are_given_back();
    }
    Ok(connection)
}

impl Batch {
    fn sorted(ops: impl Iterator<Item = Op>) -> Self {
        let mut batch = Self::default();
        for op in ops {
            match op {
                Op::Begin(begin) => batch.begins.push(begin),
                Op::Append(append) => batch.appends.push(append),
                Op::Finish(finish) => batch.finishes.push(finish),
                Op::Renew(renew) => batch.renewals.push(renew),
                Op::Release(lease) => batch.releases.push(lease),
                Op::Flush(fate) => batch.flushes.push(fate),
                Op::Close(fate) => batch.closing.push(fate),
            }
        }
        batch
    }
}

fn answer_appends(appends: Vec<Append>, refused: &RefusedAppends) {
    for (place, Append { fate, .. }) in appends.into_iter().enumerate() {
        drop(fate.send(refused.get(&place).cloned().map_or(Ok(()), Err)));
    }
}
