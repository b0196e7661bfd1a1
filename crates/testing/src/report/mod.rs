//! What happened in a run: its steps, assertions on them, a trace as text, JSON, and what differs between two runs.
//!
//! ```
//! use awaitly_core::retry::{Jitter, Retry};
//! use awaitly_core::{RunError, clock::ms, step};
//! use awaitly_testing::{Harness, err, ok};
//!
//! # #[derive(Debug, Clone, PartialEq, thiserror::Error)]
//! # #[error("down")]
//! # struct Down;
//! # #[derive(Debug, PartialEq, thiserror::Error)]
//! # enum PageError { #[error(transparent)] Down(#[from] Down), #[error(transparent)] Run(#[from] RunError) }
//! # async fn fetch() -> Result<u32, Down> { unreachable!() }
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let policy = Retry::fixed(ms(100)).jitter(Jitter::None).attempts(3);
//! let report = Harness::new()
//!     .script("fetch", [err(Down), ok(7_u32)])
//!     .run_volatile(async |run| Ok::<_, PageError>(step!(run, retry = policy, fetch())))
//!     .await;
//!
//! assert_eq!(report.trace(), "
//!    0s  fetch  attempt 1 of 3 failed: down; next in 100ms
//! 100ms  fetch  succeeded in attempt 2, took 100ms
//! 100ms  the run completed
//! ".trim_start_matches('\n'));
//! # });
//! ```

mod assertions;
mod compare;
mod ending;
mod invocation;
mod json;
mod layout;
mod log;
mod time;
mod trace;

use std::collections::BTreeSet;
use std::fmt;

use awaitly_core::event::Event;
use awaitly_core::journal::Key;

pub use compare::{Comparison, Difference, compare};
pub use ending::Ending;
pub use invocation::{Ended, Invocation};
pub(crate) use log::{Happened, Log};

use crate::seed;

/// What happened in one run of a [`Harness`](crate::Harness), and what it ended in.
///
/// Where a test panics while it holds one, the seed is printed with which it can be repeated.
#[must_use = "look at what happened"]
pub struct Report<T, E> {
    /// What the run ended in.
    pub result: Result<T, E>,
    story: Story,
}

/// All of a report but what the run ended in.
struct Story {
    happened: Happened,
    invocations: Vec<Invocation>,
    /// The names and keys of the steps that the harness has met, or was told of.
    known: BTreeSet<Key>,
    seed: u64,
}

impl<T, E> Report<T, E> {
    pub(crate) fn new(result: Result<T, E>, happened: Happened, seed: u64) -> Self {
        let invocations = invocation::all_of(&happened);
        let names = invocations.iter().flat_map(|step| [step.name.clone(), step.key.clone()]);
        let known = names.collect();
        Self { result, story: Story { happened, invocations, known, seed } }
    }

    /// Adds steps that the run itself need not have.
    pub(crate) fn knowing(mut self, steps: impl IntoIterator<Item = Key>) -> Self {
        self.story.known.extend(steps);
        self
    }

    fn known(&self) -> &BTreeSet<Key> {
        &self.story.known
    }

    /// Whether a step has that name or key, or it is made from one that a step has: `name#2`, `name[item]`, `undo name`.
    fn knows(&self, name_or_key: &str) -> bool {
        if self.known().contains(name_or_key) {
            return true;
        }
        let undone = name_or_key.strip_prefix("undo ");
        let item = name_or_key.strip_suffix(']').and_then(|name| name.rsplit_once('['));
        let used = name_or_key.rsplit_once('#').filter(|(_, number)| number.parse::<u32>().is_ok());
        let origins = [undone, item.map(|(list, _)| list), used.map(|(name, _)| name)];
        origins.into_iter().flatten().any(|origin| self.knows(origin))
    }

    /// What was told while it happened, in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.story.happened.events
    }

    /// The steps, in the order in which they began: those that were reused, skipped or wait as well. What a saga
    /// records of itself is not among them.
    #[must_use]
    pub fn invocations(&self) -> &[Invocation] {
        &self.story.invocations
    }

    /// The steps with that name or key.
    pub fn invocations_of<'r>(&'r self, name_or_key: &'r str) -> impl Iterator<Item = &'r Invocation> {
        self.story.invocations.iter().filter(move |invocation| invocation.is(name_or_key))
    }

    /// How the run ended, as those who watched it were told.
    #[must_use]
    pub fn ending(&self) -> Ending {
        Ending::of(&self.story.happened.events)
    }

    /// The seed of the run.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.story.seed
    }

    /// What happened, as text: a line for each thing, with the time since the run began. The same each time.
    #[must_use]
    pub fn trace(&self) -> String {
        trace::of(&self.story.happened, time::Times::Shown)
    }

    /// The same without times: for a test that is about what happens, and not when.
    #[must_use]
    pub fn trace_without_times(&self) -> String {
        trace::of(&self.story.happened, time::Times::Hidden)
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            seed::tell(self.seed);
        }
    }
}

impl<T: fmt::Debug, E: fmt::Debug> fmt::Debug for Report<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("result", &self.result)
            .field("invocations", &self.story.invocations)
            .field("seed", &self.story.seed)
            .finish_non_exhaustive()
    }
}
