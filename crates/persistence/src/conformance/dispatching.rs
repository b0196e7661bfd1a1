use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::dispatch::{Queue, Rate};
use awaitly_core::journal::{Outcome, Payload, Refused, Status};
use awaitly_core::store::{
    Answer, Cancelled, Claim, Claimed, Configure, Dispatch, DueQuery, Ending, Held, Input, Open, Opened,
    Owner, Pausing, Publish, Purpose, Reschedule, RunId, RunQuery, Start, StoreError, StoredRun, Submit,
    Submitted, Wait,
};
use futures_util::future::join_all;

use super::concurrency::poll_times;
use super::leases::MINUTE;
use super::opening::ending;
use super::{SYNC, ok, run_id, value};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A case with its own workflow and queue, so that other promises can use the store at the same time.
pub(super) struct Desk<'a, S> {
    pub(super) store: &'a S,
    pub(super) name: Arc<str>,
}

impl<'a, S: Dispatch> Desk<'a, S> {
    pub(super) fn new(store: &'a S, name: &str) -> Self {
        Self { store, name: format!("{name}-{}", Owner::unique().as_str()).into() }
    }

    pub(super) fn id(&self, run: &str) -> RunId {
        run_id(&format!("{}/{run}", self.name))
    }

    pub(super) fn queue(&self) -> Queue {
        Queue::new(Arc::clone(&self.name))
    }

    pub(super) fn run(&self, run: &str) -> Submit {
        Submit::new(self.id(run), Arc::clone(&self.name)).queue(Arc::clone(&self.name))
    }

    pub(super) async fn submit(&self, batch: impl IntoIterator<Item = Submit>) {
        let batch: Vec<_> = batch.into_iter().collect();
        let expected = vec![Ok(Submitted::Queued); batch.len()];
        assert_eq!(ok("submit", self.store.submit(batch).await), expected);
    }

    pub(super) fn request(&self, limit: usize) -> Claim {
        Claim::new(Owner::unique()).serve(Arc::clone(&self.name), 1).limit(limit)
    }

    pub(super) async fn claim(&self, limit: usize) -> Claimed {
        ok("claim", self.store.claim(self.request(limit)).await)
    }

    pub(super) async fn held(&self, limit: usize) -> Vec<Held> {
        self.claim(limit).await.runs
    }

    /// Claims runs, and returns the part of their ids after the slash.
    pub(super) async fn claimed(&self, limit: usize) -> Vec<String> {
        names(&self.held(limit).await)
    }

    pub(super) async fn finish(&self, held: &Held, status: Status) {
        ok("finish", self.store.finish(&held.lease, ending(status)).await);
    }

    pub(super) async fn set(&self, queue: Queue) {
        ok("configure", self.store.configure(vec![queue], Configure::Set).await);
    }

    pub(super) async fn stored(&self, run: &str) -> StoredRun {
        ok("load", self.store.load(&self.id(run)).await).expect("the run is stored")
    }
}

pub(super) fn names(held: &[Held]) -> Vec<String> {
    let name = |held: &Held| held.lease.run().rsplit('/').next().unwrap_or_default().to_owned();
    held.iter().map(name).collect()
}

/// A submitted run is queued, keeps its input and its place, and is due.
pub(super) async fn submitted_run_is_queued_with_its_input<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "submitted");
    let input = Input::of(&["tea \0", "mug"]).expect("text has a JSON form");
    let by = ok("now", store.now().await).after(HOUR);
    let submit = desk.run("a").input(input.clone()).key("customer \0 7").priority(-3).start_by(by);
    desk.submit([submit]).await;
    let StoredRun { header, input: stored, records, waits } = desk.stored("a").await;
    assert_eq!((header.status, header.version, header.wake), (Status::Queued, 0, Some(header.created)));
    assert_eq!((stored, header.input), (Some(input.payload), Some(input.fingerprint)));
    assert!(records.is_empty() && waits.is_empty());
    let place = header.place;
    assert_eq!((&*place.queue, place.key.as_deref()), (&*desk.name, Some("customer \0 7")));
    let rank = header.created.as_millis().cast_signed() + 3000;
    assert_eq!((place.priority, place.rank, place.start_by), (-3, rank, Some(by)));
    let due = ok("due", store.due(DueQuery::new().workflow(Arc::clone(&desk.name))).await);
    assert_eq!(due.len(), 1);
}

