//! Code of the caller that this crate calls, polls and drops. Its panics end here, and take no run and no server along.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The message of a panic.
pub(crate) type Panic = Box<str>;

/// Calls `op`, and returns its panic as an error.
pub(crate) fn caught<T>(op: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(op)).map_err(|panic| message(&*panic))
}

/// A future that returns its panic as an error, whether it panics when it is made, polled, or dropped.
pub(crate) struct Caught<F>(Result<Option<Pin<Box<F>>>, Panic>);

impl<F: Future> Caught<F> {
    pub(crate) fn new(make: impl FnOnce() -> F) -> Self {
        Self(caught(|| Some(Box::pin(make()))))
    }
}

impl<F> Caught<F> {
    /// Drops the future. The panic hook has reported a panic of that drop; the outcome stays as it is.
    fn let_go(&mut self) {
        if let Ok(future) = &mut self.0 {
            let future = future.take();
            caught(|| drop(future)).ok();
        }
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = match &mut self.0 {
            Ok(Some(future)) => caught(|| future.as_mut().poll(context)),
            Ok(None) => return Poll::Pending,
            Err(panic) => Err(std::mem::take(panic)),
        };
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        self.let_go();
        Poll::Ready(ended)
    }
}

impl<F> Drop for Caught<F> {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn message(panic: &(dyn Any + Send)) -> Panic {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").into()
}
