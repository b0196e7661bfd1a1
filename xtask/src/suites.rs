//! Maps the executables that cargo built to the test programs of the workspace.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace::Package;

/// The tests of one program, or the doctests of one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) package: String,
    /// The name of the program, or `lib` for unit tests and `doc` for doctests.
    pub(crate) binary: String,
}

impl fmt::Display for Suite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}  {}", self.package, self.binary)
    }
}

/// All test programs that one call of cargo runs.
#[derive(Debug, Default)]
pub(crate) struct Suites {
    by_file: HashMap<String, Suite>,
    by_crate: HashMap<String, Suite>,
}

impl Suites {
    /// Reads the output of `cargo test --no-run --message-format json`.
    pub(crate) fn read(messages: &str, packages: &[Package]) -> Result<Self> {
        let mut suites = Self::default();
        for line in messages.lines().filter(|line| line.starts_with('{')) {
            let message: Message = serde_json::from_str(line)
                .context("`cargo test --message-format json` has a new format: update xtask/src/suites.rs")?;
            suites.add(message, packages);
        }
        Ok(suites)
    }

    // Cargo builds examples too, which are not tests.
    fn add(&mut self, message: Message, packages: &[Package]) {
        let Message { package_id, target: Some(target), profile: Some(profile), executable: Some(file) } =
            message
        else {
            return;
        };
        let package = packages.iter().find(|package| Some(&package.id) == package_id.as_ref());
        let (Some(package), true, Some(file)) = (package, profile.test, file_name(&file)) else { return };
        let suite = |binary: &str| Suite { package: package.name.clone(), binary: binary.to_owned() };
        if target.kind.iter().any(|kind| kind == "lib") {
            self.by_file.insert(file.to_owned(), suite("lib"));
            self.by_crate.insert(target.name, suite("doc"));
        } else {
            self.by_file.insert(file.to_owned(), suite(&target.name));
        }
    }

    /// Returns the suite that cargo announces in this line before it starts the suite.
    ///
    /// Many suites share a source name, so cargo adds the executable: `Running tests/it/main.rs
    /// (target/debug/deps/it-0a1b)`.
    pub(crate) fn announced(&self, line: &str) -> Option<&Suite> {
        let line = line.trim_end();
        match line.strip_suffix(')').and_then(|line| line.rsplit_once('(')) {
            Some((_, file)) => self.by_file.get(file_name(file)?),
            None if line.contains("Doc-tests") => self.by_crate.get(line.rsplit(' ').next()?),
            None => None,
        }
    }
}

// The file name contains a hash, so it is unique without its folder.
fn file_name(path: &str) -> Option<&str> {
    Path::new(path).file_name()?.to_str()
}

#[derive(Deserialize)]
struct Message {
    package_id: Option<String>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::workspace;

    const MESSAGES: &str = r#"
{"reason":"compiler-artifact","package_id":"registry#serde@1.0.0","target":{"name":"serde","kind":["lib"]},"profile":{"test":false},"executable":null}
{"reason":"build-script-executed","package_id":"registry#serde@1.0.0"}
{"reason":"compiler-artifact","package_id":"path#1","target":{"name":"a_core","kind":["lib"]},"profile":{"test":true},"executable":"/t/deps/a_core-01"}
{"reason":"compiler-artifact","package_id":"path#1","target":{"name":"it","kind":["test"]},"profile":{"test":true},"executable":"/t/deps/it-02"}
{"reason":"compiler-artifact","package_id":"path#2","target":{"name":"it","kind":["test"]},"profile":{"test":true},"executable":"/t/deps/it-03"}
{"reason":"compiler-artifact","package_id":"path#2","target":{"name":"quick","kind":["example"]},"profile":{"test":false},"executable":"/t/examples/quick"}
{"reason":"build-finished","success":true}
"#;

    /// Returns two packages: `a-core` with unit tests, doctests and `it`, and `a-store` with its own `it`.
    pub(crate) fn suites() -> Result<Suites> {
        let packages = r#"{"packages": [{"id": "path#1", "name": "a-core", "dependencies": []},
            {"id": "path#2", "name": "a-store", "dependencies": []}]}"#;
        Suites::read(MESSAGES, &workspace::packages(packages)?)
    }

    fn announced(line: &str) -> Result<Option<String>> {
        Ok(suites()?.announced(line).map(ToString::to_string))
    }

    #[test]
    fn executable_distinguishes_programs_of_one_name() -> Result<()> {
        assert_eq!(
            announced("     Running tests/it/main.rs (/t/deps/it-02)\n")?,
            Some("a-core  it".to_owned())
        );
        assert_eq!(
            announced("     Running tests/it/main.rs (deps/it-03)\n")?,
            Some("a-store  it".to_owned())
        );
        Ok(())
    }

    #[test]
    fn unit_tests_and_doctests_are_separate_suites() -> Result<()> {
        let unit = announced("     Running unittests src/lib.rs (target/debug/deps/a_core-01)\n")?;
        assert_eq!(unit, Some("a-core  lib".to_owned()));
        assert_eq!(announced("   Doc-tests a_core\n")?, Some("a-core  doc".to_owned()));
        assert_eq!(
            announced("\u{1b}[1m\u{1b}[92m   Doc-tests\u{1b}[0m a_core\n")?,
            Some("a-core  doc".to_owned())
        );
        Ok(())
    }

    #[test]
    fn other_lines_announce_no_suite() -> Result<()> {
        for line in
            ["", "running 2 tests\n", "     Running `target/debug/other` (in a)\n", "x (t/examples/quick)"]
        {
            assert_eq!(announced(line)?, None, "{line}");
        }
        Ok(())
    }
}
