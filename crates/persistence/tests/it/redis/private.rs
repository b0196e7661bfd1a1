//! A server of a test's own, set as it needs it, that may be killed.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Private {
    folder: TempDir,
    port: u16,
    settings: Vec<&'static str>,
    server: Child,
}

impl Private {
    /// Starts a server that makes no snapshot unless it is told to, with these settings.
    pub(super) fn start(settings: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let server = started(&folder, port, settings);
        Self { folder, port, settings: settings.to_vec(), server }
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Does something to the server beside the store.
    pub(super) fn command(&self, command: &[&str]) -> redis::Value {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).unwrap()
    }

    /// Kills the server and starts it again, with what it had brought to the disk.
    pub(super) fn crash(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.server = started(&self.folder, self.port, &self.settings);
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // A panic here would hide why the test has failed.
        drop(self.server.kill().and_then(|()| self.server.wait()));
    }
}

fn started(folder: &TempDir, port: u16, settings: &[&str]) -> Child {
    let start = |program| {
        Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
            .arg(folder.path())
            .args(settings)
            .stdout(Stdio::null())
            .spawn()
    };
    let server = start("redis-server").or_else(|_| start("valkey-server")).expect(
        "these tests kill a server of their own: install Redis, so that `redis-server` is found in PATH",
    );
    let client = redis::Client::open((Ipv4Addr::LOCALHOST.to_string(), port)).unwrap();
    let is_up = || {
        let mut connection = client.get_connection()?;
        // Not before it has read what it had brought to the disk.
        redis::cmd("DBSIZE").query::<u64>(&mut connection)
    };
    let until = Instant::now() + PATIENCE;
    while let Err(error) = is_up() {
        assert!(Instant::now() < until, "the server does not start: {error}");
        sleep(Duration::from_millis(5));
    }
    server
}
