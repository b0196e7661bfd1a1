//! The PostgreSQL and the Redis that tests, crash tests and benches use.
//!
//! The servers that the environment names come first, then those that answer on this machine. Where
//! there are none, private ones are started from what is installed, and end with the command.

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

/// A variable of the environment, and its value.
pub(crate) type Variable = (&'static str, String);

/// Both servers. Those that were started for this command end when this is dropped.
pub(crate) struct Services {
    postgres: Service,
    redis: Service,
}

impl Services {
    /// Finds both or starts them, and says which ones they are.
    pub(crate) fn find() -> Result<Self> {
        Ok(Self { postgres: postgres()?, redis: redis()? })
    }

    /// What a command needs in its environment to reach them.
    pub(crate) fn environment(&self) -> [Variable; 2] {
        [self.postgres.variable(), self.redis.variable()]
    }
}

/// Finds a PostgreSQL or starts one, and says which one it is.
pub(crate) fn postgres() -> Result<Service> {
    find::<Postgres>()
}

/// The folder of `initdb` and `postgres`, for who starts and stops a server of its own.
pub(crate) fn postgres_programs() -> Result<PathBuf> {
    Postgres::installed().map_or_else(install::<Postgres>, Ok)
}

/// `redis-server`, for tests that start and kill a server of their own. What is installed is found in PATH.
pub(crate) fn redis_program() -> Result<PathBuf> {
    Redis::installed().map_or_else(install::<Redis>, Ok)
}

/// Finds a Redis or starts one, and says which one it is.
pub(crate) fn redis() -> Result<Service> {
    find::<Redis>()
}

/// One server, and how to reach it. If it was started for this command, it ends when this is dropped.
pub(crate) struct Service {
    variable: &'static str,
    url: String,
    // Held for nothing but its end.
    _private: Option<Private>,
}

impl Service {
    /// What a command needs in its environment to reach it.
    pub(crate) fn variable(&self) -> Variable {
        (self.variable, self.url.clone())
    }
}

/// What one kind of server has of its own; the order in which it is looked for is the same for all.
trait Server {
    const NAME: &'static str;
    /// The variable of the environment that may name it.
    const VARIABLE: &'static str;
    /// The form of the address in that variable.
    const FORM: &'static str;
    /// Debian's package.
    const PACKAGE: &'static str;
    /// How a person installs it.
    const INSTALL: &'static str;

    /// Fails where the server that the environment names does not answer.
    fn ask(url: &str) -> Result<()>;

    /// The address of one that answers on this machine, where everybody looks for it.
    fn answering() -> Option<String>;

    /// Where its programs are.
    fn installed() -> Option<PathBuf>;

    /// Starts one from these programs, and waits until it can be used.
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

// One that is named and does not answer is an error: another in its place would not be what was asked for.
fn named<S: Server>() -> Result<Option<String>> {
    // Where a CI's secret is missing, its variable is set to nothing.
    let Some(value) = env::var_os(S::VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let Ok(url) = value.into_string() else {
        bail!("{} is not UTF-8: give it the form `{}`", S::VARIABLE, S::FORM);
    };
    S::ask(&url).with_context(|| {
        let (variable, shown) = (S::VARIABLE, without_password(&url));
        format!(
            "{variable} names {shown}, which cannot be used (start that server, or change or unset the variable)"
        )
    })?;
    Ok(Some(url))
}

// Whether the package starts its server too depends on the machine: what it installed is enough.
fn install<S: Server>() -> Result<PathBuf> {
    ensure!(
        apt::may_install(),
        "no {}: none answers on this machine, and none is installed. Install it ({}), or set {} to the \
         address of one (`{}`), then call this again",
        S::NAME,
        S::INSTALL,
        S::VARIABLE,
        S::FORM
    );
    eprintln!("no {}: installing {}", S::NAME, S::PACKAGE);
    apt::install(&[S::PACKAGE])?;
    S::installed().with_context(|| {
        format!("{} is installed, yet its programs are nowhere to be found: look at PATH", S::PACKAGE)
    })
}

const PATIENCE: Duration = Duration::from_secs(5);

/// A connection on which nothing waits for longer than a moment.
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

/// A failure to get an answer, in words; the system calls a wait in vain a lack of resources.
fn answered<T>(result: io::Result<T>) -> Result<T> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            anyhow!("it does not answer within {} s", PATIENCE.as_secs())
        }
        _ => Error::new(error).context("it does not answer"),
    })
}
