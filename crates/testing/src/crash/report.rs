use std::fmt::{self, Debug};

use super::accident::{Accident, AccidentKind};
use super::boundary::Boundary;
use super::case::Played;
use super::finding::Finding;

/// What a crash test has tried and found.
#[derive(Debug, Clone)]
#[must_use = "call `assert_same_outcome()`"]
pub struct CrashReport {
    pub(super) seed: u64,
    /// What the process passes that has no accident, and what it comes to.
    pub(super) boundaries: usize,
    pub(super) calm: String,
    pub(super) tried: Vec<Tried>,
    pub(super) failure: Option<Failure>,
}

/// The cases with a number of accidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) accidents: usize,
    /// Or fewer.
    pub(super) at_most: bool,
    pub(super) cases: usize,
    /// How many there are.
    pub(super) of: usize,
}

/// The shortest case that went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(super) seed: u64,
    pub(super) runs: usize,
    pub(super) is_random: bool,
    pub(super) accidents: Vec<Accident>,
    pub(super) places: Vec<Option<(usize, Boundary)>>,
    pub(super) findings: Vec<Finding>,
    /// Whether it went wrong again when it was repeated.
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

    /// How many cases were tried, the one without an accident included.
    #[must_use]
    pub fn cases(&self) -> usize {
        1 + self.tried.iter().map(|tried| tried.cases).sum::<usize>()
    }

    /// How many boundaries the process passes that has no accident.
    #[must_use]
    pub const fn boundaries(&self) -> usize {
        self.boundaries
    }

    /// The shortest case that went wrong, if one did.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// # Panics
    /// Where a case ended in another way than the one without an accident: with what was found, where the process died,
    /// how to repeat it, and a trace.
    #[track_caller]
    pub fn assert_same_outcome(&self) {
        assert!(self.failure.is_none(), "{self}");
    }
}

impl Failure {
    /// What was found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What happened to the processes, one after another: [`CrashTest::only`](super::CrashTest::only) repeats it.
    #[must_use]
    pub fn accidents(&self) -> &[Accident] {
        &self.accidents
    }

    /// All that the processes passed, a line each.
    #[must_use]
    pub fn trace(&self) -> &str {
        &self.trace
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
            (true, _) => "it goes wrong without an accident",
            (false, true) => "an accident changes what comes of it",
            (false, false) => "an accident changes what comes of it, though not when it was repeated",
        };
        writeln!(f, "{title}\n")?;
        for (number, finding) in self.findings.iter().enumerate() {
            writeln!(f, "  {:<10}{finding}", if number == 0 { "found" } else { "" })?;
        }
        for (number, (Accident { kind, .. }, place)) in self.accidents.iter().zip(&self.places).enumerate() {
            let met = match kind {
                AccidentKind::Death => "died",
                AccidentKind::NoAnswer => "got no answer",
                AccidentKind::Cancel => "was told to cancel its runs",
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

/// What plays the case again.
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
