//! Measures how many durable steps per second the crates people would use
//! instead of `awaitly` record on this machine, and how long they take to run
//! one step and to resume.
//!
//! Standard output carries one JSON object per line, for a program to read;
//! standard error carries the same rows as a table, for a person.

mod cano;
mod choice;
mod dbos;
mod durare;
mod duroxide;
mod embedded;
mod measure;
mod postgres;
mod row;

use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::choice::Choice;
use crate::postgres::Server;
use crate::row::Measured;

/// Everything has to be over by then, whatever a rival does.
const TIME_LIMIT: Duration = Duration::from_secs(240);

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
    let choice = Choice::from_arguments(std::env::args().skip(1))?;
    let server = match choice.postgres {
        true => Some(Server::from_environment()?),
        false => None,
    };
    silence_logging()?;
    end_early(server.clone())?;
    match all_peers(choice, server.as_ref())? {
        0 => Ok(()),
        failures => bail!("{failures} of the measurements failed"),
    }
}

/// Ends the process at the time limit or at Ctrl-C, and drops the database
/// that is in use. From a thread of its own: a rival that blocks both workers
/// of its runtime also stops that runtime's timers.
fn end_early(server: Option<Server>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime of the time limit")?;
    thread::spawn(move || {
        let reason = runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(TIME_LIMIT) => format!("not done after {TIME_LIMIT:?}"),
                _ = tokio::signal::ctrl_c() => "interrupted".to_owned(),
            }
        });
        eprintln!("peers: {reason}");
        if let Some(server) = server {
            server.drop_for_good();
        }
        std::process::exit(1);
    });
    Ok(())
}

/// The list: every rival at its own defaults, but for the size of durare's
/// PostgreSQL pool, and duroxide also tuned.
fn all_peers(choice: Choice, server: Option<&Server>) -> Result<Failures> {
    if let Some(server) = server {
        eprintln!("{}", server.description()?);
    }
    eprintln!("{}", Measured::table_header());
    let mut failures = 0;
    if choice.sqlite {
        failures += on_files(&durare::DurareSqlite)?;
        failures += on_files(&duroxide::Duroxide::defaults())?;
        failures += on_files(&duroxide::Duroxide::tuned())?;
        failures += on_files(&cano::Cano)?;
    }
    if let Some(server) = server {
        failures += on_postgres(&dbos::Dbos, server)?;
        failures += on_postgres(&durare::DurarePostgres, server)?;
    }
    Ok(failures)
}

fn on_files(peer: &impl embedded::Peer) -> Result<Failures> {
    let mut failures = 0;
    for workload in embedded::Workload::ALL {
        failures += print(embedded::measure(peer, workload), || {
            format!("{} ({}), {}", peer.name(), peer.settings(), workload.name())
        })?;
    }
    Ok(failures)
}

fn on_postgres(peer: &impl postgres::Peer, server: &Server) -> Result<Failures> {
    let mut failures = 0;
    for workload in postgres::Workload::ALL {
        failures += print(postgres::measure(peer, server, workload), || {
            format!("{} ({}), {}", peer.name(), peer.settings(), workload.name())
        })?;
    }
    Ok(failures)
}

/// Prints a row as soon as it is known. A rival that fails loses its row; the
/// others keep theirs.
fn print(measured: Result<Measured>, what: impl FnOnce() -> String) -> Result<Failures> {
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            eprintln!("{}: {error:#}", what());
            return Ok(1);
        }
    };
    eprintln!("{}", measured.table_line());
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &measured.row)?;
    writeln!(out)?;
    out.flush()?;
    Ok(0)
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
