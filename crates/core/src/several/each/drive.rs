use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};

use super::item::{ItemOperation, Numbered};
use super::{List, Progress};
use crate::error::{Error, RunError};
use crate::event::ScopeKind;
use crate::guard::Guard;
use crate::journal::Key;
use crate::run::Mode;
use crate::several::held::HeldWaits;
use crate::several::scope::Scope;
use crate::step::{Ended, Frame, Invoke, Keep, Step, StepFuture, Undo};
use crate::wait;

/// The future of [`Each`](super::Each).
#[must_use = "futures do nothing unless polled"]
pub struct EachFuture<'r, M, Item, F, A, R, G, U>
where
    A: Invoke<ItemOperation<F, Item>>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
    list: List<'r, M, Item, F>,
    attempts: A,
    guard: G,
    undo: U,
    left_in_batch: usize,
    pausing: Option<Pausing<'r>>,
    in_flight: InFlight<'r, F, Item, A, R, G, U>,
    results: Vec<Option<Ended<A::Value, A::Error>>>,
    /// The first item that failed, if the list waits for the items in flight beside it.
    failed: Option<usize>,
    /// The maximum number of items without an outcome that an earlier execution may have left in flight.
    left_in_flight: usize,
    /// The first item that waits or was cancelled.
    paused: Option<usize>,
    /// The waiting items with their steps, in the order in which they began to wait.
    waiting: Vec<(usize, Key)>,
    waits: HeldWaits<'r>,
    done: usize,
    begun: bool,
    /// Dropped last, so that the end event of the list follows the events of its steps.
    scope: Option<Scope<'r>>,
}

type Pausing<'r> = Pin<Box<dyn Future<Output = Result<(), RunError>> + Send + 'r>>;

/// The steps of the items in flight.
type InFlight<'r, F, Item, A, R, G, U> =
    FuturesUnordered<Numbered<StepFuture<'r, ItemOperation<F, Item>, A, R, G, U>>>;

// All pinned futures are in `in_flight`, on the heap.
impl<M, Item, F, A, R, G, U> Unpin for EachFuture<'_, M, Item, F, A, R, G, U>
where
    A: Invoke<ItemOperation<F, Item>>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
}

