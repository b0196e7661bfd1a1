use std::any::type_name;
use std::fmt;
use std::time::Duration;

use awaitly_core::extend::stage::{Cue, Prop, Reply};
use awaitly_core::journal::{Key, Payload};
use awaitly_core::{Limit, RunError};
use serde::Serialize;

/// What one attempt ends in: a value, an error, an end that the library brings about; or none of these.
pub struct Outcome {
    end: End,
    after: Duration,
}

/// What it is made by. `None`: it was there once, and is gone.
type Make = Box<dyn FnMut() -> Option<Prop> + Send>;

/// The error that the library ends an attempt in, from what the step is called and the number of the attempt.
type Stop = Box<dyn Fn(&Key, u32) -> RunError + Send>;

enum End {
    Value(Make, &'static str),
    Error(Make, &'static str),
    Stopped(Stop),
    Panic(Box<str>),
    Operation,
    Never,
    Answer(Reply),
}

/// What is done at one attempt.
pub(crate) struct Play {
    pub(crate) act: Act,
    pub(crate) after: Duration,
}

pub(crate) enum Act {
    Give(Cue),
    Panic(Box<str>),
    Hang,
    /// It is for a step that asks somebody outside.
    Answer,
}

/// The operation returns `value`.
#[must_use]
pub fn ok<T: Clone + Send + 'static>(value: T) -> Outcome {
    Outcome::new(End::Value(Box::new(move || Some(Prop::new(value.clone()))), type_name::<T>()))
}

/// The operation fails with `error`.
#[must_use]
pub fn err<E: Clone + Send + 'static>(error: E) -> Outcome {
    Outcome::new(End::Error(Box::new(move || Some(Prop::new(error.clone()))), type_name::<E>()))
}

/// One operation returns `value`, for a value that cannot be cloned. After that the step is as one without a script.
#[must_use]
pub fn ok_once<T: Send + 'static>(value: T) -> Outcome {
    let mut value = Some(value);
    Outcome::new(End::Value(Box::new(move || value.take().map(Prop::new)), type_name::<T>()))
}

/// One operation fails with `error`, for an error that cannot be cloned. After that the step is as one without a script.
#[must_use]
pub fn err_once<E: Send + 'static>(error: E) -> Outcome {
    let mut error = Some(error);
    Outcome::new(End::Error(Box::new(move || error.take().map(Prop::new)), type_name::<E>()))
}

/// The library ends the attempt in `error`.
#[must_use]
pub fn stop(error: RunError) -> Outcome {
    stopped_by(move |_, _| error.clone())
}

/// The attempt takes `after`, and then it has taken too long: [`RunError::Timeout`] of the attempt.
#[must_use]
pub fn timeout(after: Duration) -> Outcome {
    let timeout = move |step: &Key, attempt| RunError::Timeout {
        step: step.clone(),
        attempt,
        after,
        limit: Limit::Attempt,
    };
    stopped_by(timeout).after(after)
}

/// The attempt ends as where the run is cancelled: [`RunError::Cancelled`].
#[must_use]
pub fn cancelled() -> Outcome {
    stopped_by(|step, _| RunError::Cancelled { step: Some(step.clone()) })
}

/// The attempt ends as where a guard called `by` refuses it: [`RunError::Refused`].
#[must_use]
pub fn refused(by: &str, reason: &str) -> Outcome {
    let (by, reason) = (Box::<str>::from(by), Box::<str>::from(reason));
    stopped_by(move |step, _| {
        let (step, by, reason) = (step.clone(), by.clone(), reason.clone());
        RunError::Refused { step, by, reason, retry_after: None }
    })
}

/// Somebody outside answers `value` to a step that asks, such as an approval.
///
/// # Panics
/// Where the value has no JSON form.
#[must_use]
#[track_caller]
pub fn answer<T: Serialize + ?Sized>(value: &T) -> Outcome {
    Outcome::new(End::Answer(Reply::Value(encoded(value))))
}

