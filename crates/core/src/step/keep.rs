use serde::{Deserialize, Serialize};

use crate::error::{Error, RunError};
use crate::journal::{DecodeError, EncodeError, Outcome, Payload};
use crate::stage::{Misfit, Prop};

/// The typed outcome of a step.
pub type Ended<T, E> = Result<T, Error<E>>;

/// The recorded part of a step's outcome: [`Durable`] records the value and the error, [`ValuesOnly`] records only the
/// value, and [`Volatile`] and [`Borrowing`] record nothing.
///
/// On a durable run, this trait requires values and errors with serde. Except for steps of
/// [`Run::borrowing`](crate::Run::borrowing), it also requires values and errors that own their data, so that a test
/// can script them. Do not implement this trait.
#[diagnostic::on_unimplemented(
    message = "the value `{T}` or the error `{E}` of this step cannot be recorded",
    label = "recorded here, so both need `serde::Serialize` and `serde::Deserialize`",
    note = "derive both on your types; or keep only the value with `.rerun_errors()`, so that a failed step runs again on resume",
    note = "or do not record the step at all: build it on `run.volatile()`, and it runs again on resume"
)]
pub trait Keep<T, E> {
    /// Whether outcomes are recorded.
    const KEEPS: bool;

    /// Encodes the outcome for the journal. Returns `None` if the outcome is not recorded.
    fn encode(ended: &Ended<T, E>) -> Option<Result<Outcome, EncodeError>>;

    /// Decodes a recorded outcome. Returns `None` if the outcome does not count and the step runs.
    fn decode(outcome: &Outcome) -> Option<Result<Ended<T, E>, DecodeError>>;

    /// Converts the value that a test provides.
    #[doc(hidden)]
    fn played(value: Prop) -> Result<T, Misfit>;

    /// Converts the error that a test provides.
    #[doc(hidden)]
    fn played_error(error: Prop) -> Result<E, Misfit>;
}

/// A recorded value or error that owns its data, so that it can be read from a store: `String`, not `&str`.
///
/// Every type that implements [`DeserializeOwned`](serde::de::DeserializeOwned) implements this trait. Do not implement
/// it. If the compiler reports that it is "not general enough" for a type, then this type borrows. Let the step return
/// an owned value, for example `name.to_owned()`, or build the step on [`Run::borrowing`](crate::Run::borrowing), which
/// does not record.
pub trait OwnsItsData<'de>: Deserialize<'de> {}

#[diagnostic::do_not_recommend]
impl<'de, T: Deserialize<'de>> OwnsItsData<'de> for T {}

/// The mode of a run that does not record its steps.
#[derive(Debug, Clone, Copy)]
pub enum Volatile {}

/// The mode of a run that records its steps: the value or the error of each.
#[derive(Debug, Clone, Copy)]
pub enum Durable {}

/// The mode of a handle that does not record its steps: see [`Run::borrowing`](crate::Run::borrowing). The values
/// and errors of these steps may borrow, so a test cannot script the steps.
#[derive(Debug, Clone, Copy)]
pub enum Borrowing {}

/// Records values only. A failed step runs again on resume.
#[derive(Debug, Clone, Copy)]
pub enum ValuesOnly {}

#[diagnostic::do_not_recommend]
impl<T: 'static, E: 'static> Keep<T, E> for Volatile {
    const KEEPS: bool = false;

    fn encode(_: &Ended<T, E>) -> Option<Result<Outcome, EncodeError>> {
        None
    }

    fn decode(_: &Outcome) -> Option<Result<Ended<T, E>, DecodeError>> {
        None
    }

    fn played(value: Prop) -> Result<T, Misfit> {
        value.take()
    }

    fn played_error(error: Prop) -> Result<E, Misfit> {
        error.take()
    }
}

#[diagnostic::do_not_recommend]
impl<T, E> Keep<T, E> for Borrowing {
    const KEEPS: bool = false;

    fn encode(_: &Ended<T, E>) -> Option<Result<Outcome, EncodeError>> {
        None
    }

    fn decode(_: &Outcome) -> Option<Result<Ended<T, E>, DecodeError>> {
        None
    }

    fn played(value: Prop) -> Result<T, Misfit> {
        Err(value.into_misfit())
    }

    fn played_error(error: Prop) -> Result<E, Misfit> {
        Err(error.into_misfit())
    }
}

#[diagnostic::do_not_recommend]
impl<T, E> Keep<T, E> for Durable
where
    T: Serialize + for<'de> OwnsItsData<'de> + 'static,
    E: Serialize + for<'de> OwnsItsData<'de> + 'static,
{
    const KEEPS: bool = true;

    fn encode(ended: &Ended<T, E>) -> Option<Result<Outcome, EncodeError>> {
        match ended {
            Ok(value) => Some(Payload::encode_to_return(value).map(Outcome::Value)),
            Err(Error::Failed(error)) => Some(Payload::encode_to_return(error).map(Outcome::Failed)),
            Err(Error::Run(error)) => {
                error.is_recorded().then(|| Payload::encode(error).map(Outcome::Stopped))
            }
        }
    }

    fn decode(outcome: &Outcome) -> Option<Result<Ended<T, E>, DecodeError>> {
        Some(match outcome {
            Outcome::Value(payload) => payload.decode().map(Ok),
            Outcome::Failed(payload) => payload.decode().map(|error| Err(Error::Failed(error))),
            Outcome::Stopped(payload) => payload.decode().map(|error| Err(Error::Run(error))),
        })
    }

    fn played(value: Prop) -> Result<T, Misfit> {
        value.take()
    }

    fn played_error(error: Prop) -> Result<E, Misfit> {
        error.take()
    }
}

#[diagnostic::do_not_recommend]
impl<T, E> Keep<T, E> for ValuesOnly
where
    T: Serialize + for<'de> OwnsItsData<'de> + 'static,
    E: 'static,
{
    const KEEPS: bool = true;

    fn encode(ended: &Ended<T, E>) -> Option<Result<Outcome, EncodeError>> {
        ended.as_ref().ok().map(|value| Payload::encode_to_return(value).map(Outcome::Value))
    }

    fn decode(outcome: &Outcome) -> Option<Result<Ended<T, E>, DecodeError>> {
        match outcome {
            Outcome::Value(payload) => Some(payload.decode().map(Ok)),
            // The operation had its effect, although its value could not be recorded. Such a failure is not tried
            // again.
            Outcome::Stopped(payload) => payload
                .decode::<RunError>()
                .ok()
                .filter(RunError::is_unkept)
                .map(|unkept| Ok(Err(Error::Run(unkept)))),
            Outcome::Failed(_) => None,
        }
    }

    fn played(value: Prop) -> Result<T, Misfit> {
        value.take()
    }

    fn played_error(error: Prop) -> Result<E, Misfit> {
        error.take()
    }
}
