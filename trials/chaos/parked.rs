//! A hundred thousand runs that wait for an answer: their cost, and the delay until an answered one continues.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use awaitly::clock::{ms, secs};
use awaitly::engine::{Client, Contract, Worker};
use awaitly::journal::{Outcome, Payload, Status};
use awaitly::persistence::PostgresStore;
use awaitly::store::{Answer, Operate, RunId, RunQuery};
use awaitly::{DurableRun, RunError, step};
use sqlx::Row;
use tokio::sync::mpsc;

use crate::schema::Schema;

const RUNS: usize = 100_000;

/// The runs that are parked before the memory is measured, so that only the number of parked runs makes a difference.
const EARLIER: usize = 10_000;
const CONNECTIONS: u32 = 24;
const ANSWERS: usize = 200;

/// The longest time from an answer to the first new step.
const LATEST: Duration = ms(50);

/// The most memory of a parked run in the worker.
const BYTES: f64 = 200.0;

const PARKED: Contract<(), u64, RunError> = Contract::new("parked");

/// The message of a resumed run in its first new step: its id and the time.
type Resumed = mpsc::UnboundedSender<(String, Instant)>;

pub(crate) async fn execute(url: &str, dice: fastrand::Rng) -> Result<bool> {
    Schema::lend(url, async |schema| measure(schema, dice).await).await
}

async fn measure(schema: &Schema, dice: fastrand::Rng) -> Result<bool> {
    let store = schema.options().connections(CONNECTIONS).connect(&schema.url).await?;
    let (resumed, mut messages) = mpsc::unbounded_channel();
    let worker = Worker::new(store.clone()).serve(PARKED, move |run, ()| body(run, resumed.clone()));
    let mut holds = Ok(false);
    let measuring = async {
        let client = Client::new(store.clone());
        park(&client, 0..EARLIER).await?;
        let (before, began) = (resident()?, Instant::now());
        park(&client, EARLIER..EARLIER + RUNS).await?;
        let (parking, after) = (began.elapsed(), resident()?);
        let memory = after.saturating_sub(before) as f64 / RUNS as f64;
        let bytes = bytes(schema).await?;
        let mut times = answer(schema, &mut messages, dice).await?;
        times.sort_unstable();
        let (p50, worst) = (times.get(ANSWERS / 2), times.last());
        let (p50, worst) = (*p50.context("nothing was measured")?, *worst.context("nothing was measured")?);
        println!(
            "parked {RUNS} in {:.0} s · memory of the worker {memory:.0} bytes per run · database {} bytes per run · \
             from answer to next step p50 {:.1} ms, worst {:.1} ms of {ANSWERS}",
            parking.as_secs_f64(),
            bytes / (EARLIER + RUNS) as u64,
            p50.as_secs_f64() * 1e3,
            worst.as_secs_f64() * 1e3
        );
        anyhow::Ok(worst <= LATEST && memory <= BYTES)
    };
    worker.run_until(async { holds = measuring.await }).await?;
    store.close().await?;
    holds
}

async fn body(run: DurableRun, resumed: Resumed) -> Result<u64, RunError> {
    let answer = step!(run.wait_for::<u64>("answer"));
    let go_on = async || {
        // The receiver exists until the last run has been answered.
        let _ = resumed.send((run.id().to_owned(), Instant::now()));
        Ok::<_, RunError>(answer)
    };
    Ok(step!(run, "go on", go_on()))
}

fn id(number: usize) -> String {
    format!("parked-{number}")
}

/// Starts runs, and waits until the worker has left each of them at its question.
async fn park(client: &Client<PostgresStore>, numbers: Range<usize>) -> Result<()> {
    for first in numbers.clone().step_by(1000) {
        let runs = (first..(first + 1000).min(numbers.end)).map(|number| (id(number), ()));
        client.start_many(PARKED, runs).await?.into_iter().try_for_each(|started| started.map(drop))?;
    }
    let unparked = RunQuery::new().status(Status::Queued).status(Status::Running).limit(1);
    while !client.store().list(unparked.clone()).await?.items.is_empty() {
        tokio::time::sleep(ms(100)).await;
    }
    Ok(())
}

/// Answers some of the runs through another store, as another process would. Returns the times from each answer to the next
/// step of its run.
async fn answer(
    schema: &Schema,
    resumed: &mut mpsc::UnboundedReceiver<(String, Instant)>,
    mut dice: fastrand::Rng,
) -> Result<Vec<Duration>> {
    let outside = schema.store().await?;
    // Until then, the worker has handled earlier notifications.
    tokio::time::sleep(secs(1)).await;
    let mut times = Vec::new();
    let mut numbers: Vec<_> = (0..EARLIER + RUNS).collect();
    dice.shuffle(&mut numbers);
    for number in numbers.into_iter().take(ANSWERS) {
        let (run, outcome) = (id(number), Outcome::Value(Payload::encode(&number)?));
        let began = Instant::now();
        let answered = outside.answer(Answer::new(RunId::new(run.as_str())?, "answer", outcome)).await?;
        ensure!(answered == Ok(()), "the answer to {run} was {answered:?}");
        let next = tokio::time::timeout(secs(10), resumed.recv()).await;
        let Some((who, at)) = next.with_context(|| format!("{run} does not go on"))? else {
            bail!("the worker has stopped")
        };
        ensure!(who == run, "{who} went on, and {run} was answered");
        times.push(at.duration_since(began));
        // Otherwise one notification could report two answers.
        tokio::time::sleep(Duration::from_micros(dice.u64(0..20_000))).await;
    }
    outside.close().await?;
    Ok(times)
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
