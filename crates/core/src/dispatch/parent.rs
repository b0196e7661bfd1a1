use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::journal::{Key, Payload};
use crate::store::RunId;

/// The step that waits for the end of a child: a run that another run started.
///
/// At the end of the child, the store answers the entry that waits under the key with the outcome of the child, if the
/// entry [asks for](ChildQuestion::asks_for) this child. A store that cannot commit both at once answers later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run of the step.
    pub run: RunId,
    /// The key of the step.
    pub key: Key,
}

/// The question of a step that waits for a child. Its JSON form is the request of the waiting entry.
///
/// A run that was restarted may wait for another child under a key under which it waited before. The question tells
/// which child the entry waits for, so that the end of the older child does not answer it.
///
/// ```
/// use awaitly_core::dispatch::ChildQuestion;
/// use awaitly_core::journal::Payload;
/// use awaitly_core::store::RunId;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let refund = RunId::new("order-42/refund")?;
/// let question = ChildQuestion { child: refund.clone(), workflow: "refund".into(), continues: false };
/// let request = Payload::encode(&question)?;
/// assert!(ChildQuestion::asks_for(&request, &refund));
/// assert!(!ChildQuestion::asks_for(&request, &RunId::new("order-7/refund")?));
/// # Ok(())
/// # }
/// ```
// Some stores compare the text up to the end of the first field, so `child` stays the first one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildQuestion {
    /// The run id of the child.
    pub child: RunId,
    /// The workflow of the child.
    pub workflow: Arc<str>,
    /// Is `true` if the child continues after a cancellation of its parent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

impl ChildQuestion {
    /// Returns whether the request of a waiting entry asks for the outcome of `child`. A request that cannot be read may ask
    /// for it: for example, code [around](crate::store::around) the store may encrypt all requests.
    #[must_use]
    pub fn asks_for(request: &Payload, child: &RunId) -> bool {
        request.decode().map_or(true, |asked: Self| asked.child == *child)
    }
}
