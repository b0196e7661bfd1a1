use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::builder::{Execute, Step};
use super::frame::Frame;

/// A step that runs only under a condition. Awaiting it returns an `Option`.
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
pub struct Conditional<S> {
    step: S,
    condition: bool,
    reason: Option<String>,
}

impl<'r, F, A, R, G> Step<'r, F, A, R, G> {
    /// Runs the step only if `condition` is `true`; its value becomes an `Option`. Call this method after all other
    /// options.
    ///
    /// A skipped step leaves a [`StepSkipped`](crate::event::EventKind::StepSkipped) event and no record.
    pub fn when(self, condition: bool) -> Conditional<Self> {
        Conditional::new(self, condition)
    }

    /// Runs the step only if `condition` is `false`: the opposite of [`when`](Self::when).
    pub fn unless(self, condition: bool) -> Conditional<Self> {
        self.when(!condition)
    }
}

impl<S> Conditional<S> {
    const fn new(step: S, condition: bool) -> Self {
        Self { step, condition, reason: None }
    }

    /// Sets the reason for the skip, which the event contains.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets the value of a skipped step.
    pub const fn or<T>(self, default: T) -> OrElse<S, T> {
        OrElse { conditional: self, default }
    }
}

impl<'r, A, R, G> Conditional<Step<'r, (), A, R, G>> {
    /// Sets the operation, as the last call of `step!`.
    #[doc(hidden)]
    pub fn __operation<F>(self, operation: F) -> Conditional<Step<'r, F, A, R, G>> {
        let Self { step, condition, reason } = self;
        Conditional { step: step.__operation(operation), condition, reason }
    }
}

impl<'r, F, A, R, G, T, E> IntoFuture for Conditional<Step<'r, F, A, R, G>>
where
    Step<'r, F, A, R, G>: IntoFuture<Output = Result<T, E>>,
{
    type Output = Result<Option<T>, E>;
    type IntoFuture = ConditionalFuture<<Step<'r, F, A, R, G> as IntoFuture>::IntoFuture, Frame<'r>>;

    fn into_future(self) -> Self::IntoFuture {
        if self.condition {
            ConditionalFuture::Run { step: self.step.into_future() }
        } else {
            ConditionalFuture::Skip { frame: self.step.frame, reason: self.reason }
        }
    }
}

pin_project! {
    /// The future of a [`Conditional`] step.
    #[project = ConditionalProj]
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub enum ConditionalFuture<S, N> {
        #[doc(hidden)]
        Run { #[pin] step: S },
        #[doc(hidden)]
        Skip { frame: N, reason: Option<String> },
    }
}

impl<'r, S, T, E> Future for ConditionalFuture<S, Frame<'r>>
where
    S: Future<Output = Result<T, E>>,
{
    type Output = Result<Option<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ConditionalProj::Run { step } => step.poll(cx).map(|ended| ended.map(Some)),
            ConditionalProj::Skip { frame, reason } => {
                frame.skipped(reason.take());
                Poll::Ready(Ok(None))
            }
        }
    }
}

/// A [`Conditional`] step with a default value, which replaces the value of a skipped step.
#[derive(Debug)]
#[must_use = "a step does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct OrElse<S, T> {
    conditional: Conditional<S>,
    default: T,
}

impl<'r, A, R, G, T> OrElse<Step<'r, (), A, R, G>, T> {
    /// Sets the operation, as the last call of `step!`.
    #[doc(hidden)]
    pub fn __operation<F>(self, operation: F) -> OrElse<Step<'r, F, A, R, G>, T> {
        let Self { conditional, default } = self;
        OrElse { conditional: conditional.__operation(operation), default }
    }
}

impl<S, T, E> IntoFuture for OrElse<S, T>
where
    Conditional<S>: IntoFuture<Output = Result<Option<T>, E>>,
{
    type Output = Result<T, E>;
    type IntoFuture = OrElseFuture<<Conditional<S> as IntoFuture>::IntoFuture, T>;

    fn into_future(self) -> Self::IntoFuture {
        OrElseFuture { conditional: self.conditional.into_future(), default: Some(self.default) }
    }
}

pin_project! {
    /// The future of an [`OrElse`] step.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct OrElseFuture<C, T> {
        #[pin]
        conditional: C,
        default: Option<T>,
    }
}

impl<C, T, E> Future for OrElseFuture<C, T>
where
    C: Future<Output = Result<Option<T>, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match std::task::ready!(this.conditional.poll(cx)) {
            Ok(value) => {
                value.or_else(|| this.default.take()).map_or(Poll::Pending, |value| Poll::Ready(Ok(value)))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: IntoFuture> Execute for Conditional<S>
where
    Self: IntoFuture,
{
    type Future = <Self as IntoFuture>::IntoFuture;

    #[inline]
    fn execute(self) -> Self::Future {
        self.into_future()
    }
}

impl<S, T> Execute for OrElse<S, T>
where
    Self: IntoFuture,
{
    type Future = <Self as IntoFuture>::IntoFuture;

    #[inline]
    fn execute(self) -> Self::Future {
        self.into_future()
    }
}
