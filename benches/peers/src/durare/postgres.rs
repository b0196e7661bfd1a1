//! durare on PostgreSQL, in the schema `dbos` that `DurableEngine::connect`
//! would use, over a pool as large as the one of dbos.
//!
//! Recovery is `DurableEngine::recover`, its primary entry point.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use durare::{
    DurableContext, DurableEngine, DurableEngineBuilder, PostgresProvider, WorkflowHandle,
    WorkflowOptions,
};
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use super::{Chain, NAME};
use crate::measure::expected_sum;
use crate::postgres::{CONNECTIONS, Life, Lives, Peer};

pub struct DurarePostgres;

const INTERRUPTED: &str = "interrupted";

async fn interrupted_chain(ctx: DurableContext, lives: Lives, steps: u64) -> durare::Result<u64> {
    let mut sum = 0;
    for index in 0..steps {
        let step = ctx.step("noop", || async {
            durare::Result::Ok(lives.recorded_step(index))
        });
        sum += step.await?;
    }
    let new = ctx.step("new", || async {
        durare::Result::Ok(lives.new_step(steps).await)
    });
    Ok(sum + new.await?)
}

/// The defaults, except for the pool; a fixed version, so that no time goes
/// into hashing this program to make one.
async fn builder(url: &str) -> Result<DurableEngineBuilder> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect(url)
        .await?;
    let provider = PostgresProvider::from_pool_with_schema(pool, "dbos")?;
    let mut builder = DurableEngine::builder(Arc::new(provider));
    builder.app_version("1");
    Ok(builder)
}

/// An engine with the workflow that is interrupted.
async fn engine_in(url: &str, lives: &Lives) -> Result<DurableEngine> {
    let mut builder = builder(url).await?;
    let lives = lives.clone();
    builder.register(INTERRUPTED, move |ctx, steps| {
        interrupted_chain(ctx, lives.clone(), steps)
    });
    Ok(builder.build().await?)
}

impl Peer for DurarePostgres {
    fn name(&self) -> &'static str {
        NAME
    }

    fn settings(&self) -> &'static str {
        "PostgreSQL, pool of 10, otherwise defaults"
    }

    async fn perform(&self, url: &str, runs: u64, steps: u64) -> Result<Duration> {
        let engine = Arc::new(builder(url).await?.build().await?);

        let start = Instant::now();
        let mut running = JoinSet::new();
        for run in 0..runs {
            let engine = engine.clone();
            running.spawn(async move {
                let options = WorkflowOptions::with_id(format!("run-{run}"));
                engine.start_with(Chain, steps, options).await?.await
            });
        }
        let mut sums = Vec::new();
        while let Some(sum) = running.join_next().await {
            sums.push(sum??);
        }
        let time = start.elapsed();

        ensure!(
            sums.iter().all(|sum| *sum == expected_sum(steps)),
            "a run returned a wrong sum"
        );
        engine.shutdown(Duration::from_secs(1)).await?;
        Ok(time)
    }

    async fn one_by_one(&self, url: &str, runs: u64) -> Result<Vec<Duration>> {
        let engine = builder(url).await?.build().await?;
        let mut times = Vec::new();
        for run in 0..runs {
            let start = Instant::now();
            let options = WorkflowOptions::with_id(format!("run-{run}"));
            let sum = engine.start_with(Chain, 1, options).await?.await?;
            times.push(start.elapsed());
            ensure!(sum == expected_sum(1), "a run returned a wrong sum");
        }
        engine.shutdown(Duration::from_secs(1)).await?;
        Ok(times)
    }

    async fn interrupt(&self, url: &str, steps: u64) -> Result<()> {
        let (lives, mut instants) = Lives::new(Life::First);
        let engine = engine_in(url, &lives).await?;
        let options = WorkflowOptions::with_id(INTERRUPTED);
        let _run: WorkflowHandle<u64> = engine.start(INTERRUPTED, steps, options).await?;
        lives.until_new_step(&mut instants, steps).await?;
        Ok(())
    }

    async fn resume(&self, url: &str, steps: u64) -> Result<Duration> {
        let (lives, mut instants) = Lives::new(Life::Second);

        let start = Instant::now();
        let engine = engine_in(url, &lives).await?;
        let recovered = engine.recover().await?;
        let reached = lives.until_new_step(&mut instants, steps).await?;

        ensure!(recovered == 1, "{recovered} runs were recovered, not one");
        let run: WorkflowHandle<u64> = engine.retrieve_workflow(INTERRUPTED).await?;
        ensure!(
            run.await? == expected_sum(steps + 1),
            "the resumed run returned a wrong sum"
        );
        engine.shutdown(Duration::from_secs(1)).await?;
        Ok(reached - start)
    }
}
