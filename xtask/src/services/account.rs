//! The user that PostgreSQL runs as where the caller is root, whom it refuses.

use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{apt, command};

/// The user that every package of PostgreSQL makes.
const NAME: &str = "postgres";

/// A user of this machine that is not root.
#[cfg_attr(not(unix), expect(dead_code, reason = "only Unix knows users by their numbers"))]
pub(super) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// The account to start PostgreSQL with; `None` where the caller's own will do.
    pub(super) fn for_postgres() -> Result<Option<Self>> {
        if !apt::is_root() {
            return Ok(None);
        }
        let account = Self { user: number("-u")?, group: number("-g")? };
        Ok(Some(account))
    }

    /// Gives the folder to this user.
    pub(super) fn take(&self, folder: &Path) -> Result<()> {
        self.own(folder).with_context(|| format!("{} cannot be given to {NAME}", folder.display()))
    }

    #[cfg(unix)]
    fn own(&self, folder: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(folder, Some(self.user), Some(self.group))
    }

    #[cfg(not(unix))]
    fn own(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Lets the command run as this user.
    ///
    /// The system does it as the program starts. `runuser` and `su` would stay as its parent, which
    /// ends when it is told to, and keeps to itself what the server should hear.
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
        format!("PostgreSQL refuses to run as root, and there is no user `{NAME}`: call this as another user")
    })?;
    text.trim().parse().with_context(|| format!("`id {flag} {NAME}` printed no number"))
}