impl<'r, M, Item, F, A, R, G, U> EachFuture<'r, M, Item, F, A, R, G, U>
where
    M: Mode,
    A: Invoke<ItemOperation<F, Item>> + Clone,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error> + Clone,
    U: Undo<A::Value> + Clone,
{
    pub(super) fn new(list: List<'r, M, Item, F>, attempts: A, guard: G, undo: U) -> Self {
        let results = (0..list.items.len()).map(|_| None).collect();
        let (scope, pausing, in_flight) = (None, None, FuturesUnordered::new());
        let (left_in_batch, done, begun, waiting) = (list.batch, 0, false, Vec::new());
        let waits = HeldWaits::new(list.run.shared());
        let is_resumed = U::ACTS && list.run.shared().is_some_and(|run| run.keys.is_resumed());
        let left_in_flight = if is_resumed { list.concurrency } else { 0 };
        Self {
            list,
            attempts,
            guard,
            undo,
            scope,
            left_in_batch,
            pausing,
            in_flight,
            results,
            failed: None,
            left_in_flight,
            paused: None,
            waiting,
            waits,
            done,
            begun,
        }
    }

    /// Polls the list. With `fail_fast`, ends with the position of the first failure, at once or after the items in
    /// flight have ended. An item that waits or was cancelled has not failed: the other items continue, and if none of
    /// them fails, the list ends with the position of the paused item.
    fn poll_all(&mut self, cx: &mut Context<'_>, fail_fast: bool) -> Poll<Option<usize>> {
        if !self.begun {
            self.begun = true;
            self.scope = Scope::begin(self.list.run, &self.list.base, ScopeKind::Each);
        }
        let first_failure = loop {
            if let Some(pausing) = &mut self.pausing {
                // If the pause is cut short, the next steps return the reason.
                let _ = ready!(pausing.as_mut().poll(cx));
                self.pausing = None;
            }
            self.fill();
            match ready!(self.waits.during(|| Pin::new(&mut self.in_flight).poll_next(cx))) {
                Some((position, is_known, ended)) => {
                    if self.keep(position, ended) && fail_fast {
                        if !U::ACTS {
                            break Some(position);
                        }
                        self.fail(position, is_known);
                    }
                }
                None if self.failed.is_some() => break self.failed,
                None if !self.waiting.is_empty() || (fail_fast && self.paused.is_some()) => {
                    break self.paused;
                }
                None => {
                    self.batch_done();
                    if self.list.items.len() == 0 {
                        break None;
                    }
                }
            }
        };
        if first_failure != self.paused {
            // An item failed, so the body no longer waits for the others.
            self.waits.forget();
        }
        self.in_flight.clear();
        self.scope = None;
        self.end_waits();
        Poll::Ready(first_failure)
    }

    /// Ends the waiting items if the run has ended.
    fn end_waits(&mut self) {
        for (position, step) in &self.waiting {
            if let (Some(ended), Some(result)) = (self.waits.ended(step), self.results.get_mut(*position)) {
                *result = Some(Err(Error::Run(ended)));
            }
        }
        self.waits.release();
    }

    /// Keeps the result of an item, and returns `true` if the item failed.
    fn keep(&mut self, position: usize, ended: Ended<A::Value, A::Error>) -> bool {
        let failed = match &ended {
            Ok(_) => false,
            Err(Error::Run(RunError::Waiting { step })) => {
                self.waiting.push((position, step.clone()));
                self.paused.get_or_insert(position);
                false
            }
            Err(Error::Run(RunError::Cancelled { .. })) => {
                self.paused.get_or_insert(position);
                false
            }
            Err(_) => true,
        };
        self.done += 1;
        if let Some(result) = self.results.get_mut(position) {
            *result = Some(ended);
        }
        failed
    }

    /// Notes the failure of an item beside which others may be in flight. The batches and their pauses do not apply to
    /// the items that are still looked up.
    fn fail(&mut self, position: usize, is_known: bool) {
        self.failed.get_or_insert(position);
        self.left_in_batch = usize::MAX;
        // An item that failed in an earlier execution was not in flight when that execution ended.
        self.left_in_flight = self.left_in_flight.saturating_sub(usize::from(is_known));
    }

    /// Begins items until the limit of concurrency is reached.
    ///
    /// After a failure, no further item begins. In a resumed run, the list can find a recorded failure before it reaches
    /// the items that an earlier execution had begun beside it. If such an item has an outcome, its effect has to be
    /// undone, so the list looks up all recorded items. If it has none, its call may or may not have had an effect, so the
    /// list begins it again, and the service recognises the repeated call. The number of such items is limited: an
    /// execution has at most `concurrency` of them.
    fn fill(&mut self) {
        while self.in_flight.len() < self.list.concurrency && self.left_in_batch > 0 {
            let Some((position, item)) = self.list.items.next() else { return };
            self.left_in_batch -= 1;
            let step = self.step(position, item);
            let is_known = U::ACTS && step.frame().is_known();
            if is_known || self.failed.is_none() || self.left_in_flight > 0 {
                self.left_in_flight = self.left_in_flight.saturating_sub(usize::from(!is_known));
                self.in_flight.push(Numbered { position, is_known, step: step.into_future() });
            }
        }
    }

    fn step(&self, position: usize, item: Item) -> Step<'r, ItemOperation<F, Item>, A, R, G, U> {
        let Self { list: List { operation, timeout, deadline, .. }, attempts, guard, undo, .. } = self;
        let frame = self.frame(position, &item);
        let operation = ItemOperation { operation: Arc::clone(operation), item };
        let mut step = Step::assemble(frame, operation, attempts.clone(), guard.clone(), undo.clone());
        if let Some(timeout) = timeout {
            step = step.timeout(*timeout);
        }
        if let Some(deadline) = deadline {
            step = step.deadline(*deadline);
        }
        step
    }

    fn frame(&self, position: usize, item: &Item) -> Frame<'r> {
        let List { run, name, base, key_by, .. } = &self.list;
        run.frame_with_key(name.clone(), || match key_by {
            Some(key_by) => Key::from(format!("{base}[{}]", key_by(item))),
            None => Key::from(format!("{base}[{position}]")),
        })
    }

    /// Waits for all items, also after failures.
    pub(super) async fn settle(mut self) -> Vec<Ended<A::Value, A::Error>> {
        poll_fn(|cx| self.poll_all(cx, false)).await;
        self.results.into_iter().flatten().collect()
    }

    fn batch_done(&mut self) {
        let (done, total) = (self.done, self.results.len());
        let List { run, name, items, batch, pause, on_progress, .. } = &mut self.list;
        if let Some(on_progress) = on_progress.as_mut().filter(|_| total > 0) {
            let (batch, batches) = (done.div_ceil(*batch), total.div_ceil(*batch));
            on_progress(Progress { batch, batches, done, total });
        }
        self.left_in_batch = *batch;
        if items.len() > 0 && *pause > Duration::ZERO {
            self.pausing = Some(Box::pin(wait::sleep(run.shared(), run.clock(), None, name.clone(), *pause)));
        }
    }
}

impl<M, Item, F, A, R, G, U> Future for EachFuture<'_, M, Item, F, A, R, G, U>
where
    M: Mode,
    A: Invoke<ItemOperation<F, Item>> + Clone,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error> + Clone,
    U: Undo<A::Value> + Clone,
{
    type Output = Result<Vec<A::Value>, Error<A::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let failed = ready!(self.poll_all(cx, true));
        let mut results = std::mem::take(&mut self.results).into_iter();
        if let Some(Some(Err(error))) = failed.and_then(|position| results.nth(position)) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(results.flatten().collect())
    }
}

impl<M, Item, F, A, R, G, U> fmt::Debug for EachFuture<'_, M, Item, F, A, R, G, U>
where
    A: Invoke<ItemOperation<F, Item>>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachFuture")
            .field("name", &self.list.name)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
