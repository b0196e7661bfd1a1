use std::fmt;

use serde_json::{Value, json};

use super::Report;

impl<T: fmt::Debug, E: fmt::Debug> Report<T, E> {
    /// Returns the whole report as JSON for tools: seed, invocations, events, ending, and the result as text.
    ///
    /// ```
    /// use awaitly_core::RunError;
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// let report = simulate(async || Harness::new().run(async |_| Ok::<_, RunError>(7)).await);
    /// assert_eq!(report.to_json()["result"], "Ok(7)");
    /// assert_eq!(report.to_json()["ending"], "completed");
    /// ```
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
