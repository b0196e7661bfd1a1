use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};
use pin_project_lite::pin_project;

use super::scope::Scope;
use crate::clock::{Sleep, later};
use crate::error::Error;
use crate::event::ScopeKind;
use crate::guard::{Both, Guard};
use crate::journal::Key;
use crate::retry::{Retry, Rules};
use crate::run::{Mode, Run};
use crate::step::{Ended, Frame, Invoke, Keep, Once, Retrying, Step, StepFuture};

/// A step for each item of a list.
///
/// Made with [`Run::each`]. Awaiting it gives the values in the order of the items, or the first failure in
/// time, which drops the steps in flight. [`settle`](Self::settle) waits for all of them.
///
/// # Default
/// One at a time, in one batch, no retry, no timeout, keys `name[0]`, `name[1]`, and so on.
///
/// # Resume
/// Every item is a recorded step of its own: a resumed run calls only those without an outcome.
///
/// # Examples
/// ```
/// use awaitly_core::{run, step, RunError};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// async fn double(n: u32) -> Result<u32, RunError> { Ok(n * 2) }
///
/// let doubled = run(async |run| {
///     let doubled = step!(run.each("double", [1, 2, 3], double).concurrency(2));
///     Ok::<_, RunError>(doubled)
/// })
/// .await;
/// assert_eq!(doubled, Ok(vec![2, 4, 6]));
/// # });
/// ```
#[must_use = "a step does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Each<'r, M, I: Iterator, F, A = Once, G = ()> {
    run: &'r Run<M>,
    name: Key,
    /// What the keys of the items begin with.
    base: Key,
    items: I,
    operation: F,
    attempts: A,
    guard: G,
    timeout: Option<Duration>,
    concurrency: usize,
    key_by: Option<KeyBy<'r, I::Item>>,
    batches: Batches<'r>,
}

type KeyBy<'r, Item> = Box<dyn Fn(&Item) -> String + Send + Sync + 'r>;

struct Batches<'r> {
    size: usize,
    pause: Duration,
    on_progress: Option<Box<dyn FnMut(Progress) + Send + 'r>>,
}

/// How far a list of items is, after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The batch that was finished; 1 is the first.
    pub batch: usize,
    /// How many batches there are.
    pub batches: usize,
    /// How many items are done.
    pub done: usize,
    /// How many items there are.
    pub total: usize,
}

impl Progress {
    /// The part that is done, in percent, rounded down. 100 where there is nothing to do.
    #[must_use]
    pub const fn percent(&self) -> usize {
        match (self.done * 100).checked_div(self.total) {
            Some(percent) => percent,
            None => 100,
        }
    }
}

impl<'r, M: Mode, I: Iterator, F> Each<'r, M, I, F> {
    pub(crate) fn new(run: &'r Run<M>, name: Key, items: I, operation: F) -> Self {
        let base = run.take_base(&name);
        let batches = Batches { size: usize::MAX, pause: Duration::ZERO, on_progress: None };
        let (attempts, guard, timeout, concurrency, key_by) = (Once, (), None, 1, None);
        Self { run, name, base, items, operation, attempts, guard, timeout, concurrency, key_by, batches }
    }

    /// Tries an item again after a failure, as `policy` says. Items are cloned for it.
    pub fn retry<P>(self, policy: Retry<P>) -> Each<'r, M, I, F, Retrying<P>> {
        let Self { run, name, base, items, operation, guard, timeout, concurrency, key_by, batches, .. } =
            self;
        let attempts = Retrying(policy);
        Each { run, name, base, items, operation, attempts, guard, timeout, concurrency, key_by, batches }
    }
}

