//! `cargo xtask release`: checks that the crates can be published.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command;
use crate::workspace::{Package, Workspace};

/// The folder with a snapshot of each crate's public API.
const SNAPSHOTS: &str = "api";

/// The treatment of a changed public API.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the snapshots of the public API instead of comparing them.
    #[arg(long)]
    accept: bool,
}

/// Builds the package of each published crate, and compares the crate's public API with its snapshot.
///
/// # Errors
/// Returns an error if a package does not build, or if a public API differs from its snapshot.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let packages = workspace.packages()?;
    let (published, private): (Vec<_>, Vec<_>) = packages.iter().partition(|package| package.is_published());
    let mut package = workspace.cargo(["package", "--workspace", "--all-features"]);
    for Package { name, .. } in private {
        package.args(["--exclude", name]);
    }
    command::run(&mut package)
        .context("commit all changes and make each package build from its own files")?;

    workspace.need_tool("public-api")?;
    let folder = workspace.root().join(SNAPSHOTS);
    fs::create_dir_all(&folder)?;
    let mut changed = Vec::new();
    for Package { name, .. } in published {
        let api = ["public-api", "-sss", "--all-features", "--package", name];
        let now = command::read(&mut workspace.cargo(api))
            .context("install the nightly toolchain, whose rustdoc describes an API: `rustup toolchain install nightly`")?;
        let snapshot = folder.join(format!("{name}.txt"));
        if options.accept {
            fs::write(&snapshot, now)?;
        } else if !equals(&snapshot, &now) {
            fs::write(snapshot.with_extension("new"), now)?;
            changed.push(name.as_str());
        }
    }
    ensure!(
        changed.is_empty(),
        "the public API of {} differs from its snapshot: compare {SNAPSHOTS}/*.txt with {SNAPSHOTS}/*.new, describe \
         the change in CHANGELOG.md, and run `cargo xtask release --accept`",
        changed.join(", ")
    );
    Ok(())
}

fn equals(snapshot: &Path, now: &str) -> bool {
    fs::read_to_string(snapshot).is_ok_and(|snapshot| snapshot == now)
}
