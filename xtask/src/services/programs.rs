//! Where the programs of the servers are installed.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders whose names hold a version: the parent, the beginning of the name, and what lies below it.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// The folder that holds `initdb` and `postgres`; Debian and Homebrew keep theirs out of PATH.
pub(super) fn postgres() -> Option<PathBuf> {
    let has_both = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| holds(folder, name));
    in_path().into_iter().chain(versioned()).find(has_both)
}

/// The client of PostgreSQL.
pub(super) fn psql() -> Option<PathBuf> {
    let folder = in_path().into_iter().chain(versioned()).find(|folder| holds(folder, "psql"))?;
    Some(folder.join("psql"))
}

/// The server of Redis, or of what became of it.
pub(super) fn redis() -> Option<PathBuf> {
    first_of(&["redis-server", "valkey-server"])
}

/// The first of these programs, in this order, that is in PATH.
pub(crate) fn first_of(names: &[&str]) -> Option<PathBuf> {
    let in_path = in_path();
    let named =
        |name: &&str| in_path.iter().find(|folder| holds(folder, name)).map(|folder| folder.join(name));
    names.iter().find_map(named)
}

fn holds(folder: &Path, program: &str) -> bool {
    folder.join(program).is_file()
}

fn in_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

fn versioned() -> impl Iterator<Item = PathBuf> {
    VERSIONED.into_iter().flat_map(|(parent, beginning, below)| {
        let names = names_in(parent).into_iter().filter(|name| name.starts_with(beginning)).collect();
        newest_first(names).into_iter().map(move |name| Path::new(parent).join(name).join(below))
    })
}

fn names_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn newest_first(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_key(|name| version(name));
    names.reverse();
    names
}

/// The numbers in a name. One that has none is older than all that have.
fn version(name: &str) -> Vec<u32> {
    name.split(|char: char| !char.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> Vec<String> {
        newest_first(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn the_newest_version_comes_first() {
        assert_eq!(sorted(&["9.6", "15", "17", "9.10"]), ["17", "15", "9.10", "9.6"]);
        assert_eq!(sorted(&["pgsql-9.6", "pgsql-16", "pgsql-15"]), ["pgsql-16", "pgsql-15", "pgsql-9.6"]);
    }

    #[test]
    fn a_name_without_a_version_comes_last() {
        assert_eq!(sorted(&["postgresql", "postgresql@14"]), ["postgresql@14", "postgresql"]);
    }
}
