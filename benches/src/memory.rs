//! A recorded step on a store in memory.

use std::hint::black_box;

use awaitly::persistence::MemoryStore;
use awaitly::{RunError, Workflow, step};

use crate::measure::{block_on, ns_each};
use crate::row::Row;

/// As many runs as it takes, of this many steps each.
const STEPS_OF_A_RUN: u64 = 1000;
const STEPS: u64 = 200_000;
const TURNS: usize = 7;

async fn call(n: u64) -> Result<u64, RunError> {
    black_box(Ok(n + 1))
}

fn floor(n: u64) {
    let sum = block_on(async {
        let mut sum = 0_u64;
        for i in 0..n {
            sum = sum.wrapping_add(call(black_box(i)).await?);
        }
        Ok::<_, RunError>(sum)
    });
    let _ = black_box(sum);
}

/// Hands out the store, so that giving its memory back is not measured.
fn recorded(n: u64) -> MemoryStore {
    let store = MemoryStore::new();
    let workflow = Workflow::new("bench").store(store.clone());
    let sum = block_on(async {
        let mut sum = 0_u64;
        for run in 0..n / STEPS_OF_A_RUN {
            let one = workflow.run(format!("run {run}"), async |run| {
                let mut sum = 0_u64;
                for i in 0..STEPS_OF_A_RUN {
                    sum = sum.wrapping_add(step!(run, call(black_box(i))));
                }
                Ok::<_, RunError>(sum)
            });
            sum = sum.wrapping_add(one.await?);
        }
        Ok::<_, RunError>(sum)
    });
    let _ = black_box(sum);
    store
}

pub(crate) fn measure() -> Vec<Row> {
    let (_, ours) = ns_each(STEPS, TURNS, floor, recorded);
    vec![Row::plain("recorded step on MemoryStore", ours, "ns").at_most(500.0)]
}
