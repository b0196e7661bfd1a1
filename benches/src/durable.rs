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

/// Short turns, many of them: what the machine does beside moves slower than that.
const TURNS: usize = 9;

/// How many runs at a time, how many steps each, and the bar.
const LOADS: [(u64, u64, f64); 3] = [(1, 3000, 0.9), (16, 1500, 0.8), (256, 400, 0.7)];

pub(crate) fn measure() -> Result<Vec<Row>> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut rows = Vec::new();
        for (runs, steps, bar) in LOADS {
            let (mut floors, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..TURNS {
                let floor = floor::steps_per_second(runs, steps).await?;
                let our = Ours::steps_per_second(runs, steps).await?;
                floors.push(floor);
                ours.push(our);
                ratios.push(our / floor);
            }
            let name =
                format!("durable steps/s, SQLite FULL, {runs} run{}", if runs == 1 { "" } else { "s" });
            let row = Row::plain(name, median(ours), "steps/s").floor(median(floors));
            // The median of the turns' ratios, since both halves of a turn meet the same moment.
            let row = Row { ratio: Some(median(ratios)), ..row };
            rows.push(row.at_least_of_floor(bar));
        }
        Ok(rows)
    })
}
