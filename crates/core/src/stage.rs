//! The stage on which a test plays the part of operations: steps tell it of look-ups, and ask it at each attempt.

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
    /// The body of a durable run is about to be called. `token` cancels the run.
    fn begins(&self, token: &CancellationToken) {
        let _ = token;
    }

    /// A step is about to be looked up in the journal; one that is not recorded is about to begin.
    fn looks_up(&self, run: &str, step: &StepId);

    /// The guards have admitted an attempt. What is played in the place of the operation; `None`: nothing, it is called.
    /// Not asked for a sleep, which has no operation.
    fn attempt(&self, step: &StepId, attempt: u32) -> Option<Scene>;

    /// A step asks somebody outside, and nobody has answered. What is answered at once; `None`: nothing, it waits.
    fn answer(&self, step: &StepId) -> Option<Reply> {
        let _ = step;
        None
    }

    /// What was played for a step is not what it has, so the run is stopped.
    fn misfits(&self, step: &StepId, misfit: &Misfit) {
        let _ = (step, misfit);
    }

    /// The body of a durable run has returned.
    fn body_returned(&self, returned: &Returned<'_>) {
        let _ = returned;
    }

    /// The library refuses to go on with the step, or with the run, whatever the body makes of that.
    fn refuses(&self, step: Option<&StepId>, error: &RunError) {
        let _ = (step, error);
    }
}

/// A body that has returned, and what it leaves.
pub struct Returned<'a> {
    /// The run.
    pub run: &'a str,
    /// Whether it returned a value.
    pub a_value: bool,
    /// That the run cannot go on, where that was known before.
    pub stopped: Option<&'a RunError>,
    /// Whether the body knows a key: a step was built with it, or it was looked at.
    pub knows: &'a dyn Fn(&str) -> bool,
}

/// An attempt that is played. A panic in it is one of the operation.
pub type Scene = Pin<Box<dyn Future<Output = Cue> + Send>>;

/// What comes of an attempt that is played.
pub enum Cue {
    /// The operation is called after all.
    Operation,
    /// It returned this.
    Value(Prop),
    /// It failed with this.
    Error(Prop),
    /// The library ended it.
    Stopped(RunError),
    /// Nobody said what comes of it: the step is refused, and the run stopped.
    Unscripted,
}

/// What is answered to a step that asks.
#[derive(Debug, Clone)]
pub enum Reply {
    /// This.
    Value(Payload),
    /// No, for this reason.
    Rejected(Payload),
    /// Nothing in time.
    Expired,
}

/// A value of a type that only who made it knows.
pub struct Prop {
    value: Box<dyn Any + Send>,
    type_name: &'static str,
}

impl Prop {
    /// `value`, of any type.
    pub fn new<T: Any + Send>(value: T) -> Self {
        Self { value: Box::new(value), type_name: type_name::<T>() }
    }

    /// The value, where it is a `T`.
    ///
    /// # Errors
    /// What it is instead.
    pub(crate) fn take<T: 'static>(self) -> Result<T, Misfit> {
        let Self { value, type_name: given } = self;
        let misfit = |_| Misfit::OtherType { given, expected: type_name::<T>() };
        value.downcast().map(|value| *value).map_err(misfit)
    }

    /// What is said where the step's value may borrow.
    pub(crate) fn into_misfit(self) -> Misfit {
        Misfit::Borrows { given: self.type_name }
    }
}

/// Why what is played is not what the step has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// A value or an error of another type.
    OtherType {
        /// Its type.
        given: &'static str,
        /// That of the step.
        expected: &'static str,
    },
    /// The step's value may borrow.
    Borrows {
        /// The type of what was played.
        given: &'static str,
    },
    /// Nothing is.
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

/// Who ends a step whose script does not fit.
pub const SCRIPT: &str = "script";

impl fmt::Debug for Returned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, a_value, stopped, .. } = self;
        f.debug_struct("Returned")
            .field("run", run)
            .field("a_value", a_value)
            .field("stopped", stopped)
            .finish_non_exhaustive()
    }
}

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
