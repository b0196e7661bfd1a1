//! Containment of panics in the caller's code, so that a panic there ends neither the run nor the server.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The message of a panic.
pub(crate) type Panic = Box<str>;

/// Calls `op` and returns a panic as an error.
pub(crate) fn caught<T>(op: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(op)).map_err(|panic| message(&*panic))
}

/// A future that returns a panic as an error if its constructor or its `poll` panics. A panic in its drop is discarded.
pub(crate) struct Caught<F>(Result<Option<Pin<Box<F>>>, Panic>);

impl<F: Future> Caught<F> {
    pub(crate) fn new(make: impl FnOnce() -> F) -> Self {
        Self(caught(|| Some(Box::pin(make()))))
    }
}

impl<F> Caught<F> {
    /// Drops the future. A panic of that drop does not change the output; the panic hook has already reported it.
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
