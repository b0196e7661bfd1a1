use serde::{Deserialize, Serialize};

/// The options of a saga.
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
    /// Creates the options that [`saga`](fn@crate::saga) uses: a cancelled saga is undone, and a compensation that
    /// fails does not stop the others.
    pub const fn new() -> Self {
        Self { name: None, on_cancel: OnCancel::Undo, on_give_up: OnGiveUp::Continue }
    }

    /// Sets the saga's name. A durable run records the decision to undo under `undo` and this name. A saga with a name
    /// can be moved, and other sagas can be put before it, while runs are under way. Sagas that execute concurrently
    /// need a name each.
    ///
    /// # Default
    /// None: the sagas of a run are numbered in the order in which they begin.
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the reaction if the run is cancelled while the body runs.
    ///
    /// # Default
    /// [`OnCancel::Undo`]
    pub const fn on_cancel(mut self, on_cancel: OnCancel) -> Self {
        self.on_cancel = on_cancel;
        self
    }

    /// Sets the reaction if a compensation fails after its retries.
    ///
    /// # Default
    /// [`OnGiveUp::Continue`]
    pub const fn on_give_up(mut self, on_give_up: OnGiveUp) -> Self {
        self.on_give_up = on_give_up;
        self
    }
}

/// The reaction of a saga to the cancellation of its run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCancel {
    /// Undoes the saga.
    #[default]
    Undo,
    /// Keeps the effects of the steps. On a durable run, `Workflow::retry` resumes the saga from there.
    Keep,
}

/// The reaction of a saga to a compensation that fails after its retries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnGiveUp {
    /// Runs the remaining compensations.
    #[default]
    Continue,
    /// Runs no further compensation, so that an operator can look at the failure first. On a durable run,
    /// `Workflow::retry` continues with the compensation that failed.
    Stop,
}
