//! `cargo xtask test`: sets up the machine and runs all tests. CI and new contributors use it.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::browser::Browser;
use crate::parts::Parts;
use crate::services::{self, Services};
use crate::slowest::Slowest;
use crate::suites::Suites;
use crate::timing::{Times, Timing};
use crate::workspace::Workspace;
use crate::{command, needs, timing, trials};

/// Sets up the machine, runs all tests and a short crash test, and prints the slowest tests.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    needs::c_compiler()?;
    let services = Services::find()?;
    // Some tests start and kill their own Redis, so they need its program even if a server answers.
    services::redis_program()?;
    let browser = Browser::find()?;
    let (mut parts, mut times) = (Parts::default(), Times::default());
    parts.run("examples", || examples(workspace, &services));
    parts.run("tests", || tests(workspace, &services, &browser, &mut times));
    parts.run("models", || models(workspace, &mut times));
    for trial @ (program, store, options) in trials::SHORT {
        parts.run(format!("{program} {store} {options}"), || trials::short(workspace, trial, &services));
    }
    eprint!("\n{}", Slowest(&times));
    parts.finish()
}

// Builds the examples before the tests, because some tests compare the output of examples.
fn examples(workspace: &Workspace, services: &Services) -> Result<()> {
    let mut build = workspace.cargo(["build", "--workspace", "--all-features", "--examples"]);
    command::run(build.envs(services.environment()))
}

// Without `--all-targets`, which would omit the doctests.
fn tests(workspace: &Workspace, services: &Services, browser: &Browser, times: &mut Times) -> Result<()> {
    timed(workspace, times, || {
        let mut test = workspace.cargo(["test", "--workspace", "--all-features"]);
        test.envs(services.environment()).envs(browser.environment());
        test
    })
}

// The `awaitly_models` flag replaces synchronisation primitives with those of the model checker. It needs a separate
// build.
fn models(workspace: &Workspace, times: &mut Times) -> Result<()> {
    let target = workspace.target()?.join("models");
    timed(workspace, times, || models_in(workspace, &target))
}

fn models_in(workspace: &Workspace, target: &Path) -> Command {
    let mut test = workspace.cargo(["test", "--package", "awaitly-resilience", "--test", "models"]);
    test.arg("--target-dir").arg(target).env("RUSTFLAGS", "--cfg awaitly_models");
    test
}

// Builds first, with output on the terminal, and reads which executable belongs to which package. Then runs the tests and
// watches their output. A failure of one test binary does not affect the next, so all of them run.
fn timed(workspace: &Workspace, times: &mut Times, test: impl Fn() -> Command) -> Result<()> {
    let mut build = test();
    let messages =
        command::run_and_read(build.args(["--no-run", "--message-format", "json-render-diagnostics"]))?;
    let suites = Suites::read(&messages, &workspace.packages()?)?;
    let mut run = test();
    run.arg("--no-fail-fast");
    if io::stdout().is_terminal() {
        // Behind a pipe, cargo and libtest do not detect the terminal.
        run.args(["--color", "always", "--", "--color", "always"]);
    }
    let mut timing = Timing::new(&suites, timing::threads(), times);
    let start = Instant::now();
    let ran = command::watch(run, |line| timing.line(line, start.elapsed()));
    timing.finish();
    ran
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_own_target_folder() -> Result<()> {
        let workspace = Workspace::find()?;
        let target = workspace.target()?.join("models");
        let command = models_in(&workspace, &target);
        let after = command.get_args().skip_while(|argument| *argument != "--target-dir").nth(1);
        assert_eq!(after, Some(target.as_os_str()));
        Ok(())
    }
}
