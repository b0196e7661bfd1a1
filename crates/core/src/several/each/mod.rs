mod drive;
mod item;

use std::fmt;
use std::future::IntoFuture;
use std::iter::Enumerate;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

pub use drive::{EachFuture, SettledFuture};
pub use item::ItemOperation;

use crate::error::Error;
use crate::guard::Guard;
use crate::journal::Key;
use crate::retry::Retry;
use crate::run::{Mode, Run};
use crate::step::{Ended, Fresh, Invoke, Keep, Once, Preset, Recorded, Retrying, ValuesOnly};

/// A step for each item of a list. [`Run::each`] creates it.
///
/// Awaiting it returns the values in the order of the items, or the first failure, which drops the steps in flight.
/// [`settle`](Self::settle) waits for all items instead.
///
/// An item that waits for an answer or a moment has not failed: the other items continue, and the list waits after each
/// of them has ended or waits too. A batch is unfinished as long as one of its items waits.
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
pub struct Each<'r, M, Item, F, A = Once, R = Fresh, G = ()> {
    list: List<'r, M, Item, F>,
    attempts: A,
    keep: PhantomData<fn() -> R>,
    guard: G,
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
    pub fn each<I, F>(
        &self,
        name: impl Into<Key>,
        items: I,
        operation: F,
    ) -> Each<'_, M, I::Item, F, Once, M::Keep>
    where
        I: IntoIterator,
    {
        Each::new(self, name.into(), items.into_iter().collect(), operation)
    }
}

impl<'r, M: Mode, Item, F> Each<'r, M, Item, F, Once, M::Keep> {
    pub(crate) fn new(run: &'r Run<M>, name: Key, items: Vec<Item>, operation: F) -> Self {
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
        Self { list, attempts: Once, keep: PhantomData, guard: () }
    }
}

impl<'r, M, Item, F, A, G> Each<'r, M, Item, F, A, Recorded, G> {
    /// Records only values: a resumed run calls a failed item again. The error type needs no serde.
    pub fn rerun_errors(self) -> Each<'r, M, Item, F, A, ValuesOnly, G> {
        let Self { list, attempts, guard, .. } = self;
        Each { list, attempts, keep: PhantomData, guard }
    }
}

impl<'r, M, Item, F, A, R, G> Each<'r, M, Item, F, A, R, G> {
    /// Retries a failed item according to `policy`. The list clones items for further attempts.
    pub fn retry<P>(self, policy: Retry<P>) -> Each<'r, M, Item, F, Retrying<P>, R, G> {
        let Self { list, keep, guard, .. } = self;
        Each { list, attempts: Retrying(policy), keep, guard }
    }

    /// Applies the options of `policy` to each item: see [`Step::policy`](crate::step::Step::policy).
    pub fn policy<P: Preset<Self>>(self, policy: P) -> P::Step {
        policy.apply(self)
    }

    /// Asks `guard` before every attempt. A guard must be `Clone`, for example a reference.
    pub fn guard<H>(self, guard: H) -> Each<'r, M, Item, F, A, R, (G, H)> {
        let Self { list, attempts, keep, guard: outer } = self;
        Each { list, attempts, keep, guard: (outer, guard) }
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
    /// On a durable run, two items with one key end in [`RunError::DuplicateKey`](crate::RunError::DuplicateKey).
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
    pub const fn settle(self) -> Settled<Self> {
        Settled(self)
    }
}

impl<'r, M, Item, F, A, R, G> IntoFuture for Each<'r, M, Item, F, A, R, G>
where
    M: Mode,
    A: Invoke<ItemOperation<F, Item>> + Clone,
    R: Keep<A::Value, A::Error> + Default,
    G: Guard<A::Error> + Clone,
{
    type Output = Result<Vec<A::Value>, Error<A::Error>>;
    type IntoFuture = EachFuture<'r, M, Item, F, A, R, G>;

    fn into_future(self) -> Self::IntoFuture {
        EachFuture::new(self.list, self.attempts, self.guard)
    }
}

/// A list of steps that returns all results. [`Each::settle`] creates it.
#[derive(Debug)]
#[must_use = "a step does nothing unless it is awaited"]
pub struct Settled<S>(S);

impl<'r, M, Item, F, A, R, G> IntoFuture for Settled<Each<'r, M, Item, F, A, R, G>>
where
    M: Mode,
    A: Invoke<ItemOperation<F, Item>> + Clone,
    R: Keep<A::Value, A::Error> + Default,
    G: Guard<A::Error> + Clone,
{
    type Output = Vec<Ended<A::Value, A::Error>>;
    type IntoFuture = SettledFuture<EachFuture<'r, M, Item, F, A, R, G>>;

    fn into_future(self) -> Self::IntoFuture {
        SettledFuture::new(self.0.into_future())
    }
}

impl<M, Item, F, A, R, G> fmt::Debug for Each<'_, M, Item, F, A, R, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let List { name, concurrency, .. } = &self.list;
        f.debug_struct("Each").field("name", name).field("concurrency", concurrency).finish_non_exhaustive()
    }
}
