use serde::{Deserialize, Serialize};

/// The operation asked for its own key, so it would wait for itself forever.
///
/// The refusal states no time to ask again, because the operation would be refused each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("the operation asks for its own key and would wait for itself: make it answer without that key")]
pub struct OwnKey;
