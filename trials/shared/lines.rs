use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file of lines that are only added, each in one write, so that neither a kill nor a stop cuts one.
pub(crate) struct Lines(File);

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        file.map(Self).with_context(|| format!("cannot open {}", path.display()))
    }

    pub(crate) fn add<T: Serialize>(&self, line: &T) -> Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        Ok((&self.0).write_all(&bytes)?)
    }
}

/// The lines of a file that is not there are none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).context("a line is damaged")).collect()
}
