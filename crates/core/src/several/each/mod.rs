mod drive;
mod item;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::iter::Enumerate;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

pub use drive::EachFuture;
pub use item::ItemOperation;

use crate::error::Error;
use crate::guard::Guard;
use crate::journal::Key;
use crate::retry::Retry;
use crate::run::{Mode, Run};
use crate::step::{Compensate, Durable, Ended, Invoke, Keep, Preset, Undo, ValuesOnly};
use crate::store::{Transactional, Tx};

/// A step for each item of a list. [`Run::each`] creates it.
///
/// Awaiting it returns the values in the order of the items, or the first failure, which drops the steps in flight.
/// [`settle`](Self::settle) waits for all items instead. In a saga, a failure ends the list after the items in flight have
/// ended, so that the saga knows and undoes their effects; no further item begins.
///
/// An item that waits, for example for an answer or in a sleep, has not failed, and the other items continue. If none
/// of them fails, the list returns [`RunError::Waiting`](crate::RunError::Waiting) after all items have ended or wait.
/// A batch is unfinished as long as one of its items waits.
///
/// # Default
/// One item at a time, in one batch, no retry, no timeout, keys `name[0]`, `name[1]`, and so on.
///
/// # Errors
/// Returns the failure of the step that failed first. The events name the item.
///
/// # Cancel safety
/// Dropping the future drops the steps in flight; no further item begins.
///
/// # Resume
/// Each item is a recorded step: a resumed run calls only the items without an outcome.
///
/// # Examples
/// ```
/// use awaitly_core::{RunError, run, step};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// async fn double(n: u32) -> Result<u32, RunError> {
///     Ok(n * 2)
/// }
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
pub struct Each<'r, M, Item, F, A = (), R = M, G = (), U = ()> {
    list: List<'r, M, Item, F>,
    attempts: A,
    keep: PhantomData<fn() -> R>,
    guard: G,
    undo: U,
}

/// The parts of a list whose types no option changes.
struct List<'r, M, Item, F> {
    run: &'r Run<M>,
    name: Key,
    /// The common prefix of the items' keys.
    base: Key,
    items: Enumerate<vec::IntoIter<Item>>,
    operation: Arc<F>,
    timeout: Option<Duration>,
    deadline: Option<Duration>,
    concurrency: usize,
    key_by: Option<KeyBy<'r, Item>>,
    batch: usize,
    pause: Duration,
    on_progress: Option<Box<dyn FnMut(Progress) + Send + 'r>>,
}

type KeyBy<'r, Item> = Box<dyn Fn(&Item) -> String + Send + Sync + 'r>;

/// The progress of a list after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The finished batch, counted from 1.
    pub batch: usize,
    /// The number of batches.
    pub batches: usize,
    /// The number of finished items.
    pub done: usize,
    /// The number of items.
    pub total: usize,
}

impl Progress {
    /// Returns the finished share in percent, rounded down; 100 if the list is empty.
    #[must_use]
    pub const fn percent(&self) -> usize {
        match self.done.saturating_mul(100).checked_div(self.total) {
            Some(percent) => percent,
            None => 100,
        }
    }
}

impl<M: Mode> Run<M> {
    /// Builds a step for each of `items`, with a limit on the number of steps in flight.
    ///
    /// The results come in the order of the items. The keys are `name[0]`, `name[1]`, and so on, or the results of
    /// [`Each::key_by`]. The items are taken from the iterator here; the calls begin when the list is awaited.
    pub fn each<I, F>(&self, name: impl Into<Key>, items: I, operation: F) -> Each<'_, M, I::Item, F>
    where
        I: IntoIterator,
    {
        Each::new(self, name.into(), items.into_iter().collect(), operation)
    }
}

impl<'r, M: Mode, Item, F> Each<'r, M, Item, F> {
    fn new(run: &'r Run<M>, name: Key, items: Vec<Item>, operation: F) -> Self {
        let list = List {
            run,
            base: run.take_base(&name),
            name,
            items: items.into_iter().enumerate(),
            operation: Arc::new(operation),
            timeout: None,
            deadline: None,
            concurrency: 1,
            key_by: None,
            batch: usize::MAX,
            pause: Duration::ZERO,
            on_progress: None,
        };
        Self { list, attempts: (), keep: PhantomData, guard: (), undo: () }
    }
}

