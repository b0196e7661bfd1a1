//! Reading the file of a run.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use awaitly_core::store::{RunId, StoreError};

use super::entry::Entry;
use super::error::{corrupt, store_error};
use super::fold::Journal;
use super::folder::Folder;
use super::frame::{self, Damage, Magic};
use super::index::Run;
use super::name;

/// A file, as it was found when the store was opened.
pub(super) struct Found {
    /// `None`: it was not written as far as its first entry.
    pub(super) journal: Option<Journal>,
    /// How far it holds whole entries.
    pub(super) length: u64,
    /// Whether something stands behind that.
    pub(super) torn: bool,
}

/// What the file of `run` holds, without what was not written to its end.
pub(super) fn whole(folder: &Folder, run: &RunId) -> Result<Found, StoreError> {
    let path = name::path(run);
    // What is no file, such as a device, may have no end.
    if !folder.path(&path).is_file() {
        return Err(corrupt(&path, 0, "this is no file"));
    }
    let bytes = bytes(folder, &path, u64::MAX)?;
    let (journal, length) = fold(&path, run, &bytes)?;
    Ok(Found { journal, length: length as u64, torn: length < bytes.len() })
}

/// A run with its values: as far as its file was acknowledged, and then `more` entries.
pub(super) fn journal(folder: &Folder, run: &Run, more: &[u8]) -> Result<Journal, StoreError> {
    let path = name::path(&run.id);
    let mut bytes = match run.length {
        0 => frame::MAGIC.to_vec(),
        length => bytes(folder, &path, length)?,
    };
    bytes.extend_from_slice(more);
    let (journal, length) = fold(&path, &run.id, &bytes)?;
    let expected = run.length.max(frame::MAGIC.len() as u64) + more.len() as u64;
    journal
        .filter(|_| length as u64 == expected)
        .ok_or_else(|| corrupt(&path, length, "an entry that was acknowledged is missing"))
}

fn bytes(folder: &Folder, path: &Path, most: u64) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let read = File::open(folder.path(path)).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| store_error(path, &error))?;
    Ok(bytes)
}

/// The run that the whole entries in `bytes` come to, and where they end.
fn fold(path: &Path, run: &RunId, bytes: &[u8]) -> Result<(Option<Journal>, usize), StoreError> {
    match frame::magic(bytes) {
        Magic::Known => {}
        Magic::Torn => return Ok((None, 0)),
        Magic::Newer(found) => return Err(StoreError::NewerFormat { found, supported: frame::FORMAT }),
        Magic::Foreign => return Err(corrupt(path, 0, "this is no file of a run")),
    }
    let mut at = frame::MAGIC.len();
    let mut journal = None;
    let damaged = |Damage { at, what }| corrupt(path, at, what);
    while let Some((json, end)) = frame::next(bytes, at).map_err(damaged)? {
        let entry =
            Entry::read(json).ok_or_else(|| corrupt(path, at, "an entry is of no kind that there is"))?;
        match &mut journal {
            None => {
                let begun = Journal::begin(entry).filter(|begun| begun.run == *run);
                journal =
                    Some(begun.ok_or_else(|| corrupt(path, at, "the run of this name does not begin so"))?);
            }
            Some(journal) => {
                let applied: Option<()> = journal.apply(entry);
                applied.ok_or_else(|| corrupt(path, at, "an entry does not follow from those before it"))?;
            }
        }
        at = end;
    }
    // Without an entry the run has not begun, and then the file is written from its beginning.
    let length = if journal.is_some() { at } else { 0 };
    Ok((journal, length))
}
