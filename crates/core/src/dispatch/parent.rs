use serde::{Deserialize, Serialize};

use crate::journal::Key;
use crate::store::RunId;

/// The step that waits for the end of a child: a run that another run started.
///
/// At the end of the child, the store answers the entry that waits under the key with the outcome of the child. A store
/// that cannot commit both at once answers later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run of the step.
    pub run: RunId,
    /// The key of the step.
    pub key: Key,
}
