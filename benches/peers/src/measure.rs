//! How often a workload is measured, and what the repetitions have in common.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::row::{Detail, Measured, Spread, Subject};

/// Each row is the median of this many repetitions.
const REPETITIONS: usize = 3;

/// One repetition takes 1 to 3 seconds, and first has to record 10,000 steps
/// where a run is resumed, which has taken more than 20 on a slow machine; one
/// that takes this long is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// What one repetition found.
pub struct Repetition {
    time: Duration,
    detail: Detail,
}

impl Repetition {
    /// All steps together took `time`.
    pub fn rate(time: Duration) -> Self {
        Self {
            time,
            detail: Detail::None {},
        }
    }

    /// Each of the runs, one after the other, took one of `times`.
    pub fn latency(mut times: Vec<Duration>) -> Result<Self> {
        times.sort_unstable();
        let quantile = |hundredths: usize| {
            let index = (times.len() * hundredths).div_ceil(100).max(1) - 1;
            let time = times.get(index).context("no run was measured")?;
            anyhow::Ok(time.as_secs_f64() * 1e6)
        };
        Ok(Self {
            time: times.iter().sum(),
            detail: Detail::Latency {
                p50_us: quantile(50)?,
                p99_us: quantile(99)?,
            },
        })
    }

    /// The interrupted run took its first new step `time` after recovery began.
    pub fn resume(time: Duration) -> Self {
        Self {
            time,
            detail: Detail::Resume {
                resume_ms: time.as_secs_f64() * 1e3,
            },
        }
    }
}

/// Performs the repetitions and keeps the median.
pub fn measure(
    subject: Subject,
    mut repetition: impl FnMut() -> Result<Repetition>,
) -> Result<Measured> {
    let mut found = Vec::with_capacity(REPETITIONS);
    for _ in 0..REPETITIONS {
        let one = repetition()?;
        ensure!(!one.time.is_zero(), "the clock did not move");
        found.push(one);
    }
    found.sort_by_key(|one| one.time);

    let seconds = |index: usize| found[index].time.as_secs_f64();
    let spread = Spread {
        slowest: seconds(REPETITIONS - 1),
        median: seconds(REPETITIONS / 2),
        fastest: seconds(0),
    };
    Ok(Measured::new(
        subject,
        &spread,
        found[REPETITIONS / 2].detail,
    ))
}

/// Does the work on a new runtime with two workers, so that nothing a rival
/// leaves running disturbs the next measurement.
pub fn on_new_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the tokio runtime")?;
    let done = runtime.block_on(async {
        tokio::time::timeout(STUCK, work)
            .await
            .with_context(|| format!("stuck for {STUCK:?}"))?
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// What one run has to return: its steps return 0, 1, 2, .. and it adds them
/// up, so a library that skipped or repeated a step would be found out.
pub fn expected_sum(steps: u64) -> u64 {
    (0..steps).sum()
}
