//! What is measured, and how often: the two workloads, the repetitions and
//! the printed row.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// Each row is the median of this many repetitions.
const REPETITIONS: usize = 3;

/// One repetition takes 1 to 3 seconds; one that takes this long is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// The shape of the work. The step is always the same: it does nothing and
/// returns a `u64`, so only the recording is measured.
#[derive(Clone, Copy)]
pub enum Workload {
    /// One run that awaits its steps one after the other.
    Sequential,
    /// Sixteen such runs at the same time, on one database.
    SixteenRuns,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::SixteenRuns => "16 runs",
        }
    }

    fn runs(self) -> u64 {
        match self {
            Self::Sequential => 1,
            Self::SixteenRuns => 16,
        }
    }
}

/// A rival library at one choice of settings.
pub trait Peer {
    /// Crate name and version.
    fn name(&self) -> &'static str;

    /// Store, durability level and what differs from the defaults.
    fn settings(&self) -> &'static str;

    /// How many steps each run takes, chosen so that a repetition lasts
    /// 1 to 3 seconds.
    fn steps_per_run(&self, workload: Workload) -> u64;

    /// Opens a new database in `folder`, performs `runs` runs of `steps` steps
    /// each at the same time, checks their results, and returns the time from
    /// the first start to the last result. Opening and closing the database is
    /// not part of that time.
    async fn perform(&self, folder: &Path, runs: u64, steps: u64) -> Result<Duration>;
}

/// What one run has to return: its steps return 0, 1, 2, .. and it adds them
/// up, so a library that skipped or repeated a step would be found out.
pub fn expected_sum(steps: u64) -> u64 {
    (0..steps).sum()
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
}

/// A row and, for the table, the spread of its repetitions.
pub struct Measured {
    pub row: Row,
    slowest: f64,
    fastest: f64,
}

/// Performs the repetitions and keeps the median.
pub fn measure(peer: &impl Peer, workload: Workload) -> Result<Measured> {
    let (runs, steps) = (workload.runs(), peer.steps_per_run(workload));
    let mut times = Vec::with_capacity(REPETITIONS);
    for _ in 0..REPETITIONS {
        let time = repetition(peer, runs, steps)?;
        ensure!(!time.is_zero(), "the clock did not move");
        times.push(time.as_secs_f64());
    }
    times.sort_by(f64::total_cmp);

    let total = runs * steps;
    let rate = |seconds: f64| total as f64 / seconds;
    let median = times[REPETITIONS / 2];
    Ok(Measured {
        row: Row {
            peer: peer.name(),
            settings: peer.settings(),
            workload: workload.name(),
            steps: total,
            seconds: round(median, 3),
            steps_per_second: round(rate(median), 1),
        },
        slowest: rate(times[REPETITIONS - 1]),
        fastest: rate(times[0]),
    })
}

/// One repetition, in a new temporary folder and on a new runtime with two
/// workers, so that nothing a rival leaves running disturbs the next one.
fn repetition(peer: &impl Peer, runs: u64, steps: u64) -> Result<Duration> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the tokio runtime")?;
    let time = runtime.block_on(async {
        tokio::time::timeout(STUCK, peer.perform(folder.path(), runs, steps))
            .await
            .with_context(|| format!("stuck for {STUCK:?}"))?
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    time
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

impl Measured {
    pub fn table_header() -> String {
        format!(
            "{:<16} {:<50} {:<10} {:>6} {:>8} {:>8}   {}",
            "peer", "settings", "workload", "steps", "seconds", "steps/s", "slowest..fastest"
        )
    }

    pub fn table_line(&self) -> String {
        let row = &self.row;
        format!(
            "{:<16} {:<50} {:<10} {:>6} {:>8.3} {:>8.0}   {:.0}..{:.0}",
            row.peer,
            row.settings,
            row.workload,
            row.steps,
            row.seconds,
            row.steps_per_second,
            self.slowest,
            self.fastest
        )
    }
}
