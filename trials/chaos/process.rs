//! Workers: this program again, in another role.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

/// A command that starts this program as a worker. It is killed where it is dropped.
pub(crate) fn worker<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    let mut worker = Command::new(std::env::current_exe()?);
    worker.arg("--worker").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    Ok(worker)
}

/// A signal for a process that was not waited for yet. The shell has `kill` built in.
pub(crate) async fn signal(child: &Child, name: &str) -> Result<()> {
    let id = child.id().context("the process has ended")?.to_string();
    let status = Command::new("sh").args(["-c", "kill -s \"$1\" \"$0\"", &id, name]).status().await?;
    ensure!(status.success(), "process {id} could not be told {name}");
    Ok(())
}
