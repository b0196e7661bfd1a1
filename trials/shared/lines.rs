//! Files of JSON lines, which processes append to and others read.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file to which lines are appended, each in one write, so that neither a kill nor a stop cuts a line.
#[derive(Debug)]
pub struct Lines(File);

impl Lines {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// Returns an error with the path if the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        file.map(Self).with_context(|| format!("cannot open {}", path.display()))
    }

    /// Appends a line.
    ///
    /// # Errors
    /// Returns the error of the system if the line cannot be written.
    pub fn add<T: Serialize>(&self, line: &T) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        (&self.0).write_all(&bytes)
    }
}

/// Reads all lines. A missing file has none.
///
/// # Errors
/// Returns an error if the file cannot be read or a line does not decode.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).context("a line is damaged")).collect()
}