/// Somebody outside says no to a step that asks.
///
/// # Panics
/// Where the reason has no JSON form.
#[must_use]
#[track_caller]
pub fn rejected<R: Serialize + ?Sized>(reason: &R) -> Outcome {
    Outcome::new(End::Answer(Reply::Rejected(encoded(reason))))
}

/// Nobody answers in time to a step that asks.
#[must_use]
pub const fn expired() -> Outcome {
    Outcome::new(End::Answer(Reply::Expired))
}

#[track_caller]
fn encoded<T: Serialize + ?Sized>(value: &T) -> Payload {
    Payload::encode(value).unwrap_or_else(|error| panic!("the answer has no JSON form: {error}"))
}

/// The operation panics.
#[must_use]
pub fn panic(message: impl Into<Box<str>>) -> Outcome {
    Outcome::new(End::Panic(message.into()))
}

/// The operation is called after all.
#[must_use]
pub fn real() -> Outcome {
    Outcome::new(End::Operation)
}

/// The operation never ends: only a limit of time or a cancellation ends the attempt.
#[must_use]
pub fn hang() -> Outcome {
    Outcome::new(End::Never)
}

fn stopped_by(error: impl Fn(&Key, u32) -> RunError + Send + 'static) -> Outcome {
    Outcome::new(End::Stopped(Box::new(error)))
}

impl Outcome {
    const fn new(end: End) -> Self {
        Self { end, after: Duration::ZERO }
    }

    /// The same, when `delay` has passed: the step's limits of time bind as ever.
    ///
    /// # Default
    /// At once, but for [`timeout`], which takes its time.
    ///
    /// # Panics
    /// Where the outcome is an answer of somebody outside: those come at once. For one that comes later, leave the step
    /// without a script: the run waits, and the test answers it when that time has passed.
    #[must_use]
    #[track_caller]
    pub const fn after(mut self, delay: Duration) -> Self {
        assert!(
            !matches!(self.end, End::Answer(_)),
            "answers of a script come at once: leave out `after`; or leave the step without a script, so that the run \
             waits, and answer it when that time has passed"
        );
        self.after = delay;
        self
    }

    /// What is done at that attempt at `step`. `None`: the outcome was there once, and is gone.
    pub(crate) fn play(&mut self, step: &Key, attempt: u32) -> Option<Play> {
        let act = match &mut self.end {
            End::Value(make, _) => Act::Give(Cue::Value(make()?)),
            End::Error(make, _) => Act::Give(Cue::Error(make()?)),
            End::Stopped(error) => Act::Give(Cue::Stopped(error(step, attempt))),
            End::Panic(message) => Act::Panic(message.clone()),
            End::Operation => Act::Give(Cue::Operation),
            End::Never => Act::Hang,
            End::Answer(_) => Act::Answer,
        };
        Some(Play { act, after: self.after })
    }
}

impl Outcome {
    /// What somebody outside answers. `None`: the outcome is for a step with an operation.
    pub(crate) fn reply(&self) -> Option<Reply> {
        match &self.end {
            End::Answer(reply) => Some(reply.clone()),
            _ => None,
        }
    }
}

impl Play {
    /// Nobody said what comes of the attempt.
    pub(crate) const fn unscripted() -> Self {
        Self { act: Act::Give(Cue::Unscripted), after: Duration::ZERO }
    }

    /// The operation is called.
    pub(crate) const fn operation() -> Self {
        Self { act: Act::Give(Cue::Operation), after: Duration::ZERO }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            End::Value(_, type_name) => write!(f, "ok({type_name})")?,
            End::Error(_, type_name) => write!(f, "err({type_name})")?,
            End::Stopped(_) => f.write_str("stop(..)")?,
            End::Panic(message) => write!(f, "panic({message:?})")?,
            End::Operation => f.write_str("real()")?,
            End::Never => f.write_str("hang()")?,
            End::Answer(Reply::Value(_)) => f.write_str("answer(..)")?,
            End::Answer(Reply::Rejected(_)) => f.write_str("rejected(..)")?,
            End::Answer(Reply::Expired) => f.write_str("expired()")?,
        }
        if self.after.is_zero() { Ok(()) } else { write!(f, " after {:?}", self.after) }
    }
}
