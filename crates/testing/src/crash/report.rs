use std::fmt::{self, Debug};

use super::accident::Accident;
use super::boundary::Boundary;
use super::case::Played;
use super::finding::Finding;

/// The report of a crash test: the cases played, and the findings of the shortest case that failed, which is the failed
/// case with the fewest accidents.
///
/// ```
/// use awaitly_core::{RunError, Workflow, step};
/// use awaitly_testing::crash::{Finding, crash_everywhere};
/// # awaitly_testing::simulate(async || {
/// let report = crash_everywhere(async |world| {
///     let ledger = world.ledger();
///     let charge = async || {
///         ledger.note("charge"); // without an idempotency key
///         Ok::<_, RunError>(4200)
///     };
///     let workflow = world.workflow(Workflow::new("order"));
///     workflow.run("order-42", async |run| Ok::<_, RunError>(step!(run, "charge", charge()))).await
/// });
/// let report = report.await;
/// assert!(matches!(report.findings(), [Finding::EffectRepeated { crashed: 2, .. }, ..]));
/// assert_eq!(report.accidents().len(), 1); // one crash repeats the charge
/// # });
/// ```
#[derive(Debug, Clone)]
#[must_use = "call `assert_same_outcome()`"]
pub struct CrashReport {
    pub(super) seed: u64,
    /// The number of boundaries in the case without an accident, and its result.
    pub(super) boundaries: usize,
    pub(super) calm: String,
    pub(super) tried: Vec<Tried>,
    pub(super) failure: Option<Failure>,
}

/// The cases with one number of accidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) accidents: usize,
    /// Whether `accidents` is a maximum.
    pub(super) at_most: bool,
    pub(super) cases: usize,
    /// The number of such cases that exist.
    pub(super) of: usize,
}

/// The shortest case that failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) seed: u64,
    pub(super) runs: usize,
    pub(super) is_random: bool,
    pub(super) accidents: Vec<Accident>,
    pub(super) places: Vec<Option<(usize, Boundary)>>,
    pub(super) findings: Vec<Finding>,
    /// Whether the case failed again when it was replayed.
    pub(super) repeats: bool,
    pub(super) trace: String,
}

impl CrashReport {
    pub(super) fn new<T: Debug, E: Debug>(calm: &Played<T, E>, seed: u64) -> Self {
        let boundaries = calm.boundaries.first().map_or(0, Vec::len);
        let calm = match &*calm.results {
            [Some(result)] => format!("{result:?}"),
            results => format!("{} results", results.len()),
        };
        Self { seed, boundaries, calm, tried: Vec::new(), failure: None }
    }

    /// Returns the number of cases played, including the case without an accident.
    #[must_use]
    pub fn cases(&self) -> usize {
        1 + self.tried.iter().map(|tried| tried.cases).sum::<usize>()
    }

    /// Returns the number of boundaries in the case without an accident.
    #[must_use]
    pub const fn boundaries(&self) -> usize {
        self.boundaries
    }

    /// Returns the findings of the shortest case that failed, or an empty slice if no case failed.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        self.failure.as_ref().map_or(&[], |failure| &failure.findings)
    }

    /// Returns the accidents of the shortest case that failed, in order. [`CrashTest::only`](super::CrashTest::only)
    /// repeats them.
    #[must_use]
    pub fn accidents(&self) -> &[Accident] {
        self.failure.as_ref().map_or(&[], |failure| &failure.accidents)
    }

    /// Asserts that no case failed. A case without a cancellation must have the outcome of the case without an
    /// accident; a cancelled case must keep the [promises of a cancellation](crate::crash).
    ///
    /// # Panics
    /// Panics if a case failed. The message contains the findings, the accidents, the call that repeats the case, and
    /// a trace.
    #[track_caller]
    pub fn assert_same_outcome(&self) {
        assert!(self.failure.is_none(), "{self}");
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failure) = &self.failure {
            return fmt::Display::fmt(failure, f);
        }
        write!(f, "{} boundaries", self.boundaries)?;
        for Tried { accidents, at_most, cases, of } in &self.tried {
            let most = if *at_most { "up to " } else { "" };
            let plural = if *accidents == 1 { "" } else { "s" };
            write!(f, " · {most}{accidents} accident{plural} {cases} of {of} cases")?;
        }
        write!(f, " · each time {} · seed {}", self.calm, self.seed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = match (self.accidents.is_empty(), self.repeats) {
            (true, _) => "the test fails without an accident",
            (false, true) => "an accident changes the outcome",
            (false, false) => "an accident changed the outcome, but not in a repetition",
        };
        writeln!(f, "{title}\n")?;
        for (number, finding) in self.findings.iter().enumerate() {
            writeln!(f, "  {:<10}{finding}", if number == 0 { "found" } else { "" })?;
        }
        for (number, (accident, place)) in self.accidents.iter().zip(&self.places).enumerate() {
            let met = match accident {
                Accident::Death(_) => "died",
                Accident::NoAnswer(_) => "got no answer",
                Accident::Cancel(_) => "had its runs cancelled",
            };
            if let Some((process, place)) = place {
                let title = if number == 0 { "accident" } else { "" };
                writeln!(f, "  {title:<10}process {process} {met} {place}")?;
            }
        }
        writeln!(f, "  {:<10}{}", "repeat", Repeat(self))?;
        writeln!(f, "\n{}", self.trace)
    }
}

/// The call that repeats a failed case.
struct Repeat<'a>(&'a Failure);

impl fmt::Display for Repeat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, runs, accidents, is_random, .. } = self.0;
        write!(f, "CrashTest::new().seed({seed})")?;
        if *is_random {
            write!(f, ".runs({runs})")?;
        }
        let accidents: Vec<_> = accidents.iter().map(Accident::to_string).collect();
        if !accidents.is_empty() {
            write!(f, ".only([{}])", accidents.join(", "))?;
        }
        write!(f, ".{}(..), with the same store", if *is_random { "randomly" } else { "everywhere" })
    }
}
