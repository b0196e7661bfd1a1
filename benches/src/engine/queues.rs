//! The job queues that people would use instead, at their own settings, and the engine in the same minutes.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Steps;
use super::postgres::median_rate;
use crate::measure::runtime;
use crate::postgres::url;
use crate::row::Row;

/// A line of the output of `benches/peers/queues`.
#[derive(Deserialize)]
struct Rival {
    peer: String,
    settings: String,
    workload: String,
    value: f64,
}

/// The crates, the beginning of their settings, and the least ratio of our rate to theirs.
const RIVALS: [(&str, &str, f64); 3] =
    [("apalis-postgres", "", 8.0), ("dbos", "", 5.0), ("graphile_worker", "batched", 1.0)];

/// Compares the engine with the best rate of each rival that `file` contains.
pub(crate) fn compare(file: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines: Vec<Rival> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let ours = runtime()?.block_on(async { median_rate(&url()?, 200_000, Steps::None).await })?;
    let rows = RIVALS.into_iter().filter_map(|(name, settings, times)| {
        let is_theirs = |line: &&Rival| {
            let is_rate = line.workload.starts_with("process");
            is_rate && line.peer.starts_with(name) && line.settings.starts_with(settings)
        };
        let best = lines.iter().filter(is_theirs).max_by(|one, other| one.value.total_cmp(&other.value))?;
        let row = Row::plain(format!("empty runs/s, PostgreSQL, above {}", best.peer), ours, "runs/s");
        Some(row.floor(best.value).at_least_of_floor(times))
    });
    Ok(rows.collect())
}
