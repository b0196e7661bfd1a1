//! The outside world: services that write each effect to a ledger.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// An effect of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// The key that the caller passes. A repeated call has an equal key.
    pub(crate) idempotency_key: String,
    /// The number of this effect, unique across all processes.
    pub(crate) receipt: String,
}

/// An append-only file of effects.
pub(crate) struct Ledger {
    file: File,
    life: u32,
    next: AtomicU64,
}

impl Ledger {
    /// Opens the ledger at `path` for one process.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        let file = file.with_context(|| format!("cannot open {}: check its permissions", path.display()))?;
        Ok(Self { file, life: std::process::id(), next: AtomicU64::new(0) })
    }

    /// Appends an effect. Writes the line with one call, so that a kill cannot truncate it.
    pub(crate) fn happen(&self, idempotency_key: &str) -> std::io::Result<Effect> {
        let receipt = format!("{}-{}", self.life, self.next.fetch_add(1, Ordering::Relaxed));
        let effect = Effect { idempotency_key: idempotency_key.to_owned(), receipt };
        let mut line = serde_json::to_vec(&effect)?;
        line.push(b'\n');
        (&self.file).write_all(&line)?;
        Ok(effect)
    }
}

/// Returns all effects in their order.
pub(crate) fn read(path: &Path) -> Result<Vec<Effect>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot read {}: check its permissions", path.display()));
        }
    };
    let effects = text.lines().map(|line| serde_json::from_str(line).context("the ledger is damaged"));
    effects.collect()
}

/// Returns the number of effects so far.
pub(crate) fn count(path: &Path) -> u64 {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
}
