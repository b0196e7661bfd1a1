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
use crate::step::{Borrowing, Durable, Frame, Keep, Step, Volatile};
use crate::wait::{self, WaitFor};

/// The handle of a run, from which the body builds its steps.
///
/// A `Run` is volatile: it does not record its steps. A [`DurableRun`] records them. The signature of a function states
/// which of the two it needs. Pass handles on by reference; they are cheap to clone.
///
/// ```
/// use awaitly_core::{DurableRun, Run, RunError, step};
///
/// # async fn look_up(sku: &str) -> Result<u64, RunError> { Ok(4200) }
/// # async fn charge(cents: u64) -> Result<u32, RunError> { Ok(7) }
/// /// Looks up the price again in each execution.
/// async fn price(run: &Run, sku: &str) -> Result<u64, RunError> {
///     Ok(step!(run, look_up(sku)))
/// }
///
/// /// Records the charge, so that a resumed run does not charge again.
/// async fn pay(run: &DurableRun, sku: &str) -> Result<u32, RunError> {
///     let cents = price(&run.volatile(), sku).await?;
///     Ok(step!(run, charge(cents)))
/// }
/// ```
pub struct Run<M = Volatile> {
    shared: Option<Arc<Shared>>,
    mode: PhantomData<M>,
}

/// A run that records its steps before their values reach the body.
pub type DurableRun = Run<Durable>;

/// The mode of a run: [`Volatile`], [`Borrowing`] or [`Durable`]. Do not implement this trait.
///
/// ```
/// use awaitly_core::clock::hours;
/// use awaitly_core::{Mode, Run, RunError};
///
/// /// Waits for the next pick-up, on a durable or a volatile run.
/// async fn pick_up<M: Mode>(run: &Run<M>) -> Result<(), RunError> {
///     run.sleep("pick-up", hours(2)).await
/// }
/// ```
pub trait Mode: Keep<(), RunError> + Send + Sync + 'static {
    /// Whether the run records its steps.
    #[doc(hidden)]
    const RECORDS: bool;
}

impl Mode for Volatile {
    const RECORDS: bool = false;
}

impl Mode for Borrowing {
    const RECORDS: bool = false;
}

impl Mode for Durable {
    const RECORDS: bool = true;
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

