//! One step after the other, beside one bare insert after the other.
//!
//! The two take turns in short slices, on one thread and with all connections open: which core the scheduler
//! gives a server's process, beside or apart from the client and from the disk's interrupts, changes an insert by
//! more than half, and it decides that anew whenever a process begins. Slices meet the same decisions.

use std::time::{Duration, Instant};

use anyhow::Result;
use awaitly::{DurableRun, Workflow, step};
use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::schema::Schema;
use super::{TURNS, call};
use crate::measure::median;
use crate::row::Row;

const SLICES: u64 = 60;
/// Steps, and as many inserts.
const SLICE: u64 = 50;

/// How long all the slices took.
#[derive(Default, Serialize, Deserialize)]
struct Times {
    ours: Duration,
    floor: Duration,
}

pub(super) async fn measure(url: &str) -> Result<Row> {
    let (mut ours, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let Times { ours: our, floor } = turn(url).await?;
        ours.push((SLICES * SLICE) as f64 / our.as_secs_f64());
        floors.push((SLICES * SLICE) as f64 / floor.as_secs_f64());
        ratios.push(floor.as_secs_f64() / our.as_secs_f64());
    }
    let row = Row::plain("durable steps/s, PostgreSQL, 1 run", median(ours), "steps/s");
    let row = Row { ratio: Some(median(ratios)), ..row.floor(median(floors)) };
    Ok(row.at_least_of_floor(0.8))
}

/// On a schema of its own.
async fn turn(url: &str) -> Result<Times> {
    let schema = Schema::make(url).await?;
    let store = schema.store().await?;
    let mut floor = Floor::connect(&schema).await?;
    let workflow = Workflow::new("bench").store(store.clone()).errors_as_text();
    let run = async move {
        let times = workflow.run("sequential", async |run| slices(run, &mut floor).await).await?;
        floor.close().await?;
        anyhow::Ok(times)
    };
    let times = tokio::spawn(run).await??;
    store.close().await?;
    schema.drop().await?;
    Ok(times)
}

async fn slices(run: &DurableRun, floor: &mut Floor) -> Result<Times> {
    let mut times = Times::default();
    for slice in 0..SLICES {
        let began = Instant::now();
        for n in 0..SLICE {
            step!(run, call(n));
        }
        times.ours += began.elapsed();
        let began = Instant::now();
        for n in 0..SLICE {
            floor.insert(-1, slice * SLICE + n).await?;
        }
        times.floor += began.elapsed();
    }
    Ok(times)
}