/// A run id is submitted once: the same run again changes nothing, and a run with another workflow or input is refused.
pub(super) async fn run_is_submitted_once<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "once");
    let input = |text: &str| Input::of(text).expect("text has a JSON form");
    let first = || desk.run("a").input(input("tea"));
    let results = ok("submit", store.submit(vec![first(), first(), desk.run("b")]).await);
    let exists = |status| Ok(Submitted::Exists(status));
    assert_eq!(results, [Ok(Submitted::Queued), exists(Status::Queued), Ok(Submitted::Queued)]);
    let other = Submit::new(desk.id("a"), "other").input(input("tea"));
    let again = vec![first().priority(7), desk.run("a").input(input("mug")), other, desk.run("c")];
    let [same, changed, other, new] = &ok("submit", store.submit(again).await)[..] else {
        panic!("four results")
    };
    assert_eq!((same, changed), (&exists(Status::Queued), &Err(Refused::InputChanged)));
    assert_eq!(other, &Err(Refused::OtherWorkflow { workflow: Arc::clone(&desk.name) }));
    assert_eq!(new, &Ok(Submitted::Queued), "a refused run does not affect the others");
    assert_eq!(desk.stored("a").await.header.place.priority, 0);
    let held = desk.held(1).await;
    desk.finish(&held[0], Status::Completed).await;
    assert_eq!(ok("submit", store.submit(vec![first()]).await), [exists(Status::Completed)]);
}

/// A batch with a run that the store cannot keep adds none of its runs.
pub(super) async fn unfit_submission_is_refused_whole<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "unfit");
    let long = "x".repeat(RunId::MAX_BYTES + 1);
    let large = Input::of(&"x".repeat(Payload::MAX_BYTES)).expect("text has a JSON form");
    let late = Start::At(awaitly_core::journal::Timestamp::from_millis(u64::MAX));
    for unfit in [
        desk.run("b").queue(long.clone()),
        desk.run("b").key(long.clone()),
        desk.run("b").input(large),
        desk.run("b").start(late),
        desk.run("b").tag(""),
        desk.run("b").tag("x".repeat(Submit::MAX_TAG_BYTES + 1)),
        (0..=Submit::MOST_TAGS).fold(desk.run("b"), |run, number| run.tag(number.to_string())),
    ] {
        match store.submit(vec![desk.run("a"), unfit]).await {
            Err(StoreError::Unstorable { .. }) => {}
            other => panic!("expected the batch to be refused, the store answered {other:?}"),
        }
        assert_eq!(store.load(&desk.id("a")).await, Ok(None));
    }
}

/// A claim takes the lease and returns the journal; the run is running from then on, with the version of the code.
pub(super) async fn claimed_run_is_held_and_running<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "claimed");
    let input = Input::of("tea").expect("text has a JSON form");
    desk.submit([desk.run("a").input(input.clone())]).await;
    let claim = Claim::new(Owner::unique()).serve(Arc::clone(&desk.name), 7).ttl(MINUTE);
    let claimed = ok("claim", store.claim(claim).await);
    let [Held { lease, run }] = &claimed.runs[..] else {
        panic!("expected one run, found {:?}", claimed.runs)
    };
    assert_eq!((run.header.status, run.header.version), (Status::Running, 7));
    assert_eq!((run.header.changed, &run.input), (claimed.now, &Some(input.payload)));
    assert_eq!(desk.stored("a").await, *run);
    assert!(desk.held(9).await.is_empty(), "a claimed run is held");
    let busy = Open::new(desk.id("a"), Arc::clone(&desk.name), Owner::unique()).version(7);
    assert!(matches!(
        ok("open", store.open(busy).await),
        Opened::Refused(Refused::Busy { remaining }) if remaining <= MINUTE
    ));
    ok("append", store.append(lease, value("charge", "1"), SYNC).await);
    ok("renew", store.renew(lease, MINUTE).await);
    ok("finish", store.finish(lease, ending(Status::Completed)).await);
    let stored = desk.stored("a").await;
    assert_eq!((stored.header.status, stored.records.len()), (Status::Completed, 1));
    assert!(desk.held(9).await.is_empty());
}

/// A claim takes only runs of the served workflows, at most as many as its limit, and no run that newer code began.
pub(super) async fn claim_takes_only_served_workflows<S: Dispatch>(store: &S) {
    let (desk, other) = (Desk::new(store, "served"), Desk::new(store, "other"));
    desk.submit((0..5).map(|number| desk.run(&number.to_string()))).await;
    other.submit([other.run("x").queue(Arc::clone(&desk.name))]).await;
    let none = ok("claim", store.claim(Claim::new(Owner::unique())).await);
    assert!(none.runs.is_empty());
    assert!(desk.held(0).await.is_empty());
    let two = desk.claim(2).await;
    assert_eq!((two.runs.len(), two.next), (2, Some(two.now)), "three more are due");
    assert_eq!(desk.claimed(9).await, ["2", "3", "4"]);
    let claim =
        Claim::new(Owner::unique()).serve(Arc::clone(&desk.name), 1).serve(Arc::clone(&other.name), 3);
    let newer = ok("claim", store.claim(claim).await).runs;
    assert_eq!(names(&newer), ["x"]);
    store.release(&newer[0].lease);
    assert!(other.held(9).await.is_empty(), "newer code began the run");
    let newer = ok("claim", store.claim(other.request(9).serve(Arc::clone(&other.name), 3)).await).runs;
    assert_eq!(names(&newer), ["x"]);
}

