//! `cargo xtask bench`: measures awaitly, the crates it is compared with, and its dependencies.

use std::fs::{self, File};
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::services::{Services, Variable};
use crate::workspace::Workspace;
use crate::{command, dependencies};

const PEERS: &str = "peers";
/// The groups that need PostgreSQL and Redis.
const SERVED: [&str; 5] = ["engine", "postgres", "redis", PEERS, QUEUES];
const QUEUES: &str = "queues";
const GUARDS: &str = "guards";
/// The groups that measure other crates.
const COMPARED: [&str; 3] = [PEERS, QUEUES, GUARDS];
const DEPENDENCIES: &str = "dependencies";
const PEERS_MANIFEST: &str = "benches/peers/Cargo.toml";
const QUEUES_MANIFEST: &str = "benches/peers/queues/Cargo.toml";
const GUARDS_MANIFEST: &str = "benches/peers/guards/Cargo.toml";
const PEERS_ROWS: &str = "peers.jsonl";
const QUEUES_ROWS: &str = "queues.jsonl";
const GUARDS_ROWS: &str = "guards.jsonl";
const DEPENDENCIES_ROWS: &str = "dependencies.jsonl";

/// The groups to measure, and the destination of the results.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also write each row to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Leave out the crates that awaitly is compared with, which take long to build.
    #[arg(long)]
    no_peers: bool,

    /// The groups to measure, for example `peers`, `queues`, `guards` or `dependencies`. Default: all groups.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Options {
    fn wants(&self, group: &str) -> bool {
        let left_out = COMPARED.contains(&group) && self.no_peers;
        !left_out && (self.names.is_empty() || self.names.iter().any(|name| name == group))
    }

    fn wants_services(&self) -> bool {
        SERVED.iter().any(|group| self.wants(group))
    }

    fn check(&self) -> Result<()> {
        let named = self.names.iter().find(|name| COMPARED.contains(&name.as_str()));
        if let Some(named) = named.filter(|_| self.no_peers) {
            bail!("`--no-peers` and the group `{named}` contradict each other: give one");
        }
        Ok(())
    }

    /// Returns the arguments of the bench program, which reads rows from `folder`.
    fn arguments(&self, folder: &Path) -> Result<Vec<String>> {
        let mut arguments = Vec::new();
        if let Some(file) = &self.json {
            // The program starts in the root folder, but the path is relative to the caller's folder.
            let file = path::absolute(file).context("`--json` needs the path of a file")?;
            arguments.extend(["--json".to_owned(), file.display().to_string()]);
        }
        // Rows of an earlier call are not passed on: a table contains the measurements of one call.
        let files = [
            ("--peers", PEERS, PEERS_ROWS),
            ("--queues", QUEUES, QUEUES_ROWS),
            ("--rows", GUARDS, GUARDS_ROWS),
            ("--rows", DEPENDENCIES, DEPENDENCIES_ROWS),
        ];
        for (flag, group, rows) in files {
            if self.wants(group) {
                arguments.extend([flag.to_owned(), folder.join(rows).display().to_string()]);
            }
        }
        arguments.extend(self.names.iter().cloned());
        Ok(arguments)
    }
}

/// Measures peers and dependencies if the options include them, and runs the bench program for all other groups.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    options.check()?;
    let target = workspace.target()?;
    let folder = target.join("bench");
    let arguments = options.arguments(&folder)?;
    let services = if options.wants_services() { Some(Services::find()?) } else { None };
    let environment: Vec<_> = services.iter().flat_map(Services::environment).collect();
    fs::create_dir_all(&folder).with_context(|| {
        format!("the folder {} cannot be created: check its permissions", folder.display())
    })?;
    let compared = [
        (PEERS, PEERS_MANIFEST, PEERS_ROWS, environment.as_slice()),
        (QUEUES, QUEUES_MANIFEST, QUEUES_ROWS, environment.as_slice()),
        (GUARDS, GUARDS_MANIFEST, GUARDS_ROWS, &[]),
    ];
    for (_, manifest, rows, environment) in compared.into_iter().filter(|(group, ..)| options.wants(group)) {
        let measured = peers(workspace, manifest, &target, rows, environment);
        measured.context("to measure without the peers, add `--no-peers`")?;
    }
    if options.wants(DEPENDENCIES) {
        dependencies::measure(workspace, &folder.join(DEPENDENCIES_ROWS))?;
    }
    let program = ["run", "--release", "-p", "awaitly-benches", "--bin", "bench", "--"];
    command::run(workspace.cargo(program).args(arguments).envs(environment))
}

// Each peer workspace has its own lock file and target folder, so the peers are not in the dependency tree of awaitly.
fn peers(
    workspace: &Workspace,
    manifest: &str,
    target: &Path,
    rows: &str,
    environment: &[Variable],
) -> Result<()> {
    let path = target.join("bench").join(rows);
    let file = File::create(&path)
        .with_context(|| format!("{} cannot be written: check its permissions", path.display()))?;
    let program = ["run", "--release", "--manifest-path", manifest];
    let mut measure = workspace.cargo(program);
    measure.arg("--target-dir").arg(target.join("peers")).envs(environment.iter().cloned());
    command::run(measure.stdout(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(no_peers: bool, names: &[&str]) -> Options {
        Options { json: None, no_peers, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn all_groups_are_measured_by_default() -> Result<()> {
        let [peers, queues, guards, dependencies] =
            ["peers", "queues", "guards", "dependencies"].map(|name| format!("/t/{name}.jsonl"));
        let expected = ["--peers", &peers, "--queues", &queues, "--rows", &guards, "--rows", &dependencies];
        assert_eq!(options(false, &[]).arguments(Path::new("/t"))?, expected);
        Ok(())
    }

    #[test]
    fn peers_and_dependencies_are_selected_like_other_groups() -> Result<()> {
        let folder = Path::new("/t");
        assert_eq!(options(false, &["steps"]).arguments(folder)?, ["steps"]);
        assert_eq!(options(false, &["peers"]).arguments(folder)?, ["--peers", "/t/peers.jsonl", "peers"]);
        assert_eq!(options(true, &[]).arguments(folder)?, ["--rows", "/t/dependencies.jsonl"]);
        Ok(())
    }

    #[test]
    fn servers_are_started_only_for_groups_that_need_them() {
        for names in
            [&[][..], &["postgres"], &["redis"], &["engine"], &["peers"], &["queues"], &["steps", "redis"]]
        {
            assert!(options(false, names).wants_services(), "{names:?}");
        }
        assert!(options(true, &[]).wants_services());
        assert!(!options(false, &["steps", "dependencies"]).wants_services());
    }

    #[test]
    fn json_path_is_relative_to_the_current_folder() -> Result<()> {
        let options = Options { json: Some("rows.json".into()), ..options(true, &["steps"]) };
        let here = std::env::current_dir()?.join("rows.json").display().to_string();
        assert_eq!(options.arguments(Path::new("/t"))?, ["--json", here.as_str(), "steps"]);
        Ok(())
    }

    #[test]
    fn named_peers_contradict_no_peers() {
        for group in COMPARED {
            assert!(options(true, &[group]).check().is_err(), "{group}");
        }
        assert!(options(true, &["steps"]).check().is_ok());
    }
}
