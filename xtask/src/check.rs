//! `cargo xtask check`: checks a change for everything except its tests.

use anyhow::{Context, Result};

use crate::command;
use crate::parts::Parts;
use crate::workspace::Workspace;
use crate::{arrows, licences, prose};

/// The parts to check.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also check dependencies for known vulnerabilities.
    ///
    /// Off by default: `cargo deny check advisories` fetches its database from the network, and its result can change
    /// without a change in this project.
    #[arg(long)]
    advisories: bool,

    /// The parts to check: `format`, `clippy`, `docs`, `arrows`, `prose`, `licences`. Default: all parts.
    #[arg(value_name = "PART", value_parser = PARTS)]
    names: Vec<String>,
}

const PARTS: [&str; 6] = ["format", "clippy", "docs", "arrows", "prose", "licences"];

impl Options {
    fn wants(&self, part: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == part)
    }
}

/// Runs all selected checks, and prints a summary at the end.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut parts = Parts::default();
    let mut run = |part: &str, name: &str, check: &dyn Fn() -> Result<()>| {
        if options.wants(part) {
            parts.run(name, check);
        }
    };
    run("format", "format", &|| format(workspace));
    run("clippy", "clippy, all features", &|| clippy_all(workspace));
    run("clippy", "clippy, default features", &|| clippy_each(workspace));
    run("docs", "docs", &|| docs(workspace));
    run("arrows", "arrows", &|| arrows::check(workspace));
    run("prose", "prose", &|| prose::check(workspace));
    run("licences", "licences", &|| licences::check(workspace, options.advisories));
    parts.finish()
}

fn format(workspace: &Workspace) -> Result<()> {
    command::run(&mut workspace.cargo(["fmt", "--all", "--check"])).context("run `cargo fmt --all`")
}

fn clippy_all(workspace: &Workspace) -> Result<()> {
    clippy(workspace, &["--workspace", "--all-targets", "--all-features"])
}

// One package at a time: cargo unifies the features of all packages that it builds together, so a crate that forgot a
// feature would get it from another package.
fn clippy_each(workspace: &Workspace) -> Result<()> {
    let packages = workspace.packages()?;
    packages.iter().try_for_each(|package| clippy(workspace, &["--package", &package.name]))
}

fn clippy(workspace: &Workspace, which: &[&str]) -> Result<()> {
    command::run(workspace.cargo(["clippy"]).args(which).args(["--", "-D", "warnings"]))
}

fn docs(workspace: &Workspace) -> Result<()> {
    let mut doc = workspace.cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}