    /// Builds a step named `name` that runs `operation`. The step does nothing until it is awaited.
    ///
    /// The step takes its key here: the name, or `name#2` for the second step of that name in the run, and so on.
    /// [`Step::key`] sets another key. If several branches of a body build steps of one name concurrently, the timing
    /// decides which of them is the second. Give each of them a `key`, or a resumed run may exchange their outcomes.
    ///
    /// A step that is built in the operation of another recorded step has its key within the outer key: `pay/charge`,
    /// and `pay@2/charge` in the second attempt of `pay`. The outer step is recorded after all its work is done; until
    /// then, a resumed run does not execute its recorded inner steps again.
    ///
    /// `operation` is a closure that returns a future of a `Result`. It is called once, or once per attempt if the step
    /// has a [`retry`](Step::retry).
    ///
    /// `name` is a literal or an owned text. Pass a borrowed `&str` as `name.to_owned()`, or use
    /// [`step!`](crate::step!), which copies it.
    ///
    /// # Errors
    /// Awaiting the step returns an [`Error`](crate::Error) with the operation's own error or a [`RunError`].
    /// [`step!`](crate::step!) converts it into the error of the surrounding function; `?` needs
    /// [one conversion](crate::Error#the-question-mark).
    ///
    /// # Examples
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
    pub fn step<F>(&self, name: impl Into<Key>, operation: F) -> Step<'_, F, (), M> {
        Step::new(self.frame(name.into()), operation)
    }

    #[inline]
    fn frame(&self, name: Key) -> Frame<'_> {
        match self.shared() {
            None => Frame::plain(name),
            Some(shared) => Frame::named(shared, name, M::RECORDS),
        }
    }

    /// Creates the frame of a step with an explicit key, if the run tracks keys.
    pub(crate) fn frame_with_key(&self, name: Key, key: impl FnOnce() -> Key) -> Frame<'_> {
        match self.shared() {
            None => Frame::plain(name),
            Some(shared) => Frame::keyed(shared, name, key, M::RECORDS),
        }
    }

    /// Takes `name` for a list of steps, and returns the first part of their keys.
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

    /// Waits for `duration`. A durable run continues the wait after a restart.
    ///
    /// A cancellation or the run's deadline ends the wait at once on either kind of run.
    ///
    /// # Errors
    /// Returns [`RunError::Cancelled`] if the run is cancelled, [`RunError::Timeout`] if the run's deadline passes,
    /// [`RunError::Waiting`] if the run is parked, or one of the errors of recording a step.
    ///
    /// # Panics
    /// Panics if the clock is the [`SystemClock`](crate::clock::SystemClock) and the call is outside a tokio runtime
    /// with its timer enabled.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait. The recorded moment of waking stays.
    ///
    /// # Resume
    /// On a durable run, the wait is a step: it records the moment of waking under `name` when it begins, by the clock
    /// of the store, and a resumed run waits for the remaining time, if any. If the remaining time is longer than the
    /// limit of [`park_after`](crate::Workflow::park_after), the wait ends in [`RunError::Waiting`] instead. A volatile
    /// run does not record the wait.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::days;
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// # async fn remind(_order: &str) -> Result<bool, RunError> { Ok(true) }
    /// let reminder = Workflow::new("reminder");
    /// let reminded = reminder.run("order-42", async |run| {
    ///     run.sleep("until the reminder", days(3)).await?;
    ///     Ok::<_, RunError>(step!(run, remind(run.id())))
    /// });
    /// assert_eq!(reminded.await, Ok(true));
    /// # }
    /// ```
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

    /// Returns a handle for unrecorded steps with values or errors that borrow. The values and errors of all other
    /// steps are owned, so that a test can script them; steps of this handle cannot be scripted.
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

    /// Returns the run's clock.
    ///
    /// ```
    /// use awaitly_core::{Run, RunError, step};
    ///
    /// # async fn export() -> Result<u32, RunError> { Ok(1200) }
    /// async fn timed(run: &Run) -> Result<u32, RunError> {
    ///     let begin = run.clock().now();
    ///     let rows = step!(run, export());
    ///     println!("{rows} rows in {:?}", run.clock().now() - begin);
    ///     Ok(rows)
    /// }
    /// ```
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.shared().map_or(&crate::clock::SystemClock, |shared| shared.time.clock())
    }

    /// Returns the token that cancels the run, if the workflow has one, for work outside of steps.
    ///
    /// ```
    /// use awaitly_core::Run;
    ///
    /// # async fn render(_order: &str) -> String { String::new() }
    /// /// Renders an invoice, or returns `None` if the run is cancelled first.
    /// async fn preview(run: &Run, order: &str) -> Option<String> {
    ///     match run.cancellation() {
    ///         Some(token) => token.run_until_cancelled(render(order)).await,
    ///         None => Some(render(order).await),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn cancellation(&self) -> Option<&CancellationToken> {
        self.shared()?.stopping.token()
    }
}

impl Run<Durable> {
    /// Returns the run id.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let invoice = Workflow::new("invoice");
    /// let file = invoice.run("order-42", async |run| Ok::<_, RunError>(format!("{}.pdf", run.id())));
    /// assert_eq!(file.await.unwrap(), "order-42.pdf");
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> &str {
        self.shared().map(Shared::run_id).unwrap_or_default()
    }

    /// Builds a step that is completed from outside: by a webhook, a person or another program. The run waits for the
    /// answer without a task and without memory: see [`WaitFor`].
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

