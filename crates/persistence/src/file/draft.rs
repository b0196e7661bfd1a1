//! A run while a batch of operations is carried out on it: what will be so once it is written.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use awaitly_core::journal::{Key, Outcome};
use awaitly_core::store::StoreError;

use super::entry::Entry;
use super::error::store_error;
use super::fold::Keys;
use super::folder::Folder;
use super::index::Run;
use super::{frame, name, read};

/// What the writer keeps of a run that somebody holds.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) keys: Option<Keys>,
    pub(super) file: Option<File>,
}

#[derive(Debug)]
pub(super) struct Draft {
    /// As it will be; its length is still that of what was acknowledged.
    pub(super) run: Run,
    pub(super) known: Known,
    /// What is to be added to the file.
    frames: Vec<u8>,
    /// Whether the operation that is carried out has added something.
    wrote: bool,
    durable: bool,
    synced: bool,
    fate: Result<(), StoreError>,
    /// Whether there was no file before.
    created: bool,
}

impl Draft {
    pub(super) fn of(run: Run, known: Known) -> Self {
        Self {
            run,
            known,
            frames: Vec::new(),
            wrote: false,
            durable: false,
            synced: false,
            created: false,
            fate: Ok(()),
        }
    }

    /// The keys that are recorded; they are read from the file where they are not known.
    pub(super) fn keys(&mut self, folder: &Folder) -> Result<&Keys, StoreError> {
        if self.known.keys.is_none() {
            self.known.keys = Some(read::journal(folder, &self.run, &self.frames)?.keys);
        }
        Ok(self.known.keys.get_or_insert_default())
    }

    /// What is recorded under `key`.
    pub(super) fn recorded(&self, folder: &Folder, key: &Key) -> Result<Option<Outcome>, StoreError> {
        let journal = read::journal(folder, &self.run, &self.frames)?;
        Ok(journal.recorded(key).map(|record| record.outcome.clone()))
    }

    /// Lets `entry` happen. Where it has no form in the file, nothing does.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Result<(), StoreError> {
        entry.push(&mut self.frames)?;
        self.wrote = true;
        self.run.face.apply(entry);
        if let Some(keys) = &mut self.known.keys {
            // Whoever adds a record has asked before whether its key is there.
            keys.apply(entry).unwrap_or(());
        }
        Ok(())
    }

    /// Whether the operation that was carried out last has its answer only once it survives a loss of power.
    pub(super) fn after_operation(&mut self, must_be_durable: bool) {
        self.durable |= std::mem::take(&mut self.wrote) && must_be_durable;
    }

    pub(super) fn must_be_synced(&self) -> bool {
        self.durable && !self.synced && self.fate.is_ok()
    }

    /// The file, where its name has to be made durable.
    pub(super) fn must_be_linked(&self) -> Option<PathBuf> {
        (self.durable && self.fate.is_ok() && !self.run.linked).then(|| name::path(&self.run.id))
    }

    /// Whether its file is to be written anew: it is large, and most of it is not needed any more.
    pub(super) fn is_mostly_dead(&self) -> bool {
        const LARGE: u64 = 1024 * 1024;
        self.known.keys.as_ref().is_some_and(|keys| keys.dead > LARGE && keys.dead * 2 > self.run.length)
    }

    pub(super) fn write(&mut self, folder: &Folder) {
        if self.frames.is_empty() {
            return;
        }
        self.fate = match self.run.length {
            0 => self.create(folder),
            _ => self.append(folder).map_err(|error| self.error(&error)),
        };
    }

    fn create(&mut self, folder: &Folder) -> Result<(), StoreError> {
        let path = name::path(&self.run.id);
        let created = match folder.create(&path) {
            // Left by a process that died before it had written an entry. Anything else came from elsewhere.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if read::whole(folder, &self.run.id)?.journal.is_some() {
                    let why = io::Error::other("the file was put there by somebody else");
                    return Err(self.lost(&why));
                }
                folder.write(&path).and_then(|file| file.set_len(0).map(|()| file))
            }
            created => created,
        };
        let file = self.known.file.insert(created.map_err(|error| store_error(&path, &error))?);
        self.created = true;
        let frames = [frame::MAGIC, &self.frames].concat();
        file.write_all(&frames).map_err(|error| store_error(&path, &error))
    }

    fn append(&mut self, folder: &Folder) -> io::Result<()> {
        let file = match &mut self.known.file {
            Some(file) => file,
            none => none.insert(folder.write(&name::path(&self.run.id))?),
        };
        if self.run.torn {
            // What is written now may not be followed by the rest of what was not, whatever happens.
            file.set_len(self.run.length)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(self.run.length))?;
        file.write_all(&self.frames)
    }

    /// Closes the file, though it may be needed again.
    pub(super) fn close(&mut self) {
        self.known.file = None;
    }

    pub(super) fn sync(&mut self) {
        self.synced = true;
        if let Some(Err(error)) = self.known.file.as_ref().map(File::sync_data) {
            self.fail(&error);
        }
    }

    /// It was written, but may not be on the disk, and nobody can say what is: so it is not written any more.
    pub(super) fn fail(&mut self, error: &io::Error) {
        self.run.lost = Some(self.lost(error));
        self.fate = Err(self.error(error));
    }

    /// Takes over that the batch is written. `Err`: nothing of it is, and then perhaps the run cannot be written
    /// any more.
    pub(super) fn finish(&mut self, folder: &Folder) -> Result<(), StoreError> {
        if let Err(error) = self.fate.clone() {
            self.undo(folder);
            return Err(error);
        }
        if !self.frames.is_empty() {
            let begin = if self.run.length == 0 { frame::MAGIC.len() } else { 0 };
            self.run.length += (begin + self.frames.len()) as u64;
            self.run.torn = false;
            self.run.unsynced = !self.durable;
            self.run.linked |= self.durable;
        }
        Ok(())
    }

    fn undo(&mut self, folder: &Folder) {
        let path = name::path(&self.run.id);
        if self.created {
            // Where this fails, the next who begins the run finds what was torn, or that it has begun.
            drop(folder.remove(&path));
        } else if self.run.length > 0
            && let Err(error) = folder.write(&path).and_then(|file| file.set_len(self.run.length))
        {
            self.run.lost = Some(self.lost(&error));
        }
    }

    fn lost(&self, error: &io::Error) -> StoreError {
        let path = name::path(&self.run.id);
        let detail =
            format!("{}: {error}; it is written again once the store was closed and opened", path.display());
        StoreError::Unavailable { detail: detail.into() }
    }

    fn error(&self, error: &io::Error) -> StoreError {
        store_error(&name::path(&self.run.id), error)
    }
}
