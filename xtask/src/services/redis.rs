//! Redis: how to ask for it, and how to start one.

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
        // Behind TLS nothing can be asked without it; that somebody listens has to do.
        if url.starts_with(TLS) {
            return answered(connect(&host, port)).map(drop);
        }
        let answer = answered(ping(&host, port))?;
        // A server that wants a password first says so after a minus: the URL may well have it.
        ensure!(answer.starts_with(['+', '-']), "what answers there is no Redis");
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

// One that wants a password says `-NOAUTH`, and does not count.
fn is_open(port: u16) -> bool {
    ping(HOST, port).is_ok_and(|answer| answer == "+PONG")
}

/// The first line of what the server answers to a PING.
fn ping(host: &str, port: u16) -> io::Result<String> {
    let mut stream = connect(host, port)?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut line = String::new();
    // What is no Redis may send without end.
    BufReader::new(stream.take(256)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that answers once, with these words.
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
    fn one_that_answers_a_ping_is_open() -> Result<()> {
        assert!(is_open(answering_once("+PONG\r\n")?));
        Ok(())
    }

    #[test]
    fn one_that_wants_a_password_is_not_open_but_may_be_named() -> Result<()> {
        let words = "-NOAUTH Authentication required.\r\n";
        assert!(!is_open(answering_once(words)?));
        assert!(Redis::ask(&url(answering_once(words)?)).is_ok());
        Ok(())
    }

    #[test]
    fn what_is_no_redis_is_told_from_one() -> Result<()> {
        let error = Redis::ask(&url(answering_once("HTTP/1.1 400 Bad Request\r\n")?));
        assert_eq!(
            error.map_err(|error| error.to_string()),
            Err("what answers there is no Redis".to_owned())
        );
        Ok(())
    }

    #[test]
    #[ignore = "needs Redis installed, where the other tests need only Rust"]
    fn a_private_one_answers_and_leaves_nothing_behind() -> Result<()> {
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
