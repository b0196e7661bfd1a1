//! graphile_worker, the Rust rewrite, in its plain mode and in its batched one.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, Worker, WorkerContext, WorkerOptions,
    WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;

use crate::peer::{CLIENTS, Peer, Session, Submit};
use crate::tally::Tally;

const SCHEMA: &str = "graphile_worker";
/// The shortest poll in the crate's own benchmarks.
const POLL: Duration = Duration::from_millis(5);

/// One choice of the worker's options.
#[derive(Clone, Copy)]
pub struct Graphile {
    concurrency: usize,
    poll_interval: Duration,
    connections: u32,
    batches: Option<Batches>,
}

/// The options that join jobs into fewer statements.
#[derive(Clone, Copy)]
struct Batches {
    local_queue: usize,
    completion_delay: Duration,
}

impl Graphile {
    /// Each job is claimed and completed by statements of its own. A slot runs one job per notification or poll, so
    /// the poll must be short: with the default of one second, a backlog takes `concurrency` jobs per second.
    pub fn plain() -> Self {
        Self { concurrency: 20, poll_interval: POLL, connections: 20, batches: None }
    }

    /// The guide's throughput-oriented worker, with the shorter poll of the crate's own benchmark.
    pub fn batched() -> Self {
        let batches = Batches { local_queue: 100, completion_delay: Duration::from_millis(5) };
        Self { concurrency: 16, poll_interval: POLL, connections: 20, batches: Some(batches) }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Empty {
    job: u64,
}

#[derive(Clone, Debug)]
struct Count(Arc<Tally>);

impl TaskHandler for Empty {
    const IDENTIFIER: &'static str = "empty";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        match context.get_ext::<Count>() {
            Some(count) => Ok(count.0.enter(self.job)),
            None => Err("the extension is missing".to_owned()),
        }
    }
}

type Running = JoinHandle<Result<()>>;

#[derive(Clone)]
pub struct Opened {
    pools: [PgPool; 2],
    utils: WorkerUtils,
    worker: Arc<Worker>,
    running: Arc<Mutex<Option<Running>>>,
}

impl Peer for Graphile {
    type Session = Opened;

    fn name(&self) -> &'static str {
        "graphile_worker 0.14.1"
    }

    fn settings(&self) -> String {
        let Self { concurrency, poll_interval, connections, batches } = self;
        let common = format!(
            "concurrency {concurrency}, notifications and poll {} ms, pools of {connections} and {CLIENTS}",
            poll_interval.as_millis()
        );
        match batches {
            None => format!("plain, {common}"),
            Some(Batches { local_queue, completion_delay }) => format!(
                "batched, local queue of {local_queue}, completions batched for {} ms, {common}",
                completion_delay.as_millis()
            ),
        }
    }

    fn has_bulk(&self) -> bool {
        true
    }

    fn jobs(&self, submit: Submit) -> u64 {
        match (self.batches, submit) {
            (None, Submit::Bulk) => 6_000,
            (Some(_), Submit::Bulk) => 50_000,
            (_, Submit::Single) => 2_500,
        }
    }

    async fn open(&self, url: &str, tally: Arc<Tally>) -> Result<Opened> {
        let pool = PgPoolOptions::new().max_connections(self.connections).connect(url).await?;
        let mut options = WorkerOptions::default()
            .pg_pool(pool.clone())
            .schema(SCHEMA)
            .concurrency(self.concurrency)
            .poll_interval(self.poll_interval)
            .listen_os_shutdown_signals(false)
            .add_extension(Count(tally))
            .define_job::<Empty>();
        if let Some(batches) = self.batches {
            options = options
                .complete_job_batch_delay(batches.completion_delay)
                .local_queue(LocalQueueConfig::default().with_size(batches.local_queue));
        }
        let worker = Arc::new(options.init().await?);
        let clients = PgPoolOptions::new().max_connections(CLIENTS).connect(url).await?;
        let utils = WorkerUtils::new(clients.clone(), SCHEMA);
        Ok(Opened { pools: [pool, clients], utils, worker, running: Arc::default() })
    }
}

impl Session for Opened {
    // A completed job is deleted.
    const UNFINISHED: &'static str = "SELECT count(*) FROM graphile_worker._private_jobs";

    async fn start(&self) -> Result<()> {
        let worker = self.worker.clone();
        let running = tokio::spawn(async move { Ok(worker.run().await?) });
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    async fn submit(&self, job: u64) -> Result<()> {
        self.utils.add_job(Empty { job }, JobSpec::default()).await?;
        Ok(())
    }

    async fn submit_many(&self, jobs: Range<u64>) -> Result<()> {
        let spec = JobSpec::default();
        let jobs: Vec<_> = jobs.map(|job| (Empty { job }, &spec)).collect();
        self.utils.add_jobs(&jobs).await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        self.worker.request_shutdown();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.await.context("the worker panicked")??;
        }
        for pool in &self.pools {
            pool.close().await;
        }
        Ok(())
    }
}
