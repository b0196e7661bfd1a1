use std::fmt;

use awaitly_core::journal::{Key, Payload, Timestamp, WaitEntry};
use awaitly_core::store::{RunId, Waiting};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::shape::Shape;

/// What is asked, as it rests in the entry that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    /// What tells it from what `Run::wait_for` keeps: see [`MARK`].
    #[serde(rename = "awaitly_asks")]
    pub(crate) asks: Asks,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Payload>,
    /// Who may answer; anybody where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) answerers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proposal: Option<Payload>,
    #[serde(default, deserialize_with = "known_or_any")]
    pub(crate) shape: Shape,
}

/// The name that no other request has.
const MARK: &str = "awaitly_asks";

/// A shape that a newer version has written says nothing to this one.
fn known_or_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
    let shape = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(shape).unwrap_or_default())
}

/// What kind of answer a question takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// That somebody approves or rejects: [`Approvals::approval`](crate::Approvals::approval).
    Approval,
    /// A value, by a program as a rule: [`Approvals::callback`](crate::Approvals::callback).
    Callback,
    /// The same, by [`Run::wait_for`](awaitly_core::Run::wait_for): what is recorded is the value alone, and nobody
    /// knows beforehand what it has to look like.
    Plain,
    /// Something that this version does not know: it takes no answer here.
    #[serde(other)]
    Unknown,
}

/// A question that waits for an answer, as an [`Inbox`](crate::Inbox) shows it.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct Question {
    /// The run that asks.
    pub run: RunId,
    /// The name of its workflow.
    pub workflow: String,
    /// The key that it waits under.
    pub key: Key,
    /// What kind of answer it takes.
    pub asks: Asks,
    /// What is asked, for people.
    pub prompt: Option<String>,
    /// What else was given with it. What [`Run::wait_for`](awaitly_core::Run::wait_for) asks is here, as it is.
    pub metadata: Option<Value>,
    /// Who may answer. Empty: anybody who comes here.
    pub answerers: Vec<String>,
    /// What is to be approved, where that was given.
    pub proposal: Option<Value>,
    /// What an answer has to look like.
    pub shape: Shape,
    /// Since when it waits.
    pub since: Timestamp,
    /// From when on an answer comes too late.
    pub expires: Option<Timestamp>,
    /// The proposal as the run wrote it, to the last digit of its numbers.
    #[serde(skip)]
    pub(crate) proposed: Option<Payload>,
    #[serde(skip)]
    pub(crate) token: Box<str>,
}

impl Question {
    /// An unguessable token; whoever shows it may answer. It is shown nowhere by itself.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn of(waiting: Waiting) -> Self {
        let Waiting { run, workflow, entry } = waiting;
        let WaitEntry { key, token, request, since, expires } = entry;
        let workflow = workflow.to_string();
        let request = Request::read(request);
        let Request { asks, prompt, metadata, answerers, proposal, shape } = request;
        let proposed = proposal.clone();
        let [metadata, proposal] =
            [metadata, proposal].map(|value| value.and_then(|value| value.decode().ok()));
        Self {
            run,
            workflow,
            key,
            asks,
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
    pub(crate) const fn new(asks: Asks) -> Self {
        Self { asks, prompt: None, metadata: None, answerers: Vec::new(), proposal: None, shape: Shape::Any }
    }

    /// What rests in an entry: a request, or what `Run::wait_for` asks. A request that cannot be read is not taken for
    /// the latter, which everybody may answer.
    fn read(payload: Payload) -> Self {
        let is_ours = payload.decode::<Value>().is_ok_and(|value| value.get(MARK).is_some());
        if is_ours {
            return payload.decode().unwrap_or_else(|_| Self::new(Asks::Unknown));
        }
        let metadata = (payload.as_str() != "null").then_some(payload);
        Self { metadata, ..Self::new(Asks::Plain) }
    }
}

// The token does not belong in logs.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("run", &self.run)
            .field("key", &self.key)
            .field("asks", &self.asks)
            .field("prompt", &self.prompt)
            .finish_non_exhaustive()
    }
}
