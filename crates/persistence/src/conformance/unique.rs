//! The promises about deduplication keys.

use std::time::Duration;

use awaitly_core::journal::Status;
use awaitly_core::store::{DeleteIf, Dispatch, Input, Pausing, Start, Submit, Submitted};
use futures_util::future::join_all;

use super::dispatching::{Desk, HOUR};
use super::ok;

impl<S: Dispatch> Desk<'_, S> {
    async fn submitted(&self, submit: Submit) -> Submitted {
        let result = ok("submit", self.store.submit(vec![submit]).await).remove(0);
        result.unwrap_or_else(|refused| panic!("expected the run to be accepted: {refused}"))
    }
}

/// A batch may contain a run twice whose deduplication key a queued run has.
pub(super) async fn run_that_is_a_duplicate_twice_in_a_batch_is_added_never<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "twice");
    desk.submit([desk.run("a").deduplicate("key")]).await;
    let again = || desk.run("b").deduplicate("key");
    let results = ok("submit", store.submit(vec![again(), again()]).await);
    let duplicate = || Ok(Submitted::Duplicate(desk.id("a")));
    assert_eq!(results, [duplicate(), duplicate()]);
    assert_eq!(store.load(&desk.id("b")).await, Ok(None));
}

/// If claims take the runs with a key while others submit runs with that key, no submission fails.
pub(super) async fn key_of_a_run_that_is_claimed_meanwhile_is_free<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "taken key");
    let submitting = join_all((0..4).map(async |of: u32| {
        let mut queued = 0;
        for number in 0..30 {
            let run = desk.run(&format!("{of} {number}"));
            let run = if number % 2 == 0 { run.deduplicate("key") } else { run.debounce("key") };
            match desk.submitted(run).await {
                // A claim may take the run before the submission looks at the result.
                Submitted::Queued | Submitted::Exists(_) => queued += 1,
                Submitted::Duplicate(_) => {}
            }
        }
        queued
    }));
    let claiming = async {
        let mut claimed = 0;
        for _ in 0..60 {
            claimed += desk.held(9).await.len();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        claimed
    };
    let (queued, claimed) = futures_util::future::join(submitting, claiming).await;
    assert_eq!(queued.iter().sum::<usize>(), claimed + desk.held(9).await.len());
}

/// A queued run of another workflow keeps its input and its start, and is claimed.
pub(super) async fn debounce_by_another_workflow_changes_no_run<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "foreign");
    desk.submit([desk.run("a").debounce("key")]).await;
    let foreign = Submit::new(desk.id("b"), "other").queue(desk.name.clone());
    let foreign = foreign.input(Input::of("tea").expect("text has a JSON form"));
    let foreign = foreign.debounce("key").start(Start::In(HOUR));
    assert_eq!(desk.submitted(foreign).await, Submitted::Duplicate(desk.id("a")));
    assert_eq!(desk.stored("a").await.input, None);
    assert_eq!(desk.claimed(9).await, ["a"]);
}

/// The deadline of a debounced run is that of the last submission.
pub(super) async fn debounced_run_takes_the_new_deadline<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "deadline");
    let now = ok("now", store.now().await);
    desk.submit([desk.run("a").debounce("a").start_by(now.before(HOUR))]).await;
    desk.submit([desk.run("b").debounce("b").start_by(now.before(HOUR))]).await;
    let later = desk.run("c").debounce("a").start_by(now.after(HOUR));
    assert_eq!(desk.submitted(later).await, Submitted::Duplicate(desk.id("a")));
    assert_eq!(desk.stored("a").await.header.place.start_by, Some(now.after(HOUR)));
    assert_eq!(desk.submitted(desk.run("d").debounce("b")).await, Submitted::Duplicate(desk.id("b")));
    assert_eq!(desk.stored("b").await.header.place.start_by, None);
    let mut claimed = desk.claimed(9).await;
    claimed.sort();
    assert_eq!(claimed, ["a", "b"]);
}

/// A debounced run keeps its turn in a fair queue. In another queue, its rank follows its new start.
pub(super) async fn debounced_run_of_a_fair_queue_keeps_its_rank<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "fair turn");
    desk.set(desk.queue().fair()).await;
    desk.submit([desk.run("a").key("ann").debounce("key"), desk.run("b").key("ann")]).await;
    let before = desk.stored("a").await.header.place;
    for _ in 0..3 {
        let again = desk.run("c").key("ann").debounce("key");
        assert_eq!(desk.submitted(again).await, Submitted::Duplicate(desk.id("a")));
    }
    assert_eq!(desk.stored("a").await.header.place, before);
    assert_eq!(desk.claimed(1).await, ["a"]);
    desk.submit([desk.run("d").key("ann")]).await;
    assert_eq!(desk.claimed(1).await, ["b"], "the submissions used up no turns");
}

/// A run that has begun no longer has its deduplication key, so its deletion does not free the key of another run.
pub(super) async fn deleted_run_leaves_its_key_to_the_next<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "deleted key");
    desk.submit([desk.run("a").deduplicate("key")]).await;
    let held = desk.held(1).await;
    desk.finish(&held[0], Status::Completed).await;
    desk.submit([desk.run("b").deduplicate("key")]).await;
    let deleted = ok("delete", store.delete(vec![desk.id("a")], DeleteIf::Free).await);
    assert_eq!(deleted, [desk.id("a")]);
    let duplicate = Submitted::Duplicate(desk.id("b"));
    assert_eq!(desk.submitted(desk.run("c").deduplicate("key")).await, duplicate);
    ok("pause", store.pause(vec![desk.id("b")], Pausing::Pause).await);
    assert_eq!(desk.submitted(desk.run("d").deduplicate("key")).await, duplicate, "a paused run is queued");
}
