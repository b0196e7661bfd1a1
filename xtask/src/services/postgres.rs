//! Finds and starts PostgreSQL.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::account::Account;
use super::private::{self, Private};
use super::{PATIENCE, Server, answered, connect, programs};
use crate::url::host_and_port;

const PORT: u16 = 5432;

/// The request that asks if the server supports TLS. Each PostgreSQL answers it before the login.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

pub(super) struct Postgres;

impl Server for Postgres {
    const NAME: &'static str = "PostgreSQL";
    const VARIABLE: &'static str = "AWAITLY_POSTGRES_URL";
    const FORM: &'static str = "postgres://user@host:5432/database";
    const PACKAGE: &'static str = "postgresql";
    const INSTALL: &'static str = "Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install \
                                   postgresql-server`; macOS: `brew install postgresql`";

    fn ask(url: &str) -> Result<()> {
        let (host, port) = host_and_port(url, &["postgres", "postgresql"], PORT)
            .with_context(|| format!("it does not have the form `{}`", Self::FORM))?;
        let answer = answered(first_byte(&host, port))?;
        ensure!(matches!(&answer, b"S" | b"N" | b"E"), "the server that answers there is not PostgreSQL");
        Ok(())
    }

    // Without psql it is unknown if a login has enough rights, so a private server is the safer choice.
    fn answering() -> Option<String> {
        let psql = programs::psql()?;
        let logins = logins(env::var("USER").ok()).into_iter();
        let mut urls = logins.map(|(user, database)| login_url(&user, PORT, &database));
        urls.find(|url| may_create_schemas(&psql, url))
    }

    fn installed() -> Option<PathBuf> {
        programs::postgres()
    }

    fn start(programs: &Path) -> Result<(String, Private)> {
        let folder = private::folder()?;
        let account = Account::for_postgres()?;
        if let Some(account) = &account {
            account.take(folder.path())?;
        }
        let command = |program| {
            let mut command = Command::new(programs.join(program));
            // PostgreSQL reads its current folder, which its user may not be allowed to enter.
            command.current_dir(folder.path());
            if let Some(account) = &account {
                account.run(&mut command);
            }
            command
        };
        let data = folder.path().join("data");
        initialize(command("initdb"), &data)?;
        let port = private::free_port()?;
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(&data).arg("-k").arg(folder.path());
        postgres.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        let mut server = Private::start(postgres, folder)?;
        let status = data.join("postmaster.pid");
        server.wait_until(|| fs::read_to_string(&status).is_ok_and(|text| says_ready(&text)))?;
        Ok((login_url("postgres", port, "postgres"), server))
    }
}

fn first_byte(host: &str, port: u16) -> io::Result<[u8; 1]> {
    let mut stream = connect(host, port)?;
    stream.write_all(&REQUEST)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Returns the users and databases to try without a password.
fn logins(caller: Option<String>) -> Vec<(String, String)> {
    let plain = |name: &String| {
        !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-".contains(char))
    };
    // Names that need encoding in a URL are rare, so they are skipped.
    let caller = caller.filter(plain).map(|name| (name.clone(), name));
    let pair = |user: &str, database: &str| (user.to_owned(), database.to_owned());
    let first = [pair("postgres", "postgres")].into_iter().chain(caller);
    first.chain([pair("root", "postgres"), pair("test", "test")]).collect()
}

fn login_url(user: &str, port: u16, database: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{port}/{database}")
}

// Passwords from the caller's environment and files are turned off, because the tests only get the URL.
fn may_create_schemas(psql: &Path, url: &str) -> bool {
    let mut command = Command::new(psql);
    command.args(["-w", "-X", "-q", "-t", "-A", "-c"]);
    command.args(["select has_database_privilege(current_database(), 'CREATE')", url]);
    command.env_remove("PGPASSWORD").env("PGPASSFILE", "/dev/null");
    command.env("PGCONNECT_TIMEOUT", PATIENCE.as_secs().to_string());
    command.output().is_ok_and(|output| output.status.success() && output.stdout.trim_ascii() == b"t")
}

fn initialize(mut initdb: Command, data: &Path) -> Result<()> {
    initdb.arg("-D").arg(data).args(["-U", "postgres", "--auth=trust", "--encoding=UTF8"]);
    let output = initdb.args(["--locale=C", "--no-sync"]).output().context("initdb could not be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "initdb ended with {} and printed:\n{}", output.status, said.trim_end());
    Ok(())
}

/// Returns whether the status file of a running PostgreSQL says that the server is ready.
///
/// The file needs no client, and unlike an answer at the port, it cannot come from another server that took the port.
fn says_ready(text: &str) -> bool {
    text.lines().nth(7).is_some_and(|line| line.trim_end() == "ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_is_tried_after_the_default_user() {
        let users = |caller: Option<&str>| {
            let logins = logins(caller.map(str::to_owned));
            logins.into_iter().map(|(user, database)| format!("{user}/{database}")).collect::<Vec<_>>()
        };
        assert_eq!(users(Some("anna")), ["postgres/postgres", "anna/anna", "root/postgres", "test/test"]);
        assert_eq!(users(None), ["postgres/postgres", "root/postgres", "test/test"]);
        assert_eq!(users(Some("")), users(None));
        assert_eq!(users(Some("an na@db")), users(None));
    }

    #[test]
    fn status_file_says_if_server_is_ready() {
        let file = |status: &str| format!("42\n/data\n1700000000\n5433\n/tmp\n127.0.0.1\n  1 2\n{status}\n");
        assert!(says_ready(&file("ready   ")));
        assert!(!says_ready(&file("starting")));
        assert!(!says_ready("42\n/data\n"));
    }

    #[test]
    fn url_of_another_form_is_an_error() {
        let error = Postgres::ask("host=db user=me").map_err(|error| error.to_string());
        assert_eq!(error, Err(format!("it does not have the form `{}`", Postgres::FORM)));
    }

    #[test]
    #[ignore = "needs an installed PostgreSQL; the other tests need only Rust"]
    fn private_server_answers_and_removes_its_folder() -> Result<()> {
        let programs = programs::postgres().context("PostgreSQL is not installed")?;
        let psql = programs::psql().context("psql is not installed")?;
        let (url, server) = Postgres::start(&programs)?;
        Postgres::ask(&url)?;
        assert!(may_create_schemas(&psql, &url));
        let folder = server.folder().to_path_buf();
        assert!(folder.exists());
        drop(server);
        assert!(!folder.exists());
        assert!(Postgres::ask(&url).is_err());
        Ok(())
    }
}
