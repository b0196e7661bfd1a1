use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One figure, its floor, and whether it holds its bar.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// What is measured beside it, in the same unit.
    pub(crate) floor: Option<f64>,
    /// The value as a part of the floor.
    pub(crate) ratio: Option<f64>,
    /// What it has to be: `<= 20` of the unit, or `>= 0.9 x` of the floor.
    pub(crate) bar: Option<String>,
    pub(crate) holds: bool,
}

impl Row {
    /// A figure without a bar.
    pub(crate) fn plain(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.into(), floor: None, ratio: None, bar: None, holds: true }
    }

    pub(crate) fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = Some(self.value / floor);
        self
    }

    /// It has to be this much at most.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.bar = Some(format!("<= {most}"));
        self.holds = self.value <= most;
        self
    }

    /// It has to be this much at least.
    pub(crate) fn at_least(mut self, least: f64) -> Self {
        self.bar = Some(format!(">= {least}"));
        self.holds = self.value >= least;
        self
    }

    /// It has to be at least this part of its floor.
    pub(crate) fn at_least_of_floor(mut self, least: f64) -> Self {
        self.bar = Some(format!(">= {least} x"));
        self.holds = self.ratio.is_some_and(|ratio| ratio >= least);
        self
    }

    pub(crate) fn print(&self) {
        let show = |value: Option<f64>| value.map(readable).unwrap_or_default();
        println!(
            "{:<44} {:>12} {:<8} {:>12} {:>7} {:>9}  {}",
            self.name,
            readable(self.value),
            self.unit,
            show(self.floor),
            self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.bar.as_deref().unwrap_or_default(),
            match (&self.bar, self.holds) {
                (None, _) => "",
                (Some(_), true) => "holds",
                (Some(_), false) => "MISSED",
            },
        );
    }
}

pub(crate) fn print_head() {
    println!("{:<44} {:>12} {:<8} {:>12} {:>7} {:>9}", "", "value", "unit", "floor", "ratio", "bar");
}

fn readable(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Rows that were written by [`write()`] or in its form.
pub(crate) fn read(file: &Path) -> Result<Vec<Row>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rows = text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str);
    rows.collect::<Result<_, _>>().with_context(|| format!("{} holds a line that is no row", file.display()))
}

/// One JSON object per line.
pub(crate) fn write(file: &Path, rows: &[Row]) -> Result<()> {
    let lines = rows.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    fs::write(file, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", file.display()))
}
