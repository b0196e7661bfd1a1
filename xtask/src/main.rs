//! The project's own commands: `cargo xtask test`, `check`, `bench`, `crash`, `chaos`, `compose`.
//!
//! The commands are a program instead of scripts, so they run on every platform that Rust supports, and their decisions
//! can be tested. They use no crate of the project, because they must run even if the project does not compile.

mod apt;
mod arrows;
mod bench;
mod browser;
mod check;
mod command;
mod dependencies;
mod licences;
mod needs;
mod parts;
mod prose;
mod release;
mod services;
mod slowest;
mod suites;
mod test;
mod timing;
mod trials;
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
    /// Run all tests: examples, unit and integration tests, doctests, models, and a short crash test.
    ///
    /// Needs only Rust. If a C compiler, PostgreSQL, Redis or Chromium is missing, the command installs it with
    /// `apt-get`, or prints the packages to install if that needs a password. It uses the servers that
    /// AWAITLY_POSTGRES_URL and AWAITLY_REDIS_URL name, then servers that answer on this machine, and otherwise starts
    /// private servers and stops them at the end. It uses the browser that AWAITLY_CHROMEDRIVER and AWAITLY_CHROMIUM
    /// name, or an installed one. All parts run even if one fails. At the end, the command prints the ten slowest tests
    /// and a summary with the time of each part.
    Test,

    /// Check format, lints, docs, dependencies between crates, prose, and licences.
    ///
    /// CI requires these checks in addition to the tests. If `cargo-deny`, which checks the licences, is missing, the
    /// command installs it.
    Check(check::Options),

    /// Measure awaitly, the crates it is compared with, and its dependencies, and print one table.
    ///
    /// Builds in release mode. Measurements of other crates and of the dependencies are stored in the folder `bench` of
    /// cargo's target folder, one JSON row per line.
    Bench(bench::Options),

    /// Kill processes in the middle of a run, resume it, and look for lost or duplicate outcomes.
    ///
    /// Builds and runs the program in `trials/crash`, in release mode. A failure prints the seed that repeats it.
    Crash(trials::Options),

    /// Check that runs on PostgreSQL survive cut connections, frozen workers, stopped servers and wrong clocks.
    ///
    /// Builds and runs the program in `trials/chaos`, in release mode. It stops only servers that it started, never the
    /// server that AWAITLY_POSTGRES_URL names. If libfaketime, which shows wrong times to a program, is missing, the
    /// command installs it.
    Chaos(trials::Options),

    /// Run random workflows with injected faults, and compare them with a model of the library's promises.
    ///
    /// Builds and runs the program in `trials/compose`, in release mode. A quarter of the workflows may have children and
    /// mail, and some are started by a schedule; `--without children,mail,schedules` leaves these out. If a workflow breaks a promise, the program
    /// shrinks it and prints it with the seed that repeats it.
    Compose(trials::Options),

    /// Check that the crates can be published: each package builds, and each public API equals its snapshot in `api`.
    ///
    /// Needs a nightly toolchain, whose rustdoc describes an API. If `cargo-public-api` is missing, the command installs
    /// it.
    Release(release::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On one line and without a backtrace: the fault is in the project, not in this program.
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
        Xtask::Crash(options) => trials::on_store(&workspace, "crash", &options),
        Xtask::Chaos(options) => trials::chaos(&workspace, &options),
        Xtask::Compose(options) => trials::on_store(&workspace, "compose", &options),
        Xtask::Release(options) => release::run(&workspace, &options),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Xtask};

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_trials_are_passed_on() {
        let words = ["--store", "redis", "--kills=3", "--help"];
        let cli = Cli::try_parse_from(["xtask", "crash"].into_iter().chain(words));
        assert!(matches!(cli, Ok(Cli { command: Xtask::Crash(options) }) if options.words == words));
        let cli = Cli::try_parse_from(["xtask", "chaos", "cut", "--seed", "7"]);
        assert!(
            matches!(cli, Ok(Cli { command: Xtask::Chaos(options) }) if options.words == ["cut", "--seed", "7"])
        );
    }

    #[test]
    fn each_command_and_option_has_a_help_text() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
