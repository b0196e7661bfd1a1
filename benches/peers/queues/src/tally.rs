//! The count of the jobs that ran, which every handler reports to.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::{Notify, mpsc};

/// How often each job ran, and the times at which the handler was entered if they are wanted.
#[derive(Debug)]
pub struct Tally {
    runs: Vec<AtomicU32>,
    entered: AtomicU64,
    all_entered: Notify,
    arrivals: Option<mpsc::UnboundedSender<(u64, Instant)>>,
}

/// Receives the job and the time of each entry.
pub type Arrivals = mpsc::UnboundedReceiver<(u64, Instant)>;

impl Tally {
    /// Expects the jobs from 0 to `jobs`, each once.
    pub fn new(jobs: u64) -> Self {
        Self {
            runs: (0..jobs).map(|_| AtomicU32::new(0)).collect(),
            entered: AtomicU64::new(0),
            all_entered: Notify::new(),
            arrivals: None,
        }
    }

    /// Also reports the time of each entry.
    pub fn with_arrivals(jobs: u64) -> (Self, Arrivals) {
        let (sender, arrivals) = mpsc::unbounded_channel();
        (Self { arrivals: Some(sender), ..Self::new(jobs) }, arrivals)
    }

    /// The body of every job.
    pub fn enter(&self, job: u64) {
        if let Some(arrivals) = &self.arrivals {
            // The receiver is gone if the measurement has ended.
            let _ = arrivals.send((job, Instant::now()));
        }
        if let Some(runs) = usize::try_from(job).ok().and_then(|job| self.runs.get(job)) {
            runs.fetch_add(1, Ordering::Relaxed);
        }
        let entered = self.entered.fetch_add(1, Ordering::AcqRel) + 1;
        if entered == self.runs.len() as u64 {
            self.all_entered.notify_one();
        }
    }

    /// Waits until the handler was entered as often as there are jobs.
    pub async fn until_all_entered(&self) {
        self.all_entered.notified().await;
    }

    /// Checks that every job ran exactly once.
    pub fn check(&self) -> Result<()> {
        let entered = self.entered.load(Ordering::Acquire);
        ensure!(
            entered == self.runs.len() as u64,
            "{entered} jobs ran, although {} were submitted",
            self.runs.len()
        );
        for (job, runs) in self.runs.iter().enumerate() {
            let runs = runs.load(Ordering::Relaxed);
            if runs != 1 {
                bail!("job {job} ran {runs} times");
            }
        }
        Ok(())
    }
}

/// Waits for the entry of this job.
pub async fn arrival(arrivals: &mut Arrivals, job: u64) -> Result<Instant> {
    let (arrived, at) = arrivals.recv().await.context("the handler is gone")?;
    ensure!(arrived == job, "job {arrived} ran, although job {job} was submitted");
    Ok(at)
}
