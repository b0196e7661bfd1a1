/// The options of a saga.
///
/// ```
/// use awaitly_saga::SagaOptions;
///
/// let careful = SagaOptions::new().keep_on_cancel().stop_on_failure();
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "give them to `saga_with`"]
pub struct SagaOptions {
    pub(crate) name: Option<&'static str>,
    pub(crate) keeps_on_cancel: bool,
    pub(crate) stops_on_failure: bool,
}

impl SagaOptions {
    /// Creates the options that [`saga`](fn@crate::saga) uses: a cancelled saga is undone, and a compensation that
    /// fails does not stop the others.
    pub const fn new() -> Self {
        Self { name: None, keeps_on_cancel: false, stops_on_failure: false }
    }

    /// Sets the saga's name. A durable run records the decision to undo under the key `undo`, a space and this name.
    /// The key stays the same if a new version of the body moves the saga or begins other sagas before it, so
    /// unfinished runs find their decision. Sagas that execute concurrently need a name each.
    ///
    /// # Default
    /// None: the sagas of a run are numbered in the order in which they begin.
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Keeps the effects of the steps, instead of undoing them, if the run is cancelled while the body executes. On a
    /// durable run, `Workflow::retry` then continues the saga after its recorded steps.
    ///
    /// # Default
    /// A cancelled saga is undone.
    pub const fn keep_on_cancel(mut self) -> Self {
        self.keeps_on_cancel = true;
        self
    }

    /// Ends the undo at the first compensation that fails after its retries, so that a person can look at the failure
    /// first. On a durable run, `Workflow::retry` continues with the compensation that failed.
    ///
    /// # Default
    /// The other compensations still run.
    pub const fn stop_on_failure(mut self) -> Self {
        self.stops_on_failure = true;
        self
    }
}
