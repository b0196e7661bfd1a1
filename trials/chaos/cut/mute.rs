//! Connections that become mute: the server has answered, but the answer is lost and the connection stays open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use awaitly::clock::secs;
use awaitly::persistence::PostgresStore;
use awaitly::store::{
    Answer, Durability, Lease, OnRecorded, Open, Opened, Operate, Owner, RunId, Store, Transactional,
};
use tokio::task::JoinSet;

use crate::entries::{question, record};
use crate::proxy::{Cut, Proxy};
use crate::schema::Schema;
use crate::wire::Kind;

const PATIENCE: Duration = secs(2);

/// The time limit for an answer. A large journal takes time, so the limit exceeds the store's patience.
const BOUND: Duration = secs(90);

const WRITES: [(&str, Kind); 7] = [
    ("append", Kind::Record),
    ("renew", Kind::Lease),
    ("replace", Kind::Record),
    ("wait", Kind::Commit),
    ("transactional commit", Kind::Commit),
    ("answer", Kind::Commit),
    ("open", Kind::Lease),
];

/// Whether every write is answered, in one way or another, when its connection is mute.
pub(super) async fn answers(schema: &Schema) -> Result<bool> {
    let mut writes = JoinSet::new();
    for (write, kind) in WRITES {
        let schema = schema.clone();
        writes.spawn(async move { anyhow::Ok((write, came_of(&schema, write, kind).await?)) });
    }
    let mut answers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    while let Some(ended) = writes.join_next().await {
        let (write, (came_of_it, took)) = ended??;
        answers.entry(came_of_it).or_default().push(format!("{write} ({:.0} s)", took.as_secs_f64()));
    }
    let shown = answers.iter().map(|(came_of_it, writes)| format!("{came_of_it}: {}", writes.join(", ")));
    println!("mute connections {} · {}", WRITES.len(), shown.collect::<Vec<_>>().join(" · "));
    Ok(!answers.contains_key(NEVER))
}

const NEVER: &str = "never answered";

/// Returns the result of one write, and its duration.
async fn came_of(schema: &Schema, write: &str, kind: Kind) -> Result<(&'static str, Duration)> {
    let proxy = Proxy::start(&schema.url).await?;
    let store = schema.options().patience(PATIENCE).open(proxy.pool(4)).await?;
    let run = RunId::new(format!("mute {write}"))?;
    let lease = open(&store, &run).await?;
    store.wait(&lease, question("asked")).await?;
    if write == "open" {
        // The next owner then finds the run, and finds it free.
        store.release(&lease);
        store.load(&run).await?;
    }
    proxy.cut_next(Some(kind), Cut::Silent);
    let began = Instant::now();
    let came_of_it = match tokio::time::timeout(BOUND, act(&store, &lease, write)).await {
        Ok(Ok(())) => "done",
        Ok(Err(_)) => "given up",
        Err(_) => NEVER,
    };
    Ok((came_of_it, began.elapsed()))
}

async fn act(store: &PostgresStore, lease: &Lease, write: &str) -> Result<()> {
    match write {
        "append" => store.append(lease, record("late")?, Durability::Sync).await?,
        "renew" => drop(store.renew(lease, secs(30)).await?),
        "replace" => store.replace(lease, record("late")?, Durability::Sync).await?,
        "wait" => store.wait(lease, question("late")).await?,
        "transactional commit" => {
            let transaction = Transactional::begin(store).await?;
            store.commit(transaction, lease, record("late")?, OnRecorded::Refuse).await?;
        }
        "answer" => {
            let outcome = record("asked")?.outcome;
            let answered = store.answer(Answer::new(lease.run().clone(), "asked", outcome)).await?;
            ensure!(answered == Ok(()), "the answer was {answered:?}");
        }
        _ => drop(open(store, lease.run()).await?),
    }
    Ok(())
}

async fn open(store: &PostgresStore, run: &RunId) -> Result<Lease> {
    match store.open(Open::new(run.clone(), "mute", Owner::unique())).await {
        Ok(Opened::Held { lease, .. }) => Ok(lease),
        Ok(_) => bail!("the run cannot be opened"),
        Err(error) => Err(error.into()),
    }
}
