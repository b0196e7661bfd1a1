//! Crash tests of correct workflows and of faulty ones.

mod asks;
mod correct;
mod engine;
mod planted;
mod sagas;
mod several;
mod stores;
mod survives;

use std::fmt::{Debug, Display};
use std::future::ready;

use awaitly_core::store::Store;
use awaitly_core::{Durable, DurableRun, FromStep, KeepRun, RunError, Workflow, step};
use awaitly_testing::crash::{CrashReport, CrashTest, Ledger};

/// Services that recognize a repeated call by its idempotency key.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) ledger: Ledger,
}

impl Shop {
    pub(crate) async fn act(&self, what: &str, key: String) -> Result<u64, RunError> {
        self.ledger.note_once(&key, what);
        ready(Ok(7)).await
    }

    /// Calls a service that does not recognize repeated calls.
    pub(crate) async fn act_blindly(&self, what: &str) -> Result<u64, RunError> {
        self.ledger.note(what);
        ready(Ok(7)).await
    }
}

pub(crate) const STEPS: [&str; 5] = ["reserve", "charge", "pack", "ship", "mail"];

/// Executes five steps that survive every crash.
pub(crate) async fn order(run: &DurableRun, shop: &Shop) -> Result<u64, RunError> {
    let mut sum = 0;
    for name in STEPS {
        sum += step!(run, name, shop.act(name, run.idempotency_key(name)));
    }
    Ok(sum)
}

/// Plays `test` with one run that executes `body`.
pub(crate) async fn crashed<S: Store, T, E>(
    test: CrashTest<S>,
    body: impl AsyncFn(&DurableRun, &Shop) -> Result<T, E>,
) -> CrashReport
where
    Durable: KeepRun<T, E>,
    T: PartialEq + Debug,
    E: FromStep<RunError> + Display + PartialEq + Debug,
{
    let process = async |world: awaitly_testing::crash::World<S>| {
        let shop = Shop { ledger: world.ledger() };
        world.workflow(Workflow::new("order")).run("o", async |run| body(run, &shop).await).await
    };
    test.everywhere(process).await
}