impl<'r, M: Mode, I: Iterator, F, A, G> Each<'r, M, I, F, A, G> {
    /// How many steps run at the same time at most.
    ///
    /// # Panics
    /// Where it is 0. Check a number that comes from a configuration with
    /// [`NonZeroUsize`](std::num::NonZeroUsize) first.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        assert!(concurrency > 0, "at least one step runs at a time: `concurrency(0)` is refused");
        self.concurrency = concurrency;
        self
    }

    /// The key of an item, instead of its position: `name[key]`. Two items with the same key end in
    /// [`RunError::DuplicateKey`](crate::RunError::DuplicateKey).
    pub fn key_by(mut self, key: impl Fn(&I::Item) -> String + Send + Sync + 'r) -> Self {
        self.key_by = Some(Box::new(key));
        self
    }

    /// Drops an attempt at an item that takes longer.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets every attempt pass through `guard`.
    pub fn guard<H>(self, guard: H) -> Each<'r, M, I, F, A, Both<G, H>> {
        let Self {
            run, name, base, items, operation, attempts, timeout, concurrency, key_by, batches, ..
        } = self;
        let guard = Both(self.guard, guard);
        Each { run, name, base, items, operation, attempts, guard, timeout, concurrency, key_by, batches }
    }

    /// Finishes `size` items before the next ones begin.
    ///
    /// # Panics
    /// Where it is 0.
    pub fn batches(mut self, size: usize) -> Self {
        assert!(size > 0, "a batch has at least one item: `batches(0)` is refused");
        self.batches.size = size;
        self
    }

    /// Waits between two batches.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.batches.pause = pause;
        self
    }

    /// Is told after each batch how far it is.
    pub fn on_progress(mut self, told: impl FnMut(Progress) + Send + 'r) -> Self {
        self.batches.on_progress = Some(Box::new(told));
        self
    }

    /// Waits for all items, whatever fails, and gives every result in the order of the items.
    pub const fn settle(self) -> Settled<Self> {
        Settled(self)
    }

    fn start(self) -> EachFuture<'r, M, I::Item, F, A, G>
    where
        A: Invoke<ItemOperation<F, I::Item>>,
        G: Guard<A::Error>,
    {
        let items: Vec<_> = self.items.collect();
        let total = items.len();
        EachFuture {
            scope: None,
            run: self.run,
            name: self.name,
            base: self.base,
            items: items.into_iter().enumerate(),
            operation: Arc::new(self.operation),
            attempts: self.attempts,
            guard: self.guard,
            timeout: self.timeout,
            concurrency: self.concurrency,
            key_by: self.key_by,
            batches: self.batches,
            left_in_batch: 0,
            pausing: None,
            in_flight: FuturesUnordered::new(),
            results: (0..total).map(|_| None).collect(),
            done: 0,
            begun: false,
        }
    }
}

/// A list of steps that is waited for whole. Made with [`Each::settle`].
#[must_use = "a step does nothing unless it is awaited"]
pub struct Settled<S>(S);

/// The operation of [`Each`], with one item.
pub struct ItemOperation<F, I> {
    operation: Arc<F>,
    item: I,
}

#[diagnostic::do_not_recommend]
impl<F, I, Fut, T, E> Invoke<ItemOperation<F, I>> for Once
where
    F: Fn(I) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    type Value = T;
    type Error = E;
    type Attempt = Fut;

    fn invoke(&self, operation: &mut Option<ItemOperation<F, I>>) -> Option<Fut> {
        operation.take().map(|ItemOperation { operation, item }| operation(item))
    }

    fn max_attempts(&self) -> u32 {
        1
    }

    fn after(
        &self,
        _: u32,
        _: Duration,
        _: &Error<E>,
        _: impl FnOnce() -> fastrand::Rng,
    ) -> Option<Duration> {
        None
    }

    fn succeeded(&self) {}
}

