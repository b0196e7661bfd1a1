use std::fmt;

use awaitly_core::journal::{Key, Status};
use awaitly_core::store::RunId;

use super::accident::Accident;
use crate::keys::quoted;

/// A defect that a crash test found. Its [`Display`](fmt::Display) text contains advice.
///
/// A field `calm` belongs to the case without an accident, and a field `crashed` to the case that failed. The word
/// "crash" stands for any [`Accident`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the field names describe their content")]
pub enum Finding {
    /// The result differs from the result without a crash.
    Result { calm: String, crashed: String },
    /// An effect happened more often than without a crash.
    EffectRepeated { effect: String, calm: usize, crashed: usize, cause: Cause },
    /// An effect happened less often than without a crash.
    EffectMissing { effect: String, calm: usize, crashed: usize, cause: Cause },
    /// An effect came from a process whose work had ended.
    EffectAfterEnd { effect: String, last_step: Option<Key> },
    /// A resumed body did not ask for a step that was recorded, or for a question that was asked.
    NotRequested { run: RunId, key: Key, name: Key },
    /// The recorded steps differ from the steps without a crash.
    Steps { run: RunId, missing: Vec<Key>, extra: Vec<Key> },
    /// A cancelled run has not ended, and no event will resume it.
    Stuck { run: RunId, status: Status },
    /// A run has not ended, and nothing will continue it: the engine's `Client::doctor` names the reason.
    Forgotten { run: RunId, diagnosis: String },
    /// The store gave the lease of a run to a second owner while the first one held it.
    TakenTwice { run: RunId },
    /// A task wrote to the store after the work of its process had ended.
    WriteAfterEnd { write: String, last_step: Option<Key> },
    /// A run ended as cancelled and left an effect that other cases undo.
    WorkLeft { effect: String },
    /// The run has a different status than without a crash.
    Status { run: RunId, calm: Option<Status>, crashed: Option<Status> },
    /// The value of a step differs from the value without a crash.
    Value { run: RunId, key: Key },
    /// The body continued after a step had failed with a failure of the store.
    ContinuedAfterFailure { step: Key, to: Option<Key> },
    /// The store lost a record that it had acknowledged.
    RecordLost { run: RunId, key: Key },
    /// The store holds two records with one key.
    RecordedTwice { run: RunId, key: Key },
    /// The store accepted a write from an owner that had lost its lease.
    FencingIgnored { run: RunId, key: Key },
    /// The open questions differ from those without a crash.
    Questions { run: RunId, missing: Vec<Key>, extra: Vec<Key> },
    /// A process did not end within its time limit.
    NeverEnds { last_step: Option<Key> },
    /// The case without an accident left a run unfinished.
    Interrupted { run: RunId },
    /// The run was in the store before the case began.
    NotFresh { run: RunId },
    /// An accident of [`CrashTest::only`](super::CrashTest::only) did not happen, because the process ended before it
    /// reached the boundary of the accident.
    NoAccident { accident: Accident, passed: u64 },
    /// The test passed no boundary, so no process could die.
    NothingHappens,
}

/// The code under test that caused an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A step that gave no idempotency key.
    StepWithoutKey(Key),
    /// A step that gave these idempotency keys.
    StepWithKeys(Key, Vec<String>),
    /// Code outside of any recorded step. The key belongs to the step that began last before the effect, and is `None`
    /// if no step had begun.
    Outside(Option<Key>),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepWithoutKey(step) => write!(
                f,
                "step `{step}` causes it without an idempotency key: give the service \
                 `run.idempotency_key(\"{step}\")`, so that it recognizes a repeated call"
            ),
            Self::StepWithKeys(step, keys) if keys.len() > 1 => write!(
                f,
                "step `{step}` causes it with idempotency keys that differ ({}): use \
                 `run.idempotency_key(\"{step}\")`, which stays equal on every attempt and resume",
                keys.join(", ")
            ),
            Self::StepWithKeys(step, _) => write!(
                f,
                "step `{step}` causes it with an idempotency key: the step differs from one execution to the next, or \
                 another effect has an equal key"
            ),
            Self::Outside(Some(step)) => write!(
                f,
                "code outside of any recorded step causes it, after step `{step}` began: wrap the call in its own step \
                 and await it there"
            ),
            Self::Outside(None) => f.write_str(
                "code outside of any recorded step causes it, before the first step: wrap the call in a step",
            ),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.defect(f)?;
        match self.advice() {
            "" => Ok(()),
            advice => write!(f, ": {advice}"),
        }
    }
}

