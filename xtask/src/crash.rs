//! `cargo xtask crash`: kills real processes and resumes their runs.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use anyhow::{Context, Result};

use crate::command;
use crate::services::{self, Service, Services, Variable};
use crate::workspace::Workspace;

/// The stores of the crash test, all of which `cargo xtask test` covers.
pub(crate) const STORES: &[&str] = &["postgres", "redis", "sqlite"];

/// The number of kills, and the store for the runs.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The store that holds the journals of the killed runs.
    #[arg(long, value_name = "S", default_value = "sqlite")]
    store: String,

    /// The number of kills.
    #[arg(long, value_name = "N", default_value_t = 200)]
    kills: u32,

    /// The seed for the moments of the kills. Default: a random seed, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Options {
    /// Returns options with few kills, for `cargo xtask test`.
    fn short() -> Self {
        Self { store: "sqlite".to_owned(), kills: 10, seed: None }
    }
}

/// Finds the server that the store needs, and runs the crash test.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let service = service(&options.store)?;
    kill_and_resume(workspace, options, service.iter().map(Service::variable))
}

/// Runs a short crash test on this store, with servers that the caller has found.
pub(crate) fn short(workspace: &Workspace, store: &str, services: &Services) -> Result<()> {
    let options = Options { store: store.to_owned(), ..Options::short() };
    kill_and_resume(workspace, &options, services.environment())
}

fn service(store: &str) -> Result<Option<Service>> {
    match store {
        "postgres" => services::postgres().map(Some),
        "redis" => services::redis().map(Some),
        _ => Ok(None),
    }
}

// Builds the crash test in release mode and runs it.
fn kill_and_resume(
    workspace: &Workspace,
    options: &Options,
    environment: impl IntoIterator<Item = Variable>,
) -> Result<()> {
    let seed = options.seed.unwrap_or_else(draw_seed);
    eprintln!("\ncrash test with seed {seed}");
    let arguments = arguments(options, seed);
    let program = ["run", "--release", "-p", "awaitly-benches", "--bin", "crash", "--"];
    command::run(workspace.cargo(program).args(&arguments).envs(environment))
        .with_context(|| format!("repeat it with `cargo xtask crash {}`", arguments.join(" ")))
}

fn arguments(Options { store, kills, .. }: &Options, seed: u64) -> Vec<String> {
    let named = [("--store", store.clone()), ("--kills", kills.to_string()), ("--seed", seed.to_string())];
    named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

// The standard library draws random keys for each hash map, so the hash of `()` is a random number.
fn draw_seed() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_contain_the_seed() {
        let words = arguments(&Options::short(), 7);
        assert_eq!(words, ["--store", "sqlite", "--kills", "10", "--seed", "7"]);
    }

    #[test]
    fn drawn_seeds_differ() {
        assert_ne!(draw_seed(), draw_seed());
    }
}
