//! Scripts: what a test says that the attempts at a step end in.
//!
//! A scripted attempt goes the way of every other one: through the step's guards, its retry, its timeout, its saga and
//! its journal. Only its operation is not called. A step that asks somebody outside, an approval for one, has no
//! operation: it is scripted with [`answer`], [`rejected`] and [`expired`], and without a script of its own it waits.
//! A durable sleep has no operation and asks nobody, so there is nothing to script: it takes its time, which costs none.
//!
//! | what is said | what each attempt ends in |
//! | --- | --- |
//! | `ok(7)` | always this |
//! | `[err(Down), err(Down), ok(7)]` | these, in order; after that the step is as one without a script |
//! | `by_attempt(\|attempt\| ..)` | what the function says of that attempt |
//! | `Ok::<_, Down>(7)` | always this |
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

mod error;
mod outcome;
mod playbook;
mod player;

use std::fmt;

pub use error::{Problem, ScriptError};
pub use outcome::{
    Outcome, answer, cancelled, err, err_once, expired, hang, ok, ok_once, panic, real, refused, rejected,
    stop, timeout,
};
pub(crate) use playbook::Playbook;
pub use playbook::{Leftovers, Unscripted};
pub(crate) use player::{Interleaving, Player, pass};

/// What all attempts at the steps of one name end in.
///
/// Made from an [`Outcome`], from several of them, from a `Result`, or by [`by_attempt`].
pub struct Script(pub(crate) Kind);

pub(crate) enum Kind {
    Always(Outcome),
    InOrder(Vec<Outcome>),
    ByAttempt(Box<dyn FnMut(u32) -> Outcome + Send>),
}

/// A script that asks `say` at each attempt, of which the first is number 1. A step that asks somebody outside has no
/// attempts: `say` is asked for each answer, and the number is always 1.
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
