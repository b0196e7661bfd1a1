//! Ends a server if this process cannot, because Ctrl-C or `kill` gave it no time to clean up.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A shell script that reads from this process. A line means that the server has ended. If the input ends without a line,
/// this process is gone, and the script ends the server (`$0`) and removes its folder (`$1`). `$2` is the pause between
/// two signals.
///
/// Ctrl-C also reaches the shell, so the shell ignores it. SIGINT comes first, because it makes PostgreSQL shut down
/// fast. A process that a background shell started may ignore SIGINT, so SIGTERM follows, and SIGKILL at the end. If the
/// server has ended, `kill` fails, which ends the loop.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r line && exit
for signal in INT TERM INT TERM INT TERM INT TERM INT KILL; do
    kill -s "$signal" "$0" || break
    sleep "$2"
done
rm -rf "$1"
"#;

/// A shell that outlives this process until the server has ended.
pub(super) struct Watcher {
    shell: Child,
}

impl Watcher {
    /// Starts a shell that watches the server.
    pub(super) fn start(server: &Child, folder: &Path) -> Result<Self> {
        Self::looking_every("1", server, folder)
    }

    // `pause` is in seconds. A shell cannot wait for a process that it did not start, so the script polls.
    fn looking_every(pause: &str, server: &Child, folder: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, &server.id().to_string()]).arg(folder).arg(pause);
        // A reader of this process's output must not wait for the shell, so the shell does not inherit the streams.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = command.spawn().context("the shell that watches the server could not be started")?;
        Ok(Self { shell })
    }

    /// Reports to the shell that the server has ended and its folder is removed.
    pub(super) fn dismiss(&mut self) {
        // The write fails if the shell has already ended, which is fine.
        if let Some(mut line) = self.shell.stdin.take() {
            line.write_all(b"done\n").ok();
        }
        self.shell.wait().ok();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;

    fn sleeping() -> Result<Child> {
        Ok(Command::new("sleep").arg("600").spawn()?)
    }

    /// Starts a process that ignores these signals, as a child of a background shell ignores SIGINT.
    fn sleeping_without(signals: &str) -> Result<Child> {
        let script = format!("trap '' {signals}; echo; exec sleep 600");
        let mut child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn()?;
        let mut ready = [0];
        child.stdout.as_mut().context("it is piped")?.read_exact(&mut ready)?;
        Ok(child)
    }

    #[test]
    fn server_that_ignores_signals_is_killed() -> Result<()> {
        for signals in ["INT", "INT TERM"] {
            let (mut server, folder) = (sleeping_without(signals)?, tempfile::tempdir()?);
            let mut watcher = Watcher::looking_every("0.01", &server, folder.path())?;
            drop(watcher.shell.stdin.take());
            assert!(!server.wait()?.success(), "{signals}");
            watcher.shell.wait()?;
            assert!(!folder.path().exists());
        }
        Ok(())
    }

    #[test]
    fn server_ends_after_its_parent() -> Result<()> {
        let (mut server, folder) = (sleeping()?, tempfile::tempdir()?);
        let mut watcher = Watcher::looking_every("0.01", &server, folder.path())?;
        drop(watcher.shell.stdin.take());
        assert!(!server.wait()?.success());
        watcher.shell.wait()?;
        assert!(!folder.path().exists());
        Ok(())
    }

    #[test]
    fn dismissed_watcher_keeps_server_and_folder() -> Result<()> {
        let (mut server, folder) = (sleeping()?, tempfile::tempdir()?);
        fs::write(folder.path().join("kept"), "")?;
        Watcher::start(&server, folder.path())?.dismiss();
        assert!(server.try_wait()?.is_none());
        assert!(folder.path().join("kept").exists());
        server.kill()?;
        server.wait()?;
        Ok(())
    }
}
