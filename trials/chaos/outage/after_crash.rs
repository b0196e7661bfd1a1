//! What a crash of the server takes with it, though the store had answered.

use anyhow::{Context, Result, bail};
use awaitly::clock::ms;
use awaitly::journal::{Contents, Key, Outcome, Payload, Record, Status};
use awaitly::persistence::PostgresStore;
use awaitly::store::{
    Answer, Answered, Durability, Ending, Lease, OnRecorded, Open, Opened, Operate, Owner, Rewrite, RunId,
    Store, StoreError, Transactional, Wait,
};

use crate::schema::Schema;
use crate::server::{self, Stop};

/// So that what does not wait for the disk is certainly not on it yet.
const LAZY: &str = "wal_writer_delay=10s";

/// Whether the owner of a run whose beginning was forgotten is refused once another one has begun it anew.
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

/// Whether what was acknowledged is there after a crash of a server that is set not to wait for the disk.
pub(super) async fn keeps() -> Result<bool> {
    let mut lost = Vec::new();
    for write in ["append", "replace", "wait", "rewrite", "answer", "cancel"] {
        let kept = server::lend(&[LAZY, "synchronous_commit=off"], async |server| {
            let url = server.url();
            Schema::lend(&url, async |schema| {
                let store = schema.store().await?;
                let lease = open(&store, "run").await?;
                // What is written with this is on the disk, with everything before it.
                store.append(&lease, record("first")?, Durability::Sync).await?;
                act(&store, &lease, write).await?;
                server.down(Stop::Kill).await?;
                server.up().await?;
                is_there(&store, lease.run(), write).await
            })
            .await
        });
        if !kept.await? {
            lost.push(write);
        }
    }
    println!("crash with synchronous_commit=off · acknowledged and lost {lost:?}");
    Ok(lost.is_empty())
}

/// Whether an owner that has lost an outcome with the server is kept from writing anything behind the gap.
pub(super) async fn leaves_no_gap() -> Result<bool> {
    let mut written = Vec::new();
    for write in ["append", "replace", "wait", "transaction", "finish"] {
        let refused = server::lend(&[LAZY], async |server| {
            let url = server.url();
            Schema::lend(&url, async |schema| {
                let store = schema.store().await?;
                let lease = open(&store, "run").await?;
                store.append(&lease, record("first")?, Durability::Sync).await?;
                store.append(&lease, record("lost")?, Durability::Batched).await?;
                server.down(Stop::Kill).await?;
                server.up().await?;
                let refused = match write {
                    "transaction" => {
                        let transaction = store.begin().await?;
                        store.commit(transaction, &lease, record("second")?, OnRecorded::Refuse).await
                    }
                    "finish" => store.finish(&lease, Ending::new(Status::Completed)).await,
                    write => act(&store, &lease, write).await.map_err(|error| match error.downcast() {
                        Ok(error) => error,
                        Err(_) => StoreError::Closed,
                    }),
                };
                let stored = store.load(lease.run()).await?.context("a run with a record is gone")?;
                let is_whole = stored.records == [record("first")?] && stored.waits.is_empty();
                Ok(matches!(refused, Err(StoreError::LeaseLost { .. })) && is_whole)
            })
            .await
        });
        if !refused.await? {
            written.push(write);
        }
    }
    println!("crash after a batched record · written behind the gap {written:?}");
    Ok(written.is_empty())
}

/// Whether what is not a record is on the disk with the batched records before it.
pub(super) async fn takes_along() -> Result<bool> {
    let kept = server::lend(&[LAZY], async |server| {
        let url = server.url();
        Schema::lend(&url, async |schema| {
            let store = schema.store().await?;
            let lease = open(&store, "run").await?;
            store.append(&lease, record("first")?, Durability::Batched).await?;
            act(&store, &lease, "wait").await?;
            server.down(Stop::Kill).await?;
            server.up().await?;
            let stored = store.load(lease.run()).await?.context("the run is gone")?;
            Ok(stored.records == [record("first")?] && stored.waits.len() == 1)
        })
        .await
    });
    let kept = kept.await?;
    println!(
        "crash after a question · the batched record before it {}",
        if kept { "is there" } else { "is lost" }
    );
    Ok(kept)
}

async fn act(store: &PostgresStore, lease: &Lease, write: &str) -> Result<()> {
    let question = |key| Wait {
        key: Key::from(key),
        token: "t".into(),
        request: Payload::from_stored("1"),
        expires_in: None,
    };
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
            let Answered::Taken = store.answer(answer).await? else { bail!("the answer was not taken") };
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

/// Waits for as long as somebody has it.
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

fn record(key: &'static str) -> Result<Record> {
    Ok(Record { key: Key::from(key), outcome: Outcome::Value(Payload::encode(key)?), input: None })
}