/// Runs of a queue start by priority and by the time of their submission.
pub(super) async fn runs_start_in_the_order_of_their_ranks<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "ranks");
    desk.submit((0..4).map(|number| desk.run(&number.to_string()))).await;
    desk.submit([desk.run("low").priority(-3600), desk.run("high").priority(3600)]).await;
    desk.submit([desk.run("last")]).await;
    assert_eq!(desk.claimed(1).await, ["high"]);
    assert_eq!(desk.claimed(2).await, ["0", "1"]);
    assert_eq!(desk.claimed(9).await, ["2", "3", "last", "low"]);
}

/// Runs that several versions of the code began start in the order of their ranks, together with queued runs.
pub(super) async fn versions_that_began_runs_do_not_change_their_order<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "versions");
    let at = async |version, limit| {
        let claim = desk.request(limit).serve(Arc::clone(&desk.name), version);
        ok("claim", store.claim(claim).await).runs
    };
    let ranked = |number: i32| desk.run(&number.to_string()).priority(-number);
    desk.submit((0..6).map(ranked)).await;
    let newest = at(3, 2).await;
    let newer = at(2, 2).await;
    let old = at(1, 1).await;
    assert_eq!((names(&newest), names(&newer)), (vec!["0".into(), "1".into()], vec!["2".into(), "3".into()]));
    newest.iter().chain(&newer).chain(&old).for_each(|held| store.release(&held.lease));
    let found = at(1, 9).await;
    assert_eq!(names(&found), ["4", "5"]);
    found.iter().for_each(|held| store.release(&held.lease));
    let found = at(2, 3).await;
    assert_eq!(names(&found), ["2", "3", "4"]);
    found.iter().for_each(|held| store.release(&held.lease));
    assert_eq!(names(&at(3, 9).await), ["0", "1", "2", "3", "4", "5"]);
}

/// A run is not claimed before its start, whatever its priority, and the claim returns the time of the next start. A
/// change of the start, the priority or the queue takes effect at once.
pub(super) async fn delayed_run_starts_at_its_time<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "delayed");
    let now = ok("now", store.now().await);
    desk.submit([
        desk.run("later").priority(1_000_000).start(Start::In(HOUR)),
        desk.run("at").start(Start::At(now.after(2 * HOUR))),
        desk.run("past").start(Start::At(now.before(HOUR))),
    ])
    .await;
    let claimed = desk.claim(9).await;
    assert_eq!(names(&claimed.runs), ["past"]);
    assert!(claimed.next.is_some_and(|next| next <= now.after(HOUR).after(MINUTE)), "{:?}", claimed.next);
    let wake = desk.stored("at").await.header.wake;
    assert_eq!(wake, Some(now.after(2 * HOUR)));
    let runs = vec![desk.id("at"), desk.id("later"), desk.id("past"), desk.id("missing")];
    let change = Reschedule::new().start(Start::Now).priority(5);
    assert_eq!(ok("reschedule", store.reschedule(runs, change).await), [desk.id("at"), desk.id("later")]);
    let moved = Reschedule::new().queue(format!("{}-other", desk.name)).start(Start::In(HOUR));
    assert_eq!(ok("reschedule", store.reschedule(vec![desk.id("at")], moved).await), [desk.id("at")]);
    assert_eq!(desk.claimed(9).await, ["later"]);
    let place = desk.stored("at").await.header.place;
    assert_eq!((&*place.queue, place.priority), (&*format!("{}-other", desk.name), 5));
}

/// A claim takes every kind of due run: released, expired, answered, asleep until now.
pub(super) async fn every_due_run_is_claimed<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "due");
    let open = async |run: &str, ttl| {
        let request = Open::new(desk.id(run), Arc::clone(&desk.name), Owner::unique()).ttl(ttl);
        match ok("open", store.open(request).await) {
            Opened::Held { lease, .. } => lease,
            other => panic!("expected to get the lease, the store answered {other:?}"),
        }
    };
    let now = ok("now", store.now().await);
    open("expired", Duration::ZERO).await;
    store.release(&open("released", MINUTE).await);
    let (asleep, awake) = (open("asleep", MINUTE).await, open("awake", MINUTE).await);
    for (lease, wake) in [(asleep, now.after(HOUR)), (awake, now)] {
        ok("finish", store.finish(&lease, Ending { wake: Some(wake), ..Ending::new(Status::Waiting) }).await);
    }
    let answered = open("answered", MINUTE).await;
    let request = Payload::encode("may I?").expect("text has a JSON form");
    let token: Box<str> = Owner::unique().as_str().into();
    let wait = Wait { key: "manager".into(), token, request, expires_in: None };
    ok("wait", store.wait(&answered, wait).await);
    let waits = Ending { waits_on: vec!["manager".into()], ..Ending::new(Status::Waiting) };
    ok("finish", store.finish(&answered, waits).await);
    open("held", MINUTE).await;

    let mut claimed = desk.claimed(9).await;
    claimed.sort();
    assert_eq!(claimed, ["awake", "expired", "released"]);
    let yes = Outcome::Value(Payload::encode("yes").expect("text has a JSON form"));
    let answer = Answer::new(desk.id("answered"), "manager", yes);
    assert_eq!(ok("answer", store.answer(answer).await), Ok(()));
    let held = desk.held(9).await;
    assert_eq!(names(&held), ["answered"]);
    assert_eq!((held[0].run.header.status, held[0].run.records.len()), (Status::Waiting, 1));
    ok("revive", store.revive(&held[0].lease, vec![]).await);
    let awake = desk.stored("awake").await.header;
    assert_eq!(awake.status, Status::Waiting, "only `revive` changes the status of a waiting run");
}

