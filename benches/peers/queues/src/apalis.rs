//! apalis with its PostgreSQL storage.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;

use crate::peer::{CLIENTS, Peer, Session, Submit};
use crate::tally::Tally;

const QUEUE: &str = "empty";

/// One choice of the storage's and the workers' options.
#[derive(Clone, Copy)]
pub struct Apalis {
    workers: usize,
    /// Jobs in one fetch, and jobs that a worker runs at the same time.
    batch_size: usize,
    poll_interval: Duration,
    connections: u32,
}

impl Apalis {
    /// Large fetches by two workers: faster than fetches of 10, 100 or 300 jobs and than one worker. Four workers did
    /// not differ by more than the spread.
    pub fn tuned() -> Self {
        Self { workers: 2, batch_size: 1000, poll_interval: Duration::from_millis(100), connections: 20 }
    }
}

type Running = (WorkerContext, JoinHandle<Result<()>>);

#[derive(Clone)]
pub struct Opened {
    peer: Apalis,
    pools: [PgPool; 2],
    storage: PostgresStorage<u64>,
    client: PostgresStorage<u64>,
    tally: Arc<Tally>,
    running: Arc<Mutex<Vec<Running>>>,
}

impl Peer for Apalis {
    type Session = Opened;

    fn name(&self) -> &'static str {
        "apalis-postgres 1.0.0"
    }

    fn settings(&self) -> String {
        let Self { workers, batch_size, poll_interval, connections } = self;
        format!(
            "{workers} workers, batch size and concurrency {batch_size}, lock_tasks off, \
             notifications and poll {} ms, pools of {connections} and {CLIENTS}",
            poll_interval.as_millis()
        )
    }

    fn has_bulk(&self) -> bool {
        true
    }

    fn jobs(&self, submit: Submit) -> u64 {
        match submit {
            Submit::Bulk => 40_000,
            Submit::Single => 5_000,
        }
    }

    async fn open(&self, url: &str, tally: Arc<Tally>) -> Result<Opened> {
        let pool = PgPoolOptions::new().max_connections(self.connections).connect(url).await?;
        PostgresStorage::setup(&pool).await?;
        // A fetch already claims its jobs for one worker. `lock_tasks` would record the start of each job as well.
        let config = Config::default().queue(QUEUE).batch_size(self.batch_size).lock_tasks(false);
        let storage = PostgresStorage::new(&pool).with_config(config.clone());
        let clients = PgPoolOptions::new().max_connections(CLIENTS).connect(url).await?;
        let client = PostgresStorage::new(&clients).with_config(config);
        Ok(Opened { peer: *self, pools: [pool, clients], storage, client, tally, running: Arc::default() })
    }
}

async fn empty(job: u64, tally: Data<Arc<Tally>>) -> Result<(), BoxDynError> {
    tally.enter(job);
    Ok(())
}

impl Session for Opened {
    const UNFINISHED: &'static str = "SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'";

    async fn start(&self) -> Result<()> {
        let mut running = Vec::new();
        for index in 0..self.peer.workers {
            let context = WorkerContext::new(&format!("worker-{index}"));
            let storage = self.storage.clone().with_pubsub().poll_with_interval(self.peer.poll_interval);
            let worker = WorkerBuilder::new(&context)
                .backend(storage)
                .data(self.tally.clone())
                .concurrency(self.peer.batch_size)
                .build(empty);
            let handle = tokio::spawn(async move { worker.run().await.context("a worker failed") });
            running.push((context, handle));
        }
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
        Ok(())
    }

    async fn submit(&self, job: u64) -> Result<()> {
        self.client.clone().push(job).await?;
        Ok(())
    }

    async fn submit_many(&self, jobs: Range<u64>) -> Result<()> {
        self.client.clone().push_bulk(jobs.collect()).await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for (context, handle) in running {
            context.stop()?;
            handle.await.context("a worker panicked")??;
        }
        for pool in &self.pools {
            pool.close().await;
        }
        Ok(())
    }
}
