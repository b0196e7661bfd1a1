//! Detection of dead owners.
//!
//! A lease lasts until it expires, even if its process was killed right after it took the lease. So that a restart need
//! not wait, each open store holds an operating-system lock on a file of its own, and writes the name of that file
//! beside every lease that it gives. The operating system drops the lock with the process, however the process ends. If
//! the lock can be acquired, the owner of the lease is dead and the lease is free. A frozen process keeps its lock, and
//! its leases last until they expire.
//!
//! The files are in the folder `<database>-owners`. A store creates its file and removes the files of dead stores
//! inside a write transaction, so that no store removes a file between its creation and its locking. The leases of a
//! dead store are ended before its file is removed, and a store that closes with held leases leaves its file.
//! Therefore, if a file is missing, it was removed by mistake or the database was copied without the folder. A missing
//! file says nothing about its owner, so those leases last until they expire. A store recreates its file before it
//! gives or renews a lease. Whatever happens to the files, the fencing token keeps a replaced owner from writing.
//!
//! If a file system has no locks, a store works without them: its leases name no file and last until they expire.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use awaitly_core::journal::Timestamp;
use awaitly_core::store::Owner;
use rusqlite::{Connection, OptionalExtension};

use super::clock::now;
use super::error::Failure;
use super::runs::{self, LEASE};
use super::watch::Id;

/// The next store that holds a run, in the order of the names of their lock files.
const NEXT_HOLDER: &str = "SELECT lock_file FROM awaitly_runs WHERE owner IS NOT NULL AND ready < 2 \
    AND lock_file > ? ORDER BY lock_file LIMIT 1";

const HELD_BY: &str = "SELECT id FROM awaitly_runs WHERE owner IS NOT NULL AND ready < 2 AND lock_file = ?";

/// The lock of this store, and the folder of the other locks.
#[derive(Debug)]
pub(super) struct Owners {
    folder: PathBuf,
    own: Option<Lock>,
}

#[derive(Debug)]
struct Lock {
    name: Box<str>,
    /// The lock is held while this file is open.
    file: File,
}

impl Owners {
    /// Ends the leases of dead stores, removes their files, and creates and locks a file for this store.
    ///
    /// Call this inside a write transaction on `database`. The path must be the one that SQLite resolved, because
    /// different links to one file must lead to one folder.
    pub(super) fn enter(database: &Path, connection: &Connection) -> Result<Self, Failure> {
        let mut folder = database.as_os_str().to_owned();
        folder.push("-owners");
        let folder = PathBuf::from(folder);
        for name in dead(&folder) {
            bury(connection, &name, now())?;
            drop(fs::remove_file(folder.join(name)));
        }
        let own = lock_new(&folder, format!("{}.lock", Owner::unique().as_str()).into());
        Ok(Self { folder, own: own.map_err(|error| without(&error)).ok() })
    }

    /// Recreates the file of this store if it was removed or replaced.
    ///
    /// Call this inside a write transaction, before a lease is given or renewed.
    pub(super) fn renew(&mut self) {
        let Some(lock) = self.own.take_if(|lock| !lock.is_in(&self.folder)) else {
            return;
        };
        tracing::warn!(file = %lock.name, "the lock of this store was removed while it was open: made anew");
        drop(fs::remove_file(self.folder.join(&*lock.name)));
        self.own = lock_new(&self.folder, lock.name).map_err(|error| without(&error)).ok();
    }

    /// Gives up the lock and leaves the file, which tells other stores that the leases of this store are free.
    pub(super) fn leave(mut self) {
        self.own = None;
    }

    /// Returns the name that is written beside the leases of this store.
    pub(super) fn own(&self) -> Option<&str> {
        self.own.as_ref().map(|lock| &*lock.name)
    }

    /// Returns `true` if the store with the lock file `name` is known to be gone.
    ///
    /// Call this inside a write transaction: two stores that try one lock at once would mistake each other for its
    /// owner.
    pub(super) fn is_dead(&self, name: &str) -> bool {
        // A store never writes a name that leads out of the folder.
        if self.own() == Some(name) || Path::new(name).file_name() != Some(OsStr::new(name)) {
            return false;
        }
        can_be_had(&self.folder.join(name))
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        if let Some(lock) = self.own.take() {
            // The next store that opens removes the rest.
            drop(fs::remove_file(self.folder.join(&*lock.name)));
        }
    }
}

impl Lock {
    /// Returns `true` if the file at its path is the locked file.
    fn is_in(&self, folder: &Path) -> bool {
        let found = fs::metadata(folder.join(&*self.name));
        match (found, self.file.metadata()) {
            (Ok(found), Ok(locked)) => Id::of(&found) == Id::of(&locked),
            _ => false,
        }
    }
}

fn lock_new(folder: &Path, name: Box<str>) -> io::Result<Lock> {
    fs::create_dir_all(folder)?;
    let path = folder.join(&*name);
    let file = File::options().write(true).create_new(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { name, file }),
        Err(error) => {
            drop(fs::remove_file(path));
            Err(match error {
                TryLockError::Error(error) => error,
                TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            })
        }
    }
}

fn without(error: &io::Error) {
    tracing::warn!(
        %error,
        "no lock beside the database: a run whose process was killed resumes when its lease expires"
    );
}

/// Returns the lock files of the stores that hold runs.
pub(super) fn holders(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare_cached(NEXT_HOLDER)?;
    let mut found: Vec<String> = Vec::new();
    while let Some(name) =
        statement.query_row([found.last().map_or("", String::as_str)], |row| row.get(0)).optional()?
    {
        found.push(name);
    }
    Ok(found)
}

/// Ends the leases of the dead store with the lock file `name`, so that its runs are due at once. Returns their number.
///
/// The leases expire instead of being released, because a run that kills its owners is recognized by its expired leases.
pub(super) fn bury(connection: &Connection, name: &str, now: Timestamp) -> Result<usize, Failure> {
    let mut statement = connection.prepare_cached(HELD_BY)?;
    let slots = statement.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut ended = 0;
    for slot in slots {
        let mut row = match runs::row_in(connection, slot) {
            Ok(Some(row)) => row,
            // An unreadable run does not keep the others from continuing.
            Ok(None) | Err(Failure::Refused(_)) => continue,
            Err(failure) => return Err(failure),
        };
        if let Some(held) = &mut row.held {
            (held.until, held.lock_file) = (held.until.min(now), None);
        }
        row.list(now);
        row.write(connection, LEASE)?;
        ended += 1;
    }
    Ok(ended)
}

/// Returns the names of the lock files whose stores are gone.
fn dead(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        (name.ends_with(".lock") && can_be_had(&entry.path())).then_some(name)
    });
    names.collect()
}

/// Returns `true` if the lock file exists and no store holds its lock.
fn can_be_had(path: &Path) -> bool {
    // Dropping the file releases the lock.
    File::options().write(true).open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn held_runs_are_found_by_the_index_of_their_owners() {
        let index = "SEARCH awaitly_runs USING INDEX awaitly_runs_held";
        assert_eq!(plan(NEXT_HOLDER), format!("{index} (lock_file>?)"));
        assert_eq!(plan(HELD_BY), format!("{index} (lock_file=?)"));
    }
}
