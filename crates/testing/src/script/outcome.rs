use std::any::type_name;
use std::fmt;
use std::time::Duration;

use awaitly_core::extend::stage::{Cue, Prop, Reply};
use awaitly_core::journal::{Key, Payload};
use awaitly_core::{Limit, RunError};
use serde::Serialize;

/// The scripted outcome of one attempt, for example [`ok`] or [`hang`], or the scripted answer to a question, for
/// example [`answer`].
pub struct Outcome {
    end: End,
    after: Duration,
}

/// The factory of a value or error. Returns `None` if the value could be used once and is gone.
type Make = Box<dyn FnMut() -> Option<Prop> + Send>;

/// The factory of the error with which the library ends an attempt, from the name of the step and the number of the
/// attempt.
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

/// The action at one attempt.
pub(crate) struct Play {
    pub(crate) act: Act,
    pub(crate) after: Duration,
}

pub(crate) enum Act {
    Give(Cue),
    Panic(Box<str>),
    Hang,
    /// The outcome is meant for a step that waits for an external answer.
    Answer,
}

/// Makes the operation return `value`.
///
/// ```
/// use awaitly_core::{RunError, step};
/// use awaitly_testing::{Harness, ok, simulate};
///
/// # async fn charge() -> Result<u32, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let harness = Harness::new().script("charge", ok(7_u32));
///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", charge()))).await
/// });
/// assert_eq!(report.result, Ok(7));
/// ```
#[must_use]
pub fn ok<T: Clone + Send + 'static>(value: T) -> Outcome {
    Outcome::new(End::Value(Box::new(move || Some(Prop::new(value.clone()))), type_name::<T>()))
}

/// Makes the operation fail with `error`.
#[must_use]
pub fn err<E: Clone + Send + 'static>(error: E) -> Outcome {
    Outcome::new(End::Error(Box::new(move || Some(Prop::new(error.clone()))), type_name::<E>()))
}

/// Makes the operation return `value` in one attempt, for a type that cannot be cloned. Later attempts count as
/// unscripted.
///
/// ```
/// use awaitly_core::{Run, RunError, step};
/// use awaitly_testing::{Harness, ok_once, simulate};
///
/// struct Socket(u32); // cannot be cloned
/// # async fn connect() -> Result<Socket, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let body = async |run: &Run| {
///         let Socket(number) = step!(run, "connect", connect());
///         Ok::<_, RunError>(number)
///     };
///     Harness::new().script("connect", ok_once(Socket(7))).run_volatile(body).await
/// });
/// assert_eq!(report.result, Ok(7));
/// ```
#[must_use]
pub fn ok_once<T: Send + 'static>(value: T) -> Outcome {
    let mut value = Some(value);
    Outcome::new(End::Value(Box::new(move || value.take().map(Prop::new)), type_name::<T>()))
}

/// Makes the operation fail with `error` in one attempt, for a type that cannot be cloned. Later attempts count as
/// unscripted.
#[must_use]
pub fn err_once<E: Send + 'static>(error: E) -> Outcome {
    let mut error = Some(error);
    Outcome::new(End::Error(Box::new(move || error.take().map(Prop::new)), type_name::<E>()))
}

/// Makes the library end the attempt with `error`.
///
/// ```
/// use awaitly_core::{RunError, step};
/// use awaitly_testing::{Harness, simulate, stop};
///
/// # async fn charge() -> Result<u32, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let harness = Harness::new().script("charge", stop(RunError::Expired { step: "offer".into() }));
///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", charge()))).await
/// });
/// assert!(matches!(report.result, Err(RunError::Expired { .. })));
/// ```
#[must_use]
pub fn stop(error: RunError) -> Outcome {
    stopped_by(move |_, _| error.clone())
}

/// Makes the attempt time out after `after`. The attempt ends with [`RunError::Timeout`], whose limit is
/// [`Limit::Attempt`].
///
/// ```
/// use awaitly_core::{Limit, Retry, RunError, clock::secs, step};
/// use awaitly_testing::{Harness, ok, simulate, timeout};
///
/// # async fn charge() -> Result<u32, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let harness = Harness::new().script("charge", [timeout(secs(5)), ok(7_u32)]);
///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", retry = Retry::fixed(secs(1)).attempts(2), charge()))).await
/// });
/// assert_eq!(report.result, Ok(7));
/// report.assert_calls("charge", 2);
/// ```
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

/// Makes the attempt end as if the run were cancelled, with [`RunError::Cancelled`].
///
/// ```
/// use awaitly_core::{RunError, step};
/// use awaitly_testing::{Harness, cancelled, report::RunEnding, simulate};
///
/// # async fn charge() -> Result<u32, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let harness = Harness::new().script("charge", cancelled());
///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", charge()))).await
/// });
/// assert_eq!(report.ending(), RunEnding::Cancelled);
/// ```
#[must_use]
pub fn cancelled() -> Outcome {
    stopped_by(|step, _| RunError::Cancelled { step: Some(step.clone()) })
}