/// A run that was not started by its deadline is cancelled instead. A run that has begun is resumed at any time.
pub(super) async fn late_run_is_cancelled_instead_of_started<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "late");
    let now = ok("now", store.now().await);
    desk.submit([desk.run("late").start_by(now.before(HOUR)), desk.run("in time").start_by(now.after(HOUR))])
        .await;
    let held = desk.held(9).await;
    assert_eq!(names(&held), ["in time"]);
    let header = desk.stored("late").await.header;
    assert_eq!((header.status, header.wake), (Status::Cancelled, None));
    assert!(header.error.is_some_and(|error| error.contains("in time")));
}

/// The store counts how often in a row the owner of a run died without a record. A record resets the number, and an owner
/// that stops in an orderly manner does not change it.
pub(super) async fn crashes_without_progress_are_counted<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "crashes");
    desk.submit([desk.run("a")]).await;
    let crash = async || {
        let claim = desk.request(1).ttl(Duration::ZERO);
        ok("claim", store.claim(claim).await).runs.remove(0)
    };
    for expected in 0..3 {
        assert_eq!(crash().await.run.header.crashes, expected);
    }
    let progressed = ok("claim", store.claim(desk.request(1).ttl(MINUTE)).await).runs.remove(0);
    assert_eq!(progressed.run.header.crashes, 3);
    assert_eq!(desk.stored("a").await.header.crashes, 3);
    ok("append", store.append(&progressed.lease, value("charge", "1"), SYNC).await);
    ok("renew", store.renew(&progressed.lease, Duration::ZERO).await);
    assert_eq!(crash().await.run.header.crashes, 0, "the run has a new record");
    let stopped = ok("claim", store.claim(desk.request(1).ttl(MINUTE)).await).runs.remove(0);
    assert_eq!(stopped.run.header.crashes, 1);
    store.release(&stopped.lease);
    let stopped = ok("claim", store.claim(desk.request(1).ttl(MINUTE)).await).runs.remove(0);
    assert_eq!(stopped.run.header.crashes, 1, "the owner released the lease");
    ok("finish", store.finish(&stopped.lease, Ending::new(Status::Failed)).await);
    let retry =
        Open::new(desk.id("a"), Arc::clone(&desk.name), Owner::unique()).version(1).purpose(Purpose::Retry);
    let Opened::Held { lease, .. } = ok("open", store.open(retry).await) else {
        panic!("the run is not opened for a retry")
    };
    ok("revive", store.revive(&lease, Vec::new()).await);
    store.release(&lease);
    assert_eq!(crash().await.run.header.crashes, 0, "a retry begins anew");
}

/// At most as many runs of a queue are held as its limit permits; a run that ends makes room for the next.
pub(super) async fn concurrency_limits_the_running_runs<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "concurrency");
    desk.set(desk.queue().concurrency(2)).await;
    desk.submit((0..6).map(|number| desk.run(&number.to_string()))).await;
    let held = desk.held(9).await;
    assert_eq!(names(&held), ["0", "1"]);
    let full = desk.claim(9).await;
    assert!(full.runs.is_empty());
    assert_ne!(full.next, Some(full.now), "another claim would find nothing");
    desk.finish(&held[0], Status::Completed).await;
    store.release(&held[1].lease);
    assert_eq!(desk.claimed(9).await, ["1", "2"]);
    desk.set(desk.queue().concurrency(3)).await;
    assert_eq!(desk.claimed(9).await, ["3"]);
    desk.set(desk.queue()).await;
    assert_eq!(desk.claimed(9).await, ["4", "5"]);
}

