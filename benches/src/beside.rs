use std::ops::AsyncFn;

use anyhow::Result;

use crate::measure::median;
use crate::row::Row;

const TURNS: usize = 5;

/// Runs at a time, and steps each.
const LOADS: [(u64, u64); 3] = [(1, 1500), (16, 200), (256, 40)];

/// Recorded steps per second on a store, beside the same rows without one, turn by turn.
pub(crate) async fn steps(
    store: &str,
    floor: impl AsyncFn(u64, u64) -> Result<f64>,
    ours: impl AsyncFn(u64, u64) -> Result<f64>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (runs, steps) in LOADS {
        let (mut floors, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let (bare, our) = (floor(runs, steps).await?, ours(runs, steps).await?);
            floors.push(bare);
            rates.push(our);
            ratios.push(our / bare);
        }
        let name = format!("durable steps/s, {store}, {runs} run{}", if runs == 1 { "" } else { "s" });
        let row = Row::plain(name, median(rates), "steps/s").floor(median(floors));
        rows.push(Row { ratio: Some(median(ratios)), ..row });
    }
    Ok(rows)
}
