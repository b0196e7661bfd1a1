//! Installing what is missing, on a Debian where this may be done without asking.

use std::process::Command;

use anyhow::Result;

use crate::command;

/// Whether this machine has `apt-get`, and whether this user may call it without a password.
pub(crate) fn may_install() -> bool {
    command::succeeds(Command::new("apt-get").arg("--version")) && (is_root() || sudo_asks_nothing())
}

/// Installs the packages; fetches the lists first, since a fresh image comes without.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    command::run(apt_get().arg("update"))?;
    command::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

// `env` sets the variable behind `sudo`, which hands on none of ours.
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

/// Whether the caller may do everything.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn sudo_asks_nothing() -> bool {
    command::succeeds(Command::new("sudo").args(["--non-interactive", "true"]))
}
