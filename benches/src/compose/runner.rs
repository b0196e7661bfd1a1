//! Many cases: on threads of their own in memory, side by side on the other stores.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use awaitly::clock::{mins, ms, secs};
use awaitly::persistence::MemoryStore;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use crate::case::Case;
use crate::draw;
use crate::feature::Features;
use crate::place::{Opened, Place, StoreName};
use crate::play::{Pace, play};
use crate::promise::{Broken, Promise};
use crate::report::{Finding, Report};
use crate::shrink::shrink;

/// How many findings of one promise a thread shrinks.
const SHRUNK: u64 = 150;

/// How many cases a store executes side by side.
const BESIDE: usize = 16;

/// Time that leaps.
const VIRTUAL: Pace = Pace { unit: mins(1), lease: mins(3), is_virtual: true };

/// Time that passes, of which little is to pass.
const REAL: Pace = Pace { unit: ms(4), lease: secs(30), is_virtual: false };

pub(crate) fn run(store: StoreName, seeds: Range<u64>, features: Features) -> Result<Report> {
    if store == StoreName::Memory {
        return in_memory(seeds, features);
    }
    let time = Builder::new_current_thread().enable_all().build()?;
    time.block_on(LocalSet::new().run_until(beside(store, seeds, features)))
}

fn in_memory(seeds: Range<u64>, features: Features) -> Result<Report> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(seeds.start);
    let mut report = Report::default();
    let reports = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| on_thread(&next, seeds.end, features))).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    for part in reports {
        report.merge(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(report)
}

fn on_thread(next: &AtomicU64, end: u64, features: Features) -> Result<Report> {
    let time = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let mut report = Report::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return Ok(report);
        }
        let case = draw::case(seed, features);
        let Err(broken) = once(&time, &case, features) else { continue };
        if report.count(broken.promise) <= SHRUNK {
            let promise = broken.promise;
            let shrunk = shrink(case, |case| {
                once(&time, case, features).is_err_and(|broken| broken.promise == promise)
            });
            let broken = once(&time, &shrunk, features).err().unwrap_or(broken);
            report.add(Finding { case: shrunk, broken });
        }
    }
}

/// Plays a case on a store of its own in memory.
fn once(time: &Runtime, case: &Case, features: Features) -> Result<(), Broken> {
    fastrand::seed(case.seed);
    time.block_on(async {
        let place = Place::Memory(MemoryStore::new());
        whole(play(case, &place, VIRTUAL, features, "r"), case).await
    })
}

/// The case, unless it hangs: then nothing wakes it, though time passes.
async fn whole(play: impl Future<Output = Result<(), Broken>>, case: &Case) -> Result<(), Broken> {
    let hangs = Duration::from_secs(60 * 60 * 24 * 30);
    tokio::time::timeout(hangs, play).await.unwrap_or_else(|_| {
        let text = format!("an execution of seed {} hangs", case.seed);
        Err(Broken { promise: Promise::NotStuck, text })
    })
}

async fn beside(store: StoreName, seeds: Range<u64>, features: Features) -> Result<Report> {
    let opened = Opened::open(store).await?;
    let mut report = Report::default();
    let mut playing = tokio::task::JoinSet::new();
    let mut seeds = seeds.into_iter();
    loop {
        while playing.len() < BESIDE {
            let Some(seed) = seeds.next() else { break };
            let place = opened.place.clone();
            playing.spawn_local(async move {
                let case = draw::case(seed, features);
                let ended = in_real_time(&case, &place, features, "").await;
                let Err(broken) = ended else { return None };
                Some(Finding { case, broken })
            });
        }
        match playing.join_next().await {
            Some(ended) => {
                if let Some(finding) = ended? {
                    report.count(finding.broken.promise);
                    report.add(finding);
                }
            }
            None => break,
        }
    }
    opened.remove().await?;
    Ok(report)
}

async fn in_real_time(case: &Case, place: &Place, features: Features, attempt: &str) -> Result<(), Broken> {
    let name = format!("r{}{attempt}", case.seed);
    let hangs = secs(120);
    tokio::time::timeout(hangs, play(case, place, REAL, features, &name))
        .await
        .unwrap_or_else(|_| Err(Broken { promise: Promise::NotStuck, text: "an execution hangs".to_owned() }))
}
