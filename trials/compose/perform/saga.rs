//! Sagas: steps that are undone, and sagas inside of sagas.

use awaitly::saga::{DurableSaga, SagaError, saga};
use awaitly::{DurableRun, parallel};

use super::guard::Sentinel;
use super::step::Typed;
use super::{Performing, Process, handled, one, question};
use crate::fault::Fault;
use crate::part::{Deed, Each, Id, Part, Step, Undo, What};
use crate::promise::Promise;
use crate::value::{digest, mix, typed};
use crate::world::Saga;

/// A saga of the run.
pub(super) async fn whole(
    process: &Process,
    run: &DurableRun,
    part: &Part,
    inner: &[Part],
) -> Result<u64, Fault> {
    process.saga(part.id, Saga::Open);
    let ended = saga(run, async |saga| in_saga(process, run, &saga, inner).await).await;
    process.saga(part.id, became(&ended));
    ended.map_err(Fault::from)
}

fn became(ended: &Result<u64, SagaError<Fault>>) -> Saga {
    match ended {
        Ok(_) => Saga::Kept,
        Err(error) => {
            let failed = error.failed().iter().map(|failed| &failed.step);
            let left = failed.chain(error.left()).chain(error.in_doubt());
            Saga::Undone(left.map(ToString::to_string).collect())
        }
    }
}

fn in_saga<'a, 'c: 'a>(
    process: &'c Process,
    run: &'c DurableRun,
    saga: &'a DurableSaga<'c, Fault>,
    parts: &'c [Part],
) -> Performing<'a> {
    Box::pin(async move {
        let mut digest = 0;
        for part in parts {
            let ended = part_of(process, run, saga, part).await;
            digest = mix(digest, handled(part, ended)?);
        }
        Ok(digest)
    })
}

async fn part_of<'c>(
    process: &'c Process,
    run: &'c DurableRun,
    saga: &DurableSaga<'c, Fault>,
    part: &'c Part,
) -> Result<u64, Fault> {
    match &part.what {
        What::Nested(inner) => {
            process.saga(part.id, Saga::Open);
            let ended = saga.nested(async |saga| in_saga(process, run, &saga, inner).await).await;
            process.saga(part.id, became(&ended));
            ended.map_err(Fault::from)
        }
        What::SagaStep(step, undo) => {
            let ended =
                typed!(step.value, value => undoable(process, run, saga, part, step, undo, value).await);
            process.saw((part.id, 0), &ended);
            ended
        }
        What::SagaParallel(branches, undo) => match branches.as_slice() {
            [a, b] => both(process, run, saga, part, [a, b], undo).await,
            _ => unreachable!("two branches"),
        },
        What::SagaEach(each, undo) => list(process, run, saga, part, each, undo).await,
        _ => one(process, run, part).await,
    }
}

async fn undoable<'c, T: Typed>(
    process: &'c Process,
    run: &'c DurableRun,
    saga: &DurableSaga<'c, Fault>,
    part: &'c Part,
    step: &'c Step,
    undo: &'c Undo,
    value: T,
) -> Result<u64, Fault> {
    let (id, expected) = ((part.id, 0), digest(&value));
    let operation = || async { process.operate(run, id, &step.deed).await.map(|_| value.clone()) };
    let step = saga
        .step(process.name(part), operation)
        .retry(process.retry(step.attempts, step.backoff))
        .guard(Sentinel::new(process, part, step.guard))
        .compensate(move |value: T| {
            let is_right = digest(&value) == expected;
            process.undo(run, id, undo, is_right)
        })
        .compensate_retry(process.retry(undo.attempts, 0));
    process.watch(id, step).await.map(|value| digest(&value))
}

async fn both<'c>(
    process: &'c Process,
    run: &'c DurableRun,
    saga: &DurableSaga<'c, Fault>,
    part: &'c Part,
    [a, b]: [&'c Deed; 2],
    undo: &'c Undo,
) -> Result<u64, Fault> {
    let (name, id) = (process.name(part), part.id);
    let retry = process.retry(undo.attempts, 0);
    let (a, b) = parallel!(saga, &name, {
        a: step!(
            compensate = move |_| process.undo(run, (id, 0), undo, true),
            compensate_retry = retry.clone(),
            super::several::branch(process, run, (id, 0), a)
        ),
        b: step!(
            compensate = move |_| process.undo(run, (id, 1), undo, true),
            compensate_retry = retry.clone(),
            super::several::branch(process, run, (id, 1), b)
        ),
    });
    process.saw((id, 0), &Ok(a));
    process.saw((id, 1), &Ok(b));
    Ok(mix(mix(0, a), b))
}

async fn list<'c>(
    process: &'c Process,
    run: &'c DurableRun,
    saga: &DurableSaga<'c, Fault>,
    part: &'c Part,
    each: &'c Each,
    undo: &'c Undo,
) -> Result<u64, Fault> {
    let id = part.id;
    let items: Vec<u8> = (0..).take(each.items.len()).collect();
    let operation = move |index: u8| async move {
        match each.items.get(usize::from(index)) {
            Some(deed) => {
                super::several::branch(process, run, (id, index), deed).await.map(|value| (index, value))
            }
            None => unreachable!("each item has its operation"),
        }
    };
    let mut list = saga
        .each(process.name(part), items, operation)
        .compensate(move |(index, _): (u8, u64)| process.undo(run, (id, index), undo, true))
        .compensate_retry(process.retry(undo.attempts, 0))
        .concurrency(usize::from(each.concurrency.max(1)));
    if each.key_by {
        list = list.key_by(|index| format!("k{index}"));
    }
    if each.settle {
        let results = list.settle().await.into_iter().map(|ended| ended.map(|(_, value)| value));
        return super::several::settled(process, id, results.collect());
    }
    let mut digest = 0;
    for (index, value) in list.await.map_err(Fault::from)? {
        process.saw((id, index), &Ok(value));
        digest = mix(digest, value);
    }
    Ok(digest)
}

impl Process {
    /// The operation of a compensation. `is_right`: it was given the value that the step had.
    async fn undo(&self, run: &DurableRun, id: Id, undo: &Undo, is_right: bool) -> Result<(), Fault> {
        for part in &undo.inner {
            // Nothing else stands in a compensation, whose future has to be `Send`.
            match part.what {
                What::Ask(ask) => question(self, run, part, ask).await?,
                What::Child(_) => super::engine::perform(self, run, part).await?,
                // It stood in a larger part, before the case shrank.
                _ => 0,
            };
        }
        self.life.pass().await;
        if !self.life.is_replaced() {
            self.note_failure();
            self.world.undo(id, undo.fails, undo.attempts)?;
            if !is_right {
                let text = format!("the compensation of {id:?} is given another value");
                self.world.books().breaks(Promise::SameOutcome, text);
            }
        }
        self.life.pass().await;
        Ok(())
    }

    fn saga(&self, id: u16, saga: Saga) {
        if !self.life.is_replaced() {
            self.world.saga(id, saga);
        }
    }
}
