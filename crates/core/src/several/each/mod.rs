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
use crate::guard::{Both, Guard};
use crate::journal::Key;
use crate::retry::Retry;
use crate::run::{Mode, Run};
use crate::step::{Ended, Fresh, Invoke, Keep, Once, Policy, Recorded, Retrying, ValuesOnly};

/// A step for each item of a list.
///
/// Made with [`Run::each`]. Awaiting it gives the values in the order of the items, or the first failure in
/// time, which drops the steps in flight. [`settle`](Self::settle) waits for all of them.
///
/// An item that waits for an answer or for its time has not failed: the other items go on, and the list waits once each
/// of them has ended or waits too. A batch is not finished while one of its items waits.
///
/// # Default
/// One at a time, in one batch, no retry, no timeout, keys `name[0]`, `name[1]`, and so on.
///
/// # Errors
/// The failure of the step that failed first. Which item it was, the events tell.
///
/// # Cancel safety
/// Dropping the future drops the steps in flight; no other item begins.
///
/// # Resume
/// Every item is a recorded step of its own: a resumed run calls only those without an outcome.
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

/// All of it that no option changes the type of.
struct List<'r, M, Item, F> {
    run: &'r Run<M>,
    name: Key,
    /// What the keys of the items begin with.
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
        match self.done.saturating_mul(100).checked_div(self.total) {
            Some(percent) => percent,
            None => 100,
        }
    }
}

impl<M: Mode> Run<M> {
    /// A step for each of `items`, a bounded number of them at the same time.
    ///
    /// The results come in the order of the items. The keys are `name[0]`, `name[1]`, and so on, or what
    /// [`Each::key_by`] says. The items are taken from the iterator here, the calls begin when it is awaited.
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
    /// Keeps only the values: an item that failed runs again when the run is resumed. Its error needs no
    /// serde.
    pub fn rerun_errors(self) -> Each<'r, M, Item, F, A, ValuesOnly, G> {
        let Self { list, attempts, guard, .. } = self;
        Each { list, attempts, keep: PhantomData, guard }
    }
}

impl<'r, M, Item, F, A, R, G> Each<'r, M, Item, F, A, R, G> {
    /// Tries an item again after a failure, as `policy` says. Items are cloned for it.
    pub fn retry<P>(self, policy: Retry<P>) -> Each<'r, M, Item, F, Retrying<P>, R, G> {
        let Self { list, keep, guard, .. } = self;
        Each { list, attempts: Retrying(policy), keep, guard }
    }

    /// Sets the options that `policy` stands for, for each item: see [`Step::policy`](crate::step::Step::policy).
    pub fn policy<P: Policy<Self>>(self, policy: P) -> P::Step {
        policy.apply(self)
    }

    /// Lets every attempt pass through `guard`. It must be `Clone`, as a reference is.
    pub fn guard<H>(self, guard: H) -> Each<'r, M, Item, F, A, R, Both<G, H>> {
        let Self { list, attempts, keep, guard: outer } = self;
        Each { list, attempts, keep, guard: Both(outer, guard) }
    }

    /// Drops an attempt at an item that takes longer.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.list.timeout = Some(timeout);
        self
    }

    /// Ends the step of an item when it takes longer, with all its attempts.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.list.deadline = Some(deadline);
        self
    }

    /// How many steps run at the same time at most.
    ///
    /// # Panics
    /// Where it is 0. Check a number that comes from a configuration with
    /// [`NonZeroUsize`](std::num::NonZeroUsize) first.
    pub const fn concurrency(mut self, concurrency: usize) -> Self {
        assert!(concurrency > 0, "at least one step runs at a time: `concurrency(0)` is refused");
        self.list.concurrency = concurrency;
        self
    }

    /// The key of an item, instead of its position: `name[key]`. On a durable run, two items with the same
    /// key end in [`RunError::DuplicateKey`](crate::RunError::DuplicateKey).
    pub fn key_by(mut self, key: impl Fn(&Item) -> String + Send + Sync + 'r) -> Self {
        self.list.key_by = Some(Box::new(key));
        self
    }

    /// Finishes `size` items before the next ones begin.
    ///
    /// # Panics
    /// Where it is 0.
    pub const fn batches(mut self, size: usize) -> Self {
        assert!(size > 0, "a batch has at least one item: `batches(0)` is refused");
        self.list.batch = size;
        self
    }

    /// Waits between two batches.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.list.pause = pause;
        self
    }

    /// Is told after each batch how far it is.
    pub fn on_progress(mut self, told: impl FnMut(Progress) + Send + 'r) -> Self {
        self.list.on_progress = Some(Box::new(told));
        self
    }

    /// Waits for all items, whatever fails, and gives every result in the order of the items. The result of an item that
    /// waits is [`RunError::Waiting`](crate::RunError::Waiting): return it, so that the run waits. If items of a batch
    /// wait, the next batch does not begin, and the results of its items are not there.
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

/// A list of steps that is waited for whole. Made with [`Each::settle`].
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
