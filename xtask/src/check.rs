//! `cargo xtask check`: what a change has to be besides tested.

use anyhow::{Context, Result};

use crate::command;
use crate::parts::Parts;
use crate::workspace::Workspace;
use crate::{arrows, licences, prose};

/// What to check beyond the usual.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also look for known vulnerabilities in dependencies.
    ///
    /// Off by default: `cargo deny check advisories` fetches its database from the network, and
    /// what it says changes from day to day without any change here.
    #[arg(long)]
    advisories: bool,

    /// The parts to check: `format`, `clippy`, `docs`, `arrows`, `prose`, `licences`; all unless named.
    #[arg(value_name = "PART", value_parser = PARTS)]
    names: Vec<String>,
}

const PARTS: [&str; 6] = ["format", "clippy", "docs", "arrows", "prose", "licences"];

impl Options {
    fn wants(&self, part: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == part)
    }
}

/// Runs the checks, and prints at the end which ones failed.
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

// One package at a time: cargo joins the features of all that it builds at once, and what a crate
// forgot to ask for would be lent to it by a neighbour.
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
