use std::collections::HashMap;

use awaitly_core::store::{Lease, RunId, StoreError};
use rusqlite::{Connection, OptionalExtension};

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
        self.held.clear();
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
        let mut statement = connection.prepare_cached(
            "SELECT token FROM awaitly_runs WHERE id = ? AND run_id = ? AND owner IS NOT NULL",
        )?;
        let token =
            statement.query_row((lease.slot(), &**lease.run()), |row| row.get::<_, i64>(0)).optional()?;
        let Some(token) = token.map(i64::cast_unsigned) else {
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
