//! Measures how many durable steps per second the crates people would use
//! instead of `awaitly` record on this machine.
//!
//! Standard output carries one JSON object per line, for a program to read;
//! standard error carries the same rows as a table, for a person.

mod cano;
mod durare;
mod duroxide;
mod measure;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::measure::{Measured, Peer, Workload, measure};

/// Everything has to be over by then, whatever a rival does.
const TIME_LIMIT: Duration = Duration::from_secs(110);

/// How many rows could not be measured.
type Failures = usize;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    silence_logging()?;
    end_in_time();
    match all_peers()? {
        0 => Ok(()),
        failures => bail!("{failures} of the measurements failed"),
    }
}

/// Ends the process from a thread of its own: a rival that blocks both workers
/// of the runtime also stops the runtime's timers.
fn end_in_time() {
    std::thread::spawn(|| {
        std::thread::sleep(TIME_LIMIT);
        eprintln!("peers: not done after {TIME_LIMIT:?}");
        std::process::exit(1);
    });
}

/// The list: every rival at its own defaults, and duroxide also tuned.
fn all_peers() -> Result<Failures> {
    eprintln!("{}", Measured::table_header());
    let mut failures = 0;
    failures += both_workloads(&durare::Durare)?;
    failures += both_workloads(&duroxide::Duroxide::defaults())?;
    failures += both_workloads(&duroxide::Duroxide::tuned())?;
    failures += both_workloads(&cano::Cano)?;
    Ok(failures)
}

/// Measures one rival under both workloads and prints each row as soon as it
/// is known. A rival that fails loses its row; the others keep theirs.
fn both_workloads(peer: &impl Peer) -> Result<Failures> {
    let mut failures = 0;
    for workload in [Workload::Sequential, Workload::SixteenRuns] {
        match measure(peer, workload) {
            Ok(measured) => print(&measured)?,
            Err(error) => {
                failures += 1;
                eprintln!(
                    "{} ({}), {}: {error:#}",
                    peer.name(),
                    peer.settings(),
                    workload.name()
                );
            }
        }
    }
    Ok(failures)
}

fn print(measured: &Measured) -> Result<()> {
    eprintln!("{}", measured.table_line());
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &measured.row)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// Claims the process-wide log subscriber and lets nothing through, before a
/// rival installs its own: duroxide would otherwise write to standard output,
/// among the JSON rows, and formatting logs would count against it.
fn silence_logging() -> Result<()> {
    tracing_subscriber::registry()
        .with(LevelFilter::OFF)
        .try_init()
        .context("claiming the log subscriber")
}
