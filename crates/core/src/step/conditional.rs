use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::builder::{Execute, Step};
use super::frame::Frame;
use super::invoke::Invoke;
use super::undo::Compensate;

/// A step that runs only under a condition. Awaiting it returns an `Option`, or the value of [`or`](Self::or) if the step is
/// skipped.
///
/// Created by [`Step::when`] and [`Step::unless`]. The step takes its key in either case, so the condition changes no
/// other step's key.
///
/// # Resume
/// A skip is not recorded: a resumed run evaluates the condition again. The condition should depend only on recorded
/// values.
///
/// ```
/// use awaitly_core::{run, step, RunError};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// async fn wrap() -> Result<&'static str, RunError> { Ok("paper") }
///
/// let gift = true;
/// let wrapped = run(async |run| {
///     let paper = step!(run, "wrap", when = gift, wrap());
///     let ribbon = step!(run.step("ribbon", wrap).when(!gift).because("no gift").or("none"));
///     Ok::<_, RunError>((paper, ribbon))
/// })
/// .await;
/// assert_eq!(wrapped, Ok((Some("paper"), "none")));
/// # });
/// ```
#[derive(Debug)]
#[must_use = "a step does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Conditional<S, D = ()> {
    step: S,
    condition: bool,
    reason: Option<String>,
    /// `()`, or the value of a skipped step.
    default: D,
}

impl<'r, F, A, R, G, U> Step<'r, F, A, R, G, U> {
    /// Runs the step only if `condition` is `true`; its value becomes an `Option`. Call this method after all other
    /// options.
    ///
    /// A skipped step leaves a [`StepSkipped`](crate::event::EventKind::StepSkipped) event and no record.
    pub const fn when(self, condition: bool) -> Conditional<Self> {
        Conditional { step: self, condition, reason: None, default: () }
    }

    /// Runs the step only if `condition` is `false`: the opposite of [`when`](Self::when).
    pub const fn unless(self, condition: bool) -> Conditional<Self> {
        self.when(!condition)
    }
}

impl<S> Conditional<S> {
    /// Sets the value of a skipped step. With this option, awaiting the step returns a value instead of an `Option`.
    pub fn or<T>(self, default: T) -> Conditional<S, Option<T>> {
        let Self { step, condition, reason, .. } = self;
        Conditional { step, condition, reason, default: Some(default) }
    }
}

impl<S, D> Conditional<S, D> {
    /// Sets the reason for the skip, which the event contains.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    fn map<Z>(self, change: impl FnOnce(S) -> Z) -> Conditional<Z, D> {
        let Self { step, condition, reason, default } = self;
        Conditional { step: change(step), condition, reason, default }
    }
}

impl<'r, A, R, G, U, D> Conditional<Step<'r, (), A, R, G, U>, D> {
    /// Sets the operation, as the last call of `step!`.
    #[doc(hidden)]
    pub fn __operation<F>(self, operation: F) -> Conditional<Step<'r, F, A, R, G, U>, D> {
        self.map(|step| step.__operation(operation))
    }
}

impl<'r, F, A, R, G, U, D> Conditional<Step<'r, F, A, R, G, U>, D> {
    /// Sets the compensation, which `step!` sets after the operation: see [`Step::compensate`].
    #[doc(hidden)]
    pub fn compensate<C, Fut, V, X, B>(self, operation: C) -> Conditional<Step<'r, F, A, R, G, B>, D>
    where
        A: Invoke<F>,
        U: Compensate<By<C> = B>,
        C: FnMut(A::Value) -> Fut + Send,
        Fut: Future<Output = Result<V, X>>,
    {
        self.map(|step| step.compensate(operation))
    }
}

impl<'r, F, A, R, G, U, D> IntoFuture for Conditional<Step<'r, F, A, R, G, U>, D>
where
    Step<'r, F, A, R, G, U>: IntoFuture,
    ConditionalFuture<'r, <Step<'r, F, A, R, G, U> as IntoFuture>::IntoFuture, D>: Future,
{
    type Output = <Self::IntoFuture as Future>::Output;
    type IntoFuture = ConditionalFuture<'r, <Step<'r, F, A, R, G, U> as IntoFuture>::IntoFuture, D>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { step, condition, reason, default } = self;
        let state = if condition {
            State::Runs { step: step.into_future() }
        } else {
            State::Skipped { frame: step.frame, reason }
        };
        ConditionalFuture { state, default }
    }
}

pin_project! {
    /// The future of a [`Conditional`] step.
    #[must_use = "futures do nothing unless polled"]
    pub struct ConditionalFuture<'r, S, D> {
        #[pin]
        state: State<'r, S>,
        default: D,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<'r, S> {
        Runs { #[pin] step: S },
        Skipped { frame: Frame<'r>, reason: Option<String> },
    }
}

impl<S, T, E> State<'_, S>
where
    S: Future<Output = Result<T, E>>,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Option<T>, E>> {
        match self.project() {
            StateProj::Runs { step } => step.poll(cx).map_ok(Some),
            StateProj::Skipped { frame, reason } => {
                frame.skipped(reason.take());
                Poll::Ready(Ok(None))
            }
        }
    }
}

impl<S, T, E> Future for ConditionalFuture<'_, S, ()>
where
    S: Future<Output = Result<T, E>>,
{
    type Output = Result<Option<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().state.poll(cx)
    }
}

impl<S, T, E> Future for ConditionalFuture<'_, S, Option<T>>
where
    S: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let value = ready!(this.state.poll(cx))?.or_else(|| this.default.take());
        value.map_or(Poll::Pending, |value| Poll::Ready(Ok(value)))
    }
}

impl<S, D> fmt::Debug for ConditionalFuture<'_, S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConditionalFuture").finish_non_exhaustive()
    }
}

impl<S, D> Execute for Conditional<S, D>
where
    Self: IntoFuture,
{
    type Future = <Self as IntoFuture>::IntoFuture;

    #[inline]
    fn execute(self) -> Self::Future {
        self.into_future()
    }
}
