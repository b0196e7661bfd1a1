//! The report of a run: its steps, assertions on them, a text trace, JSON, and the diff of two runs.
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
mod diff;
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

pub use ending::RunEnding;
pub use invocation::{Invocation, StepEnding};
pub(crate) use log::{Happened, Log};

use crate::seed;

/// The result of one run of a [`Harness`](crate::Harness), with its steps, events and trace.
///
/// If a test panics while it holds a report, the report prints the seed for repeating the test.
#[must_use = "inspect the result or assert on it"]
pub struct Report<T, E> {
    /// The result of the run.
    pub result: Result<T, E>,
    story: Story,
}

/// The parts of a report that do not depend on the type of the result.
struct Story {
    happened: Happened,
    invocations: Vec<Invocation>,
    /// The names and keys of the steps that the harness has seen, or that the test declared.
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

    /// Adds known steps that this run did not necessarily build.
    pub(crate) fn knowing(mut self, steps: impl IntoIterator<Item = Key>) -> Self {
        self.story.known.extend(steps);
        self
    }

    fn known(&self) -> &BTreeSet<Key> {
        &self.story.known
    }

    /// Returns whether a step has this name or key, or the name derives from a known step: `name#2`, `name[item]`,
    /// `undo name`.
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

    /// Returns the events of the run, in order.
    ///
    /// ```
    /// use awaitly_core::{RunError, event::EventKind};
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// let report = simulate(async || Harness::new().run(async |_| Ok::<_, RunError>(7)).await);
    /// assert!(matches!(report.events().last().unwrap().kind, EventKind::RunSucceeded { .. }));
    /// ```
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.story.happened.events
    }

    /// Returns the steps in the order in which they began, including reused, skipped and waiting steps. A saga's own
    /// bookkeeping records are excluded.
    #[must_use]
    pub fn invocations(&self) -> &[Invocation] {
        &self.story.invocations
    }

    /// Returns the steps with this name or key.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::{Harness, report::StepEnding, simulate};
    ///
    /// # async fn number() -> Result<u32, RunError> { Ok(1) }
    /// let twice = async |run: &DurableRun| Ok::<_, RunError>(step!(run, number()) + step!(run, number()));
    /// let report = simulate(async || Harness::new().run(twice).await);
    /// assert!(report.invocations_of("number").all(|step| step.ending == StepEnding::Succeeded));
    /// assert_eq!(report.invocations_of("number#2").count(), 1);
    /// ```
    pub fn invocations_of<'r>(&'r self, name_or_key: &'r str) -> impl Iterator<Item = &'r Invocation> {
        self.story.invocations.iter().filter(move |invocation| invocation.is(name_or_key))
    }

    /// Returns the ending of the run, according to its events.
    #[must_use]
    pub fn ending(&self) -> RunEnding {
        RunEnding::of(&self.story.happened.events)
    }

    /// Returns the seed of the run.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.story.seed
    }

    /// Returns the trace: lines of text that describe the events, each with the time since the run began. A test that
    /// is repeated with an equal seed produces an equal trace.
    #[must_use]
    pub fn trace(&self) -> String {
        trace::of(&self.story.happened, time::Times::Shown)
    }

    /// Returns the trace without times, for tests that check the order of events only.
    ///
    /// ```
    /// use awaitly_core::{RunError, clock::days};
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// let report = simulate(async || Harness::new().run(async |run| run.sleep("a month", days(30)).await).await);
    /// assert_eq!(report.trace_without_times(), "a month  slept\nthe run completed\n");
    /// ```
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
