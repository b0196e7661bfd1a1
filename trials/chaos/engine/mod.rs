//! Worker processes of the engine: the limits of queues, orderly stops, and a run that kills its process.

mod drain;
mod limits;
mod poison;
mod worker;

use std::path::Path;

use anyhow::Result;
use awaitly::RunError;
use awaitly::engine::Contract;
use serde::{Deserialize, Serialize};
use tokio::process::Child;

pub(crate) use self::drain::execute as drain;
pub(crate) use self::limits::execute as limits;
pub(crate) use self::poison::execute as poison;
pub(crate) use self::worker::work;
use crate::process::worker;
use crate::schema::Schema;

/// The input is the duration of the body in milliseconds, or [`POISON`].
const JOB: Contract<u64, (), RunError> = Contract::new("job");

/// The input of a run that kills its process.
const POISON: u64 = u64::MAX;

/// A line of the ledger. The times are in microseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Begun { run: String, at: u64 },
    Ended { run: String, at: u64 },
}

/// Starts a worker process, which executes [`JOB`] and writes the begin and the end of each body to the ledger.
fn start(schema: &Schema, ledger: &Path) -> Result<Child> {
    Ok(worker(["engine", &schema.name, &ledger.to_string_lossy()])?.spawn()?)
}
