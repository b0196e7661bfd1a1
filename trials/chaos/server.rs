//! A private PostgreSQL, which the program stops, kills and starts again.
//!
//! `cargo xtask` finds the programs, and installs them if they are missing. It does not start this server, because only
//! the parent of a process can wait for its end.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use awaitly::clock::{ms, secs};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::process::signal;

/// How long a start may take, recovery from a crash included.
const START: Duration = secs(60);

/// How long a fast stop may take, before the server is killed.
const END: Duration = secs(60);

/// Reads from this process, and ends the server (its number is in the file `$0`) and its folder (`$1`) when there is
/// nothing more to read: then this process is gone. A server that does not heed one signal gets the next.
const WATCH: &str = r#"
trap '' HUP INT TERM
read -r line
id=$(head -n 1 "$0")
for signal in INT TERM INT TERM KILL; do
    kill -s "$signal" "$id" || break
    sleep 1
done
rm -rf "$1"
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// An orderly stop: the server closes all connections and writes all data.
    Fast,
    /// A kill, as by a system that is out of memory.
    Kill,
}

pub(crate) struct Server {
    folder: TempDir,
    programs: PathBuf,
    /// The account of the server if the caller is root, as whom PostgreSQL refuses to run.
    account: Option<(u32, u32)>,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
    _watcher: Child,
}

impl Server {
    /// Starts a new server with these settings.
    pub(crate) async fn start(settings: &[&str]) -> Result<Self> {
        let programs = std::env::var_os("AWAITLY_POSTGRES_PROGRAMS").map(PathBuf::from).context(
            "name the folder of `initdb` and `postgres` in AWAITLY_POSTGRES_PROGRAMS, or call `cargo xtask chaos`",
        )?;
        let folder = tempfile::Builder::new().prefix("awaitly-chaos-").tempdir()?;
        let account = account().await?;
        if let Some((user, group)) = account {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group))?;
        }
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCH]).arg(folder.path().join("data/postmaster.pid")).arg(folder.path());
        let watcher = watcher.stdin(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { folder, programs, account, port, settings, child: None, _watcher: watcher };
        let mut initdb = server.command("initdb");
        initdb.arg("-D").arg(server.data()).args(["-U", "postgres", "--auth=trust", "--encoding=UTF8"]);
        let output =
            initdb.args(["--locale=C", "--no-sync"]).output().await.context("initdb could not be started")?;
        ensure!(output.status.success(), "initdb said: {}", String::from_utf8_lossy(&output.stderr));
        server.up().await?;
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server again. It refuses until the processes of a killed server have ended.
    pub(crate) async fn up(&mut self) -> Result<()> {
        let began = Instant::now();
        while !self.try_up().await? {
            ensure!(
                began.elapsed() < START,
                "the server does not start, look at {}",
                self.folder.path().display()
            );
            tokio::time::sleep(ms(50)).await;
        }
        Ok(())
    }

    async fn try_up(&mut self) -> Result<bool> {
        let log = fs::File::options().append(true).create(true).open(self.folder.path().join("log"))?;
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        postgres.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        postgres.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
        let mut child =
            postgres.stdout(Stdio::null()).stderr(log).spawn().context("postgres could not be started")?;
        let id = child.id().context("postgres has ended")?.to_string();
        let began = Instant::now();
        while child.try_wait()?.is_none() {
            let status = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            let mut lines = status.lines();
            // The file of one that was killed is still there.
            if lines.next() == Some(&id) && lines.nth(6).is_some_and(|line| line.trim_end() == "ready") {
                self.child = Some(child);
                return Ok(true);
            }
            if began.elapsed() > START {
                bail!("postgres is not ready after {} s", START.as_secs());
            }
            tokio::time::sleep(ms(10)).await;
        }
        Ok(false)
    }

    pub(crate) async fn down(&mut self, how: Stop) -> Result<()> {
        let mut child = self.child.take().context("the server is down")?;
        if how == Stop::Fast {
            signal(&child, "INT").await?;
            if let Ok(ended) = tokio::time::timeout(END, child.wait()).await {
                ended?;
                return Ok(());
            }
        }
        // Also ends it if it does not stop by itself.
        child.kill().await?;
        Ok(())
    }

    /// Stops the server and removes its folder.
    pub(crate) async fn end(mut self) -> Result<()> {
        if self.child.is_some() {
            self.down(Stop::Fast).await?;
        }
        Ok(self.folder.close()?)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // PostgreSQL looks at the folder it is called from, which a lesser user may not enter.
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }
}

/// Returns the account of the server, or `None` if it can run as the caller.
async fn account() -> Result<Option<(u32, u32)>> {
    let number = async |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().await?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse::<u32>().with_context(|| format!("`id {}` printed no number", arguments.join(" ")))
    };
    if number(&["-u"]).await? != 0 {
        return Ok(None);
    }
    Ok(Some((number(&["-u", "postgres"]).await?, number(&["-g", "postgres"]).await?)))
}

/// Starts a server with these settings for the duration of `act`.
pub(crate) async fn lend<T>(settings: &[&str], act: impl AsyncFnOnce(&mut Server) -> Result<T>) -> Result<T> {
    let mut server = Server::start(settings).await?;
    let result = act(&mut server).await;
    server.end().await?;
    result
}