impl<'r, M, Item, F, A, G, U> Each<'r, M, Item, F, A, Durable, G, U> {
    /// Records only values: a resumed run calls a failed item again. The error type needs no serde.
    pub fn rerun_errors(self) -> Each<'r, M, Item, F, A, ValuesOnly, G, U> {
        let Self { list, attempts, guard, undo, .. } = self;
        Each { list, attempts, keep: PhantomData, guard, undo }
    }
}

impl<'r, M, Item, F, A, R, G, U> Each<'r, M, Item, F, A, R, G, U> {
    /// Retries a failed item according to `policy`. The list clones items for further attempts.
    pub fn retry<P>(self, policy: Retry<P>) -> Each<'r, M, Item, F, Retry<P>, R, G, U> {
        let Self { list, keep, guard, undo, .. } = self;
        Each { list, attempts: policy, keep, guard, undo }
    }

    /// Applies the options of `policy` to each item: see [`Step::policy`](crate::step::Step::policy).
    pub fn policy<P: Preset<Self>>(self, policy: P) -> P::Step {
        policy.apply(self)
    }

    /// Asks `guard` before every attempt. A guard must be `Clone`, for example a reference.
    pub fn guard<H>(self, guard: H) -> Each<'r, M, Item, F, A, R, (G, H), U> {
        let Self { list, attempts, keep, guard: outer, undo } = self;
        Each { list, attempts, keep, guard: (outer, guard), undo }
    }

    /// Limits the time of one attempt at an item.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.list.timeout = Some(timeout);
        self
    }

    /// Limits the time of an item's step with all its attempts.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.list.deadline = Some(deadline);
        self
    }

    /// Sets the maximum number of concurrent steps.
    ///
    /// # Panics
    /// Panics if `concurrency` is 0. Check a number from a configuration with [`NonZeroUsize`](std::num::NonZeroUsize)
    /// first.
    pub const fn concurrency(mut self, concurrency: usize) -> Self {
        assert!(concurrency > 0, "at least one step runs at a time: `concurrency(0)` is refused");
        self.list.concurrency = concurrency;
        self
    }

    /// Derives the key of an item from the item instead of its position: `name[key]`. Use it if the list can change
    /// between two executions.
    ///
    /// # Errors
    /// On a durable run, awaiting the list returns [`RunError::DuplicateKey`](crate::RunError::DuplicateKey) if two
    /// items have one key.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # async fn ship(sku: &str) -> Result<usize, RunError> { Ok(sku.len()) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let orders = Workflow::new("order");
    /// let shipped = orders.run("order-42", async |run| {
    ///     let skus = ["tea", "mug"];
    ///     Ok::<_, RunError>(step!(run.each("ship", skus, ship).key_by(|sku| sku.to_string()))) // `ship[tea]`, `ship[mug]`
    /// });
    /// assert_eq!(shipped.await, Ok(vec![3, 3]));
    /// # }
    /// ```
    pub fn key_by(mut self, key: impl Fn(&Item) -> String + Send + Sync + 'r) -> Self {
        self.list.key_by = Some(Box::new(key));
        self
    }

    /// Finishes `size` items before the next batch begins.
    ///
    /// # Panics
    /// Panics if `size` is 0.
    pub const fn batches(mut self, size: usize) -> Self {
        assert!(size > 0, "a batch has at least one item: `batches(0)` is refused");
        self.list.batch = size;
        self
    }

    /// Sets a pause between two batches.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.list.pause = pause;
        self
    }

    /// Calls `told` after each batch with the progress.
    pub fn on_progress(mut self, told: impl FnMut(Progress) + Send + 'r) -> Self {
        self.list.on_progress = Some(Box::new(told));
        self
    }

    /// Waits for all items, also after failures, and returns every result in the order of the items. The result of a
    /// waiting item is [`RunError::Waiting`](crate::RunError::Waiting): return it from the body, so that the run waits.
    /// If items of a batch wait, the next batch does not begin, and its items have no results.
    ///
    /// ```
    /// use awaitly_core::{RunError, run};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// async fn parse(text: &'static str) -> Result<u32, std::num::ParseIntError> {
    ///     text.parse()
    /// }
    ///
    /// let numbers = run(async |run| {
    ///     let results = run.each("parse", ["1", "x", "3"], parse).settle().await;
    ///     Ok::<_, RunError>(results.into_iter().filter_map(Result::ok).collect::<Vec<_>>())
    /// })
    /// .await;
    /// assert_eq!(numbers, Ok(vec![1, 3]));
    /// # });
    /// ```
    pub fn settle(self) -> impl Future<Output = Vec<Ended<A::Value, A::Error>>>
    where
        M: Mode,
        A: Invoke<ItemOperation<F, Item>> + Clone,
        R: Keep<A::Value, A::Error>,
        G: Guard<A::Error> + Clone,
        U: Undo<A::Value> + Clone,
    {
        self.into_future().settle()
    }

    /// Replaces the part that undoes an item.
    pub(crate) fn map_undo<V>(self, change: impl FnOnce(U) -> V) -> Each<'r, M, Item, F, A, R, G, V> {
        let Self { list, attempts, keep, guard, undo } = self;
        Each { list, attempts, keep, guard, undo: change(undo) }
    }
}

