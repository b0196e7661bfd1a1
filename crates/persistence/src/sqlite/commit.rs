use awaitly_core::store::{Lease, StoreError};
use rusqlite::Connection;

use super::Durability;
use super::apply::Batch;
use super::clock::now_ms;
use super::error::{Failure, may_concern_one_operation, store_error};
use super::leases::Leases;
use super::op::{Admitted, Op};
use super::owners::Owners;

/// The one connection that writes, and what it knows.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) connection: Connection,
    pub(super) leases: Leases,
    pub(super) owners: Owners,
    /// The durability that was asked for.
    pub(super) durability: Durability,
    /// The one that the connection is set to.
    pub(super) set: Durability,
    pub(super) fates: Vec<Fate>,
}

/// What became of an operation, once its transaction is committed.
#[derive(Debug)]
pub(super) enum Fate {
    Opened(Result<Admitted<Lease>, StoreError>),
    Changed(Result<(), StoreError>),
    Nothing,
}

impl Committer {
    /// Carries out `ops` in one commit and answers each; `ops` is empty then.
    ///
    /// Where SQLite fails, nothing of the commit is left. If the reason may lie in one operation, a
    /// payload that does not fit on the disk, each is tried again in a commit of its own.
    pub(super) fn commit(&mut self, ops: &mut Vec<Op>) {
        match self.transaction(ops) {
            Ok(()) => ops.drain(..).zip(self.fates.drain(..)).for_each(|(op, fate)| op.answer(fate)),
            Err(error) if ops.len() > 1 && may_concern_one_operation(&error) => {
                for op in ops.drain(..) {
                    match self.transaction(std::slice::from_ref(&op)).map(|()| self.fates.pop()) {
                        Ok(fate) => op.answer(fate.unwrap_or(Fate::Nothing)),
                        Err(error) => op.fail(&error),
                    }
                }
            }
            Err(error) => ops.drain(..).for_each(|op| op.fail(&error)),
        }
    }

    fn transaction(&mut self, ops: &[Op]) -> rusqlite::Result<()> {
        let done = self.synchronous(ops).and_then(|()| {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            self.apply(ops)?;
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(())
        });
        if done.is_err() {
            self.undo();
        }
        done
    }

    fn apply(&mut self, ops: &[Op]) -> rusqlite::Result<()> {
        self.fates.clear();
        self.leases.refresh(&self.connection)?;
        let mut batch = Batch {
            connection: &self.connection,
            leases: &mut self.leases,
            owners: &self.owners,
            now: now_ms(),
        };
        for op in ops {
            self.fates.push(match op {
                // Who asked has gone: nobody would give the lease back.
                Op::Open { answer, .. } if answer.is_closed() => Fate::Nothing,
                Op::Open { request, .. } => Fate::Opened(answer(batch.open(request))?),
                Op::Change { lease, change, .. } => Fate::Changed(answer(batch.change(lease, change))?),
                Op::Release(lease) => {
                    // A lease that is not held any more has nothing to release.
                    drop(answer(batch.release(lease))?);
                    Fate::Nothing
                }
                Op::Close(_) => Fate::Nothing,
            });
        }
        Ok(())
    }

    /// Sets whether the commit of `ops` waits for the disk. Inside a transaction it cannot be set.
    fn synchronous(&mut self, ops: &[Op]) -> rusqlite::Result<()> {
        let needed = match self.durability {
            Durability::Full if ops.iter().any(Op::must_be_durable) => Durability::Full,
            _ => Durability::Normal,
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

impl Op {
    /// Tells who asked. Where nobody waits any more the answer is dropped, and a lease in it is
    /// given back.
    fn answer(self, fate: Fate) {
        match (self, fate) {
            (Self::Open { answer, back, .. }, Fate::Opened(admitted)) => {
                drop(answer.send(admitted.map(|admitted| admitted.unclaimed(back))));
            }
            (Self::Change { answer, .. }, Fate::Changed(changed)) => drop(answer.send(changed)),
            (Self::Close(answer), _) => drop(answer.send(Ok(()))),
            _ => {}
        }
    }

    fn fail(self, error: &rusqlite::Error) {
        match self {
            Self::Open { answer, .. } => drop(answer.send(Err(store_error(error)))),
            Self::Change { answer, .. } | Self::Close(answer) => drop(answer.send(Err(store_error(error)))),
            Self::Release(_) => {}
        }
    }
}
