use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::too_late;
use crate::clock::Clock;
use crate::error::RunError;
use crate::journal::Key;
use crate::shared::Shared;
use crate::step::{Borrowed, Frame, Fresh, Keep, Once, Recorded, Step};
use crate::wait::{self, WaitFor};

/// The handle on a run, from which its steps are built.
///
/// `Run` is a volatile run: its steps are not recorded. [`DurableRun`] is one whose steps are. Which of the
/// two a function needs stands in its signature. Handles are passed on by reference and are cheap to clone.
pub struct Run<M = Volatile> {
    shared: Option<Arc<Shared>>,
    mode: PhantomData<M>,
}

/// A run whose steps are recorded before their values reach the body.
pub type DurableRun = Run<Durable>;

/// The steps of the run are not recorded.
#[derive(Debug, Clone, Copy)]
pub enum Volatile {}

/// The steps of the run are recorded.
#[derive(Debug, Clone, Copy)]
pub enum Durable {}

/// The steps of the run are not recorded, and their values may borrow.
#[derive(Debug, Clone, Copy)]
pub enum Borrowing {}

/// Whether the steps of a run are recorded: [`Volatile`], [`Borrowing`] or [`Durable`].
pub trait Mode: sealed::Sealed + Send + Sync + 'static {
    /// What is kept of a step.
    type Keep: Default + Keep<(), RunError> + Send + Sync + 'static;
    /// Whether anything is.
    #[doc(hidden)]
    const RECORDS: bool;
}

impl Mode for Volatile {
    type Keep = Fresh;
    const RECORDS: bool = false;
}

impl Mode for Borrowing {
    type Keep = Borrowed;
    const RECORDS: bool = false;
}

impl Mode for Durable {
    type Keep = Recorded;
    const RECORDS: bool = true;
}

mod sealed {
    #[expect(unnameable_types, reason = "that is what seals the trait")]
    pub trait Sealed {}
    impl Sealed for super::Volatile {}
    impl Sealed for super::Borrowing {}
    impl Sealed for super::Durable {}
}

impl Run {
    pub(super) const fn plain() -> Self {
        Self { shared: None, mode: PhantomData }
    }
}

