//! Which owners are alive.
//!
//! A lease lasts until its time is over, even where the process that held it was killed a moment
//! after it took it. So that a restart need not wait, each open store holds a lock of the operating
//! system on a file of its own, and writes the name of that file beside every lease that it gives. The
//! system drops the lock with the process, however it ends; so a lease whose lock can be had has a dead
//! owner, and is free. A process that is only frozen keeps its lock, and its leases last as long as they
//! were given for.
//!
//! The files are in the folder `<database>-owners`. They are made, and those of the dead are removed, inside a write
//! transaction, so that nobody removes a file between its making and its locking. Before the file of a dead store is
//! removed its leases are given back, and a store that is closed while it holds leases leaves its file. So a file that
//! is missing was removed by mistake, or the database was copied without the folder, and says nothing of its owner: those
//! leases last until their time is over. A store makes its file anew before it gives or renews a lease. Whatever happens
//! to the files, the token of a lease keeps an owner that was replaced from writing.
//!
//! Where a file system has no locks, a store goes without: its leases name no file, and last until
//! their time is over.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use awaitly_core::store::Owner;
use rusqlite::Connection;

use super::watch::Id;

const GIVE_BACK: &str =
    "UPDATE awaitly_runs SET owner = NULL, owner_file = NULL, lease_until = 0 WHERE owner_file = ?";

/// The lock of this store, and where those of the others are.
#[derive(Debug)]
pub(super) struct Owners {
    folder: PathBuf,
    own: Option<Lock>,
}

#[derive(Debug)]
struct Lock {
    name: Box<str>,
    /// Locked for as long as it is open.
    file: File,
}

impl Owners {
    /// Gives back the leases of the dead, removes their files, and makes and locks one for this store.
    ///
    /// To be called inside a write transaction on `database`, which is the path as SQLite resolved it:
    /// links to one file must lead to one folder.
    pub(super) fn enter(database: &Path, connection: &Connection) -> rusqlite::Result<Self> {
        let mut folder = database.as_os_str().to_owned();
        folder.push("-owners");
        let folder = PathBuf::from(folder);
        for name in dead(&folder) {
            connection.execute(GIVE_BACK, [&name])?;
            drop(fs::remove_file(folder.join(name)));
        }
        let own = lock_new(&folder, format!("{}.lock", Owner::unique().as_str()).into());
        Ok(Self { folder, own: own.map_err(|error| without(&error)).ok() })
    }

    /// Makes the file of this store anew if it was removed or replaced.
    ///
    /// To be called inside a write transaction, before a lease is given or renewed.
    pub(super) fn renew(&mut self) {
        let Some(lock) = self.own.take_if(|lock| !lock.is_in(&self.folder)) else {
            return;
        };
        tracing::warn!(file = %lock.name, "the lock of this store was removed while it was open: made anew");
        drop(fs::remove_file(self.folder.join(&*lock.name)));
        self.own = lock_new(&self.folder, lock.name).map_err(|error| without(&error)).ok();
    }

    /// Gives the lock up and leaves the file, which says to all others that the leases of this store are free.
    pub(super) fn leave(mut self) {
        self.own = None;
    }

    /// What is written beside the leases of this store.
    pub(super) fn own(&self) -> Option<&str> {
        self.own.as_ref().map(|lock| &*lock.name)
    }

    /// Whether the store that has the lock file `name` is known to be gone.
    ///
    /// To be called inside a write transaction: two that try one lock would take each other for its
    /// owner.
    pub(super) fn is_dead(&self, name: &str) -> bool {
        // A name that leads out of the folder was not written by a store.
        if self.own() == Some(name) || Path::new(name).file_name() != Some(OsStr::new(name)) {
            return false;
        }
        can_be_had(&self.folder.join(name))
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        if let Some(lock) = self.own.take() {
            // The next store that opens removes what stays.
            drop(fs::remove_file(self.folder.join(&*lock.name)));
        }
    }
}

impl Lock {
    /// Whether the file at its path is the one that is locked.
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

/// The names of the lock files whose stores are gone.
fn dead(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        (name.ends_with(".lock") && can_be_had(&entry.path())).then_some(name)
    });
    names.collect()
}

/// Whether there is a lock file and nobody has it locked.
fn can_be_had(path: &Path) -> bool {
    // Dropping the file gives the lock back.
    File::options().write(true).open(path).is_ok_and(|file| file.try_lock().is_ok())
}
