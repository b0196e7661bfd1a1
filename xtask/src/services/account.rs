//! The user account for PostgreSQL, which refuses to run as root.

use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{apt, command};

/// The user that each package of PostgreSQL creates.
const NAME: &str = "postgres";

/// A user of this machine that is not root.
#[cfg_attr(not(unix), expect(dead_code, reason = "only Unix identifies users by numbers"))]
pub(super) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// Returns the account that must run PostgreSQL, or `None` if the caller's own account can.
    pub(super) fn for_postgres() -> Result<Option<Self>> {
        if !apt::is_root() {
            return Ok(None);
        }
        let account = Self { user: number("-u")?, group: number("-g")? };
        Ok(Some(account))
    }

    /// Makes this user the owner of the folder.
    pub(super) fn take(&self, folder: &Path) -> Result<()> {
        self.own(folder)
            .with_context(|| format!("the owner of {} cannot be changed to {NAME}", folder.display()))
    }

    #[cfg(unix)]
    fn own(&self, folder: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(folder, Some(self.user), Some(self.group))
    }

    #[cfg(not(unix))]
    fn own(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes the command run as this user.
    ///
    /// The system changes the user when the program starts. `runuser` and `su` would remain as the server's parent
    /// process, receive its signals, and not forward them.
    #[cfg(unix)]
    pub(super) fn run(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        command.uid(self.user).gid(self.group);
    }

    #[cfg(not(unix))]
    pub(super) fn run(&self, _: &mut Command) {}
}

fn number(flag: &str) -> Result<u32> {
    let text = command::read(Command::new("id").args([flag, NAME])).with_context(|| {
        format!("PostgreSQL refuses to run as root, and the user `{NAME}` is missing: run this command as another user")
    })?;
    text.trim().parse().with_context(|| format!("`id {flag} {NAME}` printed no number"))
}
