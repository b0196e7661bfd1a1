//! A step, in one of its forms.

use std::fmt::Debug;

use awaitly::resilience::Fallback;
use awaitly::{DurableRun, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::guard::Sentinel;
use super::{FALLBACK, Process, SKIPPED};
use crate::fault::Fault;
use crate::part::{Form, Part, Step};
use crate::value::{Value, digest, typed};

pub(super) async fn perform(
    process: &Process,
    run: &DurableRun,
    part: &Part,
    step: &Step,
) -> Result<u64, Fault> {
    let id = (part.id, 0);
    let ended = match step.form {
        Form::Plain => typed!(step.value, value => plain(process, run, part, step, value).await),
        Form::When(condition) => conditional(process, run, part, step, condition).await,
        Form::OrValue | Form::OrElse => fallback(process, run, part, step).await,
    };
    process.saw(id, &ended);
    ended
}

/// The requirements for the type of a step's value.
pub(super) trait Typed: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static> Typed for T {}

async fn plain<T: Typed>(
    process: &Process,
    run: &DurableRun,
    part: &Part,
    step: &Step,
    value: T,
) -> Result<u64, Fault> {
    let id = (part.id, 0);
    let operation = || async { process.operate(run, id, &step.deed).await.map(|_| value.clone()) };
    let step = run
        .step(process.name(part), operation)
        .retry(process.retry(step.attempts, step.backoff))
        .guard(Sentinel::new(process, part, step.guard));
    process.watch(id, step).await.map(|value| digest(&value))
}

/// The other forms have a number as their value, so that a fallback is distinguishable.
async fn conditional(
    process: &Process,
    run: &DurableRun,
    part: &Part,
    step: &Step,
    condition: bool,
) -> Result<u64, Fault> {
    let id = (part.id, 0);
    let operation = || async { process.operate(run, id, &step.deed).await.map(|_| number(step)) };
    let step = run.step(process.name(part), operation).retry(process.retry(step.attempts, step.backoff));
    let step = step.guard(Sentinel::new(process, part, None)).when(condition);
    Ok(process.watch(id, step).await?.map_or(SKIPPED, |value| digest(&value)))
}

async fn fallback(process: &Process, run: &DurableRun, part: &Part, step: &Step) -> Result<u64, Fault> {
    let id = (part.id, 0);
    let operation = || async { process.operate(run, id, &step.deed).await.map(|_| number(step)) };
    let first = run
        .step(process.name(part), operation)
        .retry(process.retry(step.attempts, step.backoff))
        .guard(Sentinel::new(process, part, step.guard));
    if step.form == Form::OrValue {
        return process.watch(id, first.or_value(FALLBACK)).await.map(|value| digest(&value));
    }
    let other = format!("{}f", process.name(part));
    let other = |_: Error<Fault>| run.step(other, async || Ok::<_, Fault>(FALLBACK));
    process.watch(id, first.or_else(other)).await.map(|value| digest(&value))
}

pub(crate) const fn number(step: &Step) -> u64 {
    match step.value {
        Value::Number(number) => number,
        _ => 0,
    }
}
