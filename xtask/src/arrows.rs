//! Checks the dependencies between the project's crates against a table.

use anyhow::{Result, ensure};

use crate::workspace::{Package, Workspace};

/// The packages of the workspace, each with the other packages of the workspace that it may use.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("awaitly-core", &[]),
    ("awaitly-resilience", &["awaitly-core"]),
    ("awaitly-saga", &["awaitly-core"]),
    ("awaitly-persistence", &["awaitly-core"]),
    ("awaitly-engine", &["awaitly-core"]),
    ("awaitly-hitl", &["awaitly-core", "awaitly-engine"]),
    ("awaitly-observe", &["awaitly-core"]),
    ("awaitly-testing", &["awaitly-core", "awaitly-engine", "awaitly-persistence"]),
    ("awaitly", LIBRARIES),
    ("awaitly-benches", &["awaitly"]),
    ("awaitly-trials", &["awaitly"]),
    (FREE, &[]),
];

const LIBRARIES: &[&str] = &[
    "awaitly-core",
    "awaitly-resilience",
    "awaitly-saga",
    "awaitly-persistence",
    "awaitly-engine",
    "awaitly-hitl",
    "awaitly-observe",
    "awaitly-testing",
];

/// The package that may use no other package, not even in its tests: it must compile if the others do not.
const FREE: &str = "xtask";

const REMEDY: &str = "move what it needs to a crate that both may use, \
                    or change the table in xtask/src/arrows.rs and ARCHITECTURE.md";

const ADD: &str = "add it to xtask/src/arrows.rs and ARCHITECTURE.md";

/// Checks that the table lists each dependency between packages of the workspace.
///
/// # Errors
/// Returns an error that names each dependency and each package that the table does not list.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let packages = workspace.packages()?;
    let uses: Vec<_> = packages.iter().map(|package| (package.name.as_str(), used_by(package))).collect();
    let faults = faults(&uses);
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}

// Users of a package do not get its dev-dependencies, so these are free.
fn used_by(package: &Package) -> Vec<&str> {
    let counted =
        package.dependencies.iter().filter(|dependency| !dependency.is_dev() || package.name == FREE);
    counted.map(|dependency| dependency.name.as_str()).collect()
}

/// Returns a sentence for each forbidden dependency. `uses` lists the dependencies of each package.
fn faults(uses: &[(&str, Vec<&str>)]) -> Vec<String> {
    let is_ours = |name: &str| uses.iter().any(|(package, _)| *package == name);
    let mut faults = Vec::new();
    for (package, used) in uses {
        let Some((_, allowed)) = ALLOWED.iter().find(|(listed, _)| listed == package) else {
            faults.push(format!("{package} is in no row of the table: {ADD}"));
            continue;
        };
        let forbidden = used.iter().filter(|name| is_ours(name) && !allowed.contains(name));
        faults.extend(forbidden.map(|name| format!("{package} may not use {name}: {REMEDY}")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses<'a>(all: &[(&'a str, &[&'a str])]) -> Vec<(&'a str, Vec<&'a str>)> {
        all.iter().map(|(package, used)| (*package, used.to_vec())).collect()
    }

    fn read(dependencies: &str, name: &str) -> serde_json::Result<Package> {
        serde_json::from_str(&format!(
            r#"{{"id": "{name}", "name": "{name}", "dependencies": {dependencies}}}"#
        ))
    }

    #[test]
    fn listed_dependencies_have_no_faults() {
        let all = uses(&[
            ("awaitly-core", &["serde"]),
            ("awaitly-persistence", &["awaitly-core", "rusqlite"]),
            ("awaitly-testing", &["awaitly-core", "awaitly-engine", "awaitly-persistence"]),
            ("awaitly", &["awaitly-core", "awaitly-persistence", "awaitly-testing"]),
            ("awaitly-benches", &["awaitly"]),
            ("xtask", &["clap"]),
        ]);
        assert!(faults(&all).is_empty());
    }

    #[test]
    fn unlisted_dependency_is_a_fault() {
        let all = uses(&[
            ("awaitly-core", &[]),
            ("awaitly-saga", &["awaitly-core", "awaitly-hitl"]),
            ("awaitly-hitl", &[]),
        ]);
        let faults = faults(&all);
        assert_eq!(faults.len(), 1);
        assert!(faults.concat().starts_with("awaitly-saga may not use awaitly-hitl:"), "{faults:?}");
    }

    #[test]
    fn only_programs_may_use_the_root_package() {
        let all =
            uses(&[("awaitly", &[]), ("awaitly-core", &["awaitly"]), ("awaitly-benches", &["awaitly"])]);
        assert_eq!(faults(&all).len(), 1);
    }

    #[test]
    fn unlisted_package_is_a_fault() {
        let faults = faults(&uses(&[("awaitly-unknown", &[])]));
        assert_eq!(faults, [format!("awaitly-unknown is in no row of the table: {ADD}")]);
    }

    #[test]
    fn each_allowed_package_has_its_own_row() {
        let listed = ALLOWED.map(|(package, _)| package);
        assert!(ALLOWED.iter().flat_map(|(_, allowed)| *allowed).all(|name| listed.contains(name)));
    }

    #[test]
    fn dev_dependencies_count_only_for_the_free_package() -> serde_json::Result<()> {
        let dependencies = r#"[{"name": "awaitly-core", "kind": "dev"}]"#;
        assert!(used_by(&read(dependencies, "awaitly-saga")?).is_empty());
        assert_eq!(used_by(&read(dependencies, FREE)?), ["awaitly-core"]);
        Ok(())
    }
}
