//! Breaks what the PostgreSQL store stands on, and judges what is left.
//!
//! Connections are cut between a commit and its answer, workers are frozen past their leases, the server is
//! stopped and killed, clocks are wrong by an hour, a hundred thousand runs are parked, and two processes answer at
//! once. Effects are
//! written into a ledger of this process, and at the end the journals are compared with it.
//!
//! Modes that stop a server start one of their own; the one that the environment names is only used.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod answers;
mod clocks;
mod cut;
mod frozen;
mod judge;
mod lines;
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

/// Breaks things under the PostgreSQL store, and counts what was lost.
#[derive(Parser)]
struct Options {
    /// What to break; everything unless named.
    #[arg(value_enum)]
    modes: Vec<Mode>,
    /// What decides when things break; random unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seconds the longest outage lasts.
    #[arg(long, default_value_t = 10)]
    longest: u64,
    /// This process is a worker: its role, and what that needs. Not for use by hand.
    #[arg(long, hide = true, num_args = 1..)]
    worker: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Connections, between a commit and its answer.
    Cut,
    /// Workers, past their leases.
    Frozen,
    /// The server, for a while.
    Outage,
    /// The clocks of workers, by an hour.
    Clocks,
    /// Nothing: a hundred thousand runs wait.
    Parked,
    /// Nothing: two processes answer the same approvals.
    Answers,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some(role) = &options.worker {
        let role: Vec<_> = role.iter().map(String::as_str).collect();
        runtime()?.block_on(work(&role))?;
        return Ok(ExitCode::SUCCESS);
    }
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let modes = if options.modes.is_empty() { Mode::value_variants() } else { &options.modes };
    let mut holds = true;
    for mode in modes {
        let result = tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(execute(
            *mode,
            &options,
            fastrand::Rng::with_seed(seed),
        ));
        // The other modes say something all the same.
        holds &= result.unwrap_or_else(|error| {
            println!("{mode:?} could not be carried out: {error:#}");
            false
        });
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says whether what the mode tests holds.
async fn execute(mode: Mode, options: &Options, dice: fastrand::Rng) -> Result<bool> {
    match mode {
        Mode::Cut => cut::execute(&url()?, dice).await,
        Mode::Frozen => frozen::execute(&url()?, dice).await,
        Mode::Outage => outage::execute(secs(options.longest), dice).await,
        Mode::Clocks => clocks::execute(&url()?).await,
        Mode::Parked => parked::execute(&url()?, dice).await,
        Mode::Answers => answers::execute(&url()?).await,
    }
}

async fn work(role: &[&str]) -> Result<()> {
    let schema = |name: &str| Ok::<_, anyhow::Error>(Schema { url: url()?, name: name.to_owned() });
    match role {
        ["frozen", name, lines, worker] => frozen::work(schema(name)?, Path::new(lines), worker).await,
        ["answers", name, lines, from, worker] => {
            answers::work(schema(name)?, Path::new(lines), from, worker).await
        }
        ["clocks", name, action, run] => clocks::work(schema(name)?, action, run).await,
        _ => bail!("no worker is called {role:?}"),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// The server that is not to be stopped.
fn url() -> Result<String> {
    let message = "name a PostgreSQL server in AWAITLY_POSTGRES_URL, or call `cargo xtask chaos`";
    std::env::var("AWAITLY_POSTGRES_URL").context(message)
}
