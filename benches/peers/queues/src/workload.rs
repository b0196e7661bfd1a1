//! The measurements of one job queue, each repetition in a database of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;

use crate::observer::Observer;
use crate::peer::{Peer, Session, Submit};
use crate::row::{Measured, Subject};
use crate::server::Server;
use crate::tally::{Tally, arrival};

/// Jobs in one bulk call.
pub const BATCH: u64 = 1000;
/// Tasks that submit at the same time if each call submits one job.
const SUBMITTERS: u64 = 16;
/// Jobs of which the latency is measured, and jobs before them that are not.
const LATENCIES: u64 = 200;
const WARM_UPS: u64 = 10;
/// Jobs that are only submitted.
const BULK_SUBMITS: u64 = 30_000;
const SINGLE_SUBMITS: u64 = 2_000;
/// Each row is the median of this many repetitions.
const REPETITIONS: usize = 3;
/// A repetition takes a few seconds, and twenty where dbos settles first; one that takes this long is stuck.
const STUCK: Duration = Duration::from_secs(40);
/// Stuck repetitions of a row that are repeated. The row states their number.
const STUCK_ALLOWED: usize = 2;

/// The work of one repetition.
#[derive(Clone, Copy)]
pub enum Workload {
    /// From the first submission to the last recorded completion.
    Process(Submit),
    /// From a submission to the first line of the handler, on an idle worker.
    Latency,
    /// Submissions alone, one call after the other.
    Submit(Submit),
}

/// The figures of one repetition, with the name and the unit of each.
type Figures = Vec<(&'static str, &'static str, f64)>;

impl Workload {
    pub const ALL: [Self; 5] = [
        Self::Process(Submit::Bulk),
        Self::Process(Submit::Single),
        Self::Latency,
        Self::Submit(Submit::Bulk),
        Self::Submit(Submit::Single),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Process(Submit::Bulk) => "process, bulk calls",
            Self::Process(Submit::Single) => "process, single calls",
            Self::Latency => "latency",
            Self::Submit(Submit::Bulk) => "submit, bulk calls",
            Self::Submit(Submit::Single) => "submit, single calls",
        }
    }

    pub fn is_offered_by(self, peer: &impl Peer) -> bool {
        match self {
            Self::Process(Submit::Bulk) | Self::Submit(Submit::Bulk) => peer.has_bulk(),
            Self::Process(Submit::Single) | Self::Latency | Self::Submit(Submit::Single) => true,
        }
    }

    fn jobs(self, peer: &impl Peer) -> u64 {
        match self {
            Self::Process(submit) => peer.jobs(submit),
            Self::Latency => LATENCIES,
            Self::Submit(Submit::Bulk) => BULK_SUBMITS,
            Self::Submit(Submit::Single) => SINGLE_SUBMITS,
        }
    }
}

/// Performs the repetitions, and returns the rows with the medians.
pub fn measure(peer: &impl Peer, server: &Server, workload: Workload) -> Result<Vec<Measured>> {
    let jobs = workload.jobs(peer);
    let mut repetitions = Vec::with_capacity(REPETITIONS);
    let mut stuck = 0;
    while repetitions.len() < REPETITIONS {
        let database = server.new_database()?;
        match on_new_runtime(repetition(peer, database.url(), workload, jobs))? {
            Some(figures) => repetitions.push(figures),
            None => stuck += 1,
        }
        ensure!(stuck <= STUCK_ALLOWED, "stuck for {STUCK:?} in {stuck} repetitions");
    }
    let figures = repetitions.first().context("no repetition was measured")?;
    let rows = figures.iter().enumerate().map(|(index, (workload, unit, _))| {
        let values = repetitions.iter().filter_map(|figures| figures.get(index)).map(|(_, _, value)| *value);
        let subject = Subject { peer: peer.name(), settings: peer.settings(), workload, unit, jobs, stuck };
        Measured::new(subject, values.collect())
    });
    Ok(rows.collect())
}

async fn repetition(peer: &impl Peer, url: &str, workload: Workload, jobs: u64) -> Result<Figures> {
    match workload {
        Workload::Process(submit) => {
            let time = process(peer, url, submit, jobs).await?;
            Ok(vec![(workload.name(), "jobs/s", per_second(jobs, time)?)])
        }
        Workload::Latency => {
            let (p50, p99) = latency(peer, url, jobs).await?;
            Ok(vec![("latency, p50", "us", p50), ("latency, p99", "us", p99)])
        }
        Workload::Submit(submit) => {
            let time = only_submit(peer, url, submit, jobs).await?;
            Ok(vec![(workload.name(), "jobs/s", per_second(jobs, time)?)])
        }
    }
}

