//! Checks licences, bans and sources of all dependencies with `cargo deny` and `deny.toml`.

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::Workspace;

/// Checks each dependency against `deny.toml`, and if `advisories` is set, also for known vulnerabilities.
pub(crate) fn check(workspace: &Workspace, advisories: bool) -> Result<()> {
    install_when_missing(workspace)?;
    let mut deny = workspace.cargo(["deny", "check", "licenses", "bans", "sources"]);
    if advisories {
        deny.arg("advisories");
    }
    command::run(&mut deny)
        .context("choose another dependency, or change deny.toml and state the reason there")
}

fn install_when_missing(workspace: &Workspace) -> Result<()> {
    if command::succeeds(&mut workspace.cargo(["deny", "--version"])) {
        return Ok(());
    }
    eprintln!("\ncargo-deny is missing: installing it, which takes some minutes");
    command::run(&mut workspace.cargo(["install", "--locked", "cargo-deny"]))
        .context("install cargo-deny manually, and run this command again")
}
