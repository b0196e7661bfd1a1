//! Measures the cost of adding `awaitly-core`: the number of crates and the time of a clean build.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::command;
use crate::workspace::Workspace;

const CORE: &str = "awaitly-core";
const CLEAN_BUILD: &str = "bench/clean-build";

/// A row of the bench table, in the format of the bench program.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    floor: Option<f64>,
    ratio: Option<f64>,
    bar: String,
    holds: bool,
}

impl Row {
    fn at_most(limit: f64, name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value,
            unit,
            floor: None,
            ratio: None,
            bar: format!("<= {limit}"),
            holds: value <= limit,
        }
    }
}

/// Measures both, and writes one JSON row for each to `file`.
pub(crate) fn measure(workspace: &Workspace, file: &Path) -> Result<()> {
    let rows = [crates_row(workspace)?, build_row(workspace)?];
    let lines = rows.iter().map(|row| Ok(serde_json::to_string(row)? + "\n")).collect::<Result<String>>()?;
    fs::write(file, lines)
        .with_context(|| format!("{} cannot be written: check its permissions", file.display()))
}

fn crates_row(workspace: &Workspace) -> Result<Row> {
    let tree = command::read(&mut workspace.cargo(["tree", "-p", CORE, "-e", "normal", "--prefix", "none"]))?;
    let count = crates_below_core(&tree).len();
    Ok(Row::at_most(40.0, "core crates", count as f64, "crates"))
}

fn build_row(workspace: &Workspace) -> Result<Row> {
    let seconds = clean_build(workspace)?.as_secs_f64();
    Ok(Row::at_most(20.0, "core clean release build", (seconds * 100.0).round() / 100.0, "s"))
}

/// Returns the name and version of each crate in the tree except core. A tree lists a crate once for each of its users;
/// the set contains it once.
fn crates_below_core(tree: &str) -> BTreeSet<(&str, &str)> {
    let named = tree.lines().filter_map(|line| line.split_once(' '));
    let versioned = named.map(|(name, rest)| (name, rest.split(' ').next().unwrap_or(rest)));
    versioned.filter(|(name, _)| *name != CORE).collect()
}

// Fetches all crates first and builds offline, so that only the build is measured. A compiler cache would defeat the
// empty target folder, so it is turned off.
fn clean_build(workspace: &Workspace) -> Result<Duration> {
    command::run(&mut workspace.cargo(["fetch"]))?;
    let folder = workspace.target()?.join(CLEAN_BUILD);
    remove(&folder)?;
    let mut build = workspace.cargo(["build", "--release", "--offline", "-p", CORE]);
    build.arg("--target-dir").arg(&folder);
    build.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    let start = Instant::now();
    let built = command::run(&mut build);
    let time = start.elapsed();
    remove(&folder)?;
    built.map(|()| time)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be removed: remove it manually", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_version_except_core_counts_once() {
        let tree = "awaitly-core v0.1.0 (/somewhere/crates/core)\n\
                    serde v1.0.0\n\
                    serde_derive v1.0.0 (proc-macro)\n\
                    syn v2.0.0\n\
                    \n\
                    syn v2.0.0 (*)\n\
                    syn v3.0.0\n";
        let crates = crates_below_core(tree);
        let expected =
            [("serde", "v1.0.0"), ("serde_derive", "v1.0.0"), ("syn", "v2.0.0"), ("syn", "v3.0.0")];
        assert_eq!(crates, BTreeSet::from(expected));
    }

    #[test]
    fn row_has_the_format_of_the_bench_program() -> serde_json::Result<()> {
        let row = serde_json::to_string(&Row::at_most(40.0, "core crates", 41.0, "crates"))?;
        let expected = concat!(
            r#"{"name":"core crates","value":41.0,"unit":"crates","floor":null,"ratio":null,"#,
            r#""bar":"<= 40","holds":false}"#
        );
        assert_eq!(row, expected);
        Ok(())
    }

    #[test]
    fn value_at_the_limit_holds() {
        assert!(Row::at_most(20.0, "core clean release build", 20.0, "s").holds);
    }
}
