//! Queues in a file: they survive, several stores share them, and damage to a run concerns only this run.

use std::time::Duration;

use awaitly_core::dispatch::{Queue, Rate};
use awaitly_core::journal::Status;
use awaitly_core::store::{
    Claim, Claimed, Configure, Dispatch, Durability, Ending, Held, Operate, Owner, Pausing, QueueState,
    Start, Store, Submit, Submitted,
};
use awaitly_persistence::SqliteStore;

use super::{InFolder, file};
use crate::given::{append, begin, hold, load, request, run_id, value};

const HOUR: Duration = Duration::from_secs(3600);

fn order(id: &str) -> Submit {
    Submit::new(run_id(id), "checkout").queue("orders")
}

fn orders() -> Queue {
    Queue::new("orders")
}

async fn submit(store: &SqliteStore, batch: impl IntoIterator<Item = Submit>) {
    for result in store.submit(batch.into_iter().collect()).await.unwrap() {
        assert_eq!(result, Ok(Submitted::Queued));
    }
}

async fn set(store: &SqliteStore, queue: Queue) {
    store.configure(vec![queue], Configure::Set).await.unwrap();
}

fn all() -> Claim {
    Claim::new(Owner::unique()).serve("checkout", 1).ttl(HOUR)
}

async fn claim(store: &SqliteStore) -> Claimed {
    store.claim(all()).await.unwrap()
}

fn ids(held: &[Held]) -> Vec<&str> {
    held.iter().map(|held| &**held.lease.run()).collect()
}

async fn finish(store: &SqliteStore, held: &Held) {
    store.finish(&held.lease, Ending::new(Status::Completed)).await.unwrap();
}

#[tokio::test]
async fn settings_and_pauses_survive_reopening() {
    let fixture = InFolder::new().await;
    let settings = orders().concurrency(7).per_key(2).rate(Rate::per_minute(90)).fair();
    fixture.store.configure(vec![settings.clone()], Configure::Declare).await.unwrap();
    set(&fixture.store, settings.clone().concurrency(8)).await;
    fixture.store.pause_queues(vec!["mails".into(), "orders".into()], Pausing::Pause).await.unwrap();
    fixture.store.pause_queues(vec!["orders".into()], Pausing::Resume).await.unwrap();
    let states = fixture.store.queues().await.unwrap();
    let InFolder { store, place: _folder } = fixture.reopen().await;
    let expected =
        [QueueState::new(Queue::new("mails"), true), QueueState::new(settings.clone().concurrency(8), false)];
    assert_eq!((&states[..], &store.queues().await.unwrap()[..]), (&expected[..], &expected[..]));
    store.configure(vec![settings], Configure::Declare).await.unwrap();
    assert_eq!(store.queues().await.unwrap(), expected, "the code has not changed");
}

#[tokio::test]
async fn pace_of_a_rate_survives_reopening() {
    let fixture = InFolder::new().await;
    set(&fixture.store, orders().rate(Rate::new(1, HOUR))).await;
    submit(&fixture.store, [order("a"), order("b")]).await;
    let first = claim(&fixture.store).await;
    assert_eq!(ids(&first.runs), ["a"]);
    finish(&fixture.store, &first.runs[0]).await;
    let InFolder { store, place: _folder } = fixture.reopen().await;
    let second = claim(&store).await;
    assert!(second.runs.is_empty());
    let next = second.now.until(second.next.unwrap());
    assert!(next > HOUR / 2 && next <= HOUR, "{next:?}");
}

#[tokio::test]
async fn ranks_of_a_fair_queue_survive_reopening() {
    let fixture = InFolder::new().await;
    set(&fixture.store, orders().fair()).await;
    submit(&fixture.store, [order("ann 0").key("ann"), order("ann 1").key("ann")]).await;
    let fixture = fixture.reopen().await;
    submit(&fixture.store, [order("ann 2").key("ann"), order("bob 0").key("bob")]).await;
    let held = claim(&fixture.store).await.runs;
    assert_eq!(ids(&held), ["ann 0", "bob 0", "ann 1", "ann 2"]);
    for held in &held {
        finish(&fixture.store, held).await;
    }
    let InFolder { store, place: _folder } = fixture.reopen().await;
    submit(&store, [order("eve 0").key("eve"), order("ann 3").key("ann")]).await;
    assert_eq!(ids(&claim(&store).await.runs), ["eve 0", "ann 3"]);
    assert_eq!(load(&store, "eve 0").await.header.place.rank, 2, "the rank of the run that started last");
}

