//! Writing a file anew, without what is not needed any more.

use std::borrow::Cow;

use awaitly_core::store::{StoreError, StoredRun};

use super::entry::Entry;
use super::error::store_error;
use super::folder::Folder;
use super::index::{Index, Run};
use super::{frame, name, read};

/// Gives the run a new file. Where that fails, the old one is as it was.
///
/// The name of the new one is made durable with what is written to it next: until then a crash of the system may
/// bring back the old one, in which all of this is too.
pub(super) fn anew(folder: &Folder, index: &Index, run: &Run) -> Result<(), StoreError> {
    let path = name::path(&run.id);
    let StoredRun { header, input, records, waits } = read::journal(folder, run, &[])?.into_stored();
    let mut bytes = frame::MAGIC.to_vec();
    Entry::Imported {
        run: run.id.clone(),
        number: run.number,
        header: Cow::Owned(header),
        input: input.map(Cow::Owned),
        records: Cow::Owned(Vec::new()),
        waits: Cow::Owned(waits),
    }
    .push(&mut bytes)?;
    // Each in an entry of its own, so that none is larger than those that they came in.
    records.iter().try_for_each(|record| Entry::Appended(Cow::Borrowed(record)).push(&mut bytes))?;
    let (length, renewals) = (bytes.len() as u64, run.renewals.wrapping_add(1));
    let anew = Run { length, renewals, linked: false, torn: false, unsynced: false, ..run.clone() };
    let replaced =
        folder.write_beside(&path, &bytes).and_then(|()| index.exchange(anew, || folder.replace(&path)));
    replaced.map_err(|error| {
        folder.remove_beside(&path);
        store_error(&path, &error)
    })
}
