use std::fmt;
use std::future::{Future, IntoFuture};
use std::iter::Enumerate;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use awaitly_core::extend;
use awaitly_core::extend::undo::{self, Scope};
use awaitly_core::journal::Key;
use awaitly_core::several::ItemOperation;
use awaitly_core::step::{Invoke, Keep, Once, Repeat, Step, StepFuture};
use awaitly_core::{Error, Mode, Retry, RunError};
use futures_util::stream::{FuturesUnordered, Stream};
use pin_project_lite::pin_project;

use crate::Saga;
use crate::compensation::{By, Compensates, Compensation};
use crate::step::{SagaStep, SagaStepFuture};

/// A step of a saga for each item of a list, each with its own compensation.
///
/// Created by [`Saga::each`]. Awaiting it returns the values in the order of the items, or the failure that came first.
/// After a failure, no further item begins, and the list waits for the items in flight, so that the saga knows their
/// effects and undoes them.
///
/// # Default
/// One item at a time, no retry, no timeout. The keys are `name[0]`, `name[1]`, and so on. A volatile run without
/// observers has no keys, and every item is named `name`.
///
/// # Errors
/// Returns the failure of the step that failed first.
///
/// # Cancel safety
/// Dropping the future drops the steps in flight. They are then [in doubt](crate::SagaError::in_doubt).
///
/// # Resume
/// Every item is a recorded step: a resumed run calls only the items without an outcome.
///
/// ```
/// use awaitly_core::{RunError, run, step};
/// use awaitly_saga::saga;
///
/// # async fn send(parcel: u32) -> Result<u32, RunError> { Ok(parcel * 10) }
/// # async fn call_back(shipment: u32) -> Result<(), RunError> { Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let sent = run(async |run| {
///     saga(run, async |saga| {
///         let sent = step!(saga.each("send", [1, 2, 3], send).compensate(call_back).concurrency(2));
///         Ok::<_, RunError>(sent)
///     })
///     .await
/// })
/// .await;
/// assert_eq!(sent.unwrap(), [10, 20, 30]);
/// # });
/// ```
#[must_use = "a step does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct SagaEach<'s, H, I, F, A = Once, X = Compensation> {
    list: List<'s, H, I, F>,
    attempts: A,
    compensation: X,
}

/// The parts that no option changes the type of.
struct List<'s, H, I, F> {
    saga: &'s H,
    name: Key,
    /// The first part of the items' keys.
    base: Key,
    items: Enumerate<vec::IntoIter<I>>,
    operation: Arc<F>,
    concurrency: usize,
    timeout: Option<Duration>,
    key_by: Option<KeyBy<'s, I>>,
}

type KeyBy<'s, I> = Box<dyn Fn(&I) -> String + Send + Sync + 's>;

impl<'s, 'c, E, M: Mode, I, F> SagaEach<'s, Saga<'c, E, M>, I, F> {
    pub(crate) fn new(saga: &'s Saga<'c, E, M>, name: Key, items: Vec<I>, operation: F) -> Self {
        let base = extend::base(saga.run(), &name);
        let (items, operation) = (items.into_iter().enumerate(), Arc::new(operation));
        let list = List { saga, name, base, items, operation, concurrency: 1, timeout: None, key_by: None };
        Self { list, attempts: Once, compensation: Compensation::none() }
    }
}

impl<'s, H, I, F, A, X> SagaEach<'s, H, I, F, A, X> {
    /// Retries an item after a failure, as `policy` decides. Each attempt gets a clone of the item.
    pub fn retry<Q>(self, policy: Retry<Q>) -> SagaEach<'s, H, I, F, A::Again<Q>, X>
    where
        A: Repeat,
    {
        let Self { list, attempts, compensation } = self;
        SagaEach { list, attempts: attempts.again(policy), compensation }
    }

    /// Limits the time of an attempt at an item. A longer attempt is dropped and counts as a timeout.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.list.timeout = Some(timeout);
        self
    }

    /// Sets the maximum number of steps in flight.
    ///
    /// # Panics
    /// Panics if `concurrency` is 0.
    pub const fn concurrency(mut self, concurrency: usize) -> Self {
        assert!(concurrency > 0, "at least one step runs at a time: `concurrency(0)` is refused");
        self.list.concurrency = concurrency;
        self
    }

    /// Derives the key of an item from the item instead of its position: `name[key]`. If two items of a durable run
    /// have one key, the list ends in [`RunError::DuplicateKey`](awaitly_core::RunError::DuplicateKey).
    pub fn key_by(mut self, key: impl Fn(&I) -> String + Send + Sync + 's) -> Self {
        self.list.key_by = Some(Box::new(key));
        self
    }
}

