//! The rivals, at their own settings, and this library in the same minute.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::durable::Ours;
use crate::measure::{median, runtime};
use crate::row::Row;

/// A line of what `benches/peers` prints.
#[derive(Deserialize)]
struct Rival {
    peer: String,
    settings: String,
    workload: String,
    steps_per_second: f64,
}

/// The workloads, as runs and steps each, and how many times a rival's figure is asked for.
const WORKLOADS: [(&str, u64, u64, f64); 2] = [("sequential", 1, 4000, 2.0), ("16 runs", 16, 500, 8.0)];

pub(crate) fn compare(file: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rivals: Vec<Rival> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let runtime = runtime()?;
    let mut ours = BTreeMap::new();
    for (workload, runs, steps, _) in WORKLOADS {
        let turns =
            (0..5).map(|_| runtime.block_on(Ours::steps_per_second(runs, steps))).collect::<Result<_>>()?;
        ours.insert(workload, median(turns));
    }
    Ok(rivals.iter().filter_map(|rival| row(rival, &ours)).collect())
}

fn row(rival: &Rival, ours: &BTreeMap<&str, f64>) -> Option<Row> {
    let (workload, _, _, times) = WORKLOADS.into_iter().find(|(workload, ..)| *workload == rival.workload)?;
    let name = format!(
        "{workload}, above {}{}",
        rival.peer,
        if rival.settings.contains("tuned") { ", tuned" } else { "" }
    );
    let row = Row::plain(name, *ours.get(workload)?, "steps/s");
    Some(row.floor(rival.steps_per_second).at_least_of_floor(times))
}
