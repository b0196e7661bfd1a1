//! Starts the worker, kills it in the middle of its work, starts it again, and prints the proof.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{ledger, order, proof, worker};

struct Options {
    orders: PathBuf,
    kills: u32,
    keep: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let orders = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/orders.jsonl");
        let mut options = Self { orders, kills: 3, keep: None };
        for pair in arguments.chunks(2) {
            match pair {
                ["--orders", file] => options.orders = file.into(),
                ["--kills", number] => options.kills = number.parse().context("`--kills` takes a number")?,
                ["--keep", folder] => options.keep = Some(folder.into()),
                _ => bail!("usage: checkout [--orders FILE] [--kills N] [--keep FOLDER]"),
            }
        }
        Ok(options)
    }
}

pub(crate) fn supervise(arguments: &[&str]) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let orders = order::read(&options.orders)?;
    ensure!(!orders.is_empty(), "{} contains no orders: name another file", options.orders.display());
    let temporary = tempfile::tempdir()?;
    let folder = options.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    ensure!(
        !folder.join("ledger.jsonl").exists(),
        "{} already contains a ledger: choose another folder",
        folder.display()
    );

    // Each order has three effects for stock, payment and confirmation, and one for each line.
    let expected = orders.iter().map(|order| 3 + order.lines.len() as u64).sum();
    worker::start(&folder, &orders)?;
    let progress = Progress::new(expected, folder.join("ledger.jsonl"));
    progress.say(&format!("{} orders from {}", orders.len(), options.orders.display()));
    for kill in 1..=options.kills {
        let worker = start(&folder, &options.orders)?;
        // Spreads the kills evenly over the work.
        let at = expected * u64::from(kill) / u64::from(options.kills + 1);
        if !progress.kill_at(worker, at)? {
            break;
        }
    }
    let mut last = start(&folder, &options.orders)?;
    let status = progress.wait(&mut last)?;
    ensure!(status.success(), "the worker failed: {status}");
    progress.finish();
    proof::print(&folder, &orders, options.kills)
}

fn start(folder: &Path, orders: &Path) -> Result<Child> {
    let program = std::env::current_exe()?;
    Command::new(program).arg("worker").arg(folder).arg(orders).spawn().context("cannot start the worker")
}

/// A progress bar on a terminal, and plain lines elsewhere.
struct Progress {
    bar: ProgressBar,
    ledger: PathBuf,
}

impl Progress {
    fn new(expected: u64, ledger: PathBuf) -> Self {
        let bar = if io::stdout().is_terminal() { ProgressBar::new(expected) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} effects  {msg}") {
            bar.set_style(style);
        }
        Self { bar, ledger }
    }

    fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            println!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    fn look(&self) -> u64 {
        let count = ledger::count(&self.ledger);
        self.bar.set_position(count);
        count
    }

    /// Kills the worker when the ledger contains this many effects. Returns `false` if the worker ended before.
    fn kill_at(&self, mut worker: Child, effects: u64) -> Result<bool> {
        while self.look() < effects {
            if let Some(status) = worker.try_wait()? {
                ensure!(status.success(), "the worker failed: {status}");
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // On Unix this is SIGKILL: no handler runs, and no buffer is flushed.
        worker.kill()?;
        worker.wait()?;
        self.say(&format!("killed worker {} after {} effects", worker.id(), self.look()));
        Ok(true)
    }

    fn wait(&self, worker: &mut Child) -> Result<std::process::ExitStatus> {
        loop {
            self.look();
            if let Some(status) = worker.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn finish(&self) {
        self.say(&format!("worker done after {} effects", self.look()));
        self.bar.finish_and_clear();
    }
}
