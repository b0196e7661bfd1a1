//! Executes random workflows, and compares them with a naive model that contains only the promises of the library.
//!
//! A seed determines a case. A case is a body, which may combine all features of a workflow, and the accidents of its
//! run: the process dies, an answer of the store is lost, the run is cancelled, a step is renamed, or another worker
//! takes the run. The program executes the run through the public API until the run has ended, and counts the effects. It
//! calls the workflow itself, unless the body has children or receives messages, or a schedule starts it: then a worker
//! executes the run, and dies or is frozen as the program is otherwise. If a case breaks a promise, the program shrinks the
//! case and prints it.
#![allow(clippy::print_stdout)]

mod case;
mod decisions;
mod draw;
mod fault;
mod feature;
mod gate;
mod life;
mod oracle;
mod part;
mod perform;
mod place;
mod play;
mod post;
mod promise;
mod report;
mod runner;
mod show;
mod shrink;
mod told;
mod value;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;

use crate::feature::{Feature, Features};
use crate::place::StoreName;

/// Executes random workflows, and counts the promises that they break.
#[derive(Parser)]
struct Options {
    /// The number of seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The store to use.
    #[arg(long, value_enum, default_value_t = StoreName::Memory)]
    store: StoreName,
    /// Runs only this seed, and prints its case first.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed, unless `--seed` is given.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Features to leave out, to mask known bugs.
    #[arg(long, value_enum, value_delimiter = ',')]
    without: Vec<Feature>,
    /// The number of cases to print for each broken promise.
    #[arg(long, default_value_t = 5)]
    show: usize,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let features = Features::without(&options.without);
    let seeds = match options.seed {
        Some(seed) => {
            println!("the case of seed {seed}:\n{}", show::text(&draw::case(seed, features)));
            seed..seed + 1
        }
        None => options.from..options.from + options.seeds,
    };
    let (count, start) = (seeds.end - seeds.start, Instant::now());
    let report = runner::run(options.store, seeds, features)?;
    let seconds = start.elapsed().as_secs_f64();
    report.print(options.show);
    let findings = report.findings();
    println!(
        "\n{count} seeds on {:?} in {seconds:.1} s, {:.0} seeds per second: {findings} findings",
        options.store,
        count as f64 / seconds,
    );
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
