use std::fmt;

use super::boundary::Boundary;
use super::finding::Finding;
use super::life::{Accident, AccidentKind};

/// What a crash test has tried and found.
#[derive(Debug, Clone)]
#[must_use = "call `assert_same_outcome()`"]
pub struct CrashReport {
    pub(super) seed: u64,
    /// What the process passes that has no accident.
    pub(super) boundaries: usize,
    pub(super) tried: Vec<Tried>,
    pub(super) failure: Option<Failure>,
}

/// The cases with a number of accidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) accidents: usize,
    pub(super) cases: usize,
    /// How many there are.
    pub(super) of: usize,
}

/// The shortest case that went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(super) seed: u64,
    pub(super) runs: usize,
    pub(super) accidents: Vec<Accident>,
    pub(super) places: Vec<Option<Boundary>>,
    pub(super) findings: Vec<Finding>,
    pub(super) trace: String,
}

impl CrashReport {
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
    /// What was found, the worst first.
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
            return failure.fmt(f);
        }
        write!(f, "{} boundaries", self.boundaries)?;
        for Tried { accidents, cases, of } in &self.tried {
            let plural = if *accidents == 1 { "" } else { "s" };
            write!(f, " · {accidents} accident{plural} {cases} of {of} cases")?;
        }
        write!(f, " · the same outcome each time · seed {}", self.seed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a crash changes what comes of it\n")?;
        for (number, finding) in self.findings.iter().enumerate() {
            writeln!(f, "  {:<10}{finding}", if number == 0 { "found" } else { "" })?;
        }
        for (number, (Accident { kind, .. }, place)) in self.accidents.iter().zip(&self.places).enumerate() {
            let met = match kind {
                AccidentKind::Death => "died",
                AccidentKind::NoAnswer => "got no answer",
            };
            if let Some(place) = place {
                let title = if number == 0 { "accident" } else { "" };
                writeln!(f, "  {title:<10}process {} {met} {place}", number + 1)?;
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
        let Failure { seed, runs, accidents, .. } = self.0;
        write!(f, "CrashTest::new().seed({seed})")?;
        if *runs > 1 {
            write!(f, ".runs({runs})")?;
        }
        let accidents: Vec<_> = accidents.iter().map(Accident::to_string).collect();
        if !accidents.is_empty() {
            write!(f, ".only([{}])", accidents.join(", "))?;
        }
        Ok(())
    }
}
