//! The printed row: JSON for a program, a line of a table for a person.

use serde::Serialize;

/// What a row is about.
#[derive(Clone, Copy)]
pub struct Subject {
    /// Crate name and version.
    pub peer: &'static str,
    /// Store, durability level and what differs from the defaults.
    pub settings: &'static str,
    pub workload: &'static str,
    /// Steps in one repetition, those of all its runs together.
    pub steps: u64,
}

/// One line of standard output.
#[derive(Serialize)]
pub struct Row {
    peer: &'static str,
    settings: &'static str,
    workload: &'static str,
    steps: u64,
    seconds: f64,
    steps_per_second: f64,
    #[serde(flatten)]
    detail: Detail,
}

/// What some rows say besides their rate.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Detail {
    None {},
    Latency { p50_us: f64, p99_us: f64 },
    Resume { resume_ms: f64 },
}

/// A row and, for the table, the spread of its repetitions.
pub struct Measured {
    pub row: Row,
    slowest: f64,
    fastest: f64,
}

/// The seconds that the slowest, the median and the fastest repetition took.
pub struct Spread {
    pub slowest: f64,
    pub median: f64,
    pub fastest: f64,
}

impl Measured {
    /// The row of the median repetition, whose `detail` this is.
    pub fn new(subject: Subject, seconds: &Spread, detail: Detail) -> Self {
        let rate = |seconds: f64| subject.steps as f64 / seconds;
        Self {
            row: Row {
                peer: subject.peer,
                settings: subject.settings,
                workload: subject.workload,
                steps: subject.steps,
                seconds: round(seconds.median, 3),
                steps_per_second: round(rate(seconds.median), 1),
                detail: detail.rounded(),
            },
            slowest: rate(seconds.slowest),
            fastest: rate(seconds.fastest),
        }
    }

    pub fn table_header() -> String {
        format!(
            "{:<16} {:<50} {:<24} {:>6} {:>8} {:>8}   {}",
            "peer", "settings", "workload", "steps", "seconds", "steps/s", "slowest..fastest"
        )
    }

    pub fn table_line(&self) -> String {
        let row = &self.row;
        format!(
            "{:<16} {:<50} {:<24} {:>6} {:>8.3} {:>8.0}   {:.0}..{:.0}{}",
            row.peer,
            row.settings,
            row.workload,
            row.steps,
            row.seconds,
            row.steps_per_second,
            self.slowest,
            self.fastest,
            row.detail.table_end()
        )
    }
}

impl Detail {
    fn rounded(self) -> Self {
        match self {
            Self::None {} => self,
            Self::Latency { p50_us, p99_us } => Self::Latency {
                p50_us: round(p50_us, 1),
                p99_us: round(p99_us, 1),
            },
            Self::Resume { resume_ms } => Self::Resume {
                resume_ms: round(resume_ms, 1),
            },
        }
    }

    fn table_end(self) -> String {
        match self {
            Self::None {} => String::new(),
            Self::Latency { p50_us, p99_us } => {
                format!("   p50 {p50_us:.0} us, p99 {p99_us:.0} us")
            }
            Self::Resume { resume_ms } => format!("   resumed after {resume_ms:.0} ms"),
        }
    }
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
