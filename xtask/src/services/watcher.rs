//! What ends a server when this process cannot: Ctrl-C and `kill` leave a program no time to tidy up.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Reads from this process. A line means that nothing is left to do; the end without a line means that
/// this process is gone, and the server (`$0`) and its folder (`$1`) are not. `$2` is the time until the next signal.
/// Ctrl-C reaches the shell as well, so the shell ignores it. SIGINT means a fast shutdown to PostgreSQL and comes
/// first, but a process that a background shell started may ignore it, so SIGTERM follows, and SIGKILL at the end. A
/// server that has ended takes no signal: that ends the loop.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r line && exit
for signal in INT TERM INT TERM INT TERM INT TERM INT KILL; do
    kill -s "$signal" "$0" || break
    sleep "$2"
done
rm -rf "$1"
"#;

/// A shell that outlives this process by as long as it takes to end the server.
pub(super) struct Watcher {
    shell: Child,
}

impl Watcher {
    /// Watches over the server from now on.
    pub(super) fn start(server: &Child, folder: &Path) -> Result<Self> {
        Self::looking_every("1", server, folder)
    }

    // In seconds. A shell is not told of the end of what it has not started: all that it can do is look again.
    fn looking_every(pause: &str, server: &Child, folder: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, &server.id().to_string()]).arg(folder).arg(pause);
        // Whoever reads what this process prints must not wait for the shell.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = command.spawn().context("no shell could be started to watch over the server")?;
        Ok(Self { shell })
    }

    /// Says that the server has ended and its folder is gone.
    pub(super) fn dismiss(&mut self) {
        // Where the shell is gone already, there is nobody to tell.
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

    /// Sleeps without heeding these signals, as a child of a background shell does not heed SIGINT.
    fn sleeping_without(signals: &str) -> Result<Child> {
        let script = format!("trap '' {signals}; echo; exec sleep 600");
        let mut child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn()?;
        let mut ready = [0];
        child.stdout.as_mut().context("it is piped")?.read_exact(&mut ready)?;
        Ok(child)
    }

    #[test]
    fn server_that_ignores_signals_is_ended() -> Result<()> {
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
    fn a_server_whose_starter_is_gone_is_ended_and_its_folder_removed() -> Result<()> {
        let (mut server, folder) = (sleeping()?, tempfile::tempdir()?);
        let mut watcher = Watcher::looking_every("0.01", &server, folder.path())?;
        drop(watcher.shell.stdin.take());
        assert!(!server.wait()?.success());
        watcher.shell.wait()?;
        assert!(!folder.path().exists());
        Ok(())
    }

    #[test]
    fn a_watcher_that_is_dismissed_touches_nothing() -> Result<()> {
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
