//! A future that is not `Send`, as part of a task. A case runs on one thread, so its tasks stay there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::fault::Ended;

/// The body of a run.
type Performing = Pin<Box<dyn Future<Output = Ended>>>;

#[derive(Default)]
struct Kept {
    next: u64,
    futures: HashMap<u64, Performing>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// The number of a future that this thread keeps. Polling it polls the future, and dropping it drops the future.
pub(super) struct Here(u64);

/// Lets this thread keep a future.
pub(super) fn here(future: impl Future<Output = Ended> + 'static) -> Here {
    KEPT.with_borrow_mut(|kept| {
        kept.next += 1;
        kept.futures.insert(kept.next, Box::pin(future));
        Here(kept.next)
    })
}

impl Future for Here {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        // A body may look at others while it is polled.
        let Some(mut future) = KEPT.with_borrow_mut(|kept| kept.futures.remove(&self.0)) else {
            unreachable!("the task stays on its thread")
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            KEPT.with_borrow_mut(|kept| kept.futures.insert(self.0, future));
        }
        polled
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let future = KEPT.with_borrow_mut(|kept| kept.futures.remove(&self.0));
        drop(future);
    }
}