impl<M: Mode> Run<M> {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared: Some(shared), mode: PhantomData }
    }

    pub(crate) fn shared(&self) -> Option<&Shared> {
        self.shared.as_deref()
    }

    /// A step called `name` that runs `operation`. Nothing happens until it is awaited.
    ///
    /// It takes its key here: the name, or `name#2` for the second step of that name in the run, and so on.
    /// [`Step::key`] gives it another one. Where several branches of a body build steps of one name at the same
    /// time, which of them is the second is a matter of timing: give each a `key`, or a resumed run may mix up
    /// their outcomes.
    ///
    /// A step that is built inside of the operation of another recorded step has its key within that one's:
    /// `pay/charge`, and `pay@2/charge` in the second attempt at `pay`. The outer step is recorded when all of it
    /// is done; until then, those inside of it are not executed again.
    ///
    /// `operation` is a closure that returns a future of a `Result`; it is called once, or once for each
    /// attempt where [`Step::retry`] is given.
    ///
    /// `name` is a literal or an owned text. Give a borrowed `&str` as `name.to_owned()`, or use
    /// [`step!`](crate::step!), which copies it.
    ///
    /// # Errors
    /// Awaiting the step returns an [`Error`](crate::Error) with the operation's own error or a [`RunError`].
    /// [`step!`](crate::step!) converts it into the error of the surrounding function; `?` needs
    /// [one conversion](crate::Error#the-question-mark).
    ///
    /// ```
    /// use awaitly_core::{FromStep, Run, RunError, step};
    ///
    /// # async fn send(sku: &str) -> Result<u32, RunError> { Ok(sku.len() as u32) }
    /// async fn ship(run: &Run, sku: &str) -> Result<u32, RunError> {
    ///     let first = step!(run.step(sku.to_owned(), || send(sku)));
    ///     let second = run.step("second", || send(sku)).await.map_err(RunError::from_step)?;
    ///     Ok(first + second)
    /// }
    /// ```
    #[inline]
    pub fn step<F>(&self, name: impl Into<Key>, operation: F) -> Step<'_, F, Once, M::Keep> {
        Step::new(self.frame(name.into()), operation, M::Keep::default())
    }

    #[inline]
    fn frame(&self, name: Key) -> Frame<'_> {
        match self.shared() {
            None => Frame::plain(name),
            Some(shared) => Frame::named(shared, name, M::RECORDS),
        }
    }

    /// The frame of a step that has a key of its own, where keys are kept count of.
    pub(crate) fn frame_with_key(&self, name: Key, key: impl FnOnce() -> Key) -> Frame<'_> {
        match self.shared() {
            None => Frame::plain(name),
            Some(shared) => Frame::keyed(shared, name, key, M::RECORDS),
        }
    }

    /// Takes `name` for a list of steps, whose keys begin with what comes back.
    pub(crate) fn take_base(&self, name: &Key) -> Key {
        let Some(shared) = self.shared() else {
            return name.clone();
        };
        shared.stopping.built();
        if !M::RECORDS && !shared.watchers.is_observed() {
            return name.clone();
        }
        shared.keys.take_base(name, M::RECORDS)
    }

    /// Waits for `duration`, and on a durable run goes on waiting after a restart.
    ///
    /// Either kind of run ends the wait at once on cancellation and at its deadline.
    ///
    /// # Errors
    /// [`RunError::Cancelled`], [`RunError::Timeout`] by the run's deadline, [`RunError::Waiting`] where the run
    /// is parked, and what recording a step can end in.
    ///
    /// # Panics
    /// With the [`SystemClock`](crate::clock::SystemClock), outside of a tokio runtime with its timer enabled.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait. The moment of waking stays recorded.
    ///
    /// # Resume
    /// On a durable run it is a step: the moment of waking is recorded under `name` when the wait begins, by
    /// the clock of the store, and a resumed run waits for what is left of it, or not at all. Where the workflow
    /// was told to [park](crate::Workflow::park_after) runs that sleep for so long, it ends in
    /// [`RunError::Waiting`] instead. On a volatile run it is only a wait.
    pub fn sleep<N: Into<Key>>(
        &self,
        name: N,
        duration: Duration,
    ) -> impl Future<Output = Result<(), RunError>> {
        let name: Key = name.into();
        // The key is taken here, as for every step.
        let frame = M::RECORDS.then(|| self.frame(name.clone()));
        async move { wait::sleep(self.shared(), self.clock(), frame, name, duration).await }
    }

    /// The same run, for steps that are not recorded and whose values or errors borrow. Every other step has a value
    /// and an error that own what they hold, so that a test can script it; these cannot be scripted.
    ///
    /// ```
    /// use awaitly_core::{Error, RunError, run, step};
    ///
    /// # #[derive(Debug, thiserror::Error)]
    /// # #[error("the cart is empty")]
    /// # struct Empty;
    /// async fn first(cart: &[String]) -> Result<&String, Empty> {
    ///     cart.first().ok_or(Empty)
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let cart = vec!["tea".to_owned()];
    /// let length = run(async |run| {
    ///     let first = step!(run.borrowing(), first(&cart));
    ///     Ok::<_, Error<Empty>>(first.len())
    /// })
    /// .await;
    /// assert_eq!(length.unwrap(), 3);
    /// # });
    /// ```
    #[must_use]
    pub fn borrowing(&self) -> Run<Borrowing> {
        Run { shared: self.shared.clone(), mode: PhantomData }
    }

    /// The clock that the run lives by.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.shared().map_or(&crate::clock::SystemClock, |shared| shared.time.clock())
    }

    /// The token that cancels the run, where it was given one: for work outside of steps.
    #[must_use]
    pub fn cancellation(&self) -> Option<&CancellationToken> {
        self.shared()?.stopping.token()
    }
}

