//! Two processes that answer the same approvals at the same moments: one of them is taken, the other is told so.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use awaitly::clock::{ms, secs};
use awaitly::hitl::{AnswerRecord, Approvals, Inbox, InboxError};
use awaitly::journal::Unanswered;
use awaitly::store::{RunId, Store};
use awaitly::{DurableRun, RunError, Workflow};
use serde::{Deserialize, Serialize};

use crate::process;
use crate::schema::Schema;
use awaitly_trials::lines::{self, Lines};

const RUNS: u64 = 1000;
const WORKERS: [&str; 2] = ["ada", "bob"];
/// From one answer of both to the next.
const PACE: Duration = ms(6);

/// The result of one answer, as its worker received it.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    worker: String,
    run: u64,
    /// `None`: it was taken.
    refused: Option<String>,
}

pub(crate) async fn execute(url: &str) -> Result<bool> {
    Schema::lend(url, measure).await
}

async fn measure(schema: &Schema) -> Result<bool> {
    let store = schema.store().await?;
    let workflow = Workflow::new("answered").store(store.clone());
    for run in 0..RUNS {
        let waits =
            workflow.run(id(run), async |run: &DurableRun| run.approval::<String>("manager").await).await;
        ensure!(matches!(waits, Err(RunError::Waiting { .. })), "run {run} does not wait: {waits:?}");
    }
    let folder = tempfile::tempdir()?;
    let lines = folder.path().join("answers.jsonl");
    let from = (millis(SystemTime::now())? + 1000).to_string();
    let path = lines.to_str().context("a folder with an odd name")?;
    let mut workers = Vec::new();
    for worker in WORKERS {
        workers.push(process::worker(["answers", &schema.name, path, &from, worker])?.spawn()?);
    }
    for mut worker in workers {
        ensure!(worker.wait().await?.success(), "a worker failed");
    }

    let told: Vec<Told> = lines::read(&lines)?;
    let (mut one, mut typed, mut stands) = (0, 0, 0);
    for run in 0..RUNS {
        let (taken, refused): (Vec<_>, Vec<_>) =
            told.iter().filter(|told| told.run == run).partition(|told| told.refused.is_none());
        one += u64::from(taken.len() == 1 && refused.len() == 1);
        let typed_refusal = Unanswered::AlreadyAnswered.to_string();
        typed += u64::from(refused.iter().all(|told| told.refused.as_ref() == Some(&typed_refusal)));
        let stored = store.load(&RunId::new(id(run))?).await?.context("a run is gone")?;
        let records: Vec<AnswerRecord<String>> = stored
            .records
            .iter()
            .map(|record| record.outcome.payload().decode())
            .collect::<Result<_, _>>()?;
        let winner = taken.first().map(|told| &told.worker);
        stands += u64::from(records.len() == 1 && records.first().map(|answer| &answer.value) == winner);
    }
    let wins = told.iter().filter(|told| told.refused.is_none() && told.worker == WORKERS[0]).count();
    store.close().await?;
    println!(
        "answered at once by two processes {RUNS} · exactly one taken {one} · the other refused with its type {typed} · \
         the winner's stands {stands} · {} won {wins}",
        WORKERS[0]
    );
    Ok([one, typed, stands] == [RUNS; 3])
}

pub(crate) async fn work(schema: Schema, lines: &Path, from: &str, worker: &str) -> Result<()> {
    let (store, lines, from) = (schema.store().await?, Lines::open(lines)?, from.parse::<u64>()?);
    let inbox = Inbox::new(store.clone());
    for run in 0..RUNS {
        let at = from + run * u64::try_from(PACE.as_millis())?;
        let wait = Duration::from_millis(at.saturating_sub(millis(SystemTime::now())?));
        ensure!(wait < secs(60), "the clocks of this machine do not agree");
        tokio::time::sleep(wait).await;
        let refused = match inbox.at(id(run), "manager").by(worker).approve(worker).await {
            Ok(()) => None,
            Err(InboxError::Unanswered(refused)) => Some(refused.to_string()),
            Err(error) => return Err(error.into()),
        };
        lines.add(&Told { worker: worker.to_owned(), run, refused })?;
    }
    Ok(store.close().await?)
}

fn id(run: u64) -> String {
    format!("answered-{run}")
}

fn millis(time: SystemTime) -> Result<u64> {
    Ok(u64::try_from(time.duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?)
}
