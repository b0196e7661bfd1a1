//! Checks that the machine has the C compiler that the tests need.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::{apt, command};

/// Finds or installs a C compiler, which builds the SQLite that the store bundles.
///
/// On most machines Rust also links through `cc`, so this program would not exist without it. If another linker is
/// configured, `cc` can still be missing.
pub(crate) fn c_compiler() -> Result<()> {
    if is_there() {
        return Ok(());
    }
    ensure!(
        apt::may_install(),
        "the C compiler is missing: SQLite is built from source and needs `cc`. Install one (Debian, Ubuntu: \
         `apt-get install build-essential`; Fedora: `dnf install gcc`; macOS: \
         `xcode-select --install`), and run this command again"
    );
    eprintln!("the C compiler for SQLite is missing: installing build-essential");
    apt::install(&["build-essential"])?;
    ensure!(is_there(), "build-essential is installed, but `cc --version` fails: check PATH");
    Ok(())
}

fn is_there() -> bool {
    command::succeeds(Command::new("cc").arg("--version"))
}
