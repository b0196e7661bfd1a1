use serde::{Deserialize, Serialize};

use crate::journal::Key;

/// A failure of a store. Each message states the next action, and none of these failures loses an acknowledged write.
///
/// ```
/// use awaitly_core::store::StoreError;
///
/// /// Returns whether the same call may succeed later.
/// fn may_pass(error: &StoreError) -> bool {
///     matches!(error, StoreError::Unavailable { .. } | StoreError::Full { .. })
/// }
///
/// let down = StoreError::Unavailable { detail: "connection refused".into() };
/// assert!(may_pass(&down));
/// assert_eq!(down.to_string(), "the store does not answer (connection refused): try again");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreError {
    /// The caller's lease is no longer valid, usually because it expired and another owner took a newer lease.
    #[error("another owner has taken the lease of run `{run}`: let that owner finish the run")]
    LeaseLost {
        /// The run.
        run: Box<str>,
    },
    /// The journal already holds an outcome under this key.
    #[error(
        "run `{run}` already has an outcome under the key `{key}`: the store refused the write; load the run to see it"
    )]
    AlreadyRecorded {
        /// The run.
        run: Box<str>,
        /// The key.
        key: Key,
    },
    /// An answer came while the journal of the run was being migrated to another version. Opening a run handles this
    /// error by reading the journal again, so callers do not see it.
    #[error(
        "a question of run `{run}` was answered during the migration: no data was changed; read the run again"
    )]
    Answered {
        /// The run.
        run: Box<str>,
    },
    /// There is no space for the write.
    #[error("no space left for the store ({detail}): make room and resume the run")]
    Full {
        /// The store's own message.
        detail: Box<str>,
    },
    /// The store cannot be written.
    #[error(
        "the store cannot be written ({detail}): check its permissions, and whether it is a read-only copy"
    )]
    ReadOnly {
        /// The store's own message.
        detail: Box<str>,
    },
    /// There is no store at this address, and none can be created.
    #[error("the store cannot be opened ({detail}): check its address, its name and your permissions")]
    NotThere {
        /// The finding, for example that the server refused the user.
        detail: Box<str>,
    },
    /// The store cannot be reached or is busy.
    #[error("the store does not answer ({detail}): try again")]
    Unavailable {
        /// The store's own message.
        detail: Box<str>,
    },
    /// The stored data differs from the data that was written.
    #[error("the store is damaged ({detail}): no data was changed; restore it from a backup")]
    Corrupt {
        /// The finding.
        detail: Box<str>,
    },
    /// The store was written by a newer version of this library.
    #[error("the store has format {found}, but this program reads up to {supported}: upgrade this program")]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// The cursor does not name a place in a list of this store.
    #[error("`{cursor}` is not a position in this list: begin with the first page")]
    BadCursor {
        /// The given cursor.
        cursor: Box<str>,
    },
    /// The store cannot keep a value of the call, for example because it is too large.
    #[error("the store refuses this write ({detail}): no data was changed")]
    Unstorable {
        /// A description of the value.
        detail: Box<str>,
    },
    /// The store was closed.
    #[error("the store is closed: open it again")]
    Closed,
}
