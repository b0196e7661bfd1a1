//! A hundred thousand runs that wait for an answer: their cost, and the delay until an answered one continues.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use awaitly::clock::{ms, secs};
use awaitly::journal::{Outcome, Payload};
use awaitly::persistence::PostgresStore;
use awaitly::store::{Answer, DueQuery, Operate, RunId};
use awaitly::{DurableRun, RunError, Workflow, step};
use sqlx::Row;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::schema::Schema;

const RUNS: usize = 100_000;
const BEGUN_AT_ONCE: usize = 256;
const CONNECTIONS: u32 = 24;
const ANSWERS: usize = 200;

/// From the answer to the first new step.
const BAR: Duration = ms(50);

/// The message of a resumed run in its first new step: its id and the time.
type Resumed = mpsc::UnboundedSender<(String, Instant)>;

pub(crate) async fn execute(url: &str, dice: fastrand::Rng) -> Result<bool> {
    Schema::lend(url, async |schema| measure(schema, dice).await).await
}

async fn measure(schema: &Schema, dice: fastrand::Rng) -> Result<bool> {
    // The store is opened before the measurement, so that only the runs count.
    let store = schema.options().connections(CONNECTIONS).connect(&schema.url).await?;
    let (before, began) = (resident()?, Instant::now());
    park(&store).await?;
    let (parking, after) = (began.elapsed(), resident()?);
    let bytes = bytes(schema).await?;
    let mut times = answer(schema, &store, dice).await?;
    store.close().await?;

    times.sort_unstable();
    let (p50, worst) = (times.get(ANSWERS / 2), times.last());
    let (p50, worst) = (*p50.context("nothing was measured")?, *worst.context("nothing was measured")?);
    println!(
        "parked {RUNS} in {:.0} s · memory {:.0} bytes per run · database {} bytes per run · \
         from answer to next step p50 {:.1} ms, worst {:.1} ms of {ANSWERS}",
        parking.as_secs_f64(),
        after.saturating_sub(before) as f64 / RUNS as f64,
        bytes / RUNS as u64,
        p50.as_secs_f64() * 1e3,
        worst.as_secs_f64() * 1e3
    );
    Ok(worst <= BAR)
}

async fn body(run: &DurableRun, resumed: Option<&Resumed>) -> Result<u64, RunError> {
    let answer = step!(run.wait_for::<u64>("answer"));
    let go_on = async || {
        let now = Instant::now();
        // The receiver exists until the last run has been answered.
        resumed.map(|resumed| resumed.send((run.id().to_owned(), now)).ok());
        Ok::<_, RunError>(answer)
    };
    Ok(step!(run, "go on", go_on()))
}

fn id(number: usize) -> String {
    format!("parked-{number}")
}

/// Begins all runs, and leaves each at its question.
async fn park(store: &PostgresStore) -> Result<()> {
    let workflow = Workflow::new("parked").store(store.clone());
    let next = Arc::new(AtomicUsize::new(0));
    let mut beginners = JoinSet::new();
    for _ in 0..BEGUN_AT_ONCE {
        let (workflow, next) = (workflow.clone(), Arc::clone(&next));
        beginners.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= RUNS {
                    return Ok(());
                }
                match workflow.run(id(number), async |run| body(run, None).await).await {
                    Err(RunError::Waiting { .. }) => {}
                    Err(error) => return Err(error.into()),
                    Ok(_) => bail!("a run did not wait"),
                }
            }
        });
    }
    while let Some(ended) = beginners.join_next().await {
        ended??;
    }
    Ok(())
}

/// Answers some of them through a store of its own, as another process would, and gives how long each took to
/// go on.
async fn answer(schema: &Schema, store: &PostgresStore, mut dice: fastrand::Rng) -> Result<Vec<Duration>> {
    let outside = schema.store().await?;
    let (sender, mut resumed) = mpsc::unbounded_channel();
    let resuming = tokio::spawn(resume(store.clone(), sender));
    // Until then, the resumer listens, and has handled earlier notifications.
    tokio::time::sleep(secs(1)).await;
    let mut times = Vec::new();
    let mut numbers: Vec<_> = (0..RUNS).collect();
    dice.shuffle(&mut numbers);
    for number in numbers.into_iter().take(ANSWERS) {
        let (run, outcome) = (id(number), Outcome::Value(Payload::encode(&number)?));
        let began = Instant::now();
        let answered = outside.answer(Answer::new(RunId::new(run.as_str())?, "answer", outcome)).await?;
        ensure!(answered == Ok(()), "the answer to {run} was {answered:?}");
        let next = tokio::time::timeout(secs(10), resumed.recv()).await;
        let Some((who, at)) = next.with_context(|| format!("{run} does not go on"))? else {
            bail!("nobody resumes")
        };
        ensure!(who == run, "{who} went on, and {run} was answered");
        times.push(at.duration_since(began));
        // Otherwise one notification could report two answers.
        tokio::time::sleep(Duration::from_micros(dice.u64(0..20_000))).await;
    }
    resuming.abort();
    outside.close().await?;
    Ok(times)
}

/// Executes due runs as soon as the store reports them.
async fn resume(store: PostgresStore, resumed: Resumed) -> Result<()> {
    let workflow = Workflow::new("parked").store(store.clone());
    let mut wakes = store.wakes();
    loop {
        for due in store.due(DueQuery::new()).await? {
            let (workflow, resumed) = (workflow.clone(), resumed.clone());
            // A run that is still due but already taken returns `Busy`.
            tokio::spawn(async move {
                drop(workflow.run(due.run.to_string(), async |run| body(run, Some(&resumed)).await).await);
            });
        }
        if !wakes.changed().await {
            return Ok(());
        }
    }
}

/// Returns the resident memory of this process, in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("only Linux tells of its memory")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS in /proc/self/status")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim_end().parse()?;
    Ok(kilobytes * 1024)
}

/// Returns the size of the tables of the schema, including indexes, in bytes.
async fn bytes(schema: &Schema) -> Result<u64> {
    let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
    let row = sqlx::query(sql).bind(&schema.name).fetch_one(&mut schema.connection().await?).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}
