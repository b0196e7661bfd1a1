//! Workers: this program again, in another role.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

/// Returns a command that starts this program as a worker. Dropping the child kills it.
pub(crate) fn worker<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    let mut worker = Command::new(std::env::current_exe()?);
    worker.arg("--worker").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    Ok(worker)
}

/// Sends a signal to a process that has not been waited for. The shell has `kill` built in.
pub(crate) async fn signal(child: &Child, name: &str) -> Result<()> {
    let id = child.id().context("the process has ended")?.to_string();
    let status = Command::new("sh").args(["-c", "kill -s \"$1\" \"$0\"", &id, name]).status().await?;
    ensure!(status.success(), "process {id} could not be told {name}");
    Ok(())
}
