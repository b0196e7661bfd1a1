//! The outside world: services that write down every call that had an effect.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Something that happened, and cannot be made not to have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// What the caller says it is about; the same when the call is repeated.
    pub(crate) idempotency_key: String,
    /// The number of this one effect, unique in all worlds.
    pub(crate) receipt: String,
}

/// A file to which effects are only added.
pub(crate) struct Ledger {
    file: File,
    life: u32,
    next: AtomicU64,
}

impl Ledger {
    /// The ledger at `path`, for one life of the worker.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { file, life: std::process::id(), next: AtomicU64::new(0) })
    }

    /// Lets it happen. The line is one write, so that a kill cannot cut it.
    pub(crate) fn happen(&self, idempotency_key: &str) -> std::io::Result<Effect> {
        let receipt = format!("{}-{}", self.life, self.next.fetch_add(1, Ordering::Relaxed));
        let effect = Effect { idempotency_key: idempotency_key.to_owned(), receipt };
        let mut line = serde_json::to_vec(&effect)?;
        line.push(b'\n');
        (&self.file).write_all(&line)?;
        Ok(effect)
    }
}

/// Everything that happened, in its order.
pub(crate) fn read(path: &Path) -> Result<Vec<Effect>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let effects = text.lines().map(|line| serde_json::from_str(line).context("the ledger is damaged"));
    effects.collect()
}

/// How many effects have happened so far.
pub(crate) fn count(path: &Path) -> u64 {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
}
