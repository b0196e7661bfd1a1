//! `cargo xtask chaos`: what the PostgreSQL store stands on, broken on purpose.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::services::{self, Variable};
use crate::workspace::Workspace;
use crate::{apt, command};

/// Debian's package of the library that lies to a program about the time, and where it puts that.
const FAKETIME: &str = "libfaketime";
const LIBRARY: &str = "faketime/libfaketime.so.1";
const PARENTS: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// What to break, and how badly.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to break: `cut`, `frozen`, `outage`, `clocks`, `parked`, `answers`; everything unless named.
    #[arg(value_name = "MODE")]
    modes: Vec<String>,

    /// What decides when things break; where none is given, one is drawn and shown.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How long the longest outage lasts.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    longest: u64,
}

impl Options {
    fn breaks(&self, mode: &str) -> bool {
        self.modes.is_empty() || self.modes.iter().any(|named| named == mode)
    }

    /// The same, as it is typed.
    fn arguments(&self, seed: u64) -> Vec<String> {
        let named = [("--seed", seed.to_string()), ("--longest", self.longest.to_string())];
        let named = named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        self.modes.iter().cloned().chain(named).collect()
    }
}

/// Finds what the modes need, builds the program for release, and runs it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let server = services::postgres()?;
    let mut environment = vec![server.variable()];
    if options.breaks("outage") {
        environment.push(programs()?);
    }
    if options.breaks("clocks") {
        environment.push(("AWAITLY_FAKETIME", faketime()?.display().to_string()));
    }
    // What the standard library draws for each hash map is a random number.
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
    let arguments = options.arguments(seed);
    let program = ["run", "--release", "-p", "awaitly-benches", "--bin", "chaos", "--"];
    command::run(workspace.cargo(program).args(&arguments).envs(environment))
        .with_context(|| format!("repeat it with `cargo xtask chaos {}`", arguments.join(" ")))
}

/// Where the program finds what it starts its own server from: that of everybody is not to be stopped.
fn programs() -> Result<Variable> {
    Ok(("AWAITLY_POSTGRES_PROGRAMS", services::postgres_programs()?.display().to_string()))
}

fn faketime() -> Result<PathBuf> {
    if let Some(library) = installed() {
        return Ok(library);
    }
    ensure!(
        apt::may_install(),
        "no {FAKETIME}: the mode `clocks` cannot do without it. Install it (Debian, Ubuntu: `apt-get install \
         {FAKETIME}`), then call this again"
    );
    eprintln!("no {FAKETIME}: installing it");
    apt::install(&[FAKETIME])?;
    installed().with_context(|| format!("{FAKETIME} is installed, yet {LIBRARY} is nowhere to be found"))
}

/// Debian has a folder for each kind of processor between the two parts of the path.
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
    fn the_seed_in_use_is_always_named() {
        let words = options(&["cut", "frozen"]).arguments(7);
        assert_eq!(words, ["cut", "frozen", "--seed", "7", "--longest", "10"]);
    }

    #[test]
    fn everything_is_broken_unless_something_is_named() {
        assert!(options(&[]).breaks("clocks"));
        assert!(options(&["clocks"]).breaks("clocks"));
        assert!(!options(&["cut"]).breaks("clocks"));
    }
}
