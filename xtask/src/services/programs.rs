//! Finds the installed programs of the servers.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders with a version in their name: the parent, the prefix of the name, and the subfolder.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// Returns the folder that contains `initdb` and `postgres`. On Debian and with Homebrew it is not in PATH.
pub(super) fn postgres() -> Option<PathBuf> {
    let has_both = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| holds(folder, name));
    in_path().into_iter().chain(versioned()).find(has_both)
}

/// Returns the path of PostgreSQL's client.
pub(super) fn psql() -> Option<PathBuf> {
    let folder = in_path().into_iter().chain(versioned()).find(|folder| holds(folder, "psql"))?;
    Some(folder.join("psql"))
}

/// Returns the path of the server of Redis, or of its fork Valkey.
pub(super) fn redis() -> Option<PathBuf> {
    first_of(&["redis-server", "valkey-server"])
}

/// Returns the path of the first of these programs that is in PATH.
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

/// Returns the numbers in a name. A name without numbers counts as the oldest.
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
    fn newest_version_comes_first() {
        assert_eq!(sorted(&["9.6", "15", "17", "9.10"]), ["17", "15", "9.10", "9.6"]);
        assert_eq!(sorted(&["pgsql-9.6", "pgsql-16", "pgsql-15"]), ["pgsql-16", "pgsql-15", "pgsql-9.6"]);
    }

    #[test]
    fn name_without_version_comes_last() {
        assert_eq!(sorted(&["postgresql", "postgresql@14"]), ["postgresql@14", "postgresql"]);
    }
}
