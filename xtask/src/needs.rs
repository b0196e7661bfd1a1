//! What the tests need from the machine beyond Rust.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::{apt, command};

/// A C compiler, which builds the SQLite that the store brings along.
///
/// On most machines Rust links through `cc` as well, and this program would not be here without it;
/// where another linker is set, `cc` can still be missing.
pub(crate) fn c_compiler() -> Result<()> {
    if is_there() {
        return Ok(());
    }
    ensure!(
        apt::may_install(),
        "no C compiler: SQLite is built from source and needs `cc`. Install one (Debian, Ubuntu: \
         `apt-get install build-essential`; Fedora: `dnf install gcc`; macOS: \
         `xcode-select --install`), then call this again"
    );
    eprintln!("no C compiler, which SQLite needs: installing build-essential");
    apt::install(&["build-essential"])?;
    ensure!(is_there(), "build-essential is installed, yet `cc --version` fails: look at PATH");
    Ok(())
}

fn is_there() -> bool {
    command::succeeds(Command::new("cc").arg("--version"))
}
