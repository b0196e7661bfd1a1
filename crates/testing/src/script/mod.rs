//! Scripts, which set the outcomes of the attempts at a step.
//!
//! A scripted attempt passes through the step's guards, retry, timeout, saga and journal like any other; only the
//! operation is not called. A step that waits for an external answer, such as an approval, has no operation. Script
//! it with [`answer`], [`rejected`] or [`expired`]; without a script of its own it waits. A durable sleep has neither
//! an operation nor an answer, so it cannot be scripted. In paused time a sleep costs no real time.
//!
//! | script | outcome of each attempt |
//! | --- | --- |
//! | `ok(7)` | always this value |
//! | `[err(Down), err(Down), ok(7)]` | these, in order; afterwards the step counts as unscripted |
//! | `by_attempt(\|attempt\| ..)` | the return value of the function for that attempt |
//! | `Ok::<_, Down>(7)` | always this result |
//!
//! ```
//! use awaitly_core::{Error, Retry, RunError, clock::secs, step};
//! use awaitly_testing::{Harness, err, ok};
//!
//! # #[derive(Debug, Clone, PartialEq, thiserror::Error)]
//! # #[error("down")]
//! # struct Down;
//! # #[derive(Debug, PartialEq, thiserror::Error)]
//! # enum PageError { #[error(transparent)] Down(#[from] Down), #[error(transparent)] Run(#[from] RunError) }
//! # async fn fetch() -> Result<u32, Down> { unreachable!() }
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let report = Harness::new()
//!     .script("fetch", [err(Down), err(Down).after(secs(1)), ok(7_u32)])
//!     .run_volatile(async |run| Ok::<_, PageError>(step!(run, retry = Retry::fixed(secs(1)).attempts(3), fetch())))
//!     .await;
//!
//! assert_eq!(report.result, Ok(7));
//! report.assert_calls("fetch", 3);
//! # });
//! ```

mod outcome;
mod playbook;
mod player;
mod problem;

use std::fmt;

pub use outcome::{
    Outcome, answer, cancelled, err, err_once, expired, hang, ok, ok_once, panic, real, refused, rejected,
    stop, timeout,
};
pub(crate) use playbook::Playbook;
pub(crate) use player::{Interleaving, Player, pass};
pub(crate) use problem::Problem;

/// The outcomes of all attempts at the steps with one name or key.
///
/// A script is created from an [`Outcome`], from several outcomes, from a `Result`, or with [`by_attempt`].
pub struct Script(pub(crate) Kind);

pub(crate) enum Kind {
    Always(Outcome),
    InOrder(Vec<Outcome>),
    ByAttempt(Box<dyn FnMut(u32) -> Outcome + Send>),
}

/// Creates a script that calls `say` with the number of each attempt; the first attempt has number 1. A step that
/// waits for an external answer has no attempts: the script calls `say` for each answer, always with 1.
///
/// ```
/// use awaitly_testing::{by_attempt, err, ok};
///
/// let works_at_last = by_attempt(|attempt| if attempt < 3 { err("down") } else { ok(attempt) });
/// # let _ = works_at_last;
/// ```
pub fn by_attempt(say: impl FnMut(u32) -> Outcome + Send + 'static) -> Script {
    Script(Kind::ByAttempt(Box::new(say)))
}

impl From<Outcome> for Script {
    fn from(outcome: Outcome) -> Self {
        Self(Kind::Always(outcome))
    }
}

impl<const N: usize> From<[Outcome; N]> for Script {
    fn from(outcomes: [Outcome; N]) -> Self {
        Self::from(Vec::from(outcomes))
    }
}

impl From<Vec<Outcome>> for Script {
    fn from(outcomes: Vec<Outcome>) -> Self {
        Self(Kind::InOrder(outcomes))
    }
}

impl<T, E> From<Result<T, E>> for Script
where
    T: Clone + Send + 'static,
    E: Clone + Send + 'static,
{
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => ok(value).into(),
            Err(error) => err(error).into(),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Always(outcome) => outcome.fmt(f),
            Kind::InOrder(outcomes) => f.debug_list().entries(outcomes).finish(),
            Kind::ByAttempt(_) => f.write_str("by_attempt(..)"),
        }
    }
}