/// A claim skips a key with as many running runs as its limit. When one of them ends, the next run of the key starts.
pub(super) async fn limit_per_key_passes_over_full_keys<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "per key");
    desk.set(desk.queue().per_key(1)).await;
    desk.submit((0..3).map(|number| desk.run(&format!("ann {number}")).key("ann"))).await;
    desk.submit([desk.run("bob 0").key("bob"), desk.run("bob 1").key("bob")]).await;
    desk.submit([desk.run("none 0"), desk.run("none 1")]).await;
    let held = desk.held(9).await;
    assert_eq!(names(&held), ["ann 0", "bob 0", "none 0", "none 1"]);
    assert!(desk.held(9).await.is_empty());
    desk.finish(&held[0], Status::Failed).await;
    assert_eq!(desk.claimed(9).await, ["ann 1"]);
    desk.finish(&held[1], Status::Completed).await;
    assert_eq!(desk.claimed(9).await, ["bob 1"]);
    desk.set(desk.queue()).await;
    assert_eq!(
        desk.claimed(9).await,
        ["ann 2"],
        "a queue without limits starts the runs that a limit held back"
    );
}

/// A rate spreads the starts, and the claim returns the time of the next one.
pub(super) async fn rate_limits_the_starts<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "rate");
    desk.set(desk.queue().rate(Rate::new(2, 2 * HOUR))).await;
    desk.submit((0..3).map(|number| desk.run(&number.to_string()))).await;
    let first = desk.claim(9).await;
    assert_eq!(names(&first.runs), ["0"]);
    desk.finish(&first.runs[0], Status::Completed).await;
    let second = desk.claim(9).await;
    assert!(second.runs.is_empty());
    let next = second.next.map(|next| second.now.until(next));
    assert!(next.is_some_and(|next| next <= HOUR), "the next start is in an hour: {next:?}");
    desk.set(desk.queue()).await;
    assert_eq!(desk.claimed(9).await, ["1", "2"]);
}

/// In a fair queue, a key with many runs delays the next run of another key by one run.
pub(super) async fn keys_of_fair_queue_take_turns<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "fair");
    desk.set(desk.queue().fair()).await;
    desk.submit((0..4).map(|number| desk.run(&format!("ann {number}")).key("ann"))).await;
    desk.submit([desk.run("bob 0").key("bob"), desk.run("bob 1").key("bob")]).await;
    assert_eq!(desk.claimed(3).await, ["ann 0", "bob 0", "ann 1"]);
    // A key does not get more turns later because it had no runs before.
    desk.submit((0..3).map(|number| desk.run(&format!("eve {number}")).key("eve"))).await;
    let rest = desk.claimed(9).await;
    let place =
        |name: &str| rest.iter().position(|run| run == name).unwrap_or_else(|| panic!("{name}: {rest:?}"));
    assert!(place("eve 0") <= 2 && place("eve 2") >= 4, "{rest:?}");
    assert!(place("eve 0") < place("eve 1") && place("ann 2") < place("ann 3"), "{rest:?}");
    assert_eq!(rest.len(), 6);
}

/// Claims visit the queues in turn, so that no queue starves another.
pub(super) async fn queues_take_turns<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "turns");
    let second: Arc<str> = format!("{}-second", desk.name).into();
    desk.submit((0..6).map(|number| desk.run(&format!("first {number}")))).await;
    desk.submit((0..6).map(|number| desk.run(&format!("second {number}")).queue(Arc::clone(&second)))).await;
    let claimed = desk.claimed(6).await;
    let of_first = claimed.iter().filter(|run| run.starts_with("first")).count();
    assert_eq!(of_first, 3, "{claimed:?}");
    let mut firsts = HashSet::new();
    for _ in 0..6 {
        firsts.extend(desk.claimed(1).await.iter().map(|run| run.starts_with("first")));
    }
    assert_eq!(firsts.len(), 2, "claims of one run begin with different queues");
}

/// Claims take no runs of a paused queue and no paused runs. After a resume, claims take them again.
pub(super) async fn paused_queue_and_paused_run_start_nothing<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "paused");
    let queues = || vec![Arc::clone(&desk.name)];
    ok("pause_queues", store.pause_queues(queues(), Pausing::Pause).await);
    desk.submit([desk.run("a"), desk.run("b")]).await;
    let paused = desk.claim(9).await;
    assert!(paused.runs.is_empty());
    assert_ne!(paused.next, Some(paused.now), "another claim would find nothing");
    let states = ok("queues", store.queues().await);
    let state =
        states.iter().find(|state| state.settings.name == desk.name).expect("a paused queue is listed");
    assert_eq!((state.paused, &state.settings), (true, &desk.queue()));

    let runs = || vec![desk.id("a"), desk.id("missing")];
    assert_eq!(ok("pause", store.pause(runs(), Pausing::Pause).await), [desk.id("a")]);
    assert_eq!(ok("pause", store.pause(runs(), Pausing::Pause).await), [], "it is paused already");
    assert!(desk.stored("a").await.header.paused);
    ok("pause_queues", store.pause_queues(queues(), Pausing::Resume).await);
    let held = desk.held(9).await;
    assert_eq!(names(&held), ["b"]);
    let due = ok("due", store.due(DueQuery::new().workflow(Arc::clone(&desk.name))).await);
    assert!(due.is_empty(), "a paused run is not due");
    assert_eq!(ok("pause", store.pause(vec![desk.id("b")], Pausing::Pause).await), [desk.id("b")]);
    store.release(&held[0].lease);
    assert!(desk.held(9).await.is_empty());
    let both = vec![desk.id("b"), desk.id("a")];
    assert_eq!(ok("pause", store.pause(both.clone(), Pausing::Resume).await), both);
    let mut claimed = desk.claimed(9).await;
    claimed.sort();
    assert_eq!(claimed, ["a", "b"]);
}

