use awaitly::persistence::{MemoryStore, SqliteStore};
use awaitly::saga::{SagaError, saga};
use awaitly::store::Store;
use awaitly::{DurableRun, Workflow, step};

use super::{TripError, World};
use crate::fuse::Fused;
use crate::servers::Servers;

type Ended = Result<u64, SagaError<TripError>>;

const STEPS: [&str; 5] = ["seat", "room", "car", "tour", "charge"];

/// A saga of five steps with compensations. If `refused` is set, the last step fails.
async fn trip(run: &DurableRun, world: &World, refused: bool) -> Ended {
    saga(run, async |saga| {
        for name in STEPS {
            let key = run.idempotency_key(name);
            let undo_key = run.idempotency_key(&format!("undo {name}"));
            let undo = move |_| world.act(undo_key.clone());
            if refused && name == "charge" {
                step!(saga, name, compensate = undo, world.refuse("charge"));
            } else {
                step!(saga, name, compensate = undo, world.act(key));
            }
        }
        Ok(5)
    })
    .await
}

/// Runs a trip until it has ended. Each execution dies at the next of these boundaries.
async fn ended<S: Store + Clone>(
    store: &S,
    run: &str,
    world: &World,
    refused: bool,
    deaths: &[i64],
) -> Ended {
    let mut deaths = deaths.iter().copied();
    loop {
        world.fuse.set(deaths.next().unwrap_or(0));
        let workflow = Workflow::new("trip").store(Fused(store.clone(), world.fuse.clone()));
        let ran = workflow.run(run, async |run| trip(run, world, refused).await);
        if let Some(ended) = world.fuse.watch(ran).await {
            return ended;
        }
    }
}

/// Dies at each boundary, and after each of them once more at every `stride`th boundary.
async fn die_everywhere<S: Store + Clone>(store: &S, stride: usize) {
    for refused in [false, true] {
        let calm = World::default();
        let expected = ended(store, &format!("calm {refused}"), &calm, refused, &[]).await;
        let boundaries = calm.fuse.passed();
        let ledger = |world: &World| -> Vec<String> {
            world.done().iter().map(|key| key.split_once('/').unwrap().1.to_owned()).collect()
        };
        assert_eq!(expected.is_err(), refused);
        let undone = ["undo tour", "undo car", "undo room", "undo seat"];
        let whole: Vec<_> = match refused {
            false => STEPS.to_vec(),
            true => STEPS[..4].iter().chain(&undone).copied().collect(),
        };
        assert_eq!(ledger(&calm), whole);
        let mut cases = 0;
        for first in 1..=boundaries {
            for second in (0..=boundaries).step_by(stride) {
                let run = format!("{refused} {first} {second}");
                let world = World::default();
                let ended = ended(store, &run, &world, refused, &[first, second]).await;
                assert_eq!(ended, expected, "{run}");
                assert_eq!(ledger(&world), ledger(&calm), "{run}");
                for key in world.done() {
                    // A call is repeated only if the process died between the effect and its record.
                    assert!(world.calls(&key) <= 3, "{run}: {key}");
                }
                let again: u32 = world.done().iter().map(|key| world.calls(key) - 1).sum();
                assert!(again <= 2, "{run}: {again} repeated calls");
                cases += 1;
            }
        }
        println!("refused {refused}: {boundaries} boundaries, {cases} cases");
    }
}

#[tokio::test]
async fn saga_in_memory_completes_or_is_undone_despite_crashes() {
    die_everywhere(&MemoryStore::new(), 1).await;
}

#[tokio::test]
async fn saga_on_sqlite_completes_or_is_undone_despite_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("sagas.db")).await.unwrap();
    die_everywhere(&store, 13).await;
}

#[tokio::test]
async fn saga_on_postgres_completes_or_is_undone_despite_crashes() {
    let servers = Servers::new();
    let store = servers.postgres().await;
    die_everywhere(&store, 13).await;
    drop(store);
    servers.clear().await;
}