#[diagnostic::do_not_recommend]
impl<F, I, Fut, T, E, P> Invoke<ItemOperation<F, I>> for Retrying<P>
where
    F: Fn(I) -> Fut,
    I: Clone,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display,
    P: Rules<E>,
{
    type Value = T;
    type Error = E;
    type Attempt = Fut;

    fn invoke(&self, operation: &mut Option<ItemOperation<F, I>>) -> Option<Fut> {
        operation.as_ref().map(|each| (each.operation)(each.item.clone()))
    }

    fn max_attempts(&self) -> u32 {
        self.0.max_attempts()
    }

    fn after(
        &self,
        attempt: u32,
        previous: Duration,
        error: &Error<E>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<Duration> {
        self.0.after(attempt, previous, error, dice)
    }

    fn succeeded(&self) {
        self.0.succeeded();
    }
}

/// The steps of the items that are under way.
type InFlight<'r, M, F, Item, A, G> =
    FuturesUnordered<Numbered<StepFuture<'r, ItemOperation<F, Item>, A, <M as Mode>::Keep, G>>>;

/// The future of [`Each`].
#[must_use = "futures do nothing unless polled"]
pub struct EachFuture<'r, M: Mode, Item, F, A, G>
where
    A: Invoke<ItemOperation<F, Item>>,
    G: Guard<A::Error>,
{
    run: &'r Run<M>,
    scope: Option<Scope<'r>>,
    name: Key,
    base: Key,
    items: std::iter::Enumerate<std::vec::IntoIter<Item>>,
    operation: Arc<F>,
    attempts: A,
    guard: G,
    timeout: Option<Duration>,
    concurrency: usize,
    key_by: Option<KeyBy<'r, Item>>,
    batches: Batches<'r>,
    left_in_batch: usize,
    pausing: Option<Sleep>,
    in_flight: InFlight<'r, M, F, Item, A, G>,
    results: Vec<Option<Ended<A::Value, A::Error>>>,
    done: usize,
    begun: bool,
}

// Everything that is pinned lies in `in_flight`, on the heap.
impl<M: Mode, Item, F, A, G> Unpin for EachFuture<'_, M, Item, F, A, G>
where
    A: Invoke<ItemOperation<F, Item>>,
    G: Guard<A::Error>,
{
}

impl<'r, M, Item, F, A, G> EachFuture<'r, M, Item, F, A, G>
where
    M: Mode,
    M::Keep: Keep<A::Value, A::Error>,
    A: Invoke<ItemOperation<F, Item>> + Clone,
    G: Guard<A::Error> + Clone,
{
    /// Runs on. With `fail_fast`, ends with the position of the first failure.
    fn poll_all(&mut self, cx: &mut Context<'_>, fail_fast: bool) -> Poll<Option<usize>> {
        if !self.begun {
            self.begun = true;
            self.scope = Scope::begin(self.run, &self.base, ScopeKind::Each);
            self.left_in_batch = self.batches.size;
        }
        loop {
            if let Some(pausing) = &mut self.pausing {
                ready!(pausing.as_mut().poll(cx));
                self.pausing = None;
            }
            self.fill();
            match ready!(Pin::new(&mut self.in_flight).poll_next(cx)) {
                Some((position, ended)) => {
                    let failed = ended.is_err();
                    self.done += 1;
                    if let Some(result) = self.results.get_mut(position) {
                        *result = Some(ended);
                    }
                    if failed && fail_fast {
                        self.in_flight = FuturesUnordered::new();
                        self.scope = None;
                        return Poll::Ready(Some(position));
                    }
                }
                None => {
                    self.batch_done();
                    if self.items.len() == 0 {
                        self.scope = None;
                        return Poll::Ready(None);
                    }
                }
            }
        }
    }

    fn fill(&mut self) {
        while self.in_flight.len() < self.concurrency && self.left_in_batch > 0 {
            let Some((position, item)) = self.items.next() else {
                return;
            };
            self.left_in_batch -= 1;
            let step = self.step(position, item).into_future();
            self.in_flight.push(Numbered { position, step });
        }
    }

    fn step(&self, position: usize, item: Item) -> Step<'r, ItemOperation<F, Item>, A, M::Keep, G> {
        let frame = self.frame(position, &item);
        let operation = ItemOperation { operation: Arc::clone(&self.operation), item };
        let step = Step::assemble(frame, operation, self.attempts.clone(), self.guard.clone());
        match self.timeout {
            Some(timeout) => step.timeout(timeout),
            None => step,
        }
    }

    fn frame(&self, position: usize, item: &Item) -> Frame<'r> {
        let key = || match &self.key_by {
            Some(key_by) => Key::from(format!("{}[{}]", self.base, key_by(item))),
            None => Key::from(format!("{}[{position}]", self.base)),
        };
        self.run.frame_with_key(self.name.clone(), key)
    }

    fn batch_done(&mut self) {
        let Batches { size, pause, on_progress } = &mut self.batches;
        let total = self.results.len();
        if let Some(on_progress) = on_progress
            && total > 0
        {
            let batch = self.done.div_ceil(*size);
            on_progress(Progress { batch, batches: total.div_ceil(*size), done: self.done, total });
        }
        self.left_in_batch = *size;
        if self.items.len() > 0 && *pause > Duration::ZERO {
            let clock = self.run.clock();
            self.pausing = Some(clock.sleep_until(later(clock.now(), *pause)));
        }
    }
}

