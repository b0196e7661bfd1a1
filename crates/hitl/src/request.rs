use std::fmt;

use awaitly_core::journal::{Key, Payload, Timestamp, WaitEntry};
use awaitly_core::store::{RunId, Waiting};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::shape::Shape;

/// The question of an approval or callback, as the entry of a waiting run stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The kind of the question. The field's name identifies requests of this crate: see [`MARK`].
    #[serde(rename = "awaitly_asks")]
    pub(crate) kind: QuestionKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Payload>,
    /// The names of the answerers; if empty, everyone may answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) answerers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proposal: Option<Payload>,
    #[serde(default, deserialize_with = "known_or_any")]
    pub(crate) shape: Shape,
}

/// The field that a request of `Run::wait_for` does not have.
const MARK: &str = "awaitly_asks";

/// Decodes a shape. An unknown shape, which a newer version wrote, is read as [`Shape::Any`].
fn known_or_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
    let shape = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(shape).unwrap_or_default())
}

/// The kind of answer that a question takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// A person approves or rejects: [`Approvals::approval`](crate::Approvals::approval).
    Approval,
    /// A caller, usually a program, provides a value: [`Approvals::callback`](crate::Approvals::callback).
    Callback,
    /// A caller provides a value for [`Run::wait_for`](awaitly_core::Run::wait_for). The journal records the bare value, and
    /// the inbox does not know its shape.
    Plain,
    /// The question was asked by a newer version of this crate. This version cannot answer the question; it can only
    /// withdraw or expire it.
    #[serde(other)]
    Unknown,
}

/// A question that waits for an answer, as an [`Inbox`](crate::Inbox) shows it.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct Question {
    /// The id of the run that asks.
    pub run: RunId,
    /// The name of the run's workflow.
    pub workflow: String,
    /// The key of the question within the run.
    pub key: Key,
    /// The kind of answer that the question takes.
    #[serde(rename = "asks")]
    pub kind: QuestionKind,
    /// The text of the question, for people.
    pub prompt: Option<String>,
    /// Further information about the question. For a [`Plain`](QuestionKind::Plain) question, this is the value that
    /// the run passed to [`WaitFor::request`](awaitly_core::WaitFor::request).
    pub metadata: Option<Value>,
    /// The names of the answerers; if empty, everyone with access to the inbox may answer.
    pub answerers: Vec<String>,
    /// The value to approve, if the run proposed one.
    pub proposal: Option<Value>,
    /// The shape that an answer must have.
    pub shape: Shape,
    /// The time at which the run asked.
    pub since: Timestamp,
    /// The time after which an answer is refused.
    pub expires: Option<Timestamp>,
    /// The proposal exactly as the run wrote it, with all digits of its numbers.
    #[serde(skip)]
    pub(crate) proposed: Option<Payload>,
    #[serde(skip)]
    pub(crate) token: Box<str>,
}

impl Question {
    /// Returns the token of the question, which cannot be guessed. Any program that has the token can answer; `Debug` and
    /// JSON do not show it. [`Inbox::with_token`](crate::Inbox::with_token) takes it.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn of(waiting: Waiting) -> Self {
        let Waiting { run, workflow, entry } = waiting;
        let WaitEntry { key, token, request, since, expires } = entry;
        let workflow = workflow.to_string();
        let request = Request::read(request);
        let Request { kind, prompt, metadata, answerers, proposal, shape } = request;
        let proposed = proposal.clone();
        let [metadata, proposal] =
            [metadata, proposal].map(|value| value.and_then(|value| value.decode().ok()));
        Self {
            run,
            workflow,
            key,
            kind,
            prompt,
            metadata,
            answerers,
            proposal,
            shape,
            since,
            expires,
            proposed,
            token,
        }
    }
}

impl Request {
    pub(crate) const fn new(kind: QuestionKind) -> Self {
        Self { kind, prompt: None, metadata: None, answerers: Vec::new(), proposal: None, shape: Shape::Any }
    }

    /// Reads the request of a waiting entry. A request of this crate that cannot be decoded becomes [`QuestionKind::Unknown`] and not
    /// [`QuestionKind::Plain`], because everyone may answer a plain question.
    fn read(payload: Payload) -> Self {
        let is_ours = payload.decode::<Value>().is_ok_and(|value| value.get(MARK).is_some());
        if is_ours {
            return payload.decode().unwrap_or_else(|_| Self::new(QuestionKind::Unknown));
        }
        let metadata = (payload.as_str() != "null").then_some(payload);
        Self { metadata, ..Self::new(QuestionKind::Plain) }
    }
}

// The token must not appear in logs.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("run", &self.run)
            .field("key", &self.key)
            .field("kind", &self.kind)
            .field("prompt", &self.prompt)
            .finish_non_exhaustive()
    }
}
