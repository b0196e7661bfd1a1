//! Measures the English of the project: how often docs, pages and test names use words that make a text hard to read.
//!
//! Well-read Rust crates (tower, axum, backon, jiff) use "where" and "what" at most about once in 1000 words of their
//! docs, and "if" at least six times. A text that reads like a translation shows the opposite rates, so the rates are
//! a cheap test for prose that a person should read again.

mod rates;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::rates::{Fault, Limit, NAMES, Rates, SENTENCES};
use self::text::{Text, docs_of, page, test_names};
use crate::workspace::Workspace;

/// A body of text that is measured as a whole, with the file of each part.
struct Body {
    name: String,
    limits: &'static [Limit],
    parts: Vec<(PathBuf, Text)>,
}

/// Checks the prose of each crate, of the pages and of the test names against the limits.
///
/// # Errors
/// Returns an error with a sentence for each broken limit.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let faults: Vec<_> = bodies(workspace.root())?.iter().flat_map(Body::faults).collect();
    ensure!(faults.is_empty(), "\n  {}", faults.join("\n  "));
    Ok(())
}

/// Returns one body for each crate, one for all pages, and one for the names of all tests.
fn bodies(root: &Path) -> Result<Vec<Body>> {
    let mut bodies = Vec::new();
    for folder in children(&root.join("crates"))? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        bodies.push(Body::read(name, SENTENCES, &rust_files(&folder.join("src"))?, docs_of)?);
    }
    bodies.push(Body::read("pages".to_owned(), SENTENCES, &pages(root)?, page)?);
    let mut tested = Vec::new();
    for folder in ["crates", "src", "tests", "xtask", "benches/src", "trials"] {
        tested.extend(rust_files(&root.join(folder))?);
    }
    bodies.push(Body::read("test names".to_owned(), NAMES, &tested, test_names)?);
    Ok(bodies)
}

impl Body {
    fn read(
        name: String,
        limits: &'static [Limit],
        files: &[PathBuf],
        read: fn(&str) -> Text,
    ) -> Result<Self> {
        let part = |file: &PathBuf| {
            let source =
                fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
            Ok((file.clone(), read(&source)))
        };
        Ok(Self { name, limits, parts: files.iter().map(part).collect::<Result<_>>()? })
    }

    /// Returns a sentence for each limit that the body breaks.
    fn faults(&self) -> Vec<String> {
        let rates = Rates::of(self.limits, self.parts.iter().map(|(_, text)| text));
        let mut faults: Vec<_> = rates
            .faults()
            .iter()
            .map(|fault| format!("{}: {fault}{}", self.name, self.most_in(fault)))
            .collect();
        if rates.begins_with_what() {
            faults.push(format!("{}: too many docs begin with \"What\": begin with a verb", self.name));
        }
        faults
    }

    /// Returns the end of a sentence, which names the file with most of the words.
    fn most_in(&self, fault: &Fault) -> String {
        let most = |limit: &Limit| self.parts.iter().max_by_key(|(_, text)| limit.count(text));
        let most = fault.too_many().and_then(most);
        most.map(|(file, _)| format!("; most are in {}", file.display())).unwrap_or_default()
    }
}

fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = children(&root.join("docs"))?;
    pages.extend(children(root)?);
    pages.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    Ok(pages)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for child in children(folder)? {
        if child.is_dir() {
            files.extend(rust_files(&child)?);
        } else if child.extension().is_some_and(|extension| extension == "rs") {
            files.push(child);
        }
    }
    Ok(files)
}

/// Returns the files and folders in `folder`, sorted by name.
fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))?;
    let mut children = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    children.sort();
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(source: &str) -> Body {
        Body {
            name: "core".to_owned(),
            limits: SENTENCES,
            parts: vec![(PathBuf::from("a.rs"), docs_of(source))],
        }
    }

    #[test]
    fn plain_prose_has_no_faults() {
        let source = "/// Returns the value if the store holds one.\n".repeat(50);
        assert!(body(&source).faults().is_empty());
    }

    #[test]
    fn translated_prose_breaks_several_limits() {
        let source = "/// What somebody gets where the store has it, if it has.\n\n".repeat(50);
        let faults = body(&source).faults();
        assert_eq!(faults.len(), 4, "{faults:?}");
        let [rates @ .., last] = faults.as_slice() else { panic!("the text breaks limits") };
        assert!(rates.iter().all(|fault| fault.ends_with("most are in a.rs")), "{rates:?}");
        assert!(last.contains("begin with a verb"), "{last}");
    }
}
