//! The stage: with it, a test replaces the operations of steps. Steps report each lookup to the stage and ask it before
//! each attempt.

use std::any::{Any, type_name};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;

use crate::error::RunError;
use crate::event::StepId;
use crate::journal::Payload;

/// Stands between the steps of a run and their operations.
pub trait Stage: Send + Sync + 'static {
    /// The library is about to call the body of the durable run `run`. `token` cancels the run.
    fn begins(&self, run: &str, token: &CancellationToken) {
        let _ = (run, token);
    }

    /// A step is about to look up its key in the journal. If the journal has no outcome for it, the step begins.
    fn looks_up(&self, run: &str, step: &StepId);

    /// The guards have admitted an attempt. Returns the scene to play instead of the operation, or `None` to call the
    /// operation. A sleep has no operation, so the library does not call this method for it.
    fn attempt(&self, step: &StepId, attempt: u32) -> Option<Scene>;

    /// A step asks for an answer from outside, and the journal has none. Returns the answer to give at once, or `None`
    /// to let the step wait.
    fn answer(&self, step: &StepId) -> Option<Reply> {
        let _ = step;
        None
    }

    /// The played scene does not fit the types of the step, so the library stops the run.
    fn misfits(&self, step: &StepId, misfit: &Misfit) {
        let _ = (step, misfit);
    }

    /// The body of the durable run `run` has returned. `a_value` states whether it returned a value. `stopped` is the
    /// reason why the run cannot continue, if the library knows one already. `knows` returns whether the body knows a
    /// key: the body built a step with the key, or looked at its recorded outcome.
    fn body_returned(
        &self,
        run: &str,
        a_value: bool,
        stopped: Option<&RunError>,
        knows: &dyn Fn(&str) -> bool,
    ) {
        let _ = (run, a_value, stopped, knows);
    }

    /// The library refuses to continue the step or the run, regardless of how the body handles the error.
    fn refuses(&self, step: Option<&StepId>, error: &RunError) {
        let _ = (step, error);
    }
}

/// The future of a played attempt. A panic in it counts as a panic of the operation.
pub type Scene = Pin<Box<dyn Future<Output = Cue> + Send>>;

/// The result of a [`Scene`], which a stage plays instead of calling the operation of an attempt.
pub enum Cue {
    /// The scene has no result: the step calls its operation after all.
    Operation,
    /// The step continues as if the operation had returned this value.
    Value(Prop),
    /// The step continues as if the operation had failed with this error.
    Error(Prop),
    /// The step continues as if the library had ended the attempt with this error, for example a timeout.
    Stopped(RunError),
    /// The script has no result for the attempt: the library refuses the step and stops the run.
    Unscripted,
}

/// The answer of a stage to a step that asks for an answer from outside.
#[derive(Debug, Clone)]
pub enum Reply {
    /// This value.
    Value(Payload),
    /// A rejection, with its reason.
    Rejected(Payload),
    /// No answer came in time.
    Expired,
}

/// A value whose type only its creator knows.
pub struct Prop {
    value: Box<dyn Any + Send>,
    type_name: &'static str,
}

impl Prop {
    /// Creates a prop from a value of any type.
    pub fn new<T: Any + Send>(value: T) -> Self {
        Self { value: Box::new(value), type_name: type_name::<T>() }
    }

    /// Returns the value, if it is a `T`.
    ///
    /// # Errors
    /// Returns the [`Misfit`] if the value has another type.
    pub(crate) fn take<T: 'static>(self) -> Result<T, Misfit> {
        let Self { value, type_name: given } = self;
        let misfit = |_| Misfit::OtherType { given, expected: type_name::<T>() };
        value.downcast().map(|value| *value).map_err(misfit)
    }

    /// Returns the misfit of a step whose value may borrow.
    pub(crate) fn into_misfit(self) -> Misfit {
        Misfit::Borrows { given: self.type_name }
    }
}

/// The reason why a played result does not fit its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The played value or error has another type than the step.
    OtherType {
        /// The type of the played value.
        given: &'static str,
        /// The type of the step.
        expected: &'static str,
    },
    /// The step's value may borrow, so its type cannot be compared.
    Borrows {
        /// The type of the played value.
        given: &'static str,
    },
    /// The script has no result for the step.
    Unscripted,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherType { given, expected } => {
                write!(f, "the script gives `{given}` where the step has `{expected}`")
            }
            Self::Borrows { given } => {
                write!(
                    f,
                    "the script gives `{given}` where the step has a value that may borrow, which \
                     no script can give"
                )
            }
            Self::Unscripted => f.write_str("no script says what it ends in"),
        }
    }
}

/// The name in the field `by` of [`RunError::Refused`] if the library refuses a step because its script does not fit.
pub const SCRIPT: &str = "script";

impl fmt::Debug for Cue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation => f.write_str("Operation"),
            Self::Value(prop) => write!(f, "Value({})", prop.type_name),
            Self::Error(prop) => write!(f, "Error({})", prop.type_name),
            Self::Stopped(error) => f.debug_tuple("Stopped").field(error).finish(),
            Self::Unscripted => f.write_str("Unscripted"),
        }
    }
}

impl fmt::Debug for Prop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prop").field("type", &self.type_name).finish_non_exhaustive()
    }
}
