//! What there is in the folder when it is opened.

use std::path::Path;

use awaitly_core::store::StoreError;

use super::error::at_opening;
use super::folder::Folder;
use super::index::{Index, Run};
use super::{name, read};

/// Puts all runs of the folder into the index, and says the greatest number of one.
pub(super) fn fill(folder: &Folder, index: &Index) -> Result<i64, StoreError> {
    let root = folder.path(Path::new(""));
    let failed = |error| at_opening(&root, &error);
    let mut runs = Vec::new();
    let ids = folder.runs().map_err(failed)?;
    // A process that died may not have come to it, and no other file is in the way of those in the folder itself.
    folder.sync_names([Path::new("lock")]).map_err(failed)?;
    for id in ids {
        match read::whole(folder, &id) {
            Ok(read::Found { journal: Some(journal), length, torn }) => runs.push(Run {
                linked: name::path(&id).components().count() == 1,
                id,
                number: journal.number,
                face: journal.face,
                token: 0,
                held_until: None,
                length,
                renewals: 0,
                torn,
                unsynced: false,
                lost: None,
            }),
            // It had not begun when its process died, and begins anew when somebody opens it.
            Ok(read::Found { journal: None, .. }) => {}
            Err(error) => {
                tracing::error!(run = %id, %error, "the file of a run cannot be read, and is left as it is");
                index.put_damaged(id, error);
            }
        }
    }
    Ok(number(index, runs))
}

/// Files that came here from other folders may have the same numbers: then the later run ids count as later.
fn number(index: &Index, mut runs: Vec<Run>) -> i64 {
    runs.sort_unstable_by(|a, b| (a.number, &a.id).cmp(&(b.number, &b.id)));
    let mut last = 0;
    for run in &mut runs {
        run.number = run.number.max(last + 1);
        last = run.number;
    }
    index.put(runs);
    last
}
