//! The folder of a store: its lock, its files, and what makes their names durable.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use awaitly_core::store::{RunId, StoreError};

use super::error::at_opening;
use super::name;

/// Locked by the store that has the folder open.
const LOCK: &str = "lock";

/// What a file ends in that is not yet the run's.
const NEW: &str = "new";

/// The folder. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Folder(Arc<Path>);

/// The right to write the folder, for as long as this lives; the system takes it back when the process ends.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough while another thread starts a process, which has it too for a moment.
        drop(self.0.unlock());
    }
}

impl Folder {
    /// Makes the folder where there is none, and locks it.
    pub(super) fn open(path: &Path) -> Result<(Self, Lock), StoreError> {
        let path = std::path::absolute(path).map_err(|error| at_opening(path, &error))?;
        let locked = make(&path)
            .and_then(|()| private().read(true).create(true).truncate(false).open(path.join(LOCK)));
        let lock = locked.map_err(|error| at_opening(&path, &error))?;
        let unavailable = |detail: String| StoreError::Unavailable { detail: detail.into() };
        match lock.try_lock() {
            Ok(()) => Ok((Self(path.into()), Lock(lock))),
            Err(TryLockError::WouldBlock) => Err(unavailable(format!(
                "{}: another process, or another store of this one, has the folder open",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(unavailable(format!(
                "{}: its file system does not lock files, so that two processes could write it: {error}",
                path.display()
            ))),
        }
    }

    /// The path of something inside of the folder.
    pub(super) fn path(&self, inside: &Path) -> PathBuf {
        self.0.join(inside)
    }

    /// The runs that have a file.
    pub(super) fn runs(&self) -> io::Result<Vec<RunId>> {
        let (mut runs, mut folders) = (Vec::new(), vec![PathBuf::new()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.path(&folder))? {
                let inside = folder.join(entry?.file_name());
                if name::is_folder(&inside) {
                    folders.push(inside);
                } else if let Some(run) = name::run(&inside) {
                    runs.push(run);
                } else if inside.extension().is_some_and(|end| end == NEW)
                    && name::run(&inside.with_extension("")).is_some()
                {
                    // It was being written when the process died; the run still has its old file.
                    drop(fs::remove_file(self.path(&inside)));
                }
            }
        }
        Ok(runs)
    }

    /// Makes the file of a run that begins, where there is none, and the folders that it stands in.
    pub(super) fn create(&self, inside: &Path) -> io::Result<File> {
        if let Some(above) = inside.parent().filter(|above| !above.as_os_str().is_empty()) {
            builder().recursive(true).create(self.path(above))?;
        }
        private().create_new(true).open(self.path(inside))
    }

    pub(super) fn write(&self, inside: &Path) -> io::Result<File> {
        private().open(self.path(inside))
    }

    /// Writes a file that is to take the place of the one at `inside`.
    pub(super) fn write_beside(&self, inside: &Path, bytes: &[u8]) -> io::Result<()> {
        let beside = self.path(&inside.with_added_extension(NEW));
        let mut file = private().create(true).truncate(true).open(beside)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Lets it take that place.
    pub(super) fn replace(&self, inside: &Path) -> io::Result<()> {
        fs::rename(self.path(&inside.with_added_extension(NEW)), self.path(inside))
    }

    /// Drops it.
    pub(super) fn remove_beside(&self, inside: &Path) {
        drop(fs::remove_file(self.path(&inside.with_added_extension(NEW))));
    }

    pub(super) fn remove(&self, inside: &Path) -> io::Result<()> {
        match fs::remove_file(self.path(inside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Those that hold other files stay.
        let mut above = inside.parent();
        while let Some(folder) = above.filter(|folder| !folder.as_os_str().is_empty()) {
            if fs::remove_dir(self.path(folder)).is_err() {
                break;
            }
            above = folder.parent();
        }
        Ok(())
    }

    /// Makes durable which names there are on the way to these files.
    pub(super) fn sync_names<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> io::Result<()> {
        let above: BTreeSet<_> = files.into_iter().flat_map(|file| file.ancestors().skip(1)).collect();
        above.into_iter().try_for_each(|folder| match sync_folder(&self.path(folder)) {
            // It was removed with the last file in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        })
    }
}

fn make(path: &Path) -> io::Result<()> {
    match builder().create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => return Err(error),
        // Also where it was there: who made it may have died before its name was durable.
        _ => {}
    }
    match path.parent().map_or(Ok(()), sync_folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Other systems write names through, and do not open folders.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Values may be secrets: only the user of this process reads them.
fn private() -> OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true);
    options
}

fn builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}