impl<'s, H, I, F, A, C, P> SagaEach<'s, H, I, F, A, Compensation<C, P>> {
    /// Sets the retry policy of the compensations: see [`SagaStep::compensate_retry`].
    pub fn compensate_retry<Q>(self, policy: Retry<Q>) -> SagaEach<'s, H, I, F, A, Compensation<C, Q>> {
        let Self { list, attempts, compensation } = self;
        SagaEach { list, attempts, compensation: compensation.retry(policy) }
    }

    /// Sets the timeout of the compensations: see [`SagaStep::compensate_timeout`].
    pub fn compensate_timeout(self, timeout: Duration) -> Self {
        let Self { list, attempts, compensation } = self;
        Self { list, attempts, compensation: compensation.timeout(timeout) }
    }
}

impl<'s, 'c, E, M, I, F, A, P> SagaEach<'s, Saga<'c, E, M>, I, F, A, Compensation<(), P>> {
    /// Sets the operation that undoes an item: see [`SagaStep::compensate`]. Each item has a clone of it.
    #[expect(clippy::type_complexity, reason = "a list of steps, and what undoes each")]
    pub fn compensate<C, Fut, U, X>(
        self,
        operation: C,
    ) -> SagaEach<'s, Saga<'c, E, M>, I, F, A, Compensation<By<C>, P>>
    where
        A: Invoke<ItemOperation<F, I>>,
        C: FnMut(A::Value) -> Fut + Clone + Send + 'c,
        Fut: Future<Output = Result<U, X>>,
    {
        let Self { list, attempts, compensation } = self;
        SagaEach { list, attempts, compensation: compensation.by(operation) }
    }
}

impl<'s, 'c, E, M, I, F, A, X> IntoFuture for SagaEach<'s, Saga<'c, E, M>, I, F, A, X>
where
    M: Mode,
    A: Invoke<ItemOperation<F, I>> + Clone,
    M::Keep: Keep<A::Value, A::Error>,
    X: Compensates<'c, A::Value, E, M> + Clone,
{
    type Output = Result<Vec<A::Value>, Error<A::Error>>;
    type IntoFuture = SagaEachFuture<'s, 'c, E, M, I, F, A, X>;

    fn into_future(self) -> Self::IntoFuture {
        let results = (0..self.list.items.len()).map(|_| None).collect();
        let run = self.list.saga.run();
        // Only an earlier execution can have left items in flight.
        let under_way = if undo::is_resumed(run) { self.list.concurrency } else { 0 };
        let (in_flight, begun) = (FuturesUnordered::new(), false);
        SagaEachFuture {
            each: self,
            in_flight,
            under_way,
            results,
            failure: None,
            pause: None,
            waiting: Vec::new(),
            begun,
            scope: None,
        }
    }
}

/// The future of [`SagaEach`].
#[must_use = "futures do nothing unless polled"]
pub struct SagaEachFuture<'s, 'c, E, M, I, F, A, X>
where
    M: Mode,
    A: Invoke<ItemOperation<F, I>>,
    X: Compensates<'c, A::Value, E, M>,
{
    each: SagaEach<'s, Saga<'c, E, M>, I, F, A, X>,
    in_flight: FuturesUnordered<InFlight<'s, 'c, E, M, I, F, A, X>>,
    /// The maximum number of items without an outcome that an earlier execution may have left in flight.
    under_way: usize,
    results: Vec<Option<A::Value>>,
    failure: Option<Error<A::Error>>,
    /// The first item that waits or was cancelled, and the steps at which items wait.
    pause: Option<Error<A::Error>>,
    waiting: Vec<Key>,
    begun: bool,
    /// Dropped last, so that the event for the end of the list follows the events of its steps.
    scope: Option<Scope<'s>>,
}

/// The steps in flight.
type InFlight<'s, 'c, E, M, I, F, A, X> = Numbered<
    SagaStepFuture<
        's,
        'c,
        E,
        M,
        StepFuture<'s, ItemOperation<F, I>, A, <M as Mode>::Keep, ()>,
        X,
        <A as Invoke<ItemOperation<F, I>>>::Value,
    >,
>;

// All pinned data lies in `in_flight`, on the heap.
impl<'c, M, E, I, F, A, X> Unpin for SagaEachFuture<'_, 'c, E, M, I, F, A, X>
where
    M: Mode,
    A: Invoke<ItemOperation<F, I>>,
    X: Compensates<'c, A::Value, E, M>,
{
}

