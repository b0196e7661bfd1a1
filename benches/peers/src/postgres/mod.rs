//! The rivals on a PostgreSQL server: five workloads, each repetition in a
//! database of its own.

mod lives;
mod server;

use std::time::Duration;

use anyhow::Result;

use crate::measure::{self, Repetition, on_new_runtime};
use crate::row::{Measured, Subject};

pub use lives::{Life, Lives};
pub use server::Server;

/// Connections each rival may open: the default of dbos, two more than that of
/// durare. Neither was faster with 16 or 32.
pub const CONNECTIONS: u32 = 10;

/// The shape of the work. The step is always the same: it does nothing and
/// returns a `u64`, so only the recording is measured.
#[derive(Clone, Copy)]
pub enum Workload {
    /// One run that awaits its steps one after the other.
    Sequential,
    /// Sixteen such runs at the same time, on one database.
    SixteenRuns,
    /// As many runs as a pool of connections cannot serve at once.
    ManyRuns,
    /// Runs of one step, one after the other: from the start to the result.
    OneStep,
    /// A run interrupted after its recorded steps: from the opening of the
    /// engine that recovers it to the first step that is not recorded.
    Resume,
}

impl Workload {
    pub const ALL: [Self; 5] = [
        Self::Sequential,
        Self::SixteenRuns,
        Self::ManyRuns,
        Self::OneStep,
        Self::Resume,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential, PostgreSQL",
            Self::SixteenRuns => "16 runs, PostgreSQL",
            Self::ManyRuns => "256 runs, PostgreSQL",
            Self::OneStep => "one step, PostgreSQL",
            Self::Resume => "resume 10000, PostgreSQL",
        }
    }

    fn runs(self) -> u64 {
        match self {
            Self::Sequential | Self::Resume => 1,
            Self::SixteenRuns => 16,
            Self::ManyRuns => 256,
            Self::OneStep => 300,
        }
    }

    fn steps_per_run(self) -> u64 {
        match self {
            Self::Sequential => 2000,
            Self::SixteenRuns => 300,
            Self::ManyRuns => 20,
            Self::OneStep => 1,
            Self::Resume => 10_000,
        }
    }
}

/// A rival library at one choice of settings. Every `url` names a database
/// that only this repetition uses.
pub trait Peer {
    /// Crate name and version.
    fn name(&self) -> &'static str;

    /// Store and what differs from the defaults.
    fn settings(&self) -> &'static str;

    /// Performs `runs` runs of `steps` steps each at the same time, checks
    /// their results, and returns the time from the first start to the last
    /// result. Opening and closing the database is not part of that time.
    async fn perform(&self, url: &str, runs: u64, steps: u64) -> Result<Duration>;

    /// Performs `runs` runs of one step, one after the other, and returns the
    /// time of each, from its start to its result.
    async fn one_by_one(&self, url: &str, runs: u64) -> Result<Vec<Duration>>;

    /// Starts one run of `steps` steps and another one, and returns when the
    /// body of that other one is reached, which stays there in this life. The
    /// caller then drops the runtime, with whatever runs on it.
    async fn interrupt(&self, url: &str, steps: u64) -> Result<()>;

    /// Opens a new engine that recovers the interrupted run, checks its result,
    /// and returns the time from the opening to the body of the new step.
    async fn resume(&self, url: &str, steps: u64) -> Result<Duration>;
}

pub fn measure(peer: &impl Peer, server: &Server, workload: Workload) -> Result<Measured> {
    let subject = Subject {
        peer: peer.name(),
        settings: peer.settings(),
        workload: workload.name(),
        steps: workload.runs() * workload.steps_per_run(),
    };
    measure::measure(subject, || {
        let database = server.new_database()?;
        repetition(peer, database.url(), workload)
    })
}

fn repetition(peer: &impl Peer, url: &str, workload: Workload) -> Result<Repetition> {
    let (runs, steps) = (workload.runs(), workload.steps_per_run());
    match workload {
        Workload::Sequential | Workload::SixteenRuns | Workload::ManyRuns => {
            on_new_runtime(peer.perform(url, runs, steps)).map(Repetition::rate)
        }
        Workload::OneStep => Repetition::latency(on_new_runtime(peer.one_by_one(url, runs))?),
        Workload::Resume => {
            on_new_runtime(peer.interrupt(url, steps))?;
            on_new_runtime(peer.resume(url, steps)).map(Repetition::resume)
        }
    }
}
