//! The printed row: JSON for a program, a line of a table for a person.

use serde::Serialize;

/// The subject of a row.
pub struct Subject {
    /// Crate name and version.
    pub peer: &'static str,
    /// The settings that differ from the defaults.
    pub settings: String,
    pub workload: &'static str,
    pub unit: &'static str,
    /// Jobs in one repetition.
    pub jobs: u64,
    /// Repetitions that never ended, and were repeated.
    pub stuck: usize,
}

/// One line of standard output.
#[derive(Serialize)]
struct Row {
    peer: &'static str,
    settings: String,
    workload: &'static str,
    value: f64,
    unit: &'static str,
    jobs: u64,
    stuck: usize,
}

/// The row with the median of the repetitions and, for the table, their spread.
pub struct Measured {
    row: Row,
    least: f64,
    most: f64,
}

impl Measured {
    pub fn new(subject: Subject, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let value = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        let Subject { peer, settings, workload, unit, jobs, stuck } = subject;
        let median = (value(last / 2) * 10.0).round() / 10.0;
        Self {
            row: Row { peer, settings, workload, value: median, unit, jobs, stuck },
            least: value(0),
            most: value(last),
        }
    }

    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.row)
    }

    pub fn table_header() -> String {
        format!("  {:<22} {:>6} {:>10} {:<6}   least..most", "workload", "jobs", "value", "unit")
    }

    pub fn table_line(&self) -> String {
        let Row { workload, value, unit, jobs, stuck, .. } = &self.row;
        let stuck = if *stuck > 0 { format!("   (stuck: {stuck})") } else { String::new() };
        format!(
            "  {workload:<22} {jobs:>6} {value:>10.0} {unit:<6}   {:.0}..{:.0}{stuck}",
            self.least, self.most
        )
    }
}
