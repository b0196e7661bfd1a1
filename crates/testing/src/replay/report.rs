use std::fmt::{self, Display};
use std::sync::Arc;

use awaitly_core::journal::Key;
use awaitly_core::store::RunId;
use serde::Serialize;

use super::Finding;
use crate::keys::quoted;
use crate::report::RunEnding;

/// The report of a resume check. [`Display`](std::fmt::Display) formats it for readers, with a next action for each
/// finding; its JSON form is for tools.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Replay {
    /// The id of the run.
    pub run: RunId,
    /// The name of the workflow that recorded the run.
    pub workflow: Arc<str>,
    /// The version of the workflow that last wrote the journal.
    pub version: u32,
    /// The steps whose recorded outcomes the body received, in the order in which the body asked for them.
    pub reused: Vec<Key>,
    pub(super) would_run: Vec<NextStep>,
    /// The questions at which the run would wait, whether already open or newly asked.
    pub waits: Vec<Key>,
    /// The recorded sleeps that are not over.
    pub sleeps: Vec<Key>,
    /// The records that are no longer needed: those inside a recorded step, those in a branch that was dropped, and
    /// notifications about answered questions.
    pub passed_over: Vec<Key>,
    /// The records inside the operations of steps that would run. The check does not call these operations, so it
    /// cannot judge the records.
    pub unchecked: Vec<Key>,
    /// The names and keys that were passed to [`ResumeCheck::value`](super::ResumeCheck::value),
    /// [`value_with`](super::ResumeCheck::value_with) or [`runs`](super::ResumeCheck::runs), but that match no step
    /// whose operation the check had to replace or call.
    pub unused: Vec<Key>,
    /// The ending of the run in the check. `None` if the body stopped making progress: at an unrecorded step, a
    /// sleep, or a future that is not a step.
    pub ending: Option<RunEnding>,
    /// The recorded ending of the run. `None` if the run had not ended, or if the journal does not contain the
    /// ending.
    pub recorded_ending: Option<RunEnding>,
    /// Whether the body returned a result that differs from the recorded one, although both are values or both are
    /// errors.
    pub result_differs: bool,
    /// The records that are lost, and the obstacles to the resume.
    pub findings: Vec<Finding>,
}

/// A step that would run on a resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct NextStep {
    pub(super) key: Key,
    pub(super) name: Key,
    pub(super) reason: Reason,
    pub(super) course: Course,
}

/// The reason why a step would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    NotRecorded,
    /// The recorded outcome is a failure, and the step does not reuse failures.
    Failed,
    /// The recorded outcome belongs to another input, and the step runs again if its input changes.
    InputChanged,
    Volatile,
}

/// The course of a step in the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Course {
    /// The body stopped at the step.
    Stopped,
    /// The step received a value, or its operation was called, and the body continued.
    Given,
    /// The body dropped the step because another branch ended first.
    Dropped,
}

impl Replay {
    /// Returns whether the check found no lost record and no obstacle to the resume, as far as the body came.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Asserts that the report is [clean](Self::is_clean). A run that used all of its records and continues with new
    /// steps passes.
    ///
    /// # Panics
    /// Panics with the report if it has a finding.
    #[track_caller]
    pub fn assert_resumes(&self) {
        assert!(self.is_clean(), "{self}");
    }

    /// Returns the steps that would run: the steps at which the body stopped, that received a value, whose operation
    /// was called, or that the body dropped.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, Workflow, step};
    /// use awaitly_testing::{replay::Journal, would_resume};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), awaitly_testing::replay::FixtureError> {
    /// # async fn number() -> Result<u32, RunError> { unreachable!() }
    /// let order = async |run: &DurableRun| {
    ///     let hold = step!(run, "reserve", number());
    ///     Ok::<_, RunError>(hold + step!(run, "charge", number()))
    /// };
    /// let journal: Journal = r#"{
    ///     "format": 1, "run": "order-42", "workflow": "orders", "version": 1,
    ///     "records": [{"key": "reserve", "outcome": {"value": 7}}]
    /// }"#
    /// .parse()?;
    /// let replay = would_resume(&journal, &Workflow::new("orders"), order).await;
    /// assert_eq!(replay.would_run().collect::<Vec<_>>(), ["charge"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn would_run(&self) -> impl Iterator<Item = &str> {
        self.would_run.iter().map(NextStep::label)
    }

    /// Returns the steps at which the body stopped, because they have neither a record nor a given value.
    pub fn stopped_at(&self) -> impl Iterator<Item = &str> {
        self.would_run.iter().filter(|step| step.course == Course::Stopped).map(NextStep::label)
    }

    fn ending_text(&self) -> String {
        match &self.ending {
            Some(RunEnding::Completed) => "with a value".to_owned(),
            Some(RunEnding::Failed(error)) => format!("with the error: {error}"),
            Some(RunEnding::Waiting) => "waiting".to_owned(),
            Some(RunEnding::Cancelled) => "cancelled".to_owned(),
            Some(RunEnding::Interrupted(_) | RunEnding::NotBegun) => "refused".to_owned(),
            None if self.findings.iter().any(|finding| matches!(finding, Finding::NeverEnds { .. })) => {
                "never".to_owned()
            }
            None if self.stopped_at().next().is_some() => {
                format!("at {}", quoted(self.stopped_at()))
            }
            None if !self.sleeps.is_empty() => "asleep".to_owned(),
            None => "at a future that is not one of its steps".to_owned(),
        }
    }

    /// Returns remarks that do not make the report unclean.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self
            .unused
            .iter()
            .map(|step| format!("a value was given for `{step}`, but no step with that name or key ran"))
            .collect();
        if self.result_differs {
            notes.push("the body returned another result than the recorded one".to_owned());
        }
        if !self.unchecked.is_empty() {
            notes.push(
                "records inside a step that would run are checked only if its operation is called: allow that with \
                 `ResumeCheck::runs`"
                    .to_owned(),
            );
        }
        notes
    }
}

impl NextStep {
    /// Returns the key of the step, or its name if it is volatile.
    pub(super) fn label(&self) -> &str {
        if self.reason == Reason::Volatile { &self.name } else { &self.key }
    }
}

impl Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::NotRecorded => None,
            Reason::Failed => Some("its failure is not reused"),
            Reason::InputChanged => Some("its input changed"),
            Reason::Volatile => Some("volatile"),
        };
        let course = match self.course {
            Course::Stopped => None,
            Course::Given => Some("given"),
            Course::Dropped => Some("dropped"),
        };
        f.write_str(self.label())?;
        let remarks: Vec<_> = [reason, course].into_iter().flatten().collect();
        if remarks.is_empty() { Ok(()) } else { write!(f, " ({})", remarks.join(", ")) }
    }
}

impl Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, workflow, version, .. } = self;
        let verdict = if self.is_clean() { "would resume" } else { "would not resume as it should" };
        write!(f, "run `{run}` of `{workflow}`, recorded by version {version}, {verdict}")?;
        line(f, "reused", &self.reused)?;
        line(f, "would run", &self.would_run)?;
        line(f, "waits at", &self.waits)?;
        line(f, "sleeps at", &self.sleeps)?;
        line(f, "passed over", &self.passed_over)?;
        line(f, "not checked", &self.unchecked)?;
        line(f, "ends", [self.ending_text()])?;
        self.findings.iter().zip(1..).try_for_each(|(finding, number)| write!(f, "\n{number}. {finding}"))?;
        self.notes().iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}

fn line<T: Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { Ok(()) } else { write!(f, "\n  {title:<12} {}", items.join(", ")) }
}
