use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{FromStep, RunError};
use crate::journal::{DecodeError, EncodeError, Outcome, Payload};
use crate::step::{Durable, ValuesOnly};

/// The recorded part of a run's result: [`Durable`] records the value and the error, and [`ValuesOnly`] the value and
/// the text of the error. Do not implement this trait.
#[diagnostic::on_unimplemented(
    message = "the value `{T}` or the error `{E}` of this run cannot be recorded",
    label = "the result of this run",
    note = "derive `serde::Serialize` and `serde::Deserialize` on both",
    note = "where the error has no serde, such as `anyhow::Error`, keep its text: `Workflow::errors_as_text()`",
    note = "the error also needs `From<RunError>`, or is `awaitly::Error<..>`"
)]
pub trait KeepRun<T, E> {
    /// Encodes the result for the store.
    #[doc(hidden)]
    fn encode(result: Result<&T, &E>, run: &str) -> Result<Outcome, EncodeError>;

    /// Encodes the error of a cancelled run, so that each later call returns this error.
    #[doc(hidden)]
    fn encode_cancelled(error: &E, cancelled: &RunError) -> Result<Outcome, EncodeError>;

    /// Decodes a recorded result.
    #[doc(hidden)]
    fn decode(outcome: &Outcome) -> Result<Result<T, E>, DecodeError>;
}

#[diagnostic::do_not_recommend]
impl<T, E> KeepRun<T, E> for Durable
where
    T: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned + fmt::Display + FromStep<RunError>,
{
    fn encode(result: Result<&T, &E>, _: &str) -> Result<Outcome, EncodeError> {
        match result {
            Ok(value) => Payload::encode_to_return(value).map(Outcome::Value),
            Err(error) => Payload::encode_to_return(error).map(Outcome::Failed),
        }
    }

    fn encode_cancelled(error: &E, _: &RunError) -> Result<Outcome, EncodeError> {
        Payload::encode_to_return(error).map(Outcome::Failed)
    }

    fn decode(outcome: &Outcome) -> Result<Result<T, E>, DecodeError> {
        match outcome {
            Outcome::Value(payload) => payload.decode().map(Ok),
            Outcome::Failed(payload) => payload.decode().map(Err),
            Outcome::Stopped(payload) => stopped(payload),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<T, E> KeepRun<T, E> for ValuesOnly
where
    T: Serialize + DeserializeOwned,
    E: fmt::Display + FromStep<RunError>,
{
    fn encode(result: Result<&T, &E>, run: &str) -> Result<Outcome, EncodeError> {
        match result {
            Ok(value) => Payload::encode_to_return(value).map(Outcome::Value),
            Err(error) => {
                // The alternate form of anyhow's errors includes the whole chain.
                let text = format!("{error:#}").into();
                Payload::encode(&RunError::Failed { run: run.into(), text }).map(Outcome::Stopped)
            }
        }
    }

    fn encode_cancelled(_: &E, cancelled: &RunError) -> Result<Outcome, EncodeError> {
        Payload::encode(cancelled).map(Outcome::Stopped)
    }

    fn decode(outcome: &Outcome) -> Result<Result<T, E>, DecodeError> {
        match outcome {
            Outcome::Value(payload) => payload.decode().map(Ok),
            Outcome::Failed(payload) | Outcome::Stopped(payload) => stopped(payload),
        }
    }
}

fn stopped<T, E: FromStep<RunError>>(payload: &Payload) -> Result<Result<T, E>, DecodeError> {
    payload.decode().map(|error| Err(E::from_step(error)))
}
