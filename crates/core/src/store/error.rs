use serde::{Deserialize, Serialize};

use crate::journal::Key;

/// What goes wrong in a store. Each says the next move; nothing that was acknowledged is lost by any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreError {
    /// The run belongs to a newer lease: this owner was too slow and has been replaced.
    #[error("the lease of run `{run}` was lost to another owner: leave the run to it")]
    LeaseLost {
        /// The run.
        run: Box<str>,
    },
    /// The journal already holds an outcome under this key.
    #[error(
        "the journal of run `{run}` already holds the key `{key}`: the write was refused, load the run to see which outcome stands"
    )]
    AlreadyRecorded {
        /// The run.
        run: Box<str>,
        /// The key.
        key: Key,
    },
    /// Somebody answered a question of the run while its journal was being brought to another version. Opening a run
    /// reads it again then, so that this reaches nobody.
    #[error("a question of run `{run}` was answered in between: nothing was changed, read the run again")]
    Answered {
        /// The run.
        run: Box<str>,
    },
    /// There is no space for the write.
    #[error("no space left for the store ({detail}): make room and resume the run")]
    Full {
        /// What the store said.
        detail: Box<str>,
    },
    /// The store cannot be written.
    #[error(
        "the store cannot be written ({detail}): check the permissions, and that it is no read-only copy"
    )]
    ReadOnly {
        /// What the store said.
        detail: Box<str>,
    },
    /// There is no store where one was to be opened, and none can be made.
    #[error("the store cannot be opened ({detail}): check its address, its name and who may open it")]
    NotThere {
        /// What was found instead.
        detail: Box<str>,
    },
    /// The store cannot be reached or is busy.
    #[error("the store does not answer ({detail}): try again")]
    Unavailable {
        /// What the store said.
        detail: Box<str>,
    },
    /// What is stored is not what was written.
    #[error("the store is damaged ({detail}): nothing was changed, restore it from a copy")]
    Corrupt {
        /// What was found.
        detail: Box<str>,
    },
    /// The store was written by a newer version of this library.
    #[error("the store has format {found}, this version reads up to {supported}: upgrade this program")]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// The cursor is no place in a list of this store.
    #[error("`{cursor}` is no place in a list of this store: begin with the first page")]
    BadCursor {
        /// What was given.
        cursor: Box<str>,
    },
    /// What was to be written has no form in this store.
    #[error("the store cannot keep this ({detail}): nothing was changed")]
    Unstorable {
        /// What it was.
        detail: Box<str>,
    },
    /// The store was closed.
    #[error("the store is closed: open it again")]
    Closed,
}
