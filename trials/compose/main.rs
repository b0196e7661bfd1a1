//! Random workflows against a naive model that knows only the promises of the library.
//!
//! A seed determines a body, which may combine all features of a workflow, and the accidents of its run: deaths, lost
//! answers, cancellations, renames, other workers. The program executes the run with the public API until it has ended,
//! like a worker, and counts the effects. It shrinks a case that breaks a promise, and prints it.
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

/// Runs random workflows, and counts broken promises.
#[derive(Parser)]
struct Options {
    /// The number of seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The store to use.
    #[arg(long, value_enum, default_value_t = StoreName::Memory)]
    store: StoreName,
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed.
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
