use std::fmt;

use serde_json::{Value, json};

use super::Report;

impl<T: fmt::Debug, E: fmt::Debug> Report<T, E> {
    /// All of it, for tools: the seed, the steps, the events, how the run ended, and the result as text.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "seed": self.seed(),
            "ending": self.ending(),
            "result": format!("{:?}", self.result),
            "invocations": self.invocations(),
            "events": self.events(),
        })
    }
}
