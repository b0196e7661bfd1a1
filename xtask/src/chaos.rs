//! `cargo xtask chaos`: injects faults into the environment of the PostgreSQL store.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::services::{self, Variable};
use crate::workspace::Workspace;
use crate::{apt, command};

/// Debian's package of the library that shows a false time to a program, and the library's path.
const FAKETIME: &str = "libfaketime";
const LIBRARY: &str = "faketime/libfaketime.so.1";
const PARENTS: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// The faults to inject, and their size.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The modes to run: `cut`, `frozen`, `outage`, `clocks`, `parked`, `answers`. Default: all modes.
    #[arg(value_name = "MODE")]
    modes: Vec<String>,

    /// The seed for the moments of the faults. Default: a random seed, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// The duration of the longest outage.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    longest: u64,
}

impl Options {
    fn breaks(&self, mode: &str) -> bool {
        self.modes.is_empty() || self.modes.iter().any(|named| named == mode)
    }

    /// Returns the options as command-line arguments.
    fn arguments(&self, seed: u64) -> Vec<String> {
        let named = [("--seed", seed.to_string()), ("--longest", self.longest.to_string())];
        let named = named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        self.modes.iter().cloned().chain(named).collect()
    }
}

/// Finds the servers and libraries that the modes need, builds the program in release mode, and runs it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let server = services::postgres()?;
    let mut environment = vec![server.variable()];
    if options.breaks("outage") {
        environment.push(programs()?);
    }
    if options.breaks("clocks") {
        environment.push(("AWAITLY_FAKETIME", faketime()?.display().to_string()));
    }
    // The standard library draws random keys for each hash map, so the hash of `()` is a random number.
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
    let arguments = options.arguments(seed);
    let program = ["run", "--release", "-p", "awaitly-benches", "--bin", "chaos", "--"];
    command::run(workspace.cargo(program).args(&arguments).envs(environment))
        .with_context(|| format!("repeat it with `cargo xtask chaos {}`", arguments.join(" ")))
}

/// Returns the variable that names PostgreSQL's programs. The outage mode starts its own server from them, because it must
/// not stop a shared server.
fn programs() -> Result<Variable> {
    Ok(("AWAITLY_POSTGRES_PROGRAMS", services::postgres_programs()?.display().to_string()))
}

fn faketime() -> Result<PathBuf> {
    if let Some(library) = installed() {
        return Ok(library);
    }
    ensure!(
        apt::may_install(),
        "{FAKETIME} is missing: the mode `clocks` needs it. Install it (Debian, Ubuntu: `apt-get install \
         {FAKETIME}`), and run this command again"
    );
    eprintln!("{FAKETIME} is missing: installing it");
    apt::install(&[FAKETIME])?;
    installed().with_context(|| format!("{FAKETIME} is installed, but no library folder contains {LIBRARY}"))
}

/// Returns the path of the library. Debian inserts a folder for the processor architecture into the path.
fn installed() -> Option<PathBuf> {
    let below = |parent: &str| {
        let folders = Path::new(parent).read_dir().into_iter().flatten().flatten();
        folders.map(|folder| folder.path().join(LIBRARY)).find(|library| library.is_file())
    };
    let direct = |parent: &str| Some(Path::new(parent).join(LIBRARY)).filter(|library| library.is_file());
    PARENTS.into_iter().find_map(|parent| direct(parent).or_else(|| below(parent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(modes: &[&str]) -> Options {
        Options { modes: modes.iter().map(|mode| (*mode).to_owned()).collect(), seed: None, longest: 10 }
    }

    #[test]
    fn arguments_contain_the_seed() {
        let words = options(&["cut", "frozen"]).arguments(7);
        assert_eq!(words, ["cut", "frozen", "--seed", "7", "--longest", "10"]);
    }

    #[test]
    fn all_modes_run_by_default() {
        assert!(options(&[]).breaks("clocks"));
        assert!(options(&["clocks"]).breaks("clocks"));
        assert!(!options(&["cut"]).breaks("clocks"));
    }
}
