//! Data that a crash of the server loses although the store acknowledged it.

use anyhow::{Context, Result, bail};
use awaitly::clock::ms;
use awaitly::journal::{Contents, Status};
use awaitly::persistence::PostgresStore;
use awaitly::store::{
    Answer, Durability, Ending, Lease, OnRecorded, Open, Opened, Operate, Owner, Rewrite, RunId, Store,
    StoreError, Transactional,
};

use crate::entries::{question, record};
use crate::schema::Schema;
use crate::server::{self, Stop};

/// With this setting, data of commits that do not wait for the disk is not on it yet.
const LAZY: &str = "wal_writer_delay=10s";

/// Returns whether the owner of a run whose beginning was lost is refused after another owner has begun it again.
pub(super) async fn fences() -> Result<bool> {
    server::lend(&[LAZY], async |server| {
        let url = server.url();
        Schema::lend(&url, async |schema| {
            let (first, second) = (schema.store().await?, schema.store().await?);
            let forgotten = open(&first, "run").await?;
            server.down(Stop::Kill).await?;
            server.up().await?;
            let lease = open(&second, "run").await?;
            second.append(&lease, record("theirs")?, Durability::Sync).await?;
            let refused = first.append(&forgotten, record("ours")?, Durability::Sync).await;
            let holds = matches!(refused, Err(StoreError::LeaseLost { .. }));
            println!(
                "crash after a beginning · the first owner's write {} · tokens {} and {}, slots {} and {}",
                if holds { "refused" } else { "went through beside the second owner" },
                forgotten.token(),
                lease.token(),
                forgotten.slot(),
                lease.slot()
            );
            Ok(holds)
        })
        .await
    })
    .await
}

/// Opens a run, performs `before`, kills and starts the server, and returns the result of `after`.
async fn around_crash(
    settings: &[&str],
    before: impl AsyncFnOnce(&PostgresStore, &Lease) -> Result<()>,
    after: impl AsyncFnOnce(&PostgresStore, &Lease) -> Result<bool>,
) -> Result<bool> {
    server::lend(settings, async |server| {
        let url = server.url();
        Schema::lend(&url, async |schema| {
            let store = schema.store().await?;
            let lease = open(&store, "run").await?;
            before(&store, &lease).await?;
            server.down(Stop::Kill).await?;
            server.up().await?;
            after(&store, &lease).await
        })
        .await
    })
    .await
}

/// Returns whether acknowledged writes survive a crash of a server that does not wait for the disk.
pub(super) async fn keeps() -> Result<bool> {
    let mut lost = Vec::new();
    for write in ["append", "replace", "wait", "rewrite", "answer", "cancel"] {
        let before = async |store: &PostgresStore, lease: &Lease| {
            // This record is on the disk, with everything before it.
            store.append(lease, record("first")?, Durability::Sync).await?;
            act(store, lease, write).await
        };
        let after = async |store: &PostgresStore, lease: &Lease| is_there(store, lease.run(), write).await;
        if !around_crash(&[LAZY, "synchronous_commit=off"], before, after).await? {
            lost.push(write);
        }
    }
    println!("crash with synchronous_commit=off · acknowledged and lost {lost:?}");
    Ok(lost.is_empty())
}

/// Returns whether an owner that lost an outcome with the server is refused all later writes.
pub(super) async fn leaves_no_gap() -> Result<bool> {
    let mut written = Vec::new();
    for write in ["append", "replace", "wait", "transaction", "finish"] {
        let before = async |store: &PostgresStore, lease: &Lease| {
            store.append(lease, record("first")?, Durability::Sync).await?;
            Ok(store.append(lease, record("lost")?, Durability::Batched).await?)
        };
        let after = async |store: &PostgresStore, lease: &Lease| {
            let refused = match write {
                "transaction" => {
                    let transaction = store.begin().await?;
                    store.commit(transaction, lease, record("second")?, OnRecorded::Refuse).await
                }
                "finish" => store.finish(lease, Ending::new(Status::Completed)).await,
                write => act(store, lease, write).await.map_err(|error| match error.downcast() {
                    Ok(error) => error,
                    Err(_) => StoreError::Closed,
                }),
            };
            let stored = store.load(lease.run()).await?.context("a run with a record is gone")?;
            let is_whole = stored.records == [record("first")?] && stored.waits.is_empty();
            Ok(matches!(refused, Err(StoreError::LeaseLost { .. })) && is_whole)
        };
        if !around_crash(&[LAZY], before, after).await? {
            written.push(write);
        }
    }
    println!("crash after a batched record · written behind the gap {written:?}");
    Ok(written.is_empty())
}

/// Returns whether a write that is not a record also makes the batched records before it durable.
pub(super) async fn takes_along() -> Result<bool> {
    let before = async |store: &PostgresStore, lease: &Lease| {
        store.append(lease, record("first")?, Durability::Batched).await?;
        act(store, lease, "wait").await
    };
    let after = async |store: &PostgresStore, lease: &Lease| {
        let stored = store.load(lease.run()).await?.context("the run is gone")?;
        Ok(stored.records == [record("first")?] && stored.waits.len() == 1)
    };
    let kept = around_crash(&[LAZY], before, after).await?;
    println!(
        "crash after a question · the batched record before it {}",
        if kept { "is there" } else { "is lost" }
    );
    Ok(kept)
}

async fn act(store: &PostgresStore, lease: &Lease, write: &str) -> Result<()> {
    match write {
        "append" => store.append(lease, record("second")?, Durability::Sync).await?,
        "replace" => store.replace(lease, record("second")?, Durability::Sync).await?,
        "wait" => store.wait(lease, question("second")).await?,
        "rewrite" => {
            let contents = Contents { records: vec![record("second")?], ..Contents::default() };
            store.rewrite(lease, Rewrite::new(2, contents, [])).await?;
        }
        "cancel" => drop(store.cancel(lease.run()).await?),
        _ => {
            store.wait(lease, question("second")).await?;
            store.append(lease, record("third")?, Durability::Sync).await?;
            let answer = Answer::new(lease.run().clone(), "second", record("second")?.outcome);
            let Ok(()) = store.answer(answer).await? else { bail!("the answer was not taken") };
        }
    }
    Ok(())
}

async fn is_there(store: &PostgresStore, run: &RunId, write: &str) -> Result<bool> {
    let stored = store.load(run).await?.context("a run with a record is gone")?;
    Ok(match write {
        "wait" => !stored.waits.is_empty(),
        "cancel" => stored.header.cancel_requested,
        _ => stored.records.iter().any(|record| &*record.key == "second"),
    })
}

/// Opens the run, and waits while another owner holds it.
async fn open(store: &PostgresStore, run: &str) -> Result<Lease> {
    loop {
        let request = Open::new(RunId::new(run)?, "chaos", Owner::unique());
        match store.open(request).await? {
            Opened::Held { lease, .. } => return Ok(lease),
            Opened::Refused(_) => tokio::time::sleep(ms(100)).await,
            Opened::Ended(_) => bail!("{run} has ended"),
        }
    }
}
