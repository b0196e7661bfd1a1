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
/// let question = ChildQuestion { child: "order-42/refund", workflow: "refund", continues: false };
/// let request = Payload::encode(&question).unwrap();
/// assert!(ChildQuestion::asks_for(&request, &RunId::new("order-42/refund").unwrap()));
/// assert!(!ChildQuestion::asks_for(&request, &RunId::new("order-7/refund").unwrap()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChildQuestion<'a> {
    /// The run id of the child.
    pub child: &'a str,
    /// The workflow of the child.
    pub workflow: &'a str,
    /// Whether the child continues if its parent is cancelled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

impl ChildQuestion<'_> {
    /// Returns whether the request of a waiting entry asks for the outcome of `child`. A request that cannot be read may ask
    /// for it: for example, code [around](crate::store::around) the store may encrypt all requests.
    #[must_use]
    pub fn asks_for(request: &Payload, child: &RunId) -> bool {
        #[derive(Deserialize)]
        struct Asked {
            child: String,
        }
        request.decode().map_or(true, |asked: Asked| asked.child == **child)
    }
}