impl Run<Durable> {
    /// The run id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.shared().map(Shared::run_id).unwrap_or_default()
    }

    /// A step that somebody outside completes: a webhook, a person, another program. The run waits until it is
    /// answered, without a task and without memory: see [`WaitFor`].
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, clock::days, step};
    ///
    /// async fn await_payment(run: &DurableRun, order: &str) -> Result<u64, RunError> {
    ///     let cents: u64 = step!(run.wait_for("payment").request(order).expires_in(days(3)));
    ///     Ok(cents)
    /// }
    /// ```
    pub fn wait_for<T: DeserializeOwned>(&self, name: impl Into<Key>) -> WaitFor<'_, T> {
        WaitFor::new(self.frame(name.into()))
    }

    /// Declares that it is too late to cancel the run: everything that counts is done, and only what follows from it is
    /// left.
    ///
    /// From here on, [`Operate::cancel`](crate::store::Operate::cancel) answers
    /// [`Cancelled::TooLate`](crate::store::Cancelled::TooLate), [`Workflow::cancel`](crate::Workflow::cancel) gives
    /// [`RunError::TooLateToCancel`], and the token of [`Workflow::cancel_on`](crate::Workflow::cancel_on) does nothing
    /// to the run any more. A deadline still counts. Calling it again does nothing.
    ///
    /// # Errors
    /// Returns [`RunError::Cancelled`] if somebody asked for the run to be cancelled before: then the run undoes its work.
    /// Returns what recording a step can end in, too.
    ///
    /// # Cancel safety
    /// If the future is dropped, the declaration is recorded or not.
    ///
    /// # Resume
    /// It is recorded under [`Key::TOO_LATE_TO_CANCEL`].
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    ///
    /// # async fn ship(order: &str) -> Result<(), RunError> { Ok(()) }
    /// # async fn thank(order: &str) -> Result<(), RunError> { Ok(()) }
    /// async fn deliver(run: &DurableRun, order: &str) -> Result<(), RunError> {
    ///     step!(run, ship(order));
    ///     run.too_late_to_cancel().await?;
    ///     step!(run, thank(order));
    ///     Ok(())
    /// }
    /// ```
    pub async fn too_late_to_cancel(&self) -> Result<(), RunError> {
        match self.shared() {
            Some(shared) => too_late::declare(shared).await,
            None => Ok(()),
        }
    }

    /// The same run, for steps that are not recorded: they run again when the run is resumed.
    #[must_use]
    pub fn volatile(&self) -> Run {
        Run { shared: self.shared.clone(), mode: PhantomData }
    }

    /// A text that is the same on every attempt and every resume of the step with this key, and differs
    /// for any other step of any run in the same store. Give it to the service that the step calls, so
    /// that it can tell a repeated call from a new one.
    ///
    /// It is the run id and the key with a `/` between, where a `/` or `%` of the run id is written
    /// `%2F` or `%25`.
    #[must_use]
    pub fn idempotency_key(&self, key: &str) -> String {
        let run = self.id().replace('%', "%25").replace('/', "%2F");
        format!("{run}/{key}")
    }

    /// The input of the run: what [`Workflow::input`](crate::Workflow::input) gave when the run began.
    ///
    /// # Errors
    /// [`RunError::Undecodable`] where the run has no input, or it is not a `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        let undecodable = |reason: Box<str>| RunError::Undecodable {
            what: "the input of the run".into(),
            type_name: std::any::type_name::<T>().into(),
            reason,
        };
        let input = self.shared().and_then(|shared| shared.journal.input());
        let input = input.ok_or_else(|| undecodable("it has none".into()));
        let decoded = input.and_then(|input| input.decode().map_err(|error| undecodable(error.reason)));
        decoded.inspect_err(|error| {
            if let Some(stage) = self.shared().and_then(Shared::stage) {
                stage.refuses(None, error);
            }
        })
    }
}

// By hand, so that `M` need not be `Clone`.
impl<M> Clone for Run<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), mode: PhantomData }
    }
}

impl<M> fmt::Debug for Run<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.shared.as_deref().map(Shared::run_id);
        f.debug_struct("Run").field("run", &run).finish_non_exhaustive()
    }
}
