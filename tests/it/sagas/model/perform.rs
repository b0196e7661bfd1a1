//! Performs a program with the library.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use awaitly::clock::ms;
use awaitly::saga::{DurableSaga, SagaError};
use awaitly::{Retry, parallel, step};

use super::program::{Act, Deed, Does, Undo, What};
use super::{Refused, TripError};
use crate::fuse::Fuse;

type Performing<'a> = Pin<Box<dyn Future<Output = Result<(), TripError>> + 'a>>;

const TWICE: Retry = Retry::fixed(Duration::ZERO).attempts(2);

/// Performs `acts` in `saga`, up to the first unhandled failure.
pub(super) fn perform<'a, 'c: 'a>(
    saga: &'a DurableSaga<'c, TripError>,
    acts: &'c [Act],
    world: &'c Outside,
) -> Performing<'a> {
    Box::pin(async move {
        for Act { what, handled } in acts {
            let ended = one(saga, what, world).await;
            if !handled {
                ended?;
            }
        }
        Ok(())
    })
}

async fn one<'c>(
    saga: &DurableSaga<'c, TripError>,
    what: &'c What,
    world: &'c Outside,
) -> Result<(), TripError> {
    match what {
        What::Step(deed) => {
            let mut step = saga.step(deed.key.clone(), || world.does(deed));
            if deed.does == Does::Hangs {
                step = step.timeout(ms(1));
            }
            match deed.undo {
                None => step!(step),
                Some(_) => step!(step.compensate(|()| world.undoes(deed)).compensate_retry(TWICE)),
            }
        }
        What::Parallel(name, [a, b, c]) => {
            parallel!(saga, name, {
                a: step!(compensate = |()| world.undoes(a), compensate_retry = TWICE, world.does(a)),
                b: world.does(b),
                c: step!(compensate = |()| world.undoes(c), compensate_retry = TWICE, world.does(c)),
            });
        }
        What::Each { name, deeds, concurrency } => {
            let does = async |deed: &'c Deed| world.does(deed).await.map(|()| position(deeds, deed));
            let each = saga.each(name.clone(), deeds, does).concurrency(*concurrency);
            if deeds.iter().all(|deed| deed.undo.is_some()) {
                let undo = move |position: usize| world.undoes(&deeds[position]);
                step!(each.compensate(undo).compensate_retry(TWICE));
            } else {
                step!(each);
            }
        }
        What::Branches(branches) => {
            let branches = branches.iter().map(|acts| perform(saga, acts, world)).collect();
            all_ended(branches).await.into_iter().collect::<Result<(), _>>()?;
        }
        What::Nested(acts) => {
            let nested = saga.nested(async |saga| perform(&saga, acts, world).await);
            nested.await.map_err(SagaError::into_error)?;
        }
    }
    Ok(())
}

fn position(deeds: &[Deed], deed: &Deed) -> usize {
    deeds.iter().position(|other| other.key == deed.key).unwrap()
}

/// Waits for all futures, and returns their results in order.
async fn all_ended<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut ended: Vec<_> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, ended) in futures.iter_mut().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
            if let Poll::Ready(end) = future.as_mut().poll(cx) {
                *ended = Some(end);
            }
        }
        if ended.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ended.into_iter().flatten().collect()
}

/// The services. Each action and each compensation has one effect, regardless of the number of calls. They also report
/// calls that must not happen.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) fuse: Fuse,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// The effects, compensations and refusals in their order, each once.
    log: Vec<String>,
    /// The actions of the current execution.
    acted: BTreeSet<String>,
    /// The keys that were recorded before the current execution, which must not be repeated.
    settled: BTreeSet<String>,
    attempts: BTreeMap<String, u32>,
    mended: bool,
    faults: Vec<String>,
}

impl Outside {
    /// Starts an execution that stops at the boundary `death`. `settled` are the keys that are already recorded.
    pub(super) fn begin(&self, death: i64, settled: impl Iterator<Item = String>) {
        self.fuse.set(death);
        let mut books = self.books();
        books.acted.clear();
        books.settled = settled.collect();
    }

    /// Repairs all compensations, so that they succeed from now on.
    pub(super) fn mend(&self) {
        self.books().mended = true;
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.books().log.clone()
    }

    pub(super) fn faults(&self) -> Result<(), String> {
        let faults = &self.books().faults;
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    async fn does(&self, deed: &Deed) -> Result<(), Refused> {
        for _ in 0..deed.ticks {
            tokio::task::yield_now().await;
        }
        self.fuse.pass().await;
        match deed.does {
            Does::Refuses => {
                self.note(format!("no {}", deed.key));
                Err(Refused(deed.key.clone()))
            }
            Does::Works => {
                self.act(deed.key.clone());
                self.fuse.pass().await;
                Ok(())
            }
            Does::Hangs => {
                self.act(deed.key.clone());
                pending().await
            }
        }
    }

    async fn undoes(&self, deed: &Deed) -> Result<(), Refused> {
        let key = format!("undo {}", deed.key);
        self.fuse.pass().await;
        let works = {
            let mut books = self.books();
            let attempt = books.attempts.entry(key.clone()).or_default();
            *attempt += 1;
            match deed.undo {
                Some(Undo::Fails) => books.mended,
                Some(Undo::Stutters) => *attempt > 1,
                Some(Undo::Works) => true,
                None => panic!("{} has no compensation", deed.key),
            }
        };
        if !works {
            return Err(Refused(key));
        }
        self.act(key);
        self.fuse.pass().await;
        Ok(())
    }

    fn act(&self, key: String) {
        {
            let mut books = self.books();
            if books.settled.contains(&key) {
                books.faults.push(format!("`{key}` was recorded, but is done again"));
            }
            if !books.acted.insert(key.clone()) {
                books.faults.push(format!("`{key}` is done twice in one execution"));
            }
        }
        self.note(key);
    }

    fn note(&self, entry: String) {
        let mut books = self.books();
        if !books.log.contains(&entry) {
            books.log.push(entry);
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}
