//! A server that is started for this command and ends with it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::watcher::Watcher;
use crate::command;

const START: Duration = Duration::from_secs(30);
/// The signals that end a server, each with the time to wait for the end. On SIGINT, PostgreSQL disconnects all clients,
/// writes its data and ends. A process that a background shell started may ignore SIGINT, so SIGTERM follows.
const ENDS: [(&str, Duration); 2] = [("INT", Duration::from_secs(2)), ("TERM", Duration::from_secs(8))];
const PAUSE: Duration = Duration::from_millis(20);
const LOG: &str = "log";
const LINES: usize = 20;

/// A running server and the folder of its data. Dropping it ends the server and removes the folder.
pub(super) struct Private {
    child: Child,
    name: String,
    folder: TempDir,
    watcher: Watcher,
}

/// Creates a temporary folder for a server.
pub(super) fn folder() -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix("awaitly-").tempdir();
    made.context("a temporary folder cannot be created: check TMPDIR")
}

/// Returns a port that is free now.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("127.0.0.1 has no free port")?;
    Ok(listener.local_addr()?.port())
}

impl Private {
    /// Starts the server, and writes its output to a log in the folder.
    ///
    /// The server stays in the process group of this process, so that Ctrl-C reaches it too.
    pub(super) fn start(mut command: Command, folder: TempDir) -> Result<Self> {
        let name = Path::new(command.get_program()).display().to_string();
        let log = File::create(folder.path().join(LOG)).context("the log of the server cannot be written")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("the server's log cannot be written")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("`{name}` could not be started"))?;
        match Watcher::start(&child, folder.path()) {
            Ok(watcher) => Ok(Self { child, name, folder, watcher }),
            Err(error) => {
                end(&mut child)?;
                Err(error)
            }
        }
    }

    /// Waits until the server is ready.
    ///
    /// # Errors
    /// Returns an error with the server's output if the server ends first or is not ready after [`START`].
    pub(super) fn wait_until(&mut self, is_ready: impl Fn() -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("`{}` ended with {status} and printed:\n{}", self.name, self.said());
            }
            if is_ready() {
                return Ok(());
            }
            ensure!(
                start.elapsed() < START,
                "`{}` was not ready after {} s and printed:\n{}",
                self.name,
                START.as_secs(),
                self.said()
            );
            thread::sleep(PAUSE);
        }
    }

    /// Returns the folder of the server's data.
    #[cfg(test)]
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn said(&self) -> String {
        let log = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&log))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Err(error) = end(&mut self.child) {
            eprintln!("`{}`, process {}, did not end ({error}): end it manually", self.name, self.child.id());
        }
        // `TempDir` would also remove the folder, but it does not report a failure.
        if let Err(error) = fs::remove_dir_all(self.folder.path()) {
            eprintln!("{} cannot be removed ({error}): remove it manually", self.folder.path().display());
        }
        self.watcher.dismiss();
    }
}

// Only signals a child that was not waited for: the system cannot give its id to another process before that.
fn end(server: &mut Child) -> io::Result<()> {
    end_by(&ENDS, server)
}

fn end_by(ends: &[(&str, Duration)], server: &mut Child) -> io::Result<()> {
    for (name, patience) in ends {
        if server.try_wait()?.is_some() {
            return Ok(());
        }
        signal(server, name);
        let start = Instant::now();
        while server.try_wait()?.is_none() && start.elapsed() < *patience {
            thread::sleep(PAUSE);
        }
    }
    if server.try_wait()?.is_none() {
        server.kill()?;
        server.wait()?;
    }
    Ok(())
}

// Uses the shell's built-in `kill`, because small images have no `kill` program.
fn signal(child: &Child, name: &str) {
    let script = "kill -s \"$1\" \"$0\"";
    command::succeeds(Command::new("sh").args(["-c", script, &child.id().to_string(), name]));
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    lines.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_log_is_cut_to_its_end() {
        let text: String = (1..=30).map(|number| format!("line {number}\n")).collect();
        let shown = last_lines(&text);
        assert!(shown.starts_with("line 11\n"), "{shown}");
        assert!(shown.ends_with("line 30"), "{shown}");
        assert_eq!(last_lines("one\ntwo\n"), "one\ntwo");
    }

    #[cfg(unix)]
    #[test]
    fn early_end_returns_output_and_removes_folder() -> Result<()> {
        let folder = folder()?;
        let path = folder.path().to_path_buf();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the port is taken; exit 3"]);
        let mut server = Private::start(command, folder)?;
        let error = server.wait_until(|| false).map_err(|error| error.to_string());
        drop(server);
        let expected = "`sh` ended with exit status: 3 and printed:\nthe port is taken";
        assert_eq!(error, Err(expected.to_owned()));
        assert!(!path.exists());
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn server_ends_on_request() -> Result<()> {
        let mut command = Command::new("sleep");
        command.arg("600");
        let mut server = Private::start(command, folder()?)?;
        server.wait_until(|| true)?;
        end(&mut server.child)?;
        assert!(server.child.try_wait()?.is_some());
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn server_that_ignores_signals_ends_in_time() -> Result<()> {
        for ignored in ["INT", "INT TERM"] {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("trap '' {ignored}; : > ready; exec sleep 600")]);
            let folder = folder()?;
            let ready = folder.path().join("ready");
            command.current_dir(folder.path());
            let mut server = Private::start(command, folder)?;
            server.wait_until(|| ready.exists())?;
            end_by(&ENDS.map(|(name, _)| (name, PAUSE)), &mut server.child)?;
            assert!(server.child.try_wait()?.is_some(), "{ignored}");
        }
        Ok(())
    }
}
