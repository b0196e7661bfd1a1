//! dbos on PostgreSQL, launched and shut down as its guide has it.
//!
//! A step is `dbos::step`, awaited inside a registered workflow. The dequeue
//! loop that `launch` starts runs beside the workflows, as it would in a
//! service; recovery goes through it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dbos::{Config, DBOS, RunOptions, StartOptions, WorkflowRef};
use tokio::task::JoinSet;

use crate::measure::expected_sum;
use crate::postgres::{CONNECTIONS, Life, Lives, Peer};

pub struct Dbos;

type Chain = WorkflowRef<u64, u64, dbos::EngineOnly>;

const INTERRUPTED: &str = "interrupted";

async fn chain(steps: u64) -> dbos::Result<u64> {
    let mut sum = 0;
    for index in 0..steps {
        sum += dbos::step("noop", move || async move { dbos::Result::Ok(index) }).await?;
    }
    Ok(sum)
}

async fn interrupted_chain(lives: Lives, steps: u64) -> dbos::Result<u64> {
    let mut sum = 0;
    for index in 0..steps {
        let step = dbos::step("noop", || async {
            dbos::Result::Ok(lives.recorded_step(index))
        });
        sum += step.await?;
    }
    let new = dbos::step("new", || async {
        dbos::Result::Ok(lives.new_step(steps).await)
    });
    Ok(sum + new.await?)
}

/// An instance with the workflow `chain`, not launched yet.
fn instance(url: &str) -> Result<(DBOS, Chain)> {
    let dbos = DBOS::new(config(url));
    let chain = dbos.register_workflow("chain", chain)?;
    Ok((dbos, chain))
}

/// An instance with the workflow that is interrupted, not launched yet.
fn instance_in(url: &str, lives: &Lives) -> Result<(DBOS, Chain)> {
    let dbos = DBOS::new(config(url));
    let lives = lives.clone();
    let chain = dbos.register_workflow(INTERRUPTED, move |steps| {
        interrupted_chain(lives.clone(), steps)
    })?;
    Ok((dbos, chain))
}

/// The defaults; the pool's is named, and the version has none.
fn config(url: &str) -> Config {
    Config {
        app_version: Some("1".to_owned()),
        max_connections: CONNECTIONS,
        ..Config::new("peers", url)
    }
}

impl Peer for Dbos {
    fn name(&self) -> &'static str {
        "dbos 0.5.0"
    }

    fn settings(&self) -> &'static str {
        "PostgreSQL, defaults (pool of 10)"
    }

    async fn perform(&self, url: &str, runs: u64, steps: u64) -> Result<Duration> {
        let (dbos, chain) = instance(url)?;
        dbos.launch().await?;

        let start = Instant::now();
        let mut running = JoinSet::new();
        for run in 0..runs {
            let chain = chain.clone();
            running.spawn(async move {
                let id = format!("run-{run}");
                let options = RunOptions {
                    workflow_id: Some(&id),
                    ..RunOptions::default()
                };
                chain.run_with(steps, options).await
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
        dbos.shutdown().await;
        Ok(time)
    }

    async fn one_by_one(&self, url: &str, runs: u64) -> Result<Vec<Duration>> {
        let (dbos, chain) = instance(url)?;
        dbos.launch().await?;
        let mut times = Vec::new();
        for _ in 0..runs {
            let start = Instant::now();
            let sum = chain.run(1).await?;
            times.push(start.elapsed());
            ensure!(sum == expected_sum(1), "a run returned a wrong sum");
        }
        dbos.shutdown().await;
        Ok(times)
    }

    async fn interrupt(&self, url: &str, steps: u64) -> Result<()> {
        let (lives, mut instants) = Lives::new(Life::First);
        let (dbos, chain) = instance_in(url, &lives)?;
        dbos.launch().await?;
        let options = StartOptions {
            workflow_id: Some(INTERRUPTED),
            ..StartOptions::default()
        };
        chain.start_with(steps, options).await?;
        lives.until_new_step(&mut instants, steps).await?;
        Ok(())
    }

    async fn resume(&self, url: &str, steps: u64) -> Result<Duration> {
        let (lives, mut instants) = Lives::new(Life::Second);
        let (dbos, _) = instance_in(url, &lives)?;

        let start = Instant::now();
        dbos.launch().await?;
        let reached = lives.until_new_step(&mut instants, steps).await?;

        let handle = dbos.retrieve_workflow::<u64, dbos::EngineOnly>(INTERRUPTED)?;
        ensure!(
            handle.result().await? == expected_sum(steps + 1),
            "the resumed run returned a wrong sum"
        );
        dbos.shutdown().await;
        Ok(reached - start)
    }
}