/// Makes the attempt end as if a guard named `by` refused it, with [`RunError::Refused`].
///
/// ```
/// use awaitly_core::{RunError, step};
/// use awaitly_testing::{Harness, refused, simulate};
///
/// # async fn charge() -> Result<u32, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let harness = Harness::new().script("charge", refused("bank", "the breaker is open"));
///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", charge()))).await
/// });
/// assert!(matches!(report.result, Err(RunError::Refused { .. })));
/// ```
#[must_use]
pub fn refused(by: &str, reason: &str) -> Outcome {
    let (by, reason) = (Box::<str>::from(by), Box::<str>::from(reason));
    stopped_by(move |step, _| {
        let (step, by, reason) = (step.clone(), by.clone(), reason.clone());
        RunError::Refused { step, by, reason, retry_after: None }
    })
}

/// Answers a step that waits for an external answer, such as an approval, with `value`.
///
/// ```
/// use awaitly_core::{RunError, step};
/// use awaitly_testing::{Harness, answer, simulate};
///
/// let report = simulate(async || {
///     let harness = Harness::new().script("manager", answer(&4200));
///     harness.run(async |run| Ok::<u64, RunError>(step!(run.wait_for("manager")))).await
/// });
/// assert_eq!(report.result, Ok(4200));
/// ```
///
/// # Panics
/// Panics if the value cannot be encoded as JSON.
#[must_use]
#[track_caller]
pub fn answer<T: Serialize + ?Sized>(value: &T) -> Outcome {
    Outcome::new(End::Answer(Reply::Value(encoded(value))))
}

/// Rejects the request of a step that waits for an external answer, with a reason.
///
/// # Panics
/// Panics if the reason cannot be encoded as JSON.
#[must_use]
#[track_caller]
pub fn rejected<R: Serialize + ?Sized>(reason: &R) -> Outcome {
    Outcome::new(End::Answer(Reply::Rejected(encoded(reason))))
}

/// Lets the question of a step expire without an answer.
///
/// ```
/// use awaitly_core::{RunError, step};
/// use awaitly_testing::{Harness, expired, simulate};
///
/// let report = simulate(async || {
///     let harness = Harness::new().script("manager", expired());
///     harness.run(async |run| Ok::<u64, RunError>(step!(run.wait_for("manager")))).await
/// });
/// assert!(matches!(report.result, Err(RunError::Expired { .. })));
/// ```
#[must_use]
pub const fn expired() -> Outcome {
    Outcome::new(End::Answer(Reply::Expired))
}

#[track_caller]
fn encoded<T: Serialize + ?Sized>(value: &T) -> Payload {
    Payload::encode(value).unwrap_or_else(|error| panic!("the answer cannot be encoded as JSON: {error}"))
}

/// Makes the operation panic with `message`.
///
/// ```
/// use awaitly_core::{RunError, step};
/// use awaitly_testing::{Harness, panic, simulate};
///
/// # async fn charge() -> Result<u32, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let harness = Harness::new().script("charge", panic("no network"));
///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", charge()))).await
/// });
/// assert!(matches!(report.result, Err(RunError::Panicked { .. })));
/// ```
#[must_use]
pub fn panic(message: impl Into<Box<str>>) -> Outcome {
    Outcome::new(End::Panic(message.into()))
}

/// Makes the attempt call the step's operation, as without a script.
#[must_use]
pub fn real() -> Outcome {
    Outcome::new(End::Operation)
}

/// Makes the operation hang, so that only a time limit or a cancellation ends the attempt.
///
/// ```
/// use awaitly_core::{RunError, clock::secs, step};
/// use awaitly_testing::{Harness, hang, simulate};
///
/// # async fn charge() -> Result<u32, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let harness = Harness::new().script("charge", hang());
///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", timeout = secs(5), charge()))).await
/// });
/// assert!(matches!(report.result, Err(RunError::Timeout { .. })));
/// ```
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

    /// Delays the outcome by `delay` of tokio's time. The step's time limits apply.
    ///
    /// ```
    /// use awaitly_core::{RunError, clock::secs, step};
    /// use awaitly_testing::{Harness, ok, simulate};
    ///
    /// # async fn charge() -> Result<u32, RunError> { unreachable!() }
    /// let report = simulate(async || {
    ///     let harness = Harness::new().script("charge", ok(7_u32).after(secs(2)));
    ///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", charge()))).await
    /// });
    /// assert_eq!(report.trace(), "2s  charge  succeeded, took 2s\n2s  the run completed\n");
    /// ```
    ///
    /// # Default
    /// No delay, except for [`timeout`], which takes its time limit.
    ///
    /// # Panics
    /// Panics if the outcome is an external answer, because answers arrive immediately. To test a later answer, leave
    /// the step unscripted, so that the run waits, and answer it after the time has passed.
    #[must_use]
    #[track_caller]
    pub const fn after(mut self, delay: Duration) -> Self {
        assert!(
            !matches!(self.end, End::Answer(_)),
            "a scripted answer arrives immediately: remove `after`; or leave the step unscripted, so that the run waits, \
             and answer it later"
        );
        self.after = delay;
        self
    }

    /// Returns the action at this attempt, or `None` if the outcome could be used once and is gone.
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
    /// Returns the external answer. `None` if the outcome is meant for a step with an operation.
    pub(crate) fn reply(&self) -> Option<Reply> {
        match &self.end {
            End::Answer(reply) => Some(reply.clone()),
            _ => None,
        }
    }
}

impl Play {
    /// Creates the action for an attempt without a script that [`Harness::scripted_only`](crate::Harness::scripted_only) refuses.
    pub(crate) const fn unscripted() -> Self {
        Self { act: Act::Give(Cue::Unscripted), after: Duration::ZERO }
    }

    /// Creates the action that calls the operation.
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
