//! The rivals, at their own settings, and this library in the same minute.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::durable::Ours;
use crate::measure::{median, runtime};
use crate::postgres;
use crate::row::Row;

/// A line of what `benches/peers` prints.
#[derive(Deserialize)]
struct Rival {
    peer: String,
    settings: String,
    workload: String,
    steps_per_second: f64,
}

/// A workload of the rivals: its name, runs and steps each, and how many times a rival's figure is asked for.
type Workload = (&'static str, u64, u64, f64);

const ON_SQLITE: [Workload; 2] = [("sequential", 1, 4000, 2.0), ("16 runs", 16, 500, 8.0)];

const ON_POSTGRES: [Workload; 3] = [
    ("sequential, PostgreSQL", 1, 1500, 2.5),
    ("16 runs, PostgreSQL", 16, 400, 4.0),
    ("256 runs, PostgreSQL", 256, 150, 10.0),
];

pub(crate) fn compare(file: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rivals: Vec<Rival> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let ours = runtime()?.block_on(async {
        let mut ours = BTreeMap::new();
        for (workload, runs, steps, _) in ON_SQLITE {
            let mut turns = Vec::new();
            for _ in 0..5 {
                turns.push(Ours::steps_per_second(runs, steps).await?);
            }
            ours.insert(workload, median(turns));
        }
        for (workload, runs, steps, _) in ON_POSTGRES {
            let mut turns = Vec::new();
            for _ in 0..5 {
                turns.push(postgres::steps_per_second(runs, steps).await?);
            }
            ours.insert(workload, median(turns));
        }
        anyhow::Ok(ours)
    })?;
    Ok(rivals.iter().filter_map(|rival| row(rival, &ours)).collect())
}

fn row(rival: &Rival, ours: &BTreeMap<&str, f64>) -> Option<Row> {
    let mut workloads = ON_SQLITE.into_iter().chain(ON_POSTGRES);
    let (workload, _, _, times) = workloads.find(|(workload, ..)| *workload == rival.workload)?;
    let name = format!(
        "{workload}, above {}{}",
        rival.peer,
        if rival.settings.contains("tuned") { ", tuned" } else { "" }
    );
    let row = Row::plain(name, *ours.get(workload)?, "steps/s");
    Some(row.floor(rival.steps_per_second).at_least_of_floor(times))
}
