//! Finds or starts the PostgreSQL and the Redis for tests, crash tests and benches.
//!
//! Servers that the environment names come first, and then servers that answer on this machine. Otherwise private
//! servers are started from the installed programs, and end with the command.

mod account;
mod postgres;
mod private;
mod programs;
mod redis;
mod watcher;

use std::env;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};

use self::postgres::Postgres;
use self::private::Private;
pub(crate) use self::programs::first_of;
use self::redis::Redis;
use crate::apt;
use crate::url::without_password;

/// The name and the value of an environment variable.
pub(crate) type Variable = (&'static str, String);

/// Both servers. Dropping the value ends the servers that were started for this command.
pub(crate) struct Services {
    postgres: Service,
    redis: Service,
}

impl Services {
    /// Finds or starts both servers, and prints their addresses.
    pub(crate) fn find() -> Result<Self> {
        Ok(Self { postgres: postgres()?, redis: redis()? })
    }

    /// Returns the environment variables with which a command reaches the servers.
    pub(crate) fn environment(&self) -> [Variable; 2] {
        [self.postgres.variable(), self.redis.variable()]
    }
}

/// Finds or starts a PostgreSQL, and prints its address.
pub(crate) fn postgres() -> Result<Service> {
    find::<Postgres>()
}

/// Returns the folder of `initdb` and `postgres`, for a program that starts and stops its own server. Installs the
/// package if it is missing.
pub(crate) fn postgres_programs() -> Result<PathBuf> {
    Postgres::installed().map_or_else(install::<Postgres>, Ok)
}

/// Returns the path of `redis-server`, for tests that start and kill their own server. Installs the package if no
/// program is in PATH.
pub(crate) fn redis_program() -> Result<PathBuf> {
    Redis::installed().map_or_else(install::<Redis>, Ok)
}

/// Finds or starts a Redis, and prints its address.
pub(crate) fn redis() -> Result<Service> {
    find::<Redis>()
}

/// A server and its address. If the server was started for this command, dropping the value ends it.
pub(crate) struct Service {
    variable: &'static str,
    url: String,
    // Only held so that its drop ends the server.
    _private: Option<Private>,
}

impl Service {
    /// Returns the environment variable with which a command reaches the server.
    pub(crate) fn variable(&self) -> Variable {
        (self.variable, self.url.clone())
    }
}

/// A kind of server. All kinds are searched for in one order: see the [module](self).
trait Server {
    const NAME: &'static str;
    /// The environment variable that can name the server.
    const VARIABLE: &'static str;
    /// The form of the address in that variable.
    const FORM: &'static str;
    /// Debian's package.
    const PACKAGE: &'static str;
    /// The commands with which a person installs it.
    const INSTALL: &'static str;

    /// Checks that the server that the environment names answers.
    fn ask(url: &str) -> Result<()>;

    /// Returns the address of a server that answers on this machine at its default port.
    fn answering() -> Option<String>;

    /// Returns the location of the server's programs.
    fn installed() -> Option<PathBuf>;

    /// Starts a server from these programs, and waits until it is ready.
    fn start(programs: &Path) -> Result<(String, Private)>;
}

fn find<S: Server>() -> Result<Service> {
    if let Some(url) = named::<S>()? {
        return Ok(found::<S>(url, None, format_args!("named by {}", S::VARIABLE)));
    }
    if let Some(url) = S::answering() {
        return Ok(found::<S>(url, None, format_args!("answers")));
    }
    let programs = match S::installed() {
        Some(programs) => programs,
        None => install::<S>()?,
    };
    let (url, private) =
        S::start(&programs).with_context(|| format!("no private {} could be started", S::NAME))?;
    Ok(found::<S>(url, Some(private), format_args!("private, started for this command")))
}

fn found<S: Server>(url: String, private: Option<Private>, how: fmt::Arguments<'_>) -> Service {
    eprintln!("{}: {} ({how})", S::NAME, without_password(&url));
    Service { variable: S::VARIABLE, url, _private: private }
}

// A server that a variable names must answer: the tests must not use another server than the caller chose.
fn named<S: Server>() -> Result<Option<String>> {
    // If a secret is missing in CI, its variable is set but empty.
    let Some(value) = env::var_os(S::VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let Ok(url) = value.into_string() else {
        bail!("{} is not UTF-8: give it the form `{}`", S::VARIABLE, S::FORM);
    };
    S::ask(&url).with_context(|| {
        let (variable, shown) = (S::VARIABLE, without_password(&url));
        format!(
            "{variable} names {shown}, which is not usable (start that server, or change or unset the variable)"
        )
    })?;
    Ok(Some(url))
}

// On some machines the package also starts its server. Only the installed programs are used here.
fn install<S: Server>() -> Result<PathBuf> {
    ensure!(
        apt::may_install(),
        "{} is missing: no server answers on this machine, and none is installed. Install it ({}), or set {} to the \
         address of a server (`{}`), and run this command again",
        S::NAME,
        S::INSTALL,
        S::VARIABLE,
        S::FORM
    );
    eprintln!("{} is missing: installing {}", S::NAME, S::PACKAGE);
    apt::install(&[S::PACKAGE])?;
    S::installed().with_context(|| {
        format!("{} is installed, but its programs are not in PATH: add their folder to PATH", S::PACKAGE)
    })
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Connects with timeouts of [`PATIENCE`] for the connection, reads and writes.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Describes a failure to get an answer. The system's message for a timeout, a lack of resources, would be misleading.
fn answered<T>(result: io::Result<T>) -> Result<T> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            anyhow!("it does not answer within {} s", PATIENCE.as_secs())
        }
        _ => Error::new(error).context("it does not answer"),
    })
}
