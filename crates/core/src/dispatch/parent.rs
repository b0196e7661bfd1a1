use serde::{Deserialize, Serialize};

use crate::journal::Key;
use crate::store::RunId;

/// The step that waits for the end of a child: a run that another run started.
///
/// When the child ends, the store answers the waiting entry of the step with the outcome of the child. If the store
/// cannot commit the end and the answer together, it answers later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run of the step.
    pub run: RunId,
    /// The key of the step.
    pub key: Key,
}
