//! `cargo xtask crash`, `chaos` and `compose`: finds what the programs in `trials/` need, and runs them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::services::{self, Service, Services, Variable};
use crate::workspace::Workspace;
use crate::{apt, command};

/// The programs that `cargo xtask test` runs, with their stores and options.
pub(crate) const SHORT: [(&str, &str, &str); 10] = [
    ("crash", "postgres", "--kills 10"),
    ("crash", "redis", "--kills 10"),
    ("crash", "sqlite", "--kills 10"),
    ("crash", "postgres", "--engine --kills 6"),
    ("crash", "redis", "--engine --kills 6"),
    ("crash", "sqlite", "--engine --kills 6"),
    ("compose", "memory", "--seeds 4000"),
    ("compose", "sqlite", "--seeds 300"),
    ("compose", "postgres", "--seeds 300"),
    ("compose", "redis", "--seeds 300"),
];

/// Debian's package of the library that shows a false time to a program, and the library's path.
const FAKETIME: &str = "libfaketime";
const LIBRARY: &str = "faketime/libfaketime.so.1";
const PARENTS: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// The modes of the chaos program.
const MODES: [&str; 9] =
    ["cut", "frozen", "outage", "clocks", "parked", "answers", "limits", "drain", "poison"];

/// The options of the program, which it describes with `--help`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// The options of the program. `--help` describes them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    pub(crate) words: Vec<String>,
}

impl Options {
    /// Returns the value of an option, in the form `--name value` or `--name=value`.
    fn value(&self, name: &str) -> Option<&str> {
        let mut words = self.words.iter();
        words
            .find_map(|word| match word.strip_prefix(name)? {
                "" => Some(None),
                rest => rest.strip_prefix('=').map(Some),
            })?
            .or_else(|| words.next().map(String::as_str))
    }

    /// Returns whether the chaos program runs this mode: it does if the mode is named, or if none is.
    fn runs(&self, mode: &str) -> bool {
        let is_named = |mode: &str| self.words.iter().any(|word| word == mode);
        is_named(mode) || !MODES.into_iter().any(is_named)
    }

    fn asks_for_help(&self) -> bool {
        self.words.iter().any(|word| ["--help", "-h"].contains(&word.as_str()))
    }
}

/// Runs a program on the store that its options name.
pub(crate) fn on_store(workspace: &Workspace, program: &str, options: &Options) -> Result<()> {
    let service = match options.value("--store") {
        Some("postgres") => Some(services::postgres()?),
        Some("redis") => Some(services::redis()?),
        _ => None,
    };
    run(workspace, program, Profile::Release, &options.words, service.iter().map(Service::variable))
}

/// Runs a program for a short time, with servers that the caller has found. Most of its packages are built already, with the
/// profile of the tests.
pub(crate) fn short(
    workspace: &Workspace,
    (program, store, options): (&str, &str, &str),
    services: &Services,
) -> Result<()> {
    let words: Vec<_> = ["--store", store].into_iter().chain(options.split(' ')).map(str::to_owned).collect();
    run(workspace, program, Profile::Tests, &words, services.environment())
}

/// Runs the chaos program with the server, programs and library that its modes need.
pub(crate) fn chaos(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.asks_for_help() {
        return run(workspace, "chaos", Profile::Release, &options.words, []);
    }
    let server = services::postgres()?;
    let mut environment = vec![server.variable()];
    if options.runs("outage") {
        // The mode starts its own server from these programs, because it must not stop a shared server.
        let programs = services::postgres_programs()?;
        environment.push(("AWAITLY_POSTGRES_PROGRAMS", programs.display().to_string()));
    }
    if options.runs("clocks") {
        environment.push(("AWAITLY_FAKETIME", faketime()?.display().to_string()));
    }
    run(workspace, "chaos", Profile::Release, &options.words, environment)
}

/// The profile with which a program is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Tests,
    /// A crash hits narrow time windows only at full speed.
    Release,
}

fn run(
    workspace: &Workspace,
    program: &str,
    profile: Profile,
    words: &[String],
    environment: impl IntoIterator<Item = Variable>,
) -> Result<()> {
    let mut cargo = workspace.cargo(["run", "-p", "awaitly-trials", "--bin", program]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    cargo.arg("--");
    command::run(cargo.args(words).envs(environment))
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

    fn options(text: &str) -> Options {
        Options { words: text.split_whitespace().map(str::to_owned).collect() }
    }

    #[test]
    fn value_of_an_option_is_found_in_both_forms() {
        assert_eq!(options("--kills 10 --store redis").value("--store"), Some("redis"));
        assert_eq!(options("--store=postgres").value("--store"), Some("postgres"));
        assert_eq!(options("--stores postgres").value("--store"), None);
    }

    #[test]
    fn all_modes_run_by_default() {
        assert!(options("--seed 7").runs("clocks"));
        assert!(options("clocks --seed 7").runs("clocks"));
        assert!(!options("cut").runs("clocks"));
    }
}