/// Settings in code apply if they are new or changed. Otherwise, the settings of an operator stay.
pub(super) async fn declared_settings_apply_until_an_operator_sets_others<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "declared");
    let declare = async |queue| ok("configure", store.configure(vec![queue], Configure::Declare).await);
    let settings = async || {
        let states = ok("queues", store.queues().await);
        let state = states.into_iter().find(|state| state.settings.name == desk.name);
        state.expect("the queue has settings").settings
    };
    declare(desk.queue().concurrency(1)).await;
    assert_eq!(settings().await, desk.queue().concurrency(1));
    desk.set(desk.queue().concurrency(7).per_key(2).rate(Rate::per_second(3)).fair()).await;
    declare(desk.queue().concurrency(1)).await;
    let expected = desk.queue().concurrency(7).per_key(2).rate(Rate::per_second(3)).fair();
    assert_eq!(settings().await, expected, "the code has not changed");
    declare(desk.queue().concurrency(2)).await;
    assert_eq!(settings().await, desk.queue().concurrency(2));
}

/// A queued run has no work to undo, so a cancellation ends it at once. It can also be executed directly.
pub(super) async fn queued_run_is_cancelled_or_opened_at_once<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "queued");
    desk.submit([desk.run("a"), desk.run("b"), desk.run("c")]).await;
    assert_eq!(ok("cancel", store.cancel(&desk.id("a")).await), Cancelled::WithoutUndo);
    assert_eq!(desk.stored("a").await.header.status, Status::Cancelled);
    let request = Open::new(desk.id("b"), Arc::clone(&desk.name), Owner::unique()).version(3);
    let Opened::Held { lease, run, .. } = ok("open", store.open(request).await) else { panic!("it is free") };
    assert_eq!(run.header.status, Status::Queued, "only `revive` changes the status of an opened run");
    assert_eq!(desk.claimed(9).await, ["c"]);
    ok("revive", store.revive(&lease, vec![]).await);
    store.release(&lease);
    let held = ok("claim", store.claim(desk.request(9).serve(Arc::clone(&desk.name), 3)).await).runs;
    assert_eq!((names(&held), held[0].run.header.status), (vec!["b".to_owned()], Status::Running));
}

/// Queued runs that are executed directly can complete at once.
pub(super) async fn opened_runs_complete_at_once<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "opened");
    let names: Vec<_> = (0..16).map(|number| number.to_string()).collect();
    desk.submit(names.iter().map(|name| desk.run(name))).await;
    let mut leases = Vec::new();
    for name in &names {
        let request = Open::new(desk.id(name), Arc::clone(&desk.name), Owner::unique());
        let Opened::Held { lease, .. } = ok("open", store.open(request).await) else { panic!("it is free") };
        ok("revive", store.revive(&lease, vec![]).await);
        leases.push(lease);
    }
    let outcome = Outcome::Value(Payload::encode(&7).expect("a number has a JSON form"));
    let ending = Ending { outcome: Some(outcome), ..Ending::new(Status::Completed) };
    let ended = join_all(leases.iter().map(|lease| store.finish(lease, ending.clone()))).await;
    assert_eq!(ended, vec![Ok(()); leases.len()]);
}

/// If many claims come at once, each run is claimed once.
pub(super) async fn of_many_claims_at_once_each_run_goes_to_one<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "many claims");
    desk.submit((0..64).map(|number| desk.run(&number.to_string()))).await;
    let mut claimed = Vec::new();
    while claimed.len() < 64 {
        let round = join_all((0..8).map(|_| desk.claimed(5))).await.concat();
        assert!(!round.is_empty(), "only {} of 64 runs were claimed", claimed.len());
        claimed.extend(round);
    }
    let distinct: HashSet<_> = claimed.iter().collect();
    assert_eq!((claimed.len(), distinct.len()), (64, 64));
}

/// Limits hold even if many claims come at once.
pub(super) async fn limits_hold_for_many_claims_at_once<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "many limited");
    desk.set(desk.queue().concurrency(5).per_key(2)).await;
    desk.submit((0..30).map(|number| desk.run(&number.to_string()).key(format!("key {}", number % 3)))).await;
    let (mut ended, mut rounds) = (0, 0);
    while ended < 30 {
        let held = join_all((0..6).map(|_| desk.held(3))).await.concat();
        assert!(held.len() <= 5, "{} runs are held, the limit is 5", held.len());
        for key in ["key 0", "key 1", "key 2"] {
            let of_key = held.iter().filter(|held| held.run.header.place.key.as_deref() == Some(key)).count();
            assert!(of_key <= 2, "{of_key} runs of {key} are held, the limit is 2");
        }
        join_all(held.iter().map(|held| desk.finish(held, Status::Completed))).await;
        (ended, rounds) = (ended + held.len(), rounds + 1);
        assert!(rounds < 100, "only {ended} of 30 runs were claimed");
    }
}

