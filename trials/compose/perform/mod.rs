//! Performs a body with the public API of the library.

mod engine;
mod guard;
mod process;
mod saga;
mod several;
mod step;

use std::pin::Pin;
use std::sync::Arc;

use awaitly::{DurableRun, RunError, resource};
pub(crate) use engine::{child, message};
use process::Watched;
pub(crate) use process::{Process, Services};

use crate::decisions;
use crate::fault::{Ended, Fault, Fruit};
use crate::part::{Ask, Body, Part, What};
use crate::value::mix;

/// The digest of a part whose failure the body handled.
pub(crate) const HANDLED: u64 = 0x11;
/// Of a step that was skipped.
pub(crate) const SKIPPED: u64 = 0x22;
/// Of a fallback.
pub(crate) const FALLBACK: u64 = 0x33;

pub(crate) type Performing<'a> = Pin<Box<dyn Future<Output = Result<u64, Fault>> + 'a>>;

/// Performs the body of a run.
pub(crate) async fn body(process: &Process, run: &DurableRun, body: &Body) -> Ended {
    if !process.life.is_replaced() {
        let mut books = process.world.books();
        books.bodies += 1;
        books.forget_sagas(0);
    }
    let digest = parts(process, run, &body.parts).await?;
    Ok(Fruit::new(digest, body.ending))
}

/// Performs the parts in order, up to the first unhandled failure.
pub(crate) fn parts<'a>(process: &'a Process, run: &'a DurableRun, parts: &'a [Part]) -> Performing<'a> {
    if parts.is_empty() {
        return Box::pin(std::future::ready(Ok(0)));
    }
    Box::pin(async move {
        let mut digest = 0;
        for part in parts {
            let ended = one(process, run, part).await;
            digest = mix(digest, handled(part, ended)?);
        }
        Ok(digest)
    })
}

/// The digest of a part, or the fault that ends the body.
fn handled(part: &Part, ended: Result<u64, Fault>) -> Result<u64, Fault> {
    match ended {
        Err(fault) if part.handled && decisions::is_failure(&fault) => Ok(HANDLED),
        ended => ended,
    }
}

async fn one(process: &Process, run: &DurableRun, part: &Part) -> Result<u64, Fault> {
    match &part.what {
        What::Step(step) => step::perform(process, run, part, step).await,
        What::Parallel(branches) => several::parallel(process, run, part, branches).await,
        What::Race(calls) => several::race(process, run, part, calls).await,
        What::Each(each) => several::each(process, run, part, each).await,
        What::Ask(ask) => question(process, run, part, *ask).await,
        What::Sleep(units) => {
            let slept = run.sleep(process.name(part), process.unit * u32::from(*units)).await;
            slept.map(|()| 1).map_err(Fault::from)
        }
        What::Resource(inner) => hold(process, run, part, inner).await,
        What::Call(inner) => call(process, run, part, inner).await,
        What::Child(_) | What::Receive(_) => engine::perform(process, run, part).await,
        What::TooLate => {
            run.too_late_to_cancel().await?;
            if !process.life.is_replaced() {
                process.world.books().too_late = true;
            }
            Ok(2)
        }
        What::Saga(inner) => saga::whole(process, run, part, inner).await,
        What::Nested(_) | What::SagaStep(..) | What::SagaParallel(..) | What::SagaEach(..) => {
            unreachable!("these are in a saga only")
        }
    }
}

async fn question(process: &Process, run: &DurableRun, part: &Part, ask: Ask) -> Result<u64, Fault> {
    let mut question = run.wait_for::<u64>(process.name(part));
    if let Some(units) = ask.expires {
        question = question.expires_in(process.unit * u32::from(units));
    }
    let answer = question.await.map_err(Fault::from);
    process.saw((part.id, 0), &answer);
    answer
}

async fn hold(process: &Process, run: &DurableRun, part: &Part, inner: &[Part]) -> Result<u64, Fault> {
    let mut holding = Holding { process, id: part.id, ended: false };
    let held = resource::scope(async |scope| {
        process.hold(part.id, 1);
        let (world, life, id) = (Arc::clone(&process.world), process.life.clone(), part.id);
        scope.add((), move |()| async move {
            if !life.is_replaced() {
                world.hold(id, -1);
            }
            Ok::<_, RunError>(())
        });
        parts(process, run, inner).await
    });
    let held = held.await;
    holding.ended = true;
    held.map_err(|error| match error {
        resource::Error::Failed(fault) => fault,
        resource::Error::Release { .. } => unreachable!("a release does not fail"),
    })
}

/// A step that calls another workflow.
async fn call(process: &Process, run: &DurableRun, part: &Part, inner: &[Part]) -> Result<u64, Fault> {
    let name = process.name(part);
    let id = format!("{}.{}", run.id(), part.id);
    let step = run.step(name, || {
        let id = id.clone();
        async move {
            process.world.books().inner_runs.insert(id.clone());
            process.inner.run(id, async |run| parts(process, run, inner).await).await
        }
    });
    let ended = process.watch((part.id, 0), step).await;
    process.saw((part.id, 0), &ended);
    ended
}

/// The name of a part: `s7`, or `s7v2` if it was renamed.
pub(crate) fn name_of(part: &Part, is_renamed: bool) -> String {
    let version = if is_renamed { "v2" } else { "" };
    format!("{}{}{version}", part.letter(), part.id)
}

struct Holding<'p> {
    process: &'p Process,
    id: u16,
    ended: bool,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        if !self.ended && !self.process.life.is_replaced() {
            self.process.world.forget(self.id);
        }
    }
}
