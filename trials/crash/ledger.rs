use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// The run and the step.
    pub(crate) key: String,
    /// The worker that it happened in.
    pub(crate) life: u32,
    /// Which of the effects of this key it is.
    pub(crate) nonce: u64,
}

/// A run was begun, or has ended as far as its worker knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Mark {
    Begun(String),
    Ended(String),
}

/// A file of lines that are only added, each in one write, so that a kill cannot cut one.
pub(crate) struct Lines(File);

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        file.map(Self).with_context(|| format!("cannot open {}", path.display()))
    }

    pub(crate) fn add<T: Serialize>(&self, line: &T) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        (&self.0).write_all(&bytes)
    }
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).context("a line is damaged")).collect()
}

pub(crate) fn count(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}