#[tokio::test]
async fn old_ranks_of_keys_are_removed() {
    let fixture = InFolder::new().await;
    set(&fixture.store, orders().fair()).await;
    for round in 0..6 {
        let keys = (0..500).map(|key| format!("{round}-{key}"));
        submit(&fixture.store, keys.clone().map(|key| order(&format!("{key} first")).key(key))).await;
        submit(&fixture.store, keys.map(|key| order(&format!("{key} second")).key(key))).await;
        let held = fixture.store.claim(all().limit(1000)).await.unwrap().runs;
        assert_eq!(held.len(), 1000);
        for held in &held {
            fixture.store.release(&held.lease);
        }
        let runs = held.iter().map(|held| held.lease.run().clone()).collect();
        fixture.store.delete(runs, awaitly_core::store::DeleteIf::Free).await.unwrap();
    }
    let kept = "SELECT count(*) FROM awaitly_queue_keys";
    let kept: i64 = fixture.sql().query_row(kept, [], |row| row.get(0)).unwrap();
    assert!(kept < 2000, "{kept} of 3000 keys are kept");
}

#[tokio::test]
async fn run_behind_a_limit_starts_after_reopening() {
    let fixture = InFolder::new().await;
    set(&fixture.store, orders().per_key(1)).await;
    submit(&fixture.store, (0..3).map(|number| order(&format!("ann {number}")).key("ann"))).await;
    assert_eq!(ids(&claim(&fixture.store).await.runs), ["ann 0"]);
    // The store closes with the lease, which is free then.
    let InFolder { store, place: _folder } = fixture.reopen().await;
    let held = claim(&store).await.runs;
    assert_eq!(ids(&held), ["ann 0"]);
    finish(&store, &held[0]).await;
    assert_eq!(ids(&claim(&store).await.runs), ["ann 1"]);
}

#[tokio::test]
async fn next_run_of_a_key_starts_once_the_first_one_leaves_the_queue() {
    let InFolder { store, place: _folder } = InFolder::new().await;
    set(&store, orders().per_key(1)).await;
    submit(&store, (0..6).map(|number| order(&format!("ann {number}")).key("ann"))).await;
    let held = claim(&store).await.runs;
    assert_eq!(ids(&held), ["ann 0"]);
    assert!(claim(&store).await.runs.is_empty());
    // "ann 1" is ready after this, and each change of it lets the next run start.
    finish(&store, &held[0]).await;
    store.pause(vec![run_id("ann 1")], Pausing::Pause).await.unwrap();
    let _ = store.cancel(&run_id("ann 2")).await.unwrap();
    store.delete(vec![run_id("ann 3")], awaitly_core::store::DeleteIf::Free).await.unwrap();
    let later = awaitly_core::store::Reschedule::new().start(Start::In(HOUR));
    store.reschedule(vec![run_id("ann 4")], later).await.unwrap();
    assert_eq!(ids(&claim(&store).await.runs), ["ann 5"]);
}

#[tokio::test]
async fn run_that_is_too_late_makes_room_for_the_next_of_its_key() {
    let fixture = InFolder::new().await;
    let store = fixture.store.clone();
    set(&store, orders().per_key(1)).await;
    let run = |number: u32| order(&format!("ann {number}")).key("ann");
    submit(&store, [run(0), run(1), run(2)]).await;
    let held = claim(&store).await.runs;
    assert_eq!(ids(&held), ["ann 0"]);
    fixture.change_run("ann 1", "start_by = 1");
    finish(&store, &held[0]).await;
    let none = claim(&store).await;
    assert_eq!((none.runs.len(), none.next), (0, Some(none.now)), "another claim finds the next run");
    assert_eq!(load(&store, "ann 1").await.header.status, Status::Cancelled);
    assert_eq!(ids(&claim(&store).await.runs), ["ann 2"]);
}

#[tokio::test]
async fn full_key_with_many_runs_does_not_keep_a_claim_busy() {
    let InFolder { store, place: _folder } = InFolder::new().await;
    set(&store, orders().per_key(1)).await;
    submit(&store, (0..10_002).map(|number| order(&format!("ann {number}")).key("ann"))).await;
    submit(&store, [order("bob").key("bob")]).await;
    let first = claim(&store).await;
    assert_eq!((ids(&first.runs), first.next), (vec!["ann 0"], Some(first.now)));
    let second = claim(&store).await;
    assert_eq!(ids(&second.runs), ["bob"]);
    assert_ne!(second.next, Some(second.now), "another claim would find nothing");
}

#[tokio::test]
async fn paused_run_with_an_expired_lease_leaves_its_place_to_another() {
    let InFolder { store, place: _folder } = InFolder::new().await;
    set(&store, orders().per_key(1)).await;
    submit(&store, [order("ann 0").key("ann"), order("ann 1").key("ann")]).await;
    let held = claim(&store).await.runs;
    store.pause(vec![run_id("ann 0")], Pausing::Pause).await.unwrap();
    assert!(claim(&store).await.runs.is_empty(), "the paused run is still running");
    store.renew(&held[0].lease, Duration::ZERO).await.unwrap();
    let freed = async {
        while claim(&store).await.runs.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), freed).await.is_ok());
}

