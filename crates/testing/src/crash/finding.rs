use std::fmt;

use awaitly_core::journal::{Key, Status};
use awaitly_core::store::RunId;

use super::accident::Accident;

/// What a crash test has found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is named for what it holds")]
pub enum Finding {
    /// The result is not that of the run that did not crash.
    Result { calm: String, crashed: String },
    /// An effect happened more often than without a crash.
    EffectRepeated { what: String, calm: usize, crashed: usize, place: Place },
    /// An effect happened less often than without a crash.
    EffectMissing { what: String, calm: usize, crashed: usize, place: Place },
    /// An effect came from a process whose work had ended.
    EffectAfterEnd { what: String, last_step: Option<Key> },
    /// A step was recorded, or a question asked, of which the body knows nothing when it is called again.
    Forgotten { run: RunId, key: Key, name: Key },
    /// The recorded steps are not those of the run that did not crash.
    Steps { run: RunId, missing: Vec<Key>, extra: Vec<Key> },
    /// A run that was cancelled has not ended, and nothing will resume it.
    Stuck { run: RunId, status: Status },
    /// A run rests as cancelled, and an effect that other cases undo is still there.
    WorkLeft { what: String },
    /// The run rests in another status than without a crash.
    Status { run: RunId, calm: Option<Status>, crashed: Option<Status> },
    /// The value of a step is another one than without a crash.
    Value { run: RunId, key: Key },
    /// The body went on after a step had ended in a failure of the store.
    WentOn { step: Key, to: Option<Key> },
    /// The store lost a record that it had acknowledged.
    RecordLost { run: RunId, key: Key },
    /// The store holds two records under one key.
    RecordedTwice { run: RunId, key: Key },
    /// The store took a write of an owner that had lost its lease.
    FencingIgnored { run: RunId, key: Key },
    /// A question is open that is not without a crash; or the other way round.
    Questions { run: RunId, missing: Vec<Key>, extra: Vec<Key> },
    /// A process does not come to an end.
    NeverEnds { last_step: Option<Key> },
    /// The case without an accident left the run in the middle.
    Interrupted { run: RunId },
    /// The run was in the store before the case began.
    NotFresh { run: RunId },
    /// The accident of a single case is behind the end of its process.
    NoAccident { accident: Accident, passed: u64 },
    /// Nothing happened at which a process could die.
    NothingHappens,
}

