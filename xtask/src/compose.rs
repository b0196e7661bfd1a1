//! `cargo xtask compose`: compares random workflows with a simple model.

use anyhow::{Context, Result};

use crate::command;
use crate::services::{self, Service, Services, Variable};
use crate::workspace::Workspace;

/// The stores of the generator, each with the number of seeds that `cargo xtask test` tries.
pub(crate) const SHORT: &[(&str, u64)] =
    &[("memory", 4000), ("sqlite", 300), ("postgres", 300), ("redis", 300)];

/// The workflows to generate, and the store for their runs.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The store that holds the journals: memory, sqlite, postgres or redis.
    #[arg(long, value_name = "S", default_value = "memory")]
    store: String,

    /// The number of seeds to try.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,

    /// Try only this seed, and print its workflow.
    #[arg(long, value_name = "X")]
    seed: Option<u64>,

    /// The first seed.
    #[arg(long, value_name = "X", default_value_t = 0)]
    from: u64,

    /// Features to leave out, to mask known bugs: sleeps, questions and so on.
    #[arg(long, value_name = "F", value_delimiter = ',')]
    without: Vec<String>,

    /// The number of cases to print for each broken promise.
    #[arg(long, value_name = "N", default_value_t = 5)]
    show: usize,
}

/// Finds the server that the store needs, and tries the seeds.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let service = match options.store.as_str() {
        "postgres" => Some(services::postgres()?),
        "redis" => Some(services::redis()?),
        _ => None,
    };
    compose(workspace, options, service.iter().map(Service::variable))
}

/// Tries a few seeds on this store, with servers that the caller has found.
pub(crate) fn short(workspace: &Workspace, store: &str, seeds: u64, services: &Services) -> Result<()> {
    let options =
        Options { store: store.to_owned(), seeds, seed: None, from: 0, without: Vec::new(), show: 5 };
    compose(workspace, &options, services.environment())
}

// Builds the generator in release mode and runs it.
fn compose(
    workspace: &Workspace,
    options: &Options,
    environment: impl IntoIterator<Item = Variable>,
) -> Result<()> {
    let arguments = arguments(options);
    let program = ["run", "--release", "-p", "awaitly-benches", "--bin", "compose", "--"];
    command::run(workspace.cargo(program).args(&arguments).envs(environment))
        .with_context(|| format!("repeat it with `cargo xtask compose {}`", arguments.join(" ")))
}

fn arguments(Options { store, seeds, seed, from, without, show }: &Options) -> Vec<String> {
    let named = [
        ("--store", Some(store.clone())),
        ("--seeds", Some(seeds.to_string())),
        ("--from", Some(from.to_string())),
        ("--seed", seed.map(|seed| seed.to_string())),
        ("--without", (!without.is_empty()).then(|| without.join(","))),
        ("--show", Some(show.to_string())),
    ];
    let given = named.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
    given.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_without_a_value_are_not_passed_on() {
        let options = Options {
            store: "sqlite".to_owned(),
            seeds: 3,
            seed: None,
            from: 0,
            without: vec!["sleeps".to_owned(), "calls".to_owned()],
            show: 1,
        };
        let words = "--store sqlite --seeds 3 --from 0 --without sleeps,calls --show 1";
        assert_eq!(arguments(&options).join(" "), words);
    }
}