#[tokio::test]
async fn two_stores_share_the_limits_of_a_queue() {
    let fixture = InFolder::new().await;
    let other = SqliteStore::open(fixture.file()).await.unwrap();
    set(&fixture.store, orders().concurrency(2)).await;
    submit(&other, (0..4).map(|number| order(&number.to_string()))).await;
    let ours = fixture.store.claim(all().limit(1)).await.unwrap().runs;
    let theirs = claim(&other).await.runs;
    assert_eq!((ids(&ours), ids(&theirs)), (vec!["0"], vec!["1"]));
    assert!(claim(&fixture.store).await.runs.is_empty());
    finish(&other, &theirs[0]).await;
    assert_eq!(ids(&claim(&fixture.store).await.runs), ["2"]);
    set(&other, orders()).await;
    assert_eq!(ids(&claim(&fixture.store).await.runs), ["3"]);
    other.pause_queues(vec!["orders".into()], Pausing::Pause).await.unwrap();
    submit(&other, [order("4")]).await;
    assert!(claim(&fixture.store).await.runs.is_empty());
}

#[tokio::test]
async fn runs_of_a_closed_store_are_claimed_at_once_by_another() {
    let fixture = InFolder::new().await;
    let other = SqliteStore::open(fixture.file()).await.unwrap();
    set(&fixture.store, orders().concurrency(3)).await;
    submit(&fixture.store, ["a", "b", "c", "d"].map(order)).await;
    let held = claim(&fixture.store).await.runs;
    assert_eq!(ids(&held), ["a", "b", "c"]);
    append(&fixture.store, &held[1].lease, value("charge", "1")).await.unwrap();
    assert!(claim(&other).await.runs.is_empty());
    fixture.store.clone().close().await.unwrap();
    let claimed = claim(&other).await.runs;
    assert_eq!(ids(&claimed), ["a", "b", "c"], "the limit counts no lease of a dead owner");
    let crashes: Vec<_> = claimed.iter().map(|held| held.run.header.crashes).collect();
    assert_eq!(crashes, [1, 0, 1], "only one owner made progress");
    assert_eq!(claimed[1].run.records.len(), 1);
}

#[tokio::test]
async fn unreadable_run_keeps_no_other_from_starting() {
    let fixture = InFolder::new().await;
    submit(&fixture.store, ["a", "b", "c", "d"].map(order)).await;
    let lease = begin(&fixture.store, "e").await;
    append(&fixture.store, &lease, value("charge", "1")).await.unwrap();
    fixture.store.release(&lease);
    let (lease, _) = hold(&fixture.store, request("f")).await;
    fixture.store.release(&lease);
    for harm in [
        "UPDATE awaitly_runs SET priority = 9 WHERE run_id = 'b'",
        "UPDATE awaitly_runs SET format = 9 WHERE run_id = 'c'",
        "UPDATE awaitly_steps SET payload = '2'",
    ] {
        assert_eq!(fixture.sql().execute(harm, []).unwrap(), 1);
    }
    let mut claimed =
        ids(&claim(&fixture.store).await.runs).into_iter().map(str::to_owned).collect::<Vec<_>>();
    claimed.sort();
    assert_eq!(claimed, ["a", "d", "f"]);
    assert!(fixture.store.load(&run_id("b")).await.is_err());
}

#[tokio::test]
async fn claim_reads_the_journal_of_a_resumed_run() {
    let fixture = InFolder::new().await;
    submit(&fixture.store, ["a", "b"].map(order)).await;
    let held = claim(&fixture.store).await.runs;
    fixture.store.append(&held[1].lease, value("charge", "7"), Durability::Batched).await.unwrap();
    held.iter().for_each(|held| fixture.store.release(&held.lease));
    submit(&fixture.store, [order("c")]).await;
    let InFolder { store, place: _folder } = fixture.reopen().await;
    for held in claim(&store).await.runs {
        assert_eq!(held.run, load(&store, held.lease.run()).await);
        assert_eq!(held.run.records.len(), usize::from(&**held.lease.run() == "b"));
        append(&store, &held.lease, value("ship", "8")).await.unwrap();
    }
}

#[tokio::test]
async fn store_on_a_copy_counts_foreign_leases_until_they_expire() {
    let fixture = InFolder::new().await;
    set(&fixture.store, orders().concurrency(1)).await;
    submit(&fixture.store, ["a", "b"].map(order)).await;
    assert_eq!(ids(&claim(&fixture.store).await.runs), ["a"]);
    let copy = tempfile::tempdir().unwrap();
    fixture.sql().execute("VACUUM INTO ?", [file(&copy).to_str().unwrap()]).unwrap();
    let copy = SqliteStore::open(file(&copy)).await.unwrap();
    assert!(claim(&copy).await.runs.is_empty(), "the owner may be alive");
}
