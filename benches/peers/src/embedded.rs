//! The rivals that keep their database in a file of this process: two
//! workloads, each repetition in a new temporary folder.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::measure::{self, Repetition, on_new_runtime};
use crate::row::{Measured, Subject};

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
    pub const ALL: [Self; 2] = [Self::Sequential, Self::SixteenRuns];

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

pub fn measure(peer: &impl Peer, workload: Workload) -> Result<Measured> {
    let (runs, steps) = (workload.runs(), peer.steps_per_run(workload));
    let subject = Subject {
        peer: peer.name(),
        settings: peer.settings(),
        workload: workload.name(),
        steps: runs * steps,
    };
    measure::measure(subject, || {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let time = on_new_runtime(peer.perform(folder.path(), runs, steps))?;
        Ok(Repetition::rate(time))
    })
}