/// Where an effect was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a step, without an idempotency key.
    StepWithoutKey(Key),
    /// In a step, under an idempotency key that is not always the same.
    StepWithKeys(Key, Vec<String>),
    /// Outside of any recorded step; this one began last.
    Outside(Option<Key>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepWithoutKey(step) => write!(
                f,
                "it is made in step `{step}` without an idempotency key: give the service \
                 `run.idempotency_key(\"{step}\")`, so that it can tell a repeated call"
            ),
            Self::StepWithKeys(step, keys) if keys.len() > 1 => write!(
                f,
                "it is made in step `{step}` under idempotency keys that differ ({}): use \
                 `run.idempotency_key(\"{step}\")`, which is the same on every attempt and resume",
                keys.join(", ")
            ),
            Self::StepWithKeys(step, _) => write!(
                f,
                "it is made in step `{step}` under an idempotency key: what is done there differs from one execution \
                 to the next, or another effect has the same key"
            ),
            Self::Outside(Some(step)) => write!(
                f,
                "it is made outside of any recorded step, after step `{step}` began: wrap the call in a step of \
                 its own, and await it there"
            ),
            Self::Outside(None) => f.write_str(
                "it is made outside of any recorded step, before the first one: wrap it in a step",
            ),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result { calm, crashed } => {
                write!(f, "the result is {crashed}, without a crash it is {calm}")
            }
            Self::EffectRepeated { what, calm, crashed, place } => {
                write!(f, "the effect `{what}` {}, and {} without a crash: {place}", happened(*crashed), times(*calm))
            }
            Self::EffectMissing { what, calm, crashed, place } => write!(
                f,
                "the effect `{what}` {}, and {} without a crash: {place}; what a step has recorded is not done \
                 again, so all that belongs to it must be done before it ends",
                happened(*crashed),
                times(*calm)
            ),
            Self::EffectAfterEnd { what, last_step } => {
                write!(f, "the effect `{what}` came after the work of its process had ended")?;
                if let Some(step) = last_step {
                    write!(f, ", step `{step}` was the last that began")?;
                }
                f.write_str(": something was spawned and not awaited, so a crash loses it; await it inside of a step")
            }
            Self::Forgotten { run, key, name } => {
                write!(f, "step `{key}`")?;
                if key != name {
                    write!(f, ", called `{name}`,")?;
                }
                write!(f, " of run `{run}` is recorded, or waits, and the resumed run knows nothing of it")?;
                f.write_str(
                    ": its key depends on something that changes from one execution to the next, such as time or \
                     chance; take the key from the input or from the value of a recorded step",
                )
            }
            Self::Steps { run, missing, extra } => write!(
                f,
                "run `{run}` went another way than without a crash: {}; let the way depend only on the input and on \
                 values of recorded steps",
                Ways { verb: "record", missing, extra }
            ),
            Self::Status { run, calm, crashed } => write!(
                f,
                "run `{run}` rests {}, without a crash {}",
                status(*crashed),
                status(*calm)
            ),
            Self::Stuck { run, status } => write!(
                f,
                "run `{run}`, which was cancelled, rests as {status:?} and nothing resumes it: let its body return the \
                 error of the step that the cancellation ended"
            ),
            Self::WorkLeft { what } => write!(
                f,
                "a run is cancelled and the effect `{what}`, which other cases undo, is still there: build the step in \
                 the saga, with a `compensate`, and return its errors; or declare before it that it is too late to \
                 cancel, with `run.too_late_to_cancel()`"
            ),
            Self::Value { run, key } => {
                write!(f, "the recorded outcome of step `{key}` of run `{run}` is not that of the run without a crash")
            }
            Self::WentOn { step, to: Some(to) } => write!(
                f,
                "after step `{step}` had ended in `RunError::Store` the body went on to step `{to}`: it catches \
                 `RunError`, or polls other branches after one has failed; return it, so that the run is resumed"
            ),
            Self::WentOn { step, to: None } => write!(
                f,
                "after step `{step}` had ended in `RunError::Store` the body returned a value: it catches \
                 `RunError`; return it, so that the run is resumed"
            ),
            Self::RecordLost { run, key } => write!(
                f,
                "the store has lost the record of step `{key}` of run `{run}`, which it had acknowledged: it must be \
                 durable before `append` returns"
            ),
            Self::RecordedTwice { run, key } => {
                write!(f, "the store holds step `{key}` of run `{run}` twice: a key is recorded once in a run")
            }
            Self::FencingIgnored { run, key } => write!(
                f,
                "the store took the record of step `{key}` from an owner that had lost the lease of run `{run}`: a \
                 write with an older token than the run's must be refused as `StoreError::LeaseLost`"
            ),
            Self::Questions { run, missing, extra } => write!(
                f,
                "run `{run}` asks something else than without a crash: {}; take the key of a question from the input \
                 or from values of recorded steps",
                Ways { verb: "ask", missing, extra }
            ),
            Self::NeverEnds { last_step } => {
                f.write_str("a process did not come to its end in all the time that it was given")?;
                if let Some(step) = last_step {
                    write!(f, ", step `{step}` was the last that began")?;
                }
                f.write_str(
                    ": it waits for something that the process before has taken with it, such as a channel; or raise \
                     `CrashTest::longest`",
                )
            }
            Self::Interrupted { run } => write!(
                f,
                "run `{run}` was interrupted without an accident: look at the error that the closure returns"
            ),
            Self::NotFresh { run } => write!(
                f,
                "run `{run}` was in the store before the case began, so nothing is tested: give each case a new store"
            ),
            Self::NoAccident { accident, passed } => write!(
                f,
                "{accident} does not happen: the process passes {passed} boundaries; the code has changed since"
            ),
            Self::NothingHappens => f.write_str(
                "nothing happens at which a process could die: run a workflow on `world.store()`, or one that is \
                 made with `world.workflow(..)`",
            ),
        }
    }
}

/// How the steps of two runs differ.
struct Ways<'a> {
    verb: &'static str,
    missing: &'a [Key],
    extra: &'a [Key],
}

impl fmt::Display for Ways<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.missing.is_empty() {
            write!(f, "it did not {} {}", self.verb, list(self.missing))?;
        }
        if !self.missing.is_empty() && !self.extra.is_empty() {
            f.write_str(", and ")?;
        }
        if !self.extra.is_empty() {
            write!(f, "it did {} {} besides", self.verb, list(self.extra))?;
        }
        Ok(())
    }
}

fn list(keys: &[Key]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

fn status(status: Option<Status>) -> String {
    status.map_or_else(|| "nowhere".to_owned(), |status| format!("as {status:?}"))
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