/// If the future of a claim is dropped, the leases that it took are released.
pub(super) async fn leases_of_dropped_claim_are_given_back<S: Dispatch>(store: &S) {
    for polls in 0..8 {
        let desk = Desk::new(store, "dropped claim");
        desk.submit([desk.run("a"), desk.run("b")]).await;
        {
            let claim = pin!(store.claim(desk.request(9)));
            if let Some(claimed) = poll_times(polls, claim).await {
                ok("claim", claimed).runs.iter().for_each(|held| store.release(&held.lease));
            }
        }
        let freed = async {
            let mut claimed = HashSet::new();
            while claimed.len() < 2 {
                claimed.extend(desk.claimed(9).await);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let freed = tokio::time::timeout(Duration::from_secs(30), freed).await;
        assert!(freed.is_ok(), "the leases of a claim that was dropped after {polls} polls stay held");
    }
}

/// A submission, a resumed queue and a change of its settings wake the listeners.
pub(super) async fn submission_wakes_listeners<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "bell");
    let mut wakes = store.wakes();
    desk.submit([desk.run("a")]).await;
    super::waiting::told(&mut wakes, "a submission").await;
    let mut wakes = store.wakes();
    ok("pause_queues", store.pause_queues(vec![Arc::clone(&desk.name)], Pausing::Resume).await);
    super::waiting::told(&mut wakes, "a resumed queue").await;
    let mut wakes = store.wakes();
    desk.set(desk.queue().concurrency(9)).await;
    super::waiting::told(&mut wakes, "new settings").await;
    let mut wakes = store.wakes();
    let change = Reschedule::new().priority(1);
    ok("reschedule", store.reschedule(vec![desk.id("a")], change).await);
    super::waiting::told(&mut wakes, "a new priority").await;
}

/// Runs are found by their tags and by their queue.
pub(super) async fn runs_are_found_by_tag_and_queue<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "tags");
    let (red, both) = (format!("{}-red", desk.name), format!("{}-\0 both", desk.name));
    desk.submit([
        desk.run("a").tag(red.clone()).tag(both.clone()).tag(both.clone()),
        desk.run("b").tag(both.clone()),
        desk.run("c"),
    ])
    .await;
    let found = async |query: RunQuery| {
        let page = ok("list", store.list(query).await).items.into_iter();
        page.map(|run| run.run.rsplit('/').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(RunQuery::new().tag(both.clone())).await, ["b", "a"]);
    assert_eq!(found(RunQuery::new().tag(red.clone()).status(Status::Queued)).await, ["a"]);
    assert_eq!(found(RunQuery::new().tag(both.clone()).status(Status::Completed)).await, [] as [&str; 0]);
    assert_eq!(found(RunQuery::new().queue(Arc::clone(&desk.name))).await, ["c", "b", "a"]);
    let held = desk.held(1).await;
    desk.finish(&held[0], Status::Completed).await;
    let page = ok("list", store.list(RunQuery::new().tag(red.clone())).await);
    let tags: Vec<_> = page.items[0].tags.iter().map(|tag| &**tag).collect();
    assert_eq!((tags, page.items[0].status), (vec![&*red, &*both], Status::Completed));
    let one = ok("list", store.list(RunQuery::new().tag(both.clone()).limit(1)).await);
    let rest =
        one.next.map(|next| RunQuery::new().tag(both.clone()).after(next)).expect("there is a second page");
    assert_eq!(found(rest).await, ["a"]);
}

