use std::collections::HashMap;

use awaitly_core::store::{Lease, RunId, StoreError};
use rusqlite::Connection;

use super::error::Failure;
use super::rows;
use super::runs::{self, RunRow};

/// The leases that this writer knows to be the newest of their runs, so that a write need not look up its lease in the
/// table.
///
/// `PRAGMA data_version` changes if, and only if, another connection has committed. One query in each transaction
/// therefore shows whether the known leases are still current. If they are not, each lease is looked up again at its
/// next use.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<i64, Held>,
    version: i64,
    /// Whether the table may hold leases that are no longer known here.
    forgotten: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    run: RunId,
    token: u64,
    /// The data version at which the table confirmed the lease.
    seen: i64,
    last_seq: Option<i64>,
}

impl Leases {
    /// Brings the known leases up to date, and returns the data version. Call this first in each transaction.
    pub(super) fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<i64> {
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        self.version = statement.query_row([], |row| row.get(0))?;
        Ok(self.version)
    }

    /// Adds a lease that was just written to the table.
    pub(super) fn given(&mut self, lease: &Lease) {
        let held = Held {
            run: lease.run().clone(),
            token: lease.token(),
            seen: self.version,
            last_seq: Some(first_seq(lease.token())),
        };
        self.held.insert(lease.slot(), held);
    }

    /// Removes the lease of a run after its release.
    pub(super) fn given_back(&mut self, slot: i64) {
        self.held.remove(&slot);
    }

    /// Returns the known state of a run's lease.
    pub(super) fn known(&mut self, slot: i64) -> Option<&mut Held> {
        self.held.get_mut(&slot)
    }

    /// Forgets all leases, because a transaction was rolled back and its changes here are void.
    pub(super) fn forget_all(&mut self) {
        self.forgotten |= !self.held.is_empty();
        self.held.clear();
    }

    /// Returns `true` if the table may hold a lease of this writer.
    pub(super) fn may_be_held(&self) -> bool {
        self.forgotten || !self.held.is_empty()
    }

    /// Checks that `lease` is the newest of its run and was not released. A lease that expired is still the newest
    /// until another owner takes the run.
    pub(super) fn confirm(&mut self, connection: &Connection, lease: &Lease) -> Result<&mut Held, Failure> {
        if self.held.get(&lease.slot()).is_none_or(|held| held.seen != self.version) {
            self.look_up(connection, lease)?;
        }
        self.held
            .get_mut(&lease.slot())
            .filter(|held| held.token == lease.token() && held.run == *lease.run())
            .ok_or_else(|| StoreError::LeaseLost { run: (**lease.run()).into() }.into())
    }

    fn look_up(&mut self, connection: &Connection, lease: &Lease) -> Result<(), Failure> {
        let found = runs::row_in(connection, lease.slot())?;
        let is_held = |run: &RunRow| run.held.is_some() && run.run == *lease.run();
        let Some(token) = found.filter(is_held).map(|run| run.token) else {
            self.held.remove(&lease.slot());
            return Ok(());
        };
        let known = self.held.get(&lease.slot()).filter(|held| held.token == token);
        let last_seq = known.and_then(|held| held.last_seq);
        let held = Held { run: lease.run().clone(), token, seen: self.version, last_seq };
        self.held.insert(lease.slot(), held);
        Ok(())
    }
}

impl Held {
    /// Returns the number of the next record, which exceeds the number of every record of the run.
    pub(super) fn next_seq(&mut self, connection: &Connection, slot: i64) -> Result<i64, Failure> {
        let last = match self.last_seq {
            Some(last) => last,
            None => rows::last_seq(connection, slot)?.unwrap_or(0).max(first_seq(self.token)),
        };
        self.last_seq = Some(last + 1);
        Ok(last + 1)
    }
}

/// Returns the first record number under a lease. An older lease reaches it only after 2^32 records, so opening a run
/// need not look up its last record.
pub(super) const fn first_seq(token: u64) -> i64 {
    token.cast_signed() << 32
}
