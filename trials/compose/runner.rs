//! Plays many cases: in memory on several threads, on the other stores concurrently.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use awaitly::clock::{days, hours, mins, ms, secs};
use awaitly::persistence::MemoryStore;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, LocalSet};

use crate::case::Case;
use crate::draw;
use crate::feature::Features;
use crate::place::{Opened, Place, StoreName};
use crate::play::{Pace, play};
use crate::promise::{Broken, Promise};
use crate::report::{Finding, Report};
use crate::shrink::shrink;

/// The number of findings per promise that a thread shrinks.
const SHRUNK: u64 = 150;

/// The number of findings per promise that are shrunk on a real store.
const SHRUNK_ON_STORES: u64 = 5;

/// The time after which an execution counts as hanging.
const HANGS: Duration = secs(120);
const HANGS_VIRTUALLY: Duration = days(30);

/// The number of concurrent cases on a store.
const BESIDE: usize = 16;

/// Paused time, which costs nothing.
const VIRTUAL: Pace =
    Pace { unit: mins(1), lease: mins(3), period: hours(6), shift: hours(3), is_virtual: true };

/// Real time, so the units are short.
const REAL: Pace = Pace { unit: ms(4), lease: secs(30), period: secs(1), shift: secs(30), is_virtual: false };

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
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    for part in reports {
        report.merge(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(report)
}

fn on_thread(next: &AtomicU64, end: u64, features: Features) -> Result<Report> {
    let time = paused()?;
    let mut report = Report::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return Ok(report);
        }
        let case = draw::case(seed, features);
        let Err(broken) = time.block_on(in_virtual_time(&case, features)) else { continue };
        if report.count(broken.promise) <= SHRUNK {
            report.add(time.block_on(shrunk(Finding { case, broken }, features)));
        }
    }
}

fn paused() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_time().start_paused(true).build()?)
}

/// Plays a case on a store of its own in memory.
async fn in_virtual_time(case: &Case, features: Features) -> Result<(), Broken> {
    fastrand::seed(case.seed);
    let place = Place::Memory(MemoryStore::new());
    within(HANGS_VIRTUALLY, play(case, &place, VIRTUAL, features, "r")).await
}

async fn shrunk(Finding { case, broken }: Finding, features: Features) -> Finding {
    let promise = broken.promise;
    let breaks = async |case: &Case| {
        in_virtual_time(case, features).await.is_err_and(|broken| broken.promise == promise)
    };
    let case = shrink(case, 3000, breaks).await;
    let broken = in_virtual_time(&case, features).await.err().unwrap_or(broken);
    Finding { case, broken }
}

/// Returns the result of a case, or a broken promise if the case hangs.
async fn within(time: Duration, play: impl Future<Output = Result<(), Broken>>) -> Result<(), Broken> {
    tokio::time::timeout(time, play)
        .await
        .unwrap_or_else(|_| Err(Broken { promise: Promise::NotStuck, text: "an execution hangs".to_owned() }))
}

/// Plays the cases side by side on one store.
async fn beside(store: StoreName, seeds: Range<u64>, features: Features) -> Result<Report> {
    let opened = Opened::open(store).await?;
    let mut report = Report::default();
    let mut playing = JoinSet::new();
    let mut seeds = seeds.into_iter();
    let mut found = Vec::new();
    loop {
        while playing.len() < BESIDE {
            let Some(seed) = seeds.next() else { break };
            let place = opened.place.clone();
            playing.spawn_local(async move {
                let case = draw::case(seed, features);
                let broken = in_real_time(&case, &place, features, 0).await.err()?;
                Some(Finding { case, broken })
            });
        }
        let Some(ended) = playing.join_next().await else { break };
        found.extend(ended?);
    }
    for finding in found {
        let is_shrunk = report.count(finding.broken.promise) <= SHRUNK_ON_STORES;
        report.add(if is_shrunk { shrunk_from(finding, &opened.place, features).await? } else { finding });
    }
    opened.remove().await?;
    Ok(report)
}

/// Shrinks a finding of a store: in memory, if the case breaks the promise there too.
async fn shrunk_from(finding: Finding, place: &Place, features: Features) -> Result<Finding> {
    let promise = finding.broken.promise;
    let case = finding.case.clone();
    let in_memory = tokio::task::spawn_blocking(move || -> Result<Option<Finding>> {
        let time = paused()?;
        match time.block_on(in_virtual_time(&case, features)) {
            Err(broken) if broken.promise == promise => {
                Ok(Some(time.block_on(shrunk(Finding { case, broken }, features))))
            }
            _ => Ok(None),
        }
    });
    if let Some(finding) = in_memory.await?? {
        return Ok(finding);
    }
    let mut attempt = 0;
    let mut broken = finding.broken;
    let breaks = async |case: &Case| {
        attempt += 1;
        match in_real_time(case, place, features, attempt).await {
            Err(again) if again.promise == promise => {
                broken = again;
                true
            }
            _ => false,
        }
    };
    let case = shrink(finding.case, 200, breaks).await;
    Ok(Finding { case, broken })
}

async fn in_real_time(case: &Case, place: &Place, features: Features, attempt: u32) -> Result<(), Broken> {
    let name = format!("r{}-{attempt}", case.seed);
    within(HANGS, play(case, place, REAL, features, &name)).await
}
