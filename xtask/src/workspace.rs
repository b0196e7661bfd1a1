//! Finds the project's root folder and its packages, and starts `cargo` there.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::command;

/// The project's root folder. Each command runs in it, regardless of the caller's current folder.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Searches upward from this package's folder, or from the current folder if cargo did not start this program.
    pub(crate) fn find() -> Result<Self> {
        let start = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => {
                env::current_dir().context("the current folder does not exist: change into the project")?
            }
        };
        let root = root_above(&start).with_context(|| {
            format!(
                "no folder above {} contains xtask/Cargo.toml: run `cargo xtask` inside the project",
                start.display()
            )
        })?;
        Ok(Self { root: root.to_path_buf() })
    }

    /// Returns the project's root folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns cargo's target folder: `target`, unless `CARGO_TARGET_DIR` or a configuration names another folder.
    pub(crate) fn target(&self) -> Result<PathBuf> {
        target(&command::read(&mut self.metadata())?)
    }

    /// Returns a `cargo` command with these arguments, to run in the root folder. It uses the cargo that started this
    /// program, so that toolchains do not mix.
    pub(crate) fn cargo<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// Installs `cargo-<name>` if it is missing.
    ///
    /// # Errors
    /// Returns an error if the tool is missing and cannot be installed.
    pub(crate) fn need_tool(&self, name: &str) -> Result<()> {
        if command::succeeds(&mut self.cargo([name, "--version"])) {
            return Ok(());
        }
        eprintln!("\ncargo-{name} is missing: installing it, which takes some minutes");
        command::run(&mut self.cargo(["install", "--locked", &format!("cargo-{name}")]))
            .with_context(|| format!("install cargo-{name} manually, and run this command again"))
    }

    /// Returns the packages of the workspace, each with its dependencies, including the optional ones.
    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        packages(&command::read(&mut self.metadata())?)
    }

    fn metadata(&self) -> Command {
        self.cargo(["metadata", "--format-version", "1", "--no-deps"])
    }
}

/// Reads the packages from the output of `cargo metadata`.
pub(crate) fn packages(text: &str) -> Result<Vec<Package>> {
    let metadata: Metadata = parse(text)?;
    Ok(metadata.packages)
}

fn target(text: &str) -> Result<PathBuf> {
    let Target { target_directory } = parse(text)?;
    Ok(target_directory)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).context("`cargo metadata` has a new format: update xtask/src/workspace.rs")
}

// Searches for this package instead of `[workspace]`, because `benches/peers` has a `[workspace]` too.
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

/// A package of the workspace, as `cargo metadata` describes it.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// The id of the package in cargo's messages.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// The registries that accept the package. `None`: all of them.
    publish: Option<Vec<String>>,
}

impl Package {
    /// Returns whether the package is meant for publication.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}

/// A dependency of a package.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    kind: Option<String>,
}

impl Dependency {
    /// Returns whether only tests, examples and benches use it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_from_each_inner_folder() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own.parent();
        assert_eq!(root_above(own), root);
        assert_eq!(root_above(&own.join("src")), root);
        assert_eq!(root_above(Path::new("/")), None);
    }

    // Also run this test with the variable: CARGO_TARGET_DIR=/tmp/elsewhere cargo test -p xtask
    #[test]
    fn target_folder_is_the_folder_of_cargo() -> Result<()> {
        let workspace = Workspace::find()?;
        let named = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        assert_eq!(workspace.target()?, workspace.root.join(named));
        Ok(())
    }

    #[test]
    fn dev_dependencies_are_read_from_metadata() -> Result<()> {
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
