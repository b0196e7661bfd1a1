use std::collections::HashMap;

use awaitly_core::store::{Lease, RunId, StoreError};
use rusqlite::Connection;

use super::error::Failure;
use super::rows;

/// The leases that this writer knows to be the newest of their runs, so that a write need not ask the
/// table whether its own is.
///
/// `PRAGMA data_version` changes when, and only when, another connection has committed. Asked once
/// inside each transaction it says whether what was known after the last one is still all there is to
/// know; where it is not, each lease is looked up once more when it is used.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<i64, Held>,
    version: i64,
    /// Whether there may be leases that are not known any more.
    forgotten: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    run: RunId,
    token: u64,
    /// The data version at which the table said so.
    seen: i64,
    last_seq: Option<i64>,
}

impl Leases {
    /// To be called inside each transaction, before anything else.
    pub(super) fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        self.version = statement.query_row([], |row| row.get(0))?;
        Ok(())
    }

    /// A new lease was written to the table.
    pub(super) fn given(&mut self, lease: &Lease) {
        let held = Held {
            run: lease.run().clone(),
            token: lease.token(),
            seen: self.version,
            last_seq: Some(first_seq(lease.token())),
        };
        self.held.insert(lease.slot(), held);
    }

    /// The lease of a run was given back.
    pub(super) fn given_back(&mut self, slot: i64) {
        self.held.remove(&slot);
    }

    /// What is known of the lease of a run.
    pub(super) fn known(&mut self, slot: i64) -> Option<&mut Held> {
        self.held.get_mut(&slot)
    }

    /// A transaction was rolled back: what it changed here is not so.
    pub(super) fn forget_all(&mut self) {
        self.forgotten |= !self.held.is_empty();
        self.held.clear();
    }

    /// Whether there may be a lease in the table that this writer gave.
    pub(super) fn may_be_held(&self) -> bool {
        self.forgotten || !self.held.is_empty()
    }

    /// Makes sure that `lease` is the newest of its run and was not given back. One that expired
    /// while nobody else took the run is still the newest.
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
        let found = rows::header_in(connection, lease.slot(), lease.run())?;
        let Some(token) = found.filter(|run| run.held.is_some()).map(|run| run.token) else {
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
    /// The number of the next record: greater than that of every record of the run.
    pub(super) fn next_seq(&mut self, connection: &Connection, slot: i64) -> Result<i64, Failure> {
        let last = match self.last_seq {
            Some(last) => last,
            None => rows::last_seq(connection, slot)?.unwrap_or(0).max(first_seq(self.token)),
        };
        self.last_seq = Some(last + 1);
        Ok(last + 1)
    }
}

/// Records are numbered anew under each lease, from a number that no older lease reaches before it
/// has written 2^32 of them: so opening a run need not look for its last record.
pub(super) const fn first_seq(token: u64) -> i64 {
    token.cast_signed() << 32
}