/// A queue contains at most one queued run with a deduplication key. The second submission changes nothing, or replaces
/// the input and the start.
pub(super) async fn deduplication_key_is_queued_once<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "unique");
    let input = |text: &str| Input::of(text).expect("text has a JSON form");
    let submit = async |submit: Submit| ok("submit", store.submit(vec![submit]).await).remove(0);
    let duplicate = |run: &str| Ok(Submitted::Duplicate(desk.id(run)));
    let first = || desk.run("a").input(input("one")).deduplicate("key \0");
    assert_eq!(submit(first()).await, Ok(Submitted::Queued));
    assert_eq!(submit(first()).await, Ok(Submitted::Exists(Status::Queued)), "the run id comes first");
    assert_eq!(submit(desk.run("b").input(input("two")).deduplicate("key \0")).await, duplicate("a"));
    let elsewhere = desk.run("c").queue(format!("{}-other", desk.name)).deduplicate("key \0");
    assert_eq!(submit(elsewhere).await, Ok(Submitted::Queued), "each queue has its own keys");
    assert_eq!(desk.stored("a").await.input, Some(input("one").payload));
    let later = desk.run("d").input(input("three")).debounce("key \0").start(Start::In(HOUR));
    assert_eq!(submit(later).await, duplicate("a"));
    let stored = desk.stored("a").await;
    assert_eq!(
        (stored.input, stored.header.input),
        (Some(input("three").payload), Some(input("three").fingerprint))
    );
    assert!(stored.header.wake.is_some_and(|wake| wake > stored.header.created.after(MINUTE)));
    let both = vec![
        desk.run("e").deduplicate("twice"),
        desk.run("f").deduplicate("twice"),
        desk.run("g").deduplicate("key \0").input(input("four")),
    ];
    let both = ok("submit", store.submit(both).await);
    assert_eq!(both, [Ok(Submitted::Queued), duplicate("e"), duplicate("a")]);
    let now = desk.run("h").input(input("three")).debounce("key \0");
    assert_eq!(submit(now).await, duplicate("a"));
    let mut claimed = desk.claimed(9).await;
    claimed.sort();
    assert_eq!(claimed, ["a", "c", "e"]);
    assert_eq!(
        submit(desk.run("i").deduplicate("key \0")).await,
        Ok(Submitted::Queued),
        "the other one has begun"
    );
    let at_once = (0..8).map(|number| submit(desk.run(&format!("many {number}")).deduplicate("many")));
    let at_once = join_all(at_once).await;
    let queued = at_once.iter().filter(|one| **one == Ok(Submitted::Queued)).count();
    assert_eq!(queued, 1, "{at_once:?}");
}

/// A run that starts again is queued with its new input, and has neither records nor waiting entries nor streams.
pub(super) async fn restarted_run_begins_with_a_fresh_journal<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "restarted");
    let input = |text: &str| Input::of(text).expect("text has a JSON form");
    desk.submit([desk.run("a").input(input("one")).priority(5).key("ann").tag("loop")]).await;
    let before = desk.held(1).await.remove(0);
    ok("append", store.append(&before.lease, value("charge", "1"), SYNC).await);
    let token = format!("{}-manager", desk.name).into();
    let request = Payload::encode("may I?").expect("text has a JSON form");
    ok(
        "wait",
        store.wait(&before.lease, Wait { key: "manager".into(), token, request, expires_in: None }).await,
    );
    let item = Publish::item("log", 0, Payload::encode("begun").expect("text has a JSON form"));
    let progress = Publish::value("progress", Payload::encode("0.5").expect("text has a JSON form"));
    ok("publish", store.publish(&before.lease, vec![item.clone(), progress]).await);
    ok("restart", store.restart(&before.lease, Some(input("two"))).await);
    let again = store.restart(&before.lease, None).await;
    assert!(matches!(again, Err(StoreError::LeaseLost { .. })), "{again:?}");
    let StoredRun { header, input: stored, records, waits } = desk.stored("a").await;
    assert_eq!(
        (header.status, header.version, header.input),
        (Status::Queued, 0, Some(input("two").fingerprint))
    );
    assert_eq!((stored, records.len(), waits.len()), (Some(input("two").payload), 0, 0));
    assert_eq!((header.place.priority, header.place.key.as_deref(), header.tags.len()), (5, Some("ann"), 1));
    assert_eq!(header.restarts, 1);
    assert_eq!(header.created, before.run.header.created);
    let stream = ok("stream", store.stream(&desk.id("a"), "log".into(), 0, 9).await).expect("the run exists");
    assert!(stream.items.is_empty());
    assert!(ok("published", store.published(&desk.id("a"), "progress".into()).await).is_some());
    let held = desk.held(1).await.remove(0);
    assert_eq!((held.run.records.len(), held.run.header.status), (0, Status::Running));
    ok("append", store.append(&held.lease, value("charge", "2"), SYNC).await);
    ok("publish", store.publish(&held.lease, vec![item]).await);
    ok("restart", store.restart(&held.lease, None).await);
    assert_eq!(
        desk.stored("a").await.input,
        Some(input("two").payload),
        "without a new input, the run keeps its own"
    );
}

/// A queued run that is imported keeps its place, and is claimed there.
pub(super) async fn imported_run_keeps_its_place<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "imported");
    desk.submit([desk.run("a").key("ann").priority(9)]).await;
    ok("pause", store.pause(vec![desk.id("a")], Pausing::Pause).await);
    let mut stored = desk.stored("a").await;
    assert!(ok("import", store.import(desk.id("paused"), stored.clone()).await));
    assert_eq!(desk.stored("paused").await, stored);
    (stored.header.paused, stored.header.crashes, stored.header.restarts) = (false, 4, 2);
    assert!(ok("import", store.import(desk.id("b"), stored.clone()).await));
    assert_eq!(desk.stored("b").await, stored);
    assert_eq!(desk.claimed(9).await, ["b"]);
}
