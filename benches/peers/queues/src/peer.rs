//! The operations that every job queue must offer to be measured.

use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;

use crate::tally::Tally;

/// Connections of the client that submits, beside those of the workers: as many as tasks that submit.
pub const CLIENTS: u32 = 16;

/// A job queue with fixed settings.
pub trait Peer {
    type Session: Session;

    /// Crate name and version.
    fn name(&self) -> &'static str;

    /// All settings that differ from the defaults, and the size of the pool.
    fn settings(&self) -> String;

    /// Whether a call submits many jobs at once.
    fn has_bulk(&self) -> bool;

    /// The jobs that roughly three seconds suffice to process if this call submits them.
    fn jobs(&self, submit: Submit) -> u64;

    /// Installs the schema in a new database and connects.
    async fn open(&self, url: &str, tally: Arc<Tally>) -> Result<Self::Session>;
}

/// The call that submits jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Submit {
    /// Jobs in batches of [`BATCH`](crate::workload::BATCH).
    Bulk,
    /// One job per call, from several tasks.
    Single,
}

/// An open queue in one database. A clone shares the connections.
pub trait Session: Clone + Send + Sync + 'static {
    /// Counts the jobs whose completion is not recorded yet, as a `bigint`.
    const UNFINISHED: &'static str;

    /// Starts the workers, and returns when they are registered.
    fn start(&self) -> impl Future<Output = Result<()>> + Send;

    /// Submits one job.
    fn submit(&self, job: u64) -> impl Future<Output = Result<()>> + Send;

    /// Submits many jobs in one call.
    fn submit_many(&self, jobs: Range<u64>) -> impl Future<Output = Result<()>> + Send;

    /// Stops the workers and closes the connections.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}
