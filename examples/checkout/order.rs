//! The orders of the example.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) card: String,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
    pub(crate) cents: u64,
}

/// Reads one order per line, as JSON.
pub(crate) fn read(file: &Path) -> Result<Vec<Order>> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read {}: check `--orders`", file.display()))?;
    let orders = text.lines().enumerate().map(|(number, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("line {} of {} is not an order", number + 1, file.display()))
    });
    orders.collect()
}
