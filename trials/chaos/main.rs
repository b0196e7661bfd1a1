//! Injects faults around the PostgreSQL store, and compares the journals with a ledger of effects.
//!
//! A mode injects one fault: it cuts connections between a commit and its answer, freezes workers for longer than
//! their leases last, stops and kills the server, or sets the clocks of workers wrong by an hour. Some modes inject no
//! fault: a hundred thousand runs wait, two processes answer the same questions, four processes share the limits of a
//! queue, workers are stopped under load, and a run kills its process.
//!
//! The mode that stops a server starts one of its own. The program never stops the server in `AWAITLY_POSTGRES_URL`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod answers;
mod clocks;
mod cut;
mod engine;
mod entries;
mod frozen;
mod judge;
mod outage;
mod parked;
mod process;
mod proxy;
mod schema;
mod server;
mod wire;
mod world;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use awaitly::clock::secs;
use clap::{Parser, ValueEnum};

use crate::schema::Schema;

/// Injects faults around the PostgreSQL store, and counts lost and repeated outcomes.
#[derive(Parser)]
struct Options {
    /// The modes to run. Default: all modes.
    #[arg(value_enum)]
    modes: Vec<Mode>,
    /// The seed for the moments of the faults. Default: a random seed, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// The duration of the longest outage in the mode `outage`, in seconds.
    #[arg(long, default_value_t = 10)]
    longest: u64,
    /// The role of this process and the arguments of the role, if the process is a worker.
    #[arg(long, hide = true, num_args = 1..)]
    worker: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Cuts connections between a commit and its answer.
    Cut,
    /// Freezes workers for longer than their leases last.
    Frozen,
    /// Stops and kills the server several times, and starts it again.
    Outage,
    /// Starts workers whose clocks are wrong by an hour.
    Clocks,
    /// Lets a hundred thousand runs wait.
    Parked,
    /// Lets two processes answer the same approvals.
    Answers,
    /// Lets four processes share the limits of a queue.
    Limits,
    /// Stops workers with SIGTERM under load.
    Drain,
    /// Executes a run that kills its process.
    Poison,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some(role) = &options.worker {
        let role: Vec<_> = role.iter().map(String::as_str).collect();
        runtime()?.block_on(work(&role))?;
        return Ok(ExitCode::SUCCESS);
    }
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("cargo xtask chaos --seed {seed}");
    let modes = if options.modes.is_empty() { Mode::value_variants() } else { &options.modes };
    let mut holds = true;
    for mode in modes {
        let result = tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(execute(
            *mode,
            &options,
            fastrand::Rng::with_seed(seed),
        ));
        // The other modes run even if one fails.
        holds &= result.unwrap_or_else(|error| {
            println!("{mode:?} could not be carried out: {error:#}");
            false
        });
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a mode. Returns whether the store kept its promises.
async fn execute(mode: Mode, options: &Options, dice: fastrand::Rng) -> Result<bool> {
    match mode {
        Mode::Cut => cut::execute(&url()?, dice).await,
        Mode::Frozen => frozen::execute(&url()?, dice).await,
        Mode::Outage => outage::execute(secs(options.longest), dice).await,
        Mode::Clocks => clocks::execute(&url()?).await,
        Mode::Parked => parked::execute(&url()?, dice).await,
        Mode::Answers => answers::execute(&url()?).await,
        Mode::Limits => engine::limits(&url()?).await,
        Mode::Drain => engine::drain(&url()?, dice).await,
        Mode::Poison => engine::poison(&url()?).await,
    }
}

/// Runs a worker: `role` is the mode that started it, followed by the arguments of the mode.
async fn work(role: &[&str]) -> Result<()> {
    let schema = |name: &str| Ok::<_, anyhow::Error>(Schema { url: url()?, name: name.to_owned() });
    match role {
        ["frozen", name, lines, worker] => frozen::work(schema(name)?, Path::new(lines), worker).await,
        ["answers", name, lines, from, worker] => {
            answers::work(schema(name)?, Path::new(lines), from, worker).await
        }
        ["engine", name, ledger] => engine::work(schema(name)?, Path::new(ledger)).await,
        ["clocks", name, action, run] => clocks::work(schema(name)?, action, run).await,
        _ => bail!("no worker is called {role:?}"),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Returns the URL of the server in the environment, which this program must not stop.
fn url() -> Result<String> {
    let message = "name a PostgreSQL server in AWAITLY_POSTGRES_URL, or call `cargo xtask chaos`";
    std::env::var("AWAITLY_POSTGRES_URL").context(message)
}