/// Submits jobs to running workers. Job 0 is processed before the clock starts, so the workers are ready.
async fn process<P: Peer>(peer: &P, url: &str, submit: Submit, jobs: u64) -> Result<Duration> {
    let tally = Arc::new(Tally::new(jobs + 1));
    let session = peer.open(url, tally.clone()).await?;
    let mut observer = Observer::<P::Session>::connect(url).await?;
    session.start().await?;
    session.submit(0).await?;
    observer.until_finished().await?;

    let start = Instant::now();
    match submit {
        Submit::Bulk => in_batches(&session, 1, jobs).await?,
        Submit::Single => from_tasks(&session, 1, jobs).await?,
    }
    tally.until_all_entered().await;
    observer.until_finished().await?;
    let time = start.elapsed();

    session.close().await?;
    tally.check()?;
    Ok(time)
}

/// Submits jobs one by one, each after the previous one is completed. Returns microseconds.
async fn latency<P: Peer>(peer: &P, url: &str, jobs: u64) -> Result<(f64, f64)> {
    let (tally, mut arrivals) = Tally::with_arrivals(WARM_UPS + jobs);
    let tally = Arc::new(tally);
    let session = peer.open(url, tally.clone()).await?;
    let mut observer = Observer::<P::Session>::connect(url).await?;
    session.start().await?;
    let mut times = Vec::new();
    for job in 0..WARM_UPS + jobs {
        let start = Instant::now();
        session.submit(job).await?;
        let entered = arrival(&mut arrivals, job).await?;
        if job >= WARM_UPS {
            times.push(entered.saturating_duration_since(start));
        }
        observer.until_finished().await?;
        // The pauses differ, so that the submissions do not fall into step with a worker that polls.
        tokio::time::sleep(Duration::from_millis(5 + job * 7 % 11)).await;
    }
    session.close().await?;
    tally.check()?;
    times.sort_unstable();
    Ok((quantile(&times, 50)?, quantile(&times, 99)?))
}

/// Submits jobs without workers, and checks that all of them are stored.
async fn only_submit<P: Peer>(peer: &P, url: &str, submit: Submit, jobs: u64) -> Result<Duration> {
    let session = peer.open(url, Arc::new(Tally::new(0))).await?;
    let mut observer = Observer::<P::Session>::connect(url).await?;
    let start = Instant::now();
    match submit {
        Submit::Bulk => in_batches(&session, 0, jobs).await?,
        Submit::Single => {
            for job in 0..jobs {
                session.submit(job).await?;
            }
        }
    }
    let time = start.elapsed();
    let stored = observer.unfinished().await?;
    ensure!(u64::try_from(stored)? == jobs, "{stored} jobs are stored, although {jobs} were submitted");
    session.close().await?;
    Ok(time)
}

async fn in_batches(session: &impl Session, first: u64, jobs: u64) -> Result<()> {
    let end = first + jobs;
    let mut next = first;
    while next < end {
        let until = end.min(next + BATCH);
        session.submit_many(next..until).await?;
        next = until;
    }
    Ok(())
}

async fn from_tasks(session: &impl Session, first: u64, jobs: u64) -> Result<()> {
    let tasks = (0..SUBMITTERS).map(|task| {
        let session = session.clone();
        let mine = (first + task..first + jobs).step_by(usize::try_from(SUBMITTERS).unwrap_or(usize::MAX));
        tokio::spawn(async move {
            for job in mine {
                session.submit(job).await?;
            }
            anyhow::Ok(())
        })
    });
    for result in try_join_all(tasks).await.context("a submitting task panicked")? {
        result?;
    }
    Ok(())
}

fn per_second(jobs: u64, time: Duration) -> Result<f64> {
    ensure!(!time.is_zero(), "the clock did not move");
    Ok(jobs as f64 / time.as_secs_f64())
}

fn quantile(sorted: &[Duration], hundredths: usize) -> Result<f64> {
    let index = (sorted.len() * hundredths).div_ceil(100).max(1) - 1;
    let time = sorted.get(index).context("no job was measured")?;
    Ok(time.as_secs_f64() * 1e6)
}

/// Works on a new runtime with two threads, so that the remains of one repetition do not disturb the next. Returns
/// `None` if the work is stuck.
fn on_new_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the tokio runtime")?;
    let done = runtime.block_on(async { tokio::time::timeout(STUCK, work).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    done.ok().transpose()
}
