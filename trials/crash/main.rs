//! Kills workers with SIGKILL, and compares the journals of their runs with a ledger of effects.
//!
//! A worker executes many durable runs concurrently and writes every effect to the ledger. The program kills the worker
//! at a random moment and starts the next worker, which resumes the unfinished runs and begins new ones. After the last
//! kill, one more worker finishes all runs.
//!
//! This program does not simulate a loss of power: a killed process loses no data that it has already passed to the
//! operating system. To survive a loss of power, the stores wait for the disk at each commit.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod engine;
mod judge;
mod ledger;
mod store;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use store::{Kind, Place};

/// Kills workers, and counts lost and repeated outcomes.
#[derive(Parser)]
struct Options {
    /// The store to use.
    #[arg(long, value_enum, default_value_t = Kind::Sqlite)]
    store: Kind,
    /// The number of kills.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// The seed for the moments of the kills. Default: a random seed, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Use the engine: four workers with children, mail, a schedule and a limited queue.
    #[arg(long)]
    engine: bool,
    /// The folder of the test and the number of this process, from 1, if the process is a worker.
    #[arg(long, hide = true, num_args = 2)]
    worker: Option<Vec<String>>,
    /// Makes the worker finish the begun runs and begin no new ones.
    #[arg(long, hide = true)]
    finish: bool,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some([folder, life]) = options.worker.as_deref() {
        let place = Place { kind: options.store, folder: Path::new(folder) };
        return match options.engine {
            true => engine::work(&place, life.parse()?),
            false => worker::work(&place, life.parse()?, options.finish),
        };
    }
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let store = options.store.to_possible_value().context("every store has a name")?;
    let engine = if options.engine { " --engine" } else { "" };
    println!(
        "cargo xtask crash{engine} --store {} --kills {} --seed {seed}",
        store.get_name(),
        options.kills
    );
    let folder = tempfile::tempdir()?;
    let place = Place { kind: options.store, folder: folder.path() };
    let holds = match options.engine {
        true => engine::supervise(&place, options.kills, seed)?,
        false => kill_and_judge(&place, options.kills, seed)?,
    };
    if holds {
        return Ok(ExitCode::SUCCESS);
    }
    println!("the store and the ledgers are in {}", folder.keep().display());
    Ok(ExitCode::FAILURE)
}

/// Kills one worker after the other, and judges. Returns whether all promises hold.
fn kill_and_judge(place: &Place<'_>, kills: u32, seed: u64) -> Result<bool> {
    let folder = place.folder;
    let mut dice = fastrand::Rng::with_seed(seed);
    for life in 1..=kills {
        let before = effects(folder);
        let worker = start(place, life, false)?;
        kill(worker, folder, before, Duration::from_micros(dice.u64(0..120_000)))?;
        if life % 20 == 0 {
            println!("killed {life}, {} effects so far", effects(folder));
        }
    }
    let status = start(place, kills + 1, true)?.wait()?;
    ensure!(status.success(), "the last worker failed: {status}");
    judge::judge(place, kills)
}

/// Returns the number of effects in the ledger.
fn effects(folder: &Path) -> usize {
    ledger::count(&folder.join("effects.jsonl"))
}

/// Starts worker number `life` on the store of the test.
fn start(place: &Place<'_>, life: u32, finish: bool) -> Result<Child> {
    let program: PathBuf = std::env::current_exe()?;
    let mut worker = Command::new(program);
    let kind = place.kind.to_possible_value().context("every store has a name")?;
    worker.arg("--store").arg(kind.get_name()).arg("--worker").arg(place.folder).arg(life.to_string());
    if finish {
        worker.arg("--finish");
    }
    worker.spawn().context("cannot start a worker")
}

/// Waits for the worker's first effect, which raises the number of effects above `before`, and kills the worker `after`
/// that; on Unix, with SIGKILL.
fn kill(mut worker: Child, folder: &Path, before: usize, after: Duration) -> Result<()> {
    while effects(folder) == before {
        ensure!(worker.try_wait()?.is_none(), "a worker ended before it did anything");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(after);
    ensure!(worker.try_wait()?.is_none(), "a worker ended before it was killed");
    worker.kill()?;
    worker.wait()?;
    Ok(())
}