impl<'r, M, I, F, A, G> IntoFuture for Each<'r, M, I, F, A, G>
where
    I: Iterator,
    M: Mode,
    M::Keep: Keep<A::Value, A::Error>,
    A: Invoke<ItemOperation<F, I::Item>> + Clone,
    G: Guard<A::Error> + Clone,
{
    type Output = Result<Vec<A::Value>, Error<A::Error>>;
    type IntoFuture = EachFuture<'r, M, I::Item, F, A, G>;

    fn into_future(self) -> Self::IntoFuture {
        self.start()
    }
}

impl<M, Item, F, A, G> Future for EachFuture<'_, M, Item, F, A, G>
where
    M: Mode,
    M::Keep: Keep<A::Value, A::Error>,
    A: Invoke<ItemOperation<F, Item>> + Clone,
    G: Guard<A::Error> + Clone,
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

impl<'r, M, I, F, A, G> IntoFuture for Settled<Each<'r, M, I, F, A, G>>
where
    I: Iterator,
    M: Mode,
    M::Keep: Keep<A::Value, A::Error>,
    A: Invoke<ItemOperation<F, I::Item>> + Clone,
    G: Guard<A::Error> + Clone,
{
    type Output = Vec<Ended<A::Value, A::Error>>;
    type IntoFuture = SettledFuture<EachFuture<'r, M, I::Item, F, A, G>>;

    fn into_future(self) -> Self::IntoFuture {
        SettledFuture(self.0.start())
    }
}

/// The future of a [`Settled`] list.
#[must_use = "futures do nothing unless polled"]
pub struct SettledFuture<S>(S);

impl<M, Item, F, A, G> Future for SettledFuture<EachFuture<'_, M, Item, F, A, G>>
where
    M: Mode,
    M::Keep: Keep<A::Value, A::Error>,
    A: Invoke<ItemOperation<F, Item>> + Clone,
    G: Guard<A::Error> + Clone,
{
    type Output = Vec<Ended<A::Value, A::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.0.poll_all(cx, false));
        Poll::Ready(std::mem::take(&mut self.0.results).into_iter().flatten().collect())
    }
}

pin_project! {
    /// A future that says which one it was.
    struct Numbered<S> {
        position: usize,
        #[pin]
        step: S,
    }
}

impl<S: Future> Future for Numbered<S> {
    type Output = (usize, S::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.step.poll(cx).map(|output| (*this.position, output))
    }
}

impl<M, I: Iterator, F, A, G> fmt::Debug for Each<'_, M, I, F, A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, concurrency, .. } = self;
        f.debug_struct("Each").field("name", name).field("concurrency", concurrency).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for Settled<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Settled").field(&self.0).finish()
    }
}

impl<F, I> fmt::Debug for ItemOperation<F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemOperation").finish_non_exhaustive()
    }
}

impl<M: Mode, Item, F, A, G> fmt::Debug for EachFuture<'_, M, Item, F, A, G>
where
    A: Invoke<ItemOperation<F, Item>>,
    G: Guard<A::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, done, .. } = self;
        f.debug_struct("EachFuture").field("name", name).field("done", done).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for SettledFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SettledFuture").field(&self.0).finish()
    }
}
