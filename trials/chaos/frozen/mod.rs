//! Workers that are frozen while they write, for longer than their leases last, and continue after others have taken
//! their runs over.

mod worker;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use awaitly::clock::{ms, secs};
use awaitly::persistence::PostgresStore;
use awaitly::store::{Durability, Open, Opened, Owner, RunId, Store};
use sqlx::Row;
use tokio::task::JoinSet;

pub(crate) use self::worker::work;
use self::worker::{Line, RUNS, WRITES, run_id};
use crate::entries::record;
use crate::process::{signal, worker};
use crate::schema::Schema;
use awaitly_trials::lines::read;

const WORKERS: usize = 8;

/// Every run of a worker is taken over at the same time, and each may have to wait for a lock.
const CONNECTIONS: u32 = RUNS as u32 + 8;

/// How long a take-over may take: the lease is over after 300 ms.
const BOUND: Duration = secs(5);

#[derive(Default)]
struct Verdict {
    frozen: usize,
    /// Runs whose frozen owner was refused every write.
    refused: usize,
    /// Records that the frozen owner was promised and the next one did not find.
    lost: usize,
    /// Records and rows that came after the run was taken over.
    late: usize,
    /// Runs that could not be taken over before the frozen owner went on.
    blocked: usize,
}

pub(crate) async fn execute(url: &str, dice: fastrand::Rng) -> Result<bool> {
    Schema::lend(url, async |schema| freeze_all(schema, dice).await).await
}

async fn freeze_all(schema: &Schema, mut dice: fastrand::Rng) -> Result<bool> {
    let began = Instant::now();
    let store = schema.options().connections(CONNECTIONS).connect(&schema.url).await?;
    let folder = tempfile::tempdir()?;
    let mut verdict = Verdict::default();
    for number in 0..WORKERS {
        let after = Duration::from_micros(dice.u64(0..100_000));
        freeze(schema, &store, folder.path(), &format!("worker-{number}"), after, &mut verdict).await?;
    }
    store.close().await?;
    let Verdict { frozen, refused, lost, late, blocked } = verdict;
    println!(
        "frozen {frozen} · writes refused {refused} of {frozen} · lost {lost} · late {late} · \
         not taken over within {} s {blocked} · {:.1} s",
        BOUND.as_secs(),
        began.elapsed().as_secs_f64()
    );
    Ok(refused == frozen && lost == 0 && late == 0 && blocked == 0)
}

async fn freeze(
    schema: &Schema,
    store: &PostgresStore,
    folder: &Path,
    name: &str,
    after: Duration,
    verdict: &mut Verdict,
) -> Result<()> {
    let file = folder.join(name);
    let path = file.to_str().context("the path of the temporary folder is not UTF-8")?;
    let mut child = worker(["frozen", &schema.name, path, name])?.spawn()?;
    while read::<Line>(&file)?.len() < RUNS * 4 {
        ensure!(child.try_wait()?.is_none(), "a worker ended before it was frozen");
        tokio::time::sleep(ms(1)).await;
    }
    tokio::time::sleep(after).await;
    signal(&child, "STOP").await?;

    let mut takers = JoinSet::new();
    for run in 0..RUNS {
        let (store, run) = (store.clone(), run_id(name, run));
        takers.spawn(async move { take_over(&store, run).await });
    }
    let mut found = HashMap::new();
    let until = tokio::time::Instant::now() + BOUND;
    while let Ok(Some(taken)) = tokio::time::timeout_at(until, takers.join_next()).await {
        found.extend([taken??]);
    }
    verdict.blocked += takers.len();
    signal(&child, "CONT").await?;
    while let Some(taken) = takers.join_next().await {
        found.extend([taken??]);
    }
    let status = tokio::time::timeout(secs(60), child.wait()).await.context("a worker does not end")??;
    ensure!(status.success(), "a worker ended with {status}");
    judge(schema, store, &read(&file)?, &found, verdict).await
}

type Keys = BTreeSet<String>;

/// Opens a run as soon as its lease is over, adds a record, and gives the keys that were there.
async fn take_over(store: &PostgresStore, run: String) -> Result<(String, Keys)> {
    let id = RunId::new(run.as_str())?;
    loop {
        match store.open(Open::new(id.clone(), "frozen", Owner::unique())).await? {
            Opened::Held { lease, run: stored, .. } => {
                store.append(&lease, record("taken")?, Durability::Sync).await?;
                return Ok((run, stored.records.iter().map(|record| record.key.to_string()).collect()));
            }
            Opened::Refused(_) => tokio::time::sleep(ms(20)).await,
            Opened::Ended(_) => bail!("{run} has ended"),
        }
    }
}

async fn judge(
    schema: &Schema,
    store: &PostgresStore,
    lines: &[Line],
    found: &HashMap<String, Keys>,
    verdict: &mut Verdict,
) -> Result<()> {
    let mut rows = rows(schema).await?;
    for (run, keys) in found {
        verdict.frozen += 1;
        let mut tried = 0;
        for line in lines {
            match line {
                Line::Acknowledged { run: of, key } if of == run && !keys.contains(key) => {
                    println!("{run} was promised {key}, which the next owner did not find");
                    verdict.lost += 1;
                }
                Line::Tried { run: of, write, refused, said } if of == run => {
                    tried += usize::from(*refused);
                    if !refused {
                        println!("{run}, {write}: {said}");
                    }
                }
                Line::Acknowledged { .. } | Line::Tried { .. } => {}
            }
        }
        verdict.refused += usize::from(tried == WRITES);
        let stored = store.load(&RunId::new(run.as_str())?).await?.context("a run is gone")?;
        let now: Keys = stored.records.iter().map(|record| record.key.to_string()).collect();
        let late = now.iter().filter(|key| !keys.contains(*key) && *key != "taken").count();
        verdict.lost += keys.difference(&now).count() + usize::from(!now.contains("taken"));
        verdict.late += late + stored.waits.len() + usize::from(stored.header.version != 1);
        // The application's rows are those of the records that were committed with them.
        if let Some(rows) = rows.remove(run) {
            verdict.late += rows.difference(keys).count();
            verdict.lost += keys.difference(&rows).count();
        }
    }
    Ok(())
}

/// The keys under which each run has rows of the application's.
async fn rows(schema: &Schema) -> Result<HashMap<String, Keys>> {
    let mut rows: HashMap<String, Keys> = HashMap::new();
    for row in sqlx::query(schema.sql("SELECT key FROM {s}.debits"))
        .fetch_all(&mut schema.connection().await?)
        .await?
    {
        let place: String = row.try_get(0)?;
        let (run, key) = place.split_once('/').context("a row has no key")?;
        rows.entry(run.to_owned()).or_default().insert(key.to_owned());
    }
    Ok(rows)
}
