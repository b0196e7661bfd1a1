use serde::{Deserialize, Serialize};

/// What a saga does besides undoing in reverse order.
///
/// ```
/// use awaitly_saga::{OnCancel, OnGiveUp, SagaOptions};
///
/// let careful = SagaOptions::new().on_cancel(OnCancel::Keep).on_give_up(OnGiveUp::Stop);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "give them to `saga_with`"]
pub struct SagaOptions {
    pub(crate) name: Option<&'static str>,
    pub(crate) on_cancel: OnCancel,
    pub(crate) on_give_up: OnGiveUp,
}

impl SagaOptions {
    /// Those of [`saga`](fn@crate::saga): a cancelled saga is undone, and a compensation that gives up does not stop
    /// the others.
    pub const fn new() -> Self {
        Self { name: None, on_cancel: OnCancel::Undo, on_give_up: OnGiveUp::Continue }
    }

    /// What the saga is called. On a durable run, it is recorded under `undo` and this name that it is being undone; so
    /// a saga that has one can be moved, and others can be put before it, while runs are under way. Sagas that are executed
    /// side by side each need one.
    ///
    /// # Default
    /// None: the sagas of a run are counted, in the order in which they begin.
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// What happens when the run is cancelled while the body runs.
    ///
    /// # Default
    /// [`OnCancel::Undo`]
    pub const fn on_cancel(mut self, on_cancel: OnCancel) -> Self {
        self.on_cancel = on_cancel;
        self
    }

    /// What happens when a compensation fails for good, after its retries.
    ///
    /// # Default
    /// [`OnGiveUp::Continue`]
    pub const fn on_give_up(mut self, on_give_up: OnGiveUp) -> Self {
        self.on_give_up = on_give_up;
        self
    }
}

/// What happens to a saga whose run is cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCancel {
    /// It is undone.
    #[default]
    Undo,
    /// What it did stays. On a durable run, `Workflow::retry` resumes it from there.
    Keep,
}

/// What happens when a compensation fails for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnGiveUp {
    /// The compensations before it run all the same.
    #[default]
    Continue,
    /// None of them runs: somebody looks at it first. On a durable run, `Workflow::retry` goes on with the
    /// compensation that failed.
    Stop,
}
