//! A process with a wrong clock. It performs one action, and reports its progress in words, one per line.

use std::time::{Duration, SystemTime};

use anyhow::{Result, bail, ensure};
use awaitly::clock::{mins, ms, secs};
use awaitly::journal::Timestamp;
use awaitly::persistence::PostgresStore;
use awaitly::store::{Open, Opened, Operate, Owner, RunId, Store};
use awaitly::{DurableRun, RunError, Workflow, step};

use crate::schema::Schema;

/// How long runs sleep, and how long there is for an answer.
pub(super) const SLEEP: Duration = secs(2);

/// How long a lease lasts here.
pub(super) const LEASE: Duration = secs(1);

/// How long a lease is held and renewed.
pub(super) const HOLD: Duration = secs(4);

pub(crate) async fn work(schema: Schema, action: &str, run: &str) -> Result<()> {
    let store = schema.store().await?;
    check_the_clock(&store).await?;
    let workflow = Workflow::new("clocks").store(store.clone());
    match action {
        "sleep" => end_in_waiting(workflow.park_after(ms(1)).run(run, nap).await)?,
        "wake" => workflow.run(run, nap).await?,
        "ask" => end_in_waiting(workflow.run(run, ask).await)?,
        "expire" => while !is_expired(workflow.run(run, ask).await)? {},
        "hold" => hold(workflow, run).await?,
        "take" => take(&store, run).await?,
        _ => bail!("no worker knows {action}"),
    }
    println!("done");
    Ok(store.close().await?)
}

/// A clock that is right would prove nothing.
async fn check_the_clock(store: &PostgresStore) -> Result<()> {
    let (here, there) = (Timestamp::from(SystemTime::now()), store.now().await?);
    let off = here.until(there).max(there.until(here));
    ensure!(off > mins(59) && off < mins(61), "the clock of a worker is off by {off:?} and not by an hour");
    Ok(())
}

async fn nap(run: &DurableRun) -> Result<(), RunError> {
    step!(run.sleep("nap", SLEEP));
    Ok(())
}

async fn ask(run: &DurableRun) -> Result<u64, RunError> {
    Ok(step!(run.wait_for::<u64>("answer").expires_in(SLEEP)))
}

fn end_in_waiting<T>(ended: Result<T, RunError>) -> Result<()> {
    match ended {
        Err(RunError::Waiting { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => bail!("the run did not wait"),
    }
}

fn is_expired(ended: Result<u64, RunError>) -> Result<bool> {
    match ended {
        Err(RunError::Expired { .. }) => Ok(true),
        ended => end_in_waiting(ended).map(|()| false),
    }
}

/// Executes a run for a while, and renews its lease.
async fn hold(workflow: Workflow, run: &str) -> Result<()> {
    let body = async |_: &DurableRun| {
        println!("held");
        tokio::time::sleep(HOLD).await;
        Ok::<_, RunError>(())
    };
    Ok(workflow.lease(LEASE).run(run, body).await?)
}

/// Asks for the lease of a run until it gets it, or finds the run ended.
async fn take(store: &PostgresStore, run: &str) -> Result<()> {
    println!("asking");
    loop {
        match store.open(Open::new(RunId::new(run)?, "clocks", Owner::unique()).ttl(LEASE)).await? {
            Opened::Held { .. } => return Ok(()),
            Opened::Refused(_) => tokio::time::sleep(ms(20)).await,
            Opened::Ended(_) => {
                println!("ended");
                return Ok(());
            }
        }
    }
}