/// The options of a list in a saga.
impl<'r, M, Item, F, A, R, G, U> Each<'r, M, Item, F, A, R, G, U> {
    /// In a saga, sets the operation that undoes an item: see [`Step::compensate`](crate::step::Step::compensate). Each
    /// item has a clone of it.
    pub fn compensate<C, Fut, V, X, B>(self, operation: C) -> Each<'r, M, Item, F, A, R, G, B>
    where
        A: Invoke<ItemOperation<F, Item>>,
        U: Compensate<By<C> = B>,
        C: FnMut(A::Value) -> Fut + Clone + Send,
        Fut: Future<Output = Result<V, X>>,
    {
        self.map_undo(|undo| undo.by(operation))
    }

    /// In a saga, sets a compensation that works inside a transaction of `store`: see
    /// [`Step::compensate_in`](crate::step::Step::compensate_in).
    pub fn compensate_in<'t, S, C, Fut, V, X, B>(
        self,
        store: &'t S,
        operation: C,
    ) -> Each<'r, M, Item, F, A, R, G, B>
    where
        S: Transactional,
        A: Invoke<ItemOperation<F, Item>>,
        U: Compensate<InTransaction<'t, S, C> = B>,
        C: Fn(Tx<S::Transaction>, A::Value) -> Fut + Clone + Send,
        Fut: Future<Output = Result<V, X>>,
    {
        self.map_undo(|undo| undo.in_transaction(store, operation))
    }

    /// In a saga, sets the retry policy of the compensations: see
    /// [`Step::compensate_retry`](crate::step::Step::compensate_retry).
    pub fn compensate_retry<P, B>(self, policy: Retry<P>) -> Each<'r, M, Item, F, A, R, G, B>
    where
        U: Compensate<Again<P> = B>,
    {
        self.map_undo(|undo| undo.again(policy))
    }

    /// In a saga, limits the time of an attempt at a compensation: see
    /// [`Step::compensate_timeout`](crate::step::Step::compensate_timeout).
    pub fn compensate_timeout(self, timeout: Duration) -> Self
    where
        U: Compensate,
    {
        self.map_undo(|undo| undo.within(timeout))
    }
}

impl<'r, M, Item, F, A, R, G, U> IntoFuture for Each<'r, M, Item, F, A, R, G, U>
where
    M: Mode,
    A: Invoke<ItemOperation<F, Item>> + Clone,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error> + Clone,
    U: Undo<A::Value> + Clone,
{
    type Output = Result<Vec<A::Value>, Error<A::Error>>;
    type IntoFuture = EachFuture<'r, M, Item, F, A, R, G, U>;

    fn into_future(self) -> Self::IntoFuture {
        EachFuture::new(self.list, self.attempts, self.guard, self.undo)
    }
}

impl<M, Item, F, A, R, G, U> fmt::Debug for Each<'_, M, Item, F, A, R, G, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let List { name, concurrency, .. } = &self.list;
        f.debug_struct("Each").field("name", name).field("concurrency", concurrency).finish_non_exhaustive()
    }
}
