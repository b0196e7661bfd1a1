use serde::{Deserialize, Serialize};

/// A refusal of a call whose operation would wait for itself forever, because it requests its own key.
///
/// The refusal states no time to ask again, because each further request would be refused too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("the operation asks for its own key and would wait for itself: make it answer without that key")]
pub struct OwnKey;
