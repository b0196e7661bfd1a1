//! Crash tests: the expense is paid once, at whichever point the process dies. The process executes the run and accepts the
//! answer.
#![allow(clippy::unwrap_used, reason = "tests")]

use awaitly::hitl::Inbox;
use awaitly::store::Operate;
use awaitly::testing::crash::World;
use awaitly::{RunError, Workflow};

use super::{Office, RUN, expense};

#[path = "stores.rs"]
mod stores;

stores::survives_on_every_store!(process);

async fn process<S: Operate>(world: World<S>) -> Result<String, String> {
    let ledger = world.ledger();
    let office = Office {
        pays: Box::new(move |key, what| {
            ledger.note_once(key, what);
        }),
    };
    let expenses = world.workflow(Workflow::new("expense").input(&4200_u64));
    let claim = async || expenses.run(RUN, async |run| expense(run, &office, 4200).await).await;
    let mut ended = claim().await;
    if matches!(ended, Err(RunError::Waiting { .. })) {
        // The inbox refuses this answer if it accepted one before the process died.
        let _ = Inbox::new(world.store()).at(RUN, "manager").by("ada").edit(&4000_u64).await;
        ended = claim().await;
    }
    ended.map_err(|error| error.to_string())
}