impl Finding {
    fn defect(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result { calm, crashed } => {
                write!(f, "the result is {crashed}, but {calm} without a crash")
            }
            Self::EffectRepeated { effect, calm, crashed, cause }
            | Self::EffectMissing { effect, calm, crashed, cause } => write!(
                f,
                "the effect `{effect}` {}, but {} without a crash: {cause}",
                happened(*crashed),
                times(*calm)
            ),
            Self::EffectAfterEnd { effect, last_step } => {
                write!(f, "the effect `{effect}` came after the work of its process had ended")?;
                began_last(f, last_step.as_ref())
            }
            Self::NotRequested { run, key, name } => {
                write!(f, "step `{key}`")?;
                if key != name {
                    write!(f, ", named `{name}`,")?;
                }
                write!(f, " of run `{run}` is recorded or waits, but the resumed run did not ask for it")
            }
            Self::Steps { run, missing, extra } => {
                let ways = Ways { verb: "record", missing, extra };
                write!(f, "run `{run}` took a different path than without a crash ({ways})")
            }
            Self::Questions { run, missing, extra } => {
                let ways = Ways { verb: "ask", missing, extra };
                write!(f, "run `{run}` asks other questions than without a crash ({ways})")
            }
            Self::Status { run, calm, crashed } => {
                write!(f, "run `{run}` ended {}, but {} without a crash", status(*crashed), status(*calm))
            }
            Self::Stuck { run, status } => {
                write!(f, "run `{run}` was cancelled, but it stays {status:?} and no event will resume it")
            }
            Self::Forgotten { diagnosis, .. } => f.write_str(diagnosis),
            Self::TakenTwice { run } => {
                write!(
                    f,
                    "the store gave the lease of run `{run}` to a second owner while the first one held it"
                )
            }
            Self::WriteAfterEnd { write, last_step } => {
                write!(f, "a task called the store ({write}) after the work of its process had ended")?;
                began_last(f, last_step.as_ref())
            }
            Self::WorkLeft { effect } => {
                write!(f, "a run is cancelled, but the effect `{effect}`, which other cases undo, remains")
            }
            Self::Value { run, key } => write!(
                f,
                "the recorded outcome of step `{key}` of run `{run}` differs from its outcome without a crash"
            ),
            Self::ContinuedAfterFailure { step, to } => {
                write!(f, "after step `{step}` had ended in `RunError::Store`, the body ")?;
                match to {
                    Some(to) => write!(f, "continued to step `{to}`"),
                    None => f.write_str("returned a value"),
                }
            }
            Self::RecordLost { run, key } => write!(
                f,
                "the store has lost the record of step `{key}` of run `{run}` after acknowledging it"
            ),
            Self::RecordedTwice { run, key } => {
                write!(f, "the store holds step `{key}` of run `{run}` twice")
            }
            Self::FencingIgnored { run, key } => write!(
                f,
                "the store took the record of step `{key}` from an owner that had lost the lease of run `{run}`"
            ),
            Self::NeverEnds { last_step } => {
                f.write_str("a process did not end within its time limit")?;
                began_last(f, last_step.as_ref())
            }
            Self::Interrupted { run } => write!(f, "run `{run}` was interrupted without an accident"),
            Self::NotFresh { run } => write!(f, "run `{run}` was in the store before the case began"),
            Self::NoAccident { accident, passed } => {
                write!(f, "{accident} did not happen: the process passed only {passed} boundaries")
            }
            Self::NothingHappens => f.write_str("the test passed no boundary"),
        }
    }

    /// Returns the reason and the next action, if the finding has one of its own.
    const fn advice(&self) -> &'static str {
        match self {
            Self::Result { .. }
            | Self::EffectRepeated { .. }
            | Self::Status { .. }
            | Self::Value { .. }
            | Self::Forgotten { .. } => "",
            Self::EffectMissing { .. } => {
                "a recorded step is not executed again, so its work must be complete before it ends"
            }
            Self::EffectAfterEnd { .. } | Self::WriteAfterEnd { .. } => {
                "a spawned task was not awaited, so a crash loses it; await the task inside a step"
            }
            Self::NotRequested { .. } => {
                "its key differs from one execution to the next, for example because it depends on time or chance; build \
                 the key from the input or from the value of a recorded step"
            }
            Self::Steps { .. } => "let the path depend only on the input and on values of recorded steps",
            Self::Questions { .. } => {
                "build the key of a question from the input or from values of recorded steps"
            }
            Self::Stuck { .. } => "let the body return the error of the step that the cancellation ended",
            Self::WorkLeft { .. } => {
                "build the step in the saga with a `compensate` and return its errors, or call \
                 `run.too_late_to_cancel()` before the step to rule out a cancellation"
            }
            Self::ContinuedAfterFailure { .. } => {
                "it catches `RunError`, or polls other branches after one has failed; return the error, so that the run \
                 is resumed"
            }
            Self::RecordLost { .. } => "make the record durable before `append` returns",
            Self::TakenTwice { .. } => {
                "give each lease a greater token, and only after the earlier lease has ended"
            }
            Self::RecordedTwice { .. } => "record each key of a run once",
            Self::FencingIgnored { .. } => {
                "refuse writes with an outdated token with `StoreError::LeaseLost`"
            }
            Self::NeverEnds { .. } => {
                "it waits for something that died with the previous process, such as a channel; or raise \
                 `CrashTest::time_limit`"
            }
            Self::Interrupted { .. } => "see the error that the closure returned",
            Self::NotFresh { .. } => "the case tests no code, so give each case a new store",
            Self::NoAccident { .. } => "the code or the store has changed",
            Self::NothingHappens => {
                "run a workflow on `world.store()`, or a workflow from `world.workflow(..)`"
            }
        }
    }
}

fn began_last(f: &mut fmt::Formatter<'_>, step: Option<&Key>) -> fmt::Result {
    step.map_or(Ok(()), |step| write!(f, "; step `{step}` began last"))
}

/// The difference between the keys of two runs.
struct Ways<'a> {
    verb: &'static str,
    missing: &'a [Key],
    extra: &'a [Key],
}

impl fmt::Display for Ways<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.missing.is_empty() {
            write!(f, "it did not {} {}", self.verb, quoted(self.missing))?;
        }
        if !self.missing.is_empty() && !self.extra.is_empty() {
            f.write_str(", and ")?;
        }
        if !self.extra.is_empty() {
            write!(f, "it did {} {}", self.verb, quoted(self.extra))?;
        }
        Ok(())
    }
}

fn status(status: Option<Status>) -> String {
    status.map_or_else(|| "without a record".to_owned(), |status| format!("as {status:?}"))
}

fn happened(n: usize) -> String {
    if n == 0 { "never happened".to_owned() } else { format!("happened {}", times(n)) }
}

fn times(n: usize) -> String {
    match n {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        n => format!("{n} times"),
    }
}
