//! Durable steps per second on SQLite at FULL, beside a bare writer thread that commits the same rows.
//!
//! The floor is what anybody would write by hand: one thread with the connection, a channel, the rows that
//! queued up in one transaction, and an answer to each caller when it is committed. It writes the same
//! columns into the same table with the same settings; it has no leases, no typed values, no retry, no
//! resume.

mod floor;
mod ours;

use anyhow::Result;
pub(crate) use ours::Ours;

use crate::measure::{median, runtime};
use crate::row::Row;

const TURNS: usize = 5;

/// How many runs at a time, how many steps each, and the bar.
const LOADS: [(u64, u64, f64); 3] = [(1, 4000, 0.9), (16, 2000, 0.8), (256, 500, 0.7)];

pub(crate) fn measure() -> Result<Vec<Row>> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut rows = Vec::new();
        for (runs, steps, bar) in LOADS {
            let (mut floors, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                floors.push(floor::steps_per_second(runs, steps).await?);
                ours.push(Ours::steps_per_second(runs, steps).await?);
            }
            let name =
                format!("durable steps/s, SQLite FULL, {runs} run{}", if runs == 1 { "" } else { "s" });
            rows.push(Row::plain(name, median(ours), "steps/s").floor(median(floors)).at_least_of_floor(bar));
        }
        Ok(rows)
    })
}
