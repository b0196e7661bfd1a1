//! Installs missing packages with `apt-get`, if this user may call it without a password.

use std::process::Command;

use anyhow::Result;

use crate::command;

/// Returns whether this machine has `apt-get` and this user may call it without a password.
pub(crate) fn may_install() -> bool {
    command::succeeds(Command::new("apt-get").arg("--version")) && (is_root() || sudo_asks_nothing())
}

/// Installs the packages. Fetches the package lists first, because a fresh image has none.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    command::run(apt_get().arg("update"))?;
    command::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

// `sudo` removes the caller's variables, so `env` sets the variable behind it.
fn apt_get() -> Command {
    let mut command = if is_root() {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "env"]);
        sudo
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

/// Returns whether the caller is root.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn sudo_asks_nothing() -> bool {
    command::succeeds(Command::new("sudo").args(["--non-interactive", "true"]))
}
