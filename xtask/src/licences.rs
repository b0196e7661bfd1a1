//! Checks licences, bans and sources of all dependencies with `cargo deny` and `deny.toml`.

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::Workspace;

/// Checks each dependency against `deny.toml`, and if `advisories` is set, also for known vulnerabilities.
pub(crate) fn check(workspace: &Workspace, advisories: bool) -> Result<()> {
    workspace.need_tool("deny")?;
    let mut deny = workspace.cargo(["deny", "check", "licenses", "bans", "sources"]);
    if advisories {
        deny.arg("advisories");
    }
    command::run(&mut deny)
        .context("choose another dependency, or change deny.toml and state the reason there")
}
