//! Crash tests of workers and clients. Each scenario is a process, on any store that dispatches runs.

mod broken;
mod scenarios;
mod stores;
mod tasks;
mod trips;

use std::fmt::Display;
use std::future::Future;

use awaitly_core::store::Dispatch;
use awaitly_engine::Worker;
use awaitly_testing::crash::{CrashStore, World};
use futures_util::future::{FutureExt, join};

/// The process could not do its work. The next one does it.
pub(crate) fn text(error: impl Display) -> String {
    error.to_string()
}

/// Lets `worker` work until `done` is ready, and returns its output.
pub(crate) async fn work<S: Dispatch, T>(
    worker: &Worker<CrashStore<S>>,
    done: impl Future<Output = T>,
) -> Result<T, String> {
    let mut output = None;
    worker.run_until(async { output = Some(done.await) }).await.map_err(text)?;
    output.ok_or_else(|| "the worker stopped too early".to_owned())
}

/// Lets two workers work at once until `done` is ready.
pub(crate) async fn work_both<S: Dispatch, T: Clone>(
    [one, two]: &[Worker<CrashStore<S>>; 2],
    done: impl Future<Output = T>,
) -> Result<T, String> {
    let done = done.shared();
    let (one, two) = join(work(one, done.clone()), work(two, done.clone())).await;
    one.and(two)
}

/// Returns the body of a workflow whose handler borrows these services.
macro_rules! body {
    ($shop:expr, |$run:ident, $input:ident: $type:ty, $inner:ident| $body:expr) => {{
        let shop = $shop.clone();
        move |$run: awaitly_core::DurableRun, $input: $type| {
            let $inner = shop.clone();
            async move { $body }
        }
    }};
}

pub(crate) use body;

/// Returns the fake services of a process.
pub(crate) fn shop<S: Dispatch>(world: &World<S>) -> super::Shop {
    super::Shop { ledger: world.ledger() }
}
