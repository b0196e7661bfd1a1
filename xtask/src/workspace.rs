//! Where the project lies, which packages it has, and `cargo` started from there.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::command;

/// The project's root folder; every command runs from it, wherever the caller stands.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Searches upward from this package's folder, or from the current one where cargo named none.
    pub(crate) fn find() -> Result<Self> {
        let start = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => env::current_dir()
                .context("there is no current folder to search from: change into the project")?,
        };
        let root = root_above(&start).with_context(|| {
            format!(
                "no folder above {} holds xtask/Cargo.toml: call `cargo xtask` inside the project",
                start.display()
            )
        })?;
        Ok(Self { root: root.to_path_buf() })
    }

    /// Returns the project's root folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that cargo builds into: `target`, unless `CARGO_TARGET_DIR` or a configuration names another one.
    pub(crate) fn target(&self) -> Result<PathBuf> {
        target(&command::read(&mut self.metadata())?)
    }

    /// `cargo` with these arguments, at the root; the same cargo that started this program, so that
    /// toolchains do not mix.
    pub(crate) fn cargo<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// The packages of the workspace, each with all it asks for, optional dependencies included.
    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        packages(&command::read(&mut self.metadata())?)
    }

    fn metadata(&self) -> Command {
        self.cargo(["metadata", "--format-version", "1", "--no-deps"])
    }
}

/// The packages in what `cargo metadata` prints.
pub(crate) fn packages(text: &str) -> Result<Vec<Package>> {
    let metadata: Metadata = parse(text)?;
    Ok(metadata.packages)
}

fn target(text: &str) -> Result<PathBuf> {
    let Target { target_directory } = parse(text)?;
    Ok(target_directory)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .context("`cargo metadata` has a new format: bring xtask/src/workspace.rs up to it")
}

// Looks for this package and not for `[workspace]`, which `benches/peers` has too.
fn root_above(start: &Path) -> Option<&Path> {
    start.ancestors().find(|folder| folder.join("xtask/Cargo.toml").is_file())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Target {
    target_directory: PathBuf,
}

/// A package of the workspace, as `cargo metadata` tells it.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// What cargo calls it in its messages.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a package asks for.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    kind: Option<String>,
}

impl Dependency {
    /// Whether only tests, examples and benches see it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_any_folder_inside() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own.parent();
        assert_eq!(root_above(own), root);
        assert_eq!(root_above(&own.join("src")), root);
        assert_eq!(root_above(Path::new("/")), None);
    }

    // Meant to run with the variable as well: CARGO_TARGET_DIR=/tmp/elsewhere cargo test -p xtask
    #[test]
    fn target_folder_is_the_one_that_cargo_uses() -> Result<()> {
        let workspace = Workspace::find()?;
        let named = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        assert_eq!(workspace.target()?, workspace.root.join(named));
        Ok(())
    }

    #[test]
    fn metadata_tells_which_dependencies_are_for_tests_only() -> Result<()> {
        let text = r#"{"packages": [{"id": "path#a", "name": "a", "version": "1.0.0", "dependencies": [
            {"name": "normal", "kind": null, "optional": true},
            {"name": "build", "kind": "build"},
            {"name": "dev", "kind": "dev"}
        ]}], "target_directory": "/elsewhere"}"#;
        assert_eq!(target(text)?, Path::new("/elsewhere"));
        let packages = packages(text)?;
        let kinds: Vec<_> = packages
            .iter()
            .flat_map(|package| &package.dependencies)
            .map(|dependency| (dependency.name.as_str(), dependency.is_dev()))
            .collect();
        assert_eq!(kinds, [("normal", false), ("build", false), ("dev", true)]);
        Ok(())
    }
}
