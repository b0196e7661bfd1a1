use awaitly_core::store::{Bell, StoreError};
use rusqlite::Connection;

use super::apply::Batch;
use super::clock::now;
use super::dispatch::Queues;
use super::error::{Failure, may_concern_one_operation};
use super::leases::Leases;
use super::op::Op;
use super::options::Synchronous;
use super::owners::Owners;
use super::watch::Watch;

/// The only connection that writes, with its state.
pub(super) struct Committer {
    pub(super) connection: Connection,
    pub(super) leases: Leases,
    pub(super) queues: Queues,
    pub(super) owners: Owners,
    pub(super) watch: Watch,
    pub(super) bell: Bell,
    /// The requested setting.
    pub(super) synchronous: Synchronous,
    /// The current setting of the connection.
    pub(super) set: Synchronous,
}

impl Committer {
    /// Carries out `ops` in one commit and answers each of them. Leaves `ops` empty.
    ///
    /// If SQLite fails, the whole commit is rolled back. If one operation may be the cause, for example a payload that
    /// does not fit on the disk, each operation is tried again in its own commit. If the file was removed from its path
    /// or truncated, no operation is acknowledged.
    pub(super) fn commit(&mut self, ops: &mut Vec<Op>) {
        let wakes = ops.iter().any(Op::wakes);
        match self.transaction(ops) {
            Ok(()) => ops.drain(..).for_each(|mut op| op.answer()),
            Err(Failure::Sqlite(error)) if ops.len() > 1 && may_concern_one_operation(&error) => {
                for mut op in ops.drain(..) {
                    match self.transaction(std::slice::from_mut(&mut op)) {
                        Ok(()) => op.answer(),
                        Err(failure) => op.fail(failure.into()),
                    }
                }
            }
            Err(failure) => {
                let error = StoreError::from(failure);
                ops.drain(..).for_each(|mut op| op.fail(error.clone()));
            }
        }
        if wakes {
            self.bell.ring();
        }
    }

    fn transaction(&mut self, ops: &mut [Op]) -> Result<(), Failure> {
        let done = self.try_transaction(ops);
        if done.is_err() {
            self.undo();
        }
        done
    }

    fn try_transaction(&mut self, ops: &mut [Op]) -> Result<(), Failure> {
        self.watch.before_commit(&self.connection)?;
        self.synchronous(ops)?;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.apply(ops)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(self.watch.before_acknowledging(&self.connection)?)
    }

    fn apply(&mut self, ops: &mut [Op]) -> rusqlite::Result<()> {
        let version = self.leases.refresh(&self.connection)?;
        self.queues.refresh(version);
        if ops.iter().any(Op::leases) {
            self.owners.renew();
        }
        let mut batch = Batch {
            connection: &self.connection,
            leases: &mut self.leases,
            queues: &mut self.queues,
            owners: &self.owners,
            now: now(),
            next_slot: None,
        };
        ops.iter_mut().try_for_each(|op| op.apply(&mut batch))
    }

    /// Sets whether the commit of `ops` waits for the disk. The setting cannot change inside a transaction.
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
        // Some errors have already rolled back the transaction.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
        self.leases.forget_all();
        self.queues.forget_all();
    }
}
