//! `cargo xtask check`: what a change has to be besides tested.

use anyhow::{Context, Result};

use crate::command;
use crate::parts::Parts;
use crate::workspace::Workspace;
use crate::{arrows, licences};

/// What to check beyond the usual.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also look for known vulnerabilities in dependencies.
    ///
    /// Off by default: `cargo deny check advisories` fetches its database from the network, and
    /// what it says changes from day to day without any change here.
    #[arg(long)]
    advisories: bool,
}

/// Runs every check, and says at the end which failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut parts = Parts::default();
    parts.run("format", || format(workspace));
    parts.run("clippy, all features", || clippy_all(workspace));
    parts.run("clippy, default features", || clippy_each(workspace));
    parts.run("docs", || docs(workspace));
    parts.run("arrows", || arrows::check(workspace));
    parts.run("licences", || licences::check(workspace, options.advisories));
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
