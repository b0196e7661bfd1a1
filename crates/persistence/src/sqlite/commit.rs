use awaitly_core::store::{Bell, StoreError};
use rusqlite::Connection;

use super::Synchronous;
use super::apply::Batch;
use super::clock::now;
use super::error::{Failure, may_concern_one_operation};
use super::leases::Leases;
use super::op::{Done, Op};
use super::owners::Owners;
use super::watch::Watch;

/// The one connection that writes, and what it knows.
pub(super) struct Committer {
    pub(super) connection: Connection,
    pub(super) leases: Leases,
    pub(super) owners: Owners,
    pub(super) watch: Watch,
    pub(super) bell: Bell,
    /// What was asked for.
    pub(super) synchronous: Synchronous,
    /// What the connection is set to.
    pub(super) set: Synchronous,
    pub(super) done: Vec<Done>,
}

impl Committer {
    /// Carries out `ops` in one commit and answers each; `ops` is empty then.
    ///
    /// Where SQLite fails, nothing of the commit is left. If the reason may lie in one operation, a
    /// payload that does not fit on the disk, each is tried again in a commit of its own. Where the file has gone from
    /// its path, or was cut, nothing is acknowledged.
    pub(super) fn commit(&mut self, ops: &mut Vec<Op>) {
        let wakes = ops.iter().any(Op::wakes);
        match self.transaction(ops) {
            Ok(()) => ops.drain(..).zip(self.done.drain(..)).for_each(|(op, done)| op.answer(done)),
            Err(Failure::Sqlite(error)) if ops.len() > 1 && may_concern_one_operation(&error) => {
                for op in ops.drain(..) {
                    match self.transaction(std::slice::from_ref(&op)).map(|()| self.done.pop()) {
                        Ok(done) => op.answer(done.unwrap_or(Done::Nothing)),
                        Err(failure) => op.fail(failure.into()),
                    }
                }
            }
            Err(failure) => {
                let error = StoreError::from(failure);
                ops.drain(..).for_each(|op| op.fail(error.clone()));
            }
        }
        if wakes {
            self.bell.ring();
        }
    }

    fn transaction(&mut self, ops: &[Op]) -> Result<(), Failure> {
        let done = self.try_transaction(ops);
        if done.is_err() {
            self.undo();
        }
        done
    }

    fn try_transaction(&mut self, ops: &[Op]) -> Result<(), Failure> {
        self.watch.before_commit(&self.connection)?;
        self.synchronous(ops)?;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.apply(ops)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(self.watch.before_acknowledging(&self.connection)?)
    }

    fn apply(&mut self, ops: &[Op]) -> rusqlite::Result<()> {
        self.done.clear();
        self.leases.refresh(&self.connection)?;
        if ops.iter().any(|op| matches!(op, Op::Open { .. } | Op::Renew { .. })) {
            self.owners.renew();
        }
        let mut batch = Batch {
            connection: &self.connection,
            leases: &mut self.leases,
            owners: &self.owners,
            now: now(),
        };
        for op in ops {
            self.done.push(match op {
                // Who asked has gone: nobody would give the lease back.
                Op::Open { fate, .. } if fate.is_closed() => Done::Nothing,
                Op::Open { request, .. } => Done::Opened(answer(batch.open(request))?),
                Op::Change { lease, change, .. } => Done::Changed(answer(batch.change(lease, change))?),
                Op::Settle { lease, record, settling, .. } => {
                    Done::Settled(answer(batch.close_entry(lease, record, *settling))?)
                }
                Op::Renew { lease, ttl, .. } => Done::Renewed(answer(batch.renew(lease, *ttl))?),
                Op::Release(lease) => {
                    // A lease that is not held any more has nothing to release.
                    drop(answer(batch.release(lease))?);
                    Done::Nothing
                }
                Op::Answer { answer: given, .. } => Done::Answered(answer(batch.answer(given))?),
                Op::Cancel { run, cancelling, .. } => {
                    Done::Cancelled(answer(batch.cancel(run, *cancelling))?)
                }
                Op::Delete { runs, condition, .. } => Done::Deleted(answer(batch.delete(runs, *condition))?),
                Op::Import { run, stored, .. } => Done::Imported(answer(batch.import(run, stored))?),
                Op::Due { query, .. } => Done::Due(answer(batch.due(query))?),
                Op::Close(_) => Done::Nothing,
            });
        }
        Ok(())
    }

    /// Sets whether the commit of `ops` waits for the disk. Inside a transaction it cannot be set.
    fn synchronous(&mut self, ops: &[Op]) -> rusqlite::Result<()> {
        let needed = match self.synchronous {
            Synchronous::Full if ops.iter().any(Op::must_be_durable) => Synchronous::Full,
            _ => Synchronous::Normal,
        };
        if needed != self.set {
            self.connection.execute_batch(needed.pragma())?;
            self.set = needed;
        }
        Ok(())
    }

    fn undo(&mut self) {
        // Some errors have rolled back already.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
        self.leases.forget_all();
    }
}

/// A refusal is the answer to its operation; anything else ends the transaction.
fn answer<T>(result: Result<T, Failure>) -> rusqlite::Result<Result<T, StoreError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Refused(error)) => Ok(Err(error)),
        Err(Failure::Sqlite(error)) => Err(error),
    }
}
