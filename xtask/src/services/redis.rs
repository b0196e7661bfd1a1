//! Finds and starts Redis.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::private::{self, Private};
use super::{Server, answered, connect, programs};
use crate::url::host_and_port;

const PORT: u16 = 6379;
const HOST: &str = "127.0.0.1";
const TLS: &str = "rediss";

pub(super) struct Redis;

impl Server for Redis {
    const NAME: &'static str = "Redis";
    const VARIABLE: &'static str = "AWAITLY_REDIS_URL";
    const FORM: &'static str = "redis://host:6379";
    const PACKAGE: &'static str = "redis-server";
    const INSTALL: &'static str = "Debian, Ubuntu: `apt-get install redis-server`; Fedora: `dnf install \
                                   valkey`; macOS: `brew install redis`";

    fn ask(url: &str) -> Result<()> {
        let (host, port) = host_and_port(url, &["redis", TLS], PORT)
            .with_context(|| format!("it does not have the form `{}`", Self::FORM))?;
        // This program does not support TLS, so it only checks that a server accepts connections.
        if url.starts_with(TLS) {
            return answered(connect(&host, port)).map(drop);
        }
        let answer = answered(ping(&host, port))?;
        // An answer with a minus asks for a password, which the URL may contain.
        ensure!(answer.starts_with(['+', '-']), "the server that answers there is not Redis");
        Ok(())
    }

    fn answering() -> Option<String> {
        is_open(PORT).then(|| url(PORT))
    }

    fn installed() -> Option<PathBuf> {
        programs::redis()
    }

    fn start(program: &Path) -> Result<(String, Private)> {
        let folder = private::folder()?;
        let port = private::free_port()?;
        let mut redis = Command::new(program);
        redis.args(["--bind", HOST, "--port", &port.to_string(), "--save", ""]);
        redis.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder.path());
        let mut server = Private::start(redis, folder)?;
        server.wait_until(|| is_open(port))?;
        Ok((url(port), server))
    }
}

fn url(port: u16) -> String {
    format!("redis://{HOST}:{port}")
}

// A server that requires a password answers `-NOAUTH`, so it is not open.
fn is_open(port: u16) -> bool {
    ping(HOST, port).is_ok_and(|answer| answer == "+PONG")
}

/// Sends a PING to the server, and returns the first line of the answer.
fn ping(host: &str, port: u16) -> io::Result<String> {
    let mut stream = connect(host, port)?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut line = String::new();
    // A server that is not Redis may send an endless answer, so the length is limited.
    BufReader::new(stream.take(256)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Starts a server that answers once with `words`, and returns its port.
    fn answering_once(words: &'static str) -> Result<u16> {
        let listener = TcpListener::bind((HOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            stream.read_exact(&mut [0; 14])?;
            stream.write_all(words.as_bytes())
        });
        Ok(port)
    }

    #[test]
    fn server_that_answers_a_ping_is_open() -> Result<()> {
        assert!(is_open(answering_once("+PONG\r\n")?));
        Ok(())
    }

    #[test]
    fn password_closes_server_but_variable_may_name_it() -> Result<()> {
        let words = "-NOAUTH Authentication required.\r\n";
        assert!(!is_open(answering_once(words)?));
        assert!(Redis::ask(&url(answering_once(words)?)).is_ok());
        Ok(())
    }

    #[test]
    fn other_server_is_not_redis() -> Result<()> {
        let error = Redis::ask(&url(answering_once("HTTP/1.1 400 Bad Request\r\n")?));
        assert_eq!(
            error.map_err(|error| error.to_string()),
            Err("the server that answers there is not Redis".to_owned())
        );
        Ok(())
    }

    #[test]
    #[ignore = "needs an installed Redis; the other tests need only Rust"]
    fn private_server_answers_and_removes_its_folder() -> Result<()> {
        let program = programs::redis().context("Redis is not installed")?;
        let (url, server) = Redis::start(&program)?;
        Redis::ask(&url)?;
        let folder = server.folder().to_path_buf();
        assert!(folder.exists());
        drop(server);
        assert!(!folder.exists());
        assert!(Redis::ask(&url).is_err());
        Ok(())
    }
}
