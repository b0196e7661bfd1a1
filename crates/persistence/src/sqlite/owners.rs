//! Which owners are alive.
//!
//! A lease lasts until its time is over, even where the process that held it was killed a moment
//! after it took it. So that a restart need not wait, each open store holds a lock of the operating
//! system on a file of its own, and writes the name of that file beside every lease that it gives. The
//! system drops the lock with the process, however it ends; so a lease whose lock can be had has a dead
//! owner, and is free. A process that is only frozen keeps its lock, and its leases last as long as they
//! were given for.
//!
//! The files are in the folder `<database>-owners`. They are made, and those of the dead are removed,
//! inside a write transaction, so that nobody removes a file between its making and its locking. A file
//! that is missing counts as dead: its store was closed, or the database was copied without the folder.
//! Where it was removed by mistake the lease's token still keeps the old owner from writing.
//!
//! Where a file system has no locks, a store goes without: its leases name no file, and last until
//! their time is over.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use awaitly_core::store::Owner;

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
    _file: File,
}

impl Owners {
    /// Removes the files of the dead, and makes and locks one for this store.
    ///
    /// To be called inside a write transaction on `database`, which is the path as SQLite resolved it:
    /// links to one file must lead to one folder.
    pub(super) fn enter(database: &Path) -> Self {
        let mut folder = database.as_os_str().to_owned();
        folder.push("-owners");
        let folder = PathBuf::from(folder);
        let own = fs::create_dir_all(&folder).and_then(|()| {
            remove_dead(&folder);
            lock_new(&folder)
        });
        let own = own.map_err(|error| {
            tracing::warn!(
                %error,
                "no lock beside the database: a run whose process was killed resumes when its lease expires"
            );
        });
        Self { folder, own: own.ok() }
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
        match File::options().write(true).open(self.folder.join(name)) {
            // Dropping the file gives the lock back.
            Ok(file) => file.try_lock().is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
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

fn lock_new(folder: &Path) -> io::Result<Lock> {
    let name: Box<str> = format!("{}.lock", Owner::unique().as_str()).into();
    let path = folder.join(&*name);
    let file = File::options().write(true).create_new(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { name, _file: file }),
        Err(error) => {
            drop(fs::remove_file(path));
            Err(match error {
                TryLockError::Error(error) => error,
                TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            })
        }
    }
}

fn remove_dead(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        if is_lock && File::options().write(true).open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            drop(fs::remove_file(path));
        }
    }
}
