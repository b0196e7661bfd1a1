//! `cargo xtask test`: what a newcomer runs first and CI runs always.

use anyhow::Result;

use crate::browser::Browser;
use crate::command;
use crate::parts::Parts;
use crate::services::Services;
use crate::workspace::Workspace;
use crate::{crash, needs};

/// Sets the machine up, then runs every test and a short crash test.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    needs::c_compiler()?;
    let services = Services::find()?;
    let browser = Browser::find()?;
    let mut parts = Parts::default();
    parts.run("examples", || examples(workspace, &services));
    parts.run("tests", || tests(workspace, &services, &browser));
    parts.run("models", || models(workspace));
    for store in crash::STORES {
        parts.run(format!("crash, {store}"), || crash::short(workspace, store, &services));
    }
    parts.finish()
}

// First, and by name: the tests that compare the output of examples find them built.
fn examples(workspace: &Workspace, services: &Services) -> Result<()> {
    let mut build = workspace.cargo(["build", "--workspace", "--all-features", "--examples"]);
    command::run(build.envs(services.environment()))
}

// Without `--all-targets`, which would leave out the doctests. What goes wrong in one test binary
// says nothing about the next, so all of them run.
fn tests(workspace: &Workspace, services: &Services, browser: &Browser) -> Result<()> {
    let mut test = workspace.cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    command::run(test.envs(services.environment()).envs(browser.environment()))
}

// The primitives that threads meet at are those of the model checker then, in a build of its own.
fn models(workspace: &Workspace) -> Result<()> {
    let mut test = workspace.cargo(["test", "--package", "awaitly-resilience", "--test", "models"]);
    test.arg("--target-dir").arg(workspace.path("target/models")).env("RUSTFLAGS", "--cfg awaitly_models");
    command::run(&mut test)
}
