//! The project's own commands: `cargo xtask test`, `check`, `bench`, `crash`, `chaos`, `compose`.
//!
//! They are a program and not a folder of scripts, so that they run wherever Rust runs and so that
//! what they decide can be tested. They use no crate of the project: where the project does not
//! compile, this program still has to say so.

mod apt;
mod arrows;
mod bench;
mod browser;
mod chaos;
mod check;
mod command;
mod compose;
mod crash;
mod dependencies;
mod licences;
mod needs;
mod parts;
mod prose;
mod services;
mod slowest;
mod suites;
mod test;
mod timing;
mod url;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The awaitly project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Xtask,
}

#[derive(Subcommand)]
enum Xtask {
    /// Run every test: examples, unit and integration tests, doctests, models, and a short crash test.
    ///
    /// Begins on a machine that has only Rust: a missing C compiler, PostgreSQL, Redis or Chromium is
    /// installed where `apt-get` may be used without a password, and asked for where it may not.
    /// The servers are those that AWAITLY_POSTGRES_URL and AWAITLY_REDIS_URL name, or that answer
    /// on this machine; else private ones run for as long as the command does. The browser is the one
    /// that AWAITLY_CHROMEDRIVER and AWAITLY_CHROMIUM name, or that is installed. All parts run, also
    /// when one fails; the slowest ten tests and a summary with the time of each part come last.
    Test,

    /// Check format, lints, docs, arrows between crates, prose, and licences.
    ///
    /// This is what CI asks of a change besides its tests. `cargo-deny`, which checks the
    /// licences, is installed when it is missing.
    Check(check::Options),

    /// Measure, and print one table: awaitly, the crates it is compared with, its dependencies.
    ///
    /// Everything is built for release. What is measured beside awaitly itself is kept in the folder
    /// `bench` of cargo's target folder, one row of JSON a line.
    Bench(bench::Options),

    /// Kill processes in the middle of a run, resume it, and look for lost or doubled outcomes.
    ///
    /// Built for release, since a crash finds the narrow places only at full speed. A failure names
    /// the seed that repeats it.
    Crash(crash::Options),

    /// Cut connections, freeze workers, stop servers, set clocks wrong: what PostgreSQL runs survive.
    ///
    /// Built for release. Servers that are stopped are started for that; the one that AWAITLY_POSTGRES_URL
    /// names is only used. What shows wrong times to a program, libfaketime, is installed where it is missing.
    Chaos(chaos::Options),

    /// Run random workflows, with accidents, against a model that knows only the promises.
    ///
    /// Built for release. A workflow that breaks a promise is shrunk and printed, with the seed that repeats it.
    Compose(compose::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On one line and without a backtrace: what went wrong is in the project, not in here.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Xtask) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Xtask::Test => test::run(&workspace),
        Xtask::Check(options) => check::run(&workspace, &options),
        Xtask::Bench(options) => bench::run(&workspace, &options),
        Xtask::Crash(options) => crash::run(&workspace, &options),
        Xtask::Chaos(options) => chaos::run(&workspace, &options),
        Xtask::Compose(options) => compose::run(&workspace, &options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_has_a_help_text() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