impl<'s, 'c, E, M, I, F, A, X> SagaEachFuture<'s, 'c, E, M, I, F, A, X>
where
    M: Mode,
    A: Invoke<ItemOperation<F, I>> + Clone,
    M::Keep: Keep<A::Value, A::Error>,
    X: Compensates<'c, A::Value, E, M> + Clone,
{
    /// Starts items until the limit of concurrency is reached.
    ///
    /// After a failure, no further item begins. A resumed run may however find the failure before it has reached the
    /// items that an earlier execution ran beside it. Recorded items are therefore still looked up, and items that may
    /// have been in flight begin again.
    fn fill(&mut self) {
        while self.in_flight.len() < self.each.list.concurrency {
            let Some((position, item)) = self.each.list.items.next() else { return };
            let step = self.step(position, item);
            let is_known = step.is_known();
            if is_known || self.failure.is_none() || self.under_way > 0 {
                self.under_way = self.under_way.saturating_sub(usize::from(!is_known));
                self.in_flight.push(Numbered { position, is_known, step: step.into_future() });
            }
        }
    }

    fn step(&self, position: usize, item: I) -> SagaStep<'s, Saga<'c, E, M>, StepOf<'s, M, I, F, A>, X> {
        let SagaEach { list, attempts, compensation } = &self.each;
        let List { saga, name, base, operation, timeout, key_by, .. } = list;
        let key = match key_by {
            Some(key_by) => Key::from(format!("{base}[{}]", key_by(&item))),
            None => Key::from(format!("{base}[{position}]")),
        };
        let operation = ItemOperation::new(Arc::clone(operation), item);
        let mut step = undo::item(saga.run(), name.clone(), key, operation, attempts.clone());
        if let Some(timeout) = timeout {
            step = step.timeout(*timeout);
        }
        SagaStep::new(saga, step, compensation.clone())
    }
}

/// The step of an item.
type StepOf<'s, M, I, F, A> = Step<'s, ItemOperation<F, I>, A, <M as Mode>::Keep>;

impl<'c, E, M, I, F, A, X> Future for SagaEachFuture<'_, 'c, E, M, I, F, A, X>
where
    M: Mode,
    A: Invoke<ItemOperation<F, I>> + Clone,
    M::Keep: Keep<A::Value, A::Error>,
    X: Compensates<'c, A::Value, E, M> + Clone,
{
    type Output = Result<Vec<A::Value>, Error<A::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !std::mem::replace(&mut self.begun, true) {
            let List { saga, base, .. } = &self.each.list;
            self.scope = undo::scope(saga.run(), base);
        }
        loop {
            self.fill();
            match ready!(Pin::new(&mut self.in_flight).poll_next(cx)) {
                Some((position, _, Ok(value))) => {
                    if let Some(result) = self.results.get_mut(position) {
                        *result = Some(value);
                    }
                }
                // An item that waits or was cancelled has not failed.
                Some((
                    _,
                    _,
                    Err(Error::Run(error @ (RunError::Waiting { .. } | RunError::Cancelled { .. }))),
                )) => {
                    if let RunError::Waiting { step } = &error {
                        self.waiting.push(step.clone());
                    }
                    self.pause.get_or_insert(Error::Run(error));
                }
                Some((_, is_known, Err(error))) => {
                    // An item that failed in an earlier execution was not in flight when that execution ended.
                    self.under_way = self.under_way.saturating_sub(usize::from(is_known));
                    self.failure.get_or_insert(error);
                }
                None => break,
            }
        }
        self.scope = None;
        if self.failure.is_some() {
            undo::forget_waits(self.each.list.saga.run(), &self.waiting);
        }
        Poll::Ready(match self.failure.take().or_else(|| self.pause.take()) {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.results).into_iter().flatten().collect()),
        })
    }
}

pin_project! {
    /// The step of an item, with its position and whether its outcome was recorded before.
    struct Numbered<S> {
        position: usize,
        is_known: bool,
        #[pin]
        step: S,
    }
}

impl<S: Future> Future for Numbered<S> {
    type Output = (usize, bool, S::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.step.poll(cx).map(|output| (*this.position, *this.is_known, output))
    }
}

impl<'c, E, M, I, F, A, X> fmt::Debug for SagaEachFuture<'_, 'c, E, M, I, F, A, X>
where
    M: Mode,
    A: Invoke<ItemOperation<F, I>>,
    X: Compensates<'c, A::Value, E, M>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaEachFuture").field("name", &self.each.list.name).finish_non_exhaustive()
    }
}

impl<H, I, F, A, X> fmt::Debug for SagaEach<'_, H, I, F, A, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let List { name, concurrency, .. } = &self.list;
        f.debug_struct("SagaEach")
            .field("name", name)
            .field("concurrency", concurrency)
            .finish_non_exhaustive()
    }
}
