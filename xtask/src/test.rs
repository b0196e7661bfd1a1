//! `cargo xtask test`: what a newcomer runs first and CI runs always.

use anyhow::Result;

use crate::command;
use crate::parts::Parts;
use crate::workspace::Workspace;
use crate::{crash, needs};

/// Sets the machine up, then runs every test and a short crash test.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    needs::c_compiler()?;
    let mut parts = Parts::default();
    parts.run("examples", || examples(workspace));
    parts.run("tests", || tests(workspace));
    parts.run("crash", || crash::run(workspace, &crash::Options::short()));
    parts.finish()
}

// First, and by name: the tests that compare the output of examples find them built.
fn examples(workspace: &Workspace) -> Result<()> {
    command::run(&mut workspace.cargo(["build", "--workspace", "--all-features", "--examples"]))
}

// Without `--all-targets`, which would leave out the doctests. What goes wrong in one test binary
// says nothing about the next, so all of them run.
fn tests(workspace: &Workspace) -> Result<()> {
    command::run(&mut workspace.cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]))
}