    /// Declares that it is too late to cancel the run, because all its essential work is done and only the consequences
    /// remain.
    ///
    /// From here on, [`Operate::cancel`](crate::store::Operate::cancel) returns
    /// [`Cancelled::TooLate`](crate::store::Cancelled::TooLate), [`Workflow::cancel`](crate::Workflow::cancel) returns
    /// [`RunError::TooLateToCancel`], and the token of [`Workflow::cancel_on`](crate::Workflow::cancel_on) has no
    /// effect on the run. A deadline still applies. Further calls have no effect.
    ///
    /// # Errors
    /// Returns [`RunError::Cancelled`] if the run's cancellation was requested before this call. Return this error from
    /// the body, so that a saga undoes its work.
    /// Returns one of the errors of recording a step if the declaration cannot be recorded.
    ///
    /// # Cancel safety
    /// If the future is dropped, the declaration may or may not be recorded.
    ///
    /// # Resume
    /// The declaration is recorded under [`Key::TOO_LATE_TO_CANCEL`].
    ///
    /// # Examples
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

    /// Returns a handle for unrecorded steps. They run again if the run is resumed.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # async fn look_up(_sku: &str) -> Result<u64, RunError> { Ok(4200) }
    /// # async fn charge(cents: u64) -> Result<u64, RunError> { Ok(cents) }
    /// let order = Workflow::new("order");
    /// let (paid, state) = order.run_with_state("order-42", async |run| {
    ///     let cents = step!(run.volatile(), look_up("tea"));
    ///     Ok::<_, RunError>(step!(run, charge(cents)))
    /// }).await;
    /// assert_eq!(paid, Ok(4200));
    /// assert!(state.keys().eq([&"charge".into()]));
    /// # }
    /// ```
    #[must_use]
    pub fn volatile(&self) -> Run {
        Run { shared: self.shared.clone(), mode: PhantomData }
    }

    /// Returns a text that stays equal on every attempt and every resume of the step with this key, and differs from
    /// the text of any other step of any run in the store. Pass it to the service that the step calls, so that the
    /// service can recognise a repeated call.
    ///
    /// The text is the run id, a `/` and the key. In the run id, `/` becomes `%2F` and `%` becomes `%25`. If the run was
    /// restarted with a fresh journal, `%r` and the number of restarts follow the run id.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let order = Workflow::new("order");
    /// let key = order.run("shop/42", async |run| Ok::<_, RunError>(run.idempotency_key("charge")));
    /// assert_eq!(key.await.unwrap(), "shop%2F42/charge");
    /// # }
    /// ```
    #[must_use]
    pub fn idempotency_key(&self, key: &str) -> String {
        let run = self.id().replace('%', "%25").replace('/', "%2F");
        match self.shared().map_or(0, |shared| shared.restarts) {
            0 => format!("{run}/{key}"),
            restarts => format!("{run}%r{restarts}/{key}"),
        }
    }

    /// Returns the run's input, which [`Workflow::input`](crate::Workflow::input) set when the run began.
    ///
    /// # Errors
    /// Returns [`RunError::Undecodable`] if the run has no input, or if the input is not a `T`.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{DurableRun, RunError, Workflow};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Cart {
    ///     cents: u64,
    /// }
    ///
    /// async fn place_order(run: &DurableRun) -> Result<u64, RunError> {
    ///     let cart: Cart = run.input()?;
    ///     Ok(cart.cents)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let checkout = Workflow::new("checkout");
    /// let with_input = checkout.clone().input(&Cart { cents: 4200 });
    /// assert_eq!(with_input.run("order-42", async |run| place_order(run).await).await, Ok(4200));
    /// let without = checkout.run("order-43", async |run| place_order(run).await).await;
    /// assert!(matches!(without, Err(RunError::Undecodable { .. })));
    /// # }
    /// ```
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

// Implemented without a derive, so that `M` need not be `Clone`.
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
