//! Measures how many empty jobs per second the job queues on PostgreSQL process that people would use instead of
//! awaitly's engine, how long an idle worker takes to start a job, and how fast jobs are submitted.
//!
//! Standard output carries one JSON object per line, for a program to read; standard error carries the same rows as
//! a table, for a person.

mod apalis;
mod dbos;
mod graphile;
mod observer;
mod peer;
mod row;
mod server;
mod tally;
mod workload;

use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::apalis::Apalis;
use crate::dbos::Dbos;
use crate::graphile::Graphile;
use crate::peer::Peer;
use crate::row::Measured;
use crate::server::Server;
use crate::workload::Workload;

/// The process ends after this time, even if a rival is stuck.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// The number of measurements that failed.
type Failures = usize;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("queues: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let server = Server::from_environment()?;
    silence_logging()?;
    end_early(server.clone())?;
    eprintln!("{}", server.description()?);
    match all_peers(&server)? {
        0 => Ok(()),
        failures => bail!("{failures} of the measurements failed"),
    }
}

/// Ends the process at the time limit or at Ctrl-C, and drops the current database. This needs its own thread: a
/// rival that blocks both workers of its runtime also stops the timers of that runtime.
fn end_early(server: Server) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime of the time limit")?;
    thread::spawn(move || {
        let reason = runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(TIME_LIMIT) => format!("not done after {TIME_LIMIT:?}"),
                _ = tokio::signal::ctrl_c() => "interrupted".to_owned(),
                () = terminated() => "terminated".to_owned(),
            }
        });
        eprintln!("queues: {reason}");
        server.drop_for_good();
        std::process::exit(1);
    });
    Ok(())
}

/// Waits for the signal that asks the process to end, which only Unix has.
async fn terminated() {
    #[cfg(unix)]
    if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        signal.recv().await;
        return;
    }
    std::future::pending().await
}

/// The list: every rival in its best documented settings, and graphile_worker also without its batches.
fn all_peers(server: &Server) -> Result<Failures> {
    let mut failures = 0;
    failures += one_peer(&Apalis::tuned(), server)?;
    failures += one_peer(&Dbos::tuned(), server)?;
    failures += one_peer(&Graphile::plain(), server)?;
    failures += one_peer(&Graphile::batched(), server)?;
    Ok(failures)
}

fn one_peer(peer: &impl Peer, server: &Server) -> Result<Failures> {
    eprintln!("\n{} ({})\n{}", peer.name(), peer.settings(), Measured::table_header());
    let mut failures = 0;
    for workload in Workload::ALL.into_iter().filter(|workload| workload.is_offered_by(peer)) {
        match workload::measure(peer, server, workload) {
            Ok(rows) => rows.iter().try_for_each(print)?,
            // A rival that fails loses its rows; the others keep theirs.
            Err(error) => {
                eprintln!("  {}: {error:#}", workload.name());
                failures += 1;
            }
        }
    }
    Ok(failures)
}

/// Prints a row as soon as it is known.
fn print(measured: &Measured) -> Result<()> {
    eprintln!("{}", measured.table_line());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", measured.json()?)?;
    out.flush()?;
    Ok(())
}

/// Claims the log subscriber of the process and lets nothing through, so that no rival pays for formatting logs.
fn silence_logging() -> Result<()> {
    tracing_subscriber::registry().with(LevelFilter::OFF).try_init().context("claiming the log subscriber")
}
