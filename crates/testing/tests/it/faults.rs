//! The faulty store: faults on command and at random.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use awaitly_core::clock::{ms, secs};
use awaitly_core::journal::{Contents, Outcome, Payload, Record, Refused, Settling, Status};
use awaitly_core::store::{
    Answer, DeleteIf, DueQuery, Durability, Ending, Lease, Open, Opened, Operate, Owner, Rewrite, RunId,
    RunQuery, Store, StoreError, StoredRun, Tx, Wait, WaitQuery,
};
use awaitly_core::{DurableRun, RunError, Workflow, step};
use awaitly_persistence::{MemoryStore, MemoryTransaction};
use awaitly_testing::fault::{Call, Calls, Fault, FaultyStore, Injected};
use tokio::time::Instant;

use crate::panic_of;

mod without_a_fault {
    use awaitly_persistence::MemoryStore;
    use awaitly_testing::fault::FaultyStore;

    awaitly_persistence::conformance_tests!(FaultyStore::new(MemoryStore::new()));
}

type Faulty = FaultyStore<MemoryStore>;

fn faulty() -> Faulty {
    FaultyStore::new(MemoryStore::new())
}

fn id(run: &str) -> RunId {
    RunId::new(run).unwrap()
}

async fn open(store: &impl Store, run: &str) -> Opened {
    store.open(Open::new(id(run), "checkout", Owner::unique())).await.unwrap()
}

async fn begin(store: &impl Store, run: &str) -> Lease {
    match open(store, run).await {
        Opened::Held { lease, .. } => lease,
        other => panic!("expected the lease, but the store answered {other:?}"),
    }
}

fn record(key: &'static str) -> Record {
    Record { key: key.into(), outcome: Outcome::Value(payload()), input: None }
}

fn payload() -> Payload {
    Payload::encode(&7).unwrap()
}

async fn append(store: &Faulty, lease: &Lease, key: &'static str) -> Result<(), StoreError> {
    store.append(lease, record(key), Durability::Sync).await
}

async fn stored(store: &Faulty, run: &str) -> StoredRun {
    store.inner().load(&id(run)).await.unwrap().unwrap()
}

async fn keys(store: &Faulty, run: &str) -> Vec<String> {
    stored(store, run).await.records.iter().map(|record| record.key.to_string()).collect()
}

fn wait() -> Wait {
    Wait { key: "approve".into(), token: "secret".into(), request: payload(), expires_in: None }
}

/// Makes every call with a lease and returns their errors.
async fn call_all_with(store: &Faulty, lease: &Lease) -> Vec<Option<StoreError>> {
    let settling = Settling::Withdraw;
    vec![
        append(store, lease, "new").await.err(),
        store.replace(lease, record("old"), Durability::Sync).await.err(),
        store.wait(lease, Wait { key: "ask".into(), ..wait() }).await.err(),
        store.settle(lease, record("approve"), settling).await.err(),
        store.revive(lease, vec!["old".into()]).await.err(),
        store.rewrite(lease, Rewrite::new(2, Contents::default(), [])).await.err(),
        store.finish(lease, Ending::new(Status::Completed)).await.err(),
        store.renew(lease, secs(99)).await.err(),
    ]
}

/// Makes every other call that changes data and returns their errors.
async fn call_all_without(store: &Faulty, from: StoredRun) -> Vec<Option<StoreError>> {
    let answer = Answer::new(id("r"), "approve", Outcome::Value(payload()));
    vec![
        store.open(Open::new(id("other"), "checkout", Owner::unique())).await.err(),
        store.answer(answer).await.err(),
        store.cancel(&id("r")).await.err(),
        store.delete(vec![id("ended")], DeleteIf::Free).await.err(),
        store.import(id("copy"), from).await.err(),
    ]
}

/// Creates a run with a record and a waiting entry, and another run that has ended.
async fn prepared() -> (Faulty, Lease) {
    let store = faulty();
    let ended = begin(&store, "ended").await;
    store.finish(&ended, Ending::new(Status::Completed)).await.unwrap();
    let lease = begin(&store, "r").await;
    append(&store, &lease, "old").await.unwrap();
    store.wait(&lease, wait()).await.unwrap();
    (store, lease)
}

#[tokio::test(start_paused = true)]
async fn refusal_leaves_the_store_unchanged() {
    let (store, lease) = prepared().await;
    let before = stored(&store, "r").await;
    for fault in [Fault::Refuse, Fault::Full, Fault::ReadOnly] {
        store.always(Calls::ALL, fault);
        let mut answers = call_all_with(&store, &lease).await;
        answers.extend(call_all_without(&store, before.clone()).await);
        for answer in answers {
            let refused = match fault {
                Fault::Full => matches!(answer, Some(StoreError::Full { .. })),
                Fault::ReadOnly => matches!(answer, Some(StoreError::ReadOnly { .. })),
                _ => matches!(answer, Some(StoreError::Unavailable { .. })),
            };
            assert!(refused, "{fault:?}: {answer:?}");
        }
        store.heal();
    }
    assert_eq!(stored(&store, "r").await, before);
    assert_eq!(store.inner().list(RunQuery::new()).await.unwrap().items.len(), 2);
    assert_eq!(store.injected().len(), 3 * 13);
    store.renew(&lease, secs(30)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reads_can_be_refused_but_ignore_full_store() {
    let store = faulty();
    store.always(Calls::ALL, Fault::Full);
    assert!(store.load(&id("r")).await.unwrap().is_none());
    store.always(Calls::READS, Fault::Refuse);
    assert!(store.load(&id("r")).await.is_err());
    assert!(store.list(RunQuery::new()).await.is_err());
    assert!(store.waiting(WaitQuery::new()).await.is_err());
    assert!(store.due(DueQuery::new()).await.is_err());
    assert!(Operate::now(&store).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn call_with_a_lost_answer_is_carried_out() {
    let (store, lease) = prepared().await;
    let from = stored(&store, "r").await;
    store.always(Calls::ALL, Fault::LoseAnswer);
    for answer in call_all_without(&store, from).await {
        assert!(matches!(answer, Some(StoreError::Unavailable { .. })), "{answer:?}");
    }
    assert_eq!(append(&store, &lease, "charge").await.unwrap_err().to_string(), {
        "the store does not answer (a test lost its answer): try again"
    });

    assert_eq!(keys(&store, "r").await, ["old", "approve", "charge"]);
    assert!(store.inner().renew(&lease, secs(30)).await.unwrap().cancel);
    let all = store.inner().list(RunQuery::new()).await.unwrap().items;
    let runs: Vec<_> = all.iter().map(|summary| summary.run.to_string()).collect();
    assert_eq!(runs, ["copy", "other", "r"]);
}

#[tokio::test(start_paused = true)]
async fn delay_comes_before_the_call_or_before_the_answer() {
    let store = faulty();
    let lease = begin(&store, "r").await;
    for (key, fault, halfway) in
        [("late", Fault::Delay(secs(10)), 0), ("early", Fault::DelayAnswer(secs(10)), 2)]
    {
        store.once(Call::Append.key(key), fault);
        let began = Instant::now();
        let seen = async {
            tokio::time::sleep(secs(5)).await;
            keys(&store, "r").await.len()
        };
        let (answer, seen) = tokio::join!(append(&store, &lease, key), seen);
        answer.unwrap();
        assert_eq!((began.elapsed(), seen), (secs(10), halfway), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_applies_only_to_selected_calls() {
    let store = faulty();
    let (first, second) = (begin(&store, "first").await, begin(&store, "second").await);
    store.always((Call::Append | Call::Finish).run(id("first")).key("charge"), Fault::Refuse);
    assert!(append(&store, &first, "reserve").await.is_ok());
    assert!(append(&store, &first, "charge").await.is_err());
    assert!(append(&store, &second, "charge").await.is_ok());
    assert!(store.replace(&first, record("charge"), Durability::Sync).await.is_ok());
    let applied = Injected {
        call: Call::Append,
        run: Some(id("first")),
        key: Some("charge".into()),
        fault: Fault::Refuse,
    };
    assert_eq!(store.injected(), [applied]);
}

#[tokio::test(start_paused = true)]
async fn fault_applies_to_calls_with_the_given_numbers() {
    let store = faulty();
    let lease = begin(&store, "r").await;
    store.nth(Call::Append, 2, Fault::Refuse).times(Call::Renew, 2, Fault::Refuse);
    let mut appended = Vec::new();
    let mut renewed = Vec::new();
    for key in ["a", "b", "c", "d"] {
        appended.push(append(&store, &lease, key).await.is_ok());
        renewed.push(store.renew(&lease, secs(30)).await.is_ok());
    }
    assert_eq!(appended, [true, false, true, true]);
    assert_eq!(renewed, [false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn newest_rule_wins_and_healing_ends_all_rules() {
    let store = faulty();
    let lease = begin(&store, "r").await;
    store.always(Call::Append, Fault::Refuse).once(Call::Append, Fault::Full);
    assert!(matches!(append(&store, &lease, "a").await, Err(StoreError::Full { .. })));
    assert!(matches!(append(&store, &lease, "a").await, Err(StoreError::Unavailable { .. })));
    store.heal();
    assert!(append(&store, &lease, "a").await.is_ok());
    assert_eq!(store.clone().injected().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn union_of_calls_keeps_separate_conditions() {
    let store = faulty();
    let lease = begin(&store, "r").await;
    let some = Call::Append.key("a") | Call::Append.key("b") | Call::Renew.run(id("r"));
    assert_eq!(some.to_string(), "append of `a`, append of `b`, renew in run `r`");
    store.always(some, Fault::Refuse);
    let mut appended = Vec::new();
    for key in ["a", "b", "c"] {
        appended.push(append(&store, &lease, key).await.is_ok());
    }
    assert_eq!(appended, [false, false, true]);
    assert!(store.renew(&lease, secs(30)).await.is_err());
}

#[test]
fn conditions_narrow_a_selection_of_calls() {
    let records = Call::Append.key("a") | Call::Finish;
    assert_eq!(records.run(id("r")).to_string(), "append of `a` in run `r`, finish in run `r`");
    assert_eq!(Call::Append | Call::Finish, Call::Finish | Call::Append);
    assert_eq!(Calls::ALL.to_string(), "any call");
}

#[test]
#[should_panic(expected = "`Refuse` applies to none of these calls")]
fn selection_with_two_keys_is_empty() {
    faulty().once(Call::Append.key("a").key("b"), Fault::Refuse);
}

#[tokio::test(start_paused = true)]
async fn assert_used_lists_unused_faults() {
    let store = faulty();
    let lease = begin(&store, "r").await;
    store.once(Call::Append.key("chrage"), Fault::Full).nth(Call::Append, 3, Fault::Refuse);
    append(&store, &lease, "charge").await.unwrap();
    store.heal();
    store.chance(Call::Append, 0.0, Fault::Refuse).once(Call::Renew, Fault::Refuse);
    append(&store, &lease, "ship").await.unwrap();
    store.renew(&lease, secs(30)).await.unwrap_err();
    insta::assert_snapshot!(panic_of(|| store.assert_used()), @r#"
    faults that were never applied, so this test does not test them; correct the keys, or remove them:
    - `Full`, once, for append of `chrage`: no such call was made
    - `Refuse`, at number 3, for append: only one such call was made
    "#);
}

#[tokio::test(start_paused = true)]
async fn applied_faults_count_as_used() {
    let store = faulty();
    let lease = begin(&store, "r").await;
    store.assert_used();
    store.always(Call::Append, Fault::Refuse);
    append(&store, &lease, "a").await.unwrap_err();
    store.assert_used();
}

#[test]
#[should_panic(expected = "`StaleLease` applies to none of these calls")]
fn fault_that_applies_to_no_selected_call_panics() {
    faulty().once(Calls::READS | Call::Open, Fault::StaleLease);
}

#[test]
#[should_panic(expected = "a chance must be between 0 (never) and 1 (always), not 10")]
fn chance_above_one_panics() {
    faulty().chance(Call::Append, 10.0, Fault::Refuse);
}

#[tokio::test(start_paused = true)]
async fn stale_lease_rejects_writes_and_frees_the_run() {
    let store = faulty();
    let lease = begin(&store, "r").await;
    store.once(Call::Append, Fault::StaleLease);
    let lost = Err(StoreError::LeaseLost { run: "r".into() });
    assert_eq!(append(&store, &lease, "a").await, lost);
    store.heal();
    assert_eq!(append(&store, &lease, "a").await, lost);
    assert!(keys(&store, "r").await.is_empty());
    let newer = begin(&store, "r").await;
    assert!(append(&store, &newer, "a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn lost_release_leaves_the_lease_until_it_expires() {
    let store = faulty();
    let lease = begin(&store, "r").await;
    store.once(Call::Release, Fault::Refuse);
    store.release(&lease);
    assert!(matches!(open(&store, "r").await, Opened::Refused(Refused::Busy { .. })));
    tokio::time::sleep(Open::DEFAULT_TTL).await;
    begin(&store, "r").await;
}

#[tokio::test(start_paused = true)]
async fn ignored_fencing_lets_a_replaced_owner_write() {
    let store = faulty();
    store.always(Calls::ALL, Fault::IgnoreFencing);
    let old = begin(&store, "r").await;
    tokio::time::sleep(Open::DEFAULT_TTL).await;
    let new = begin(&store, "r").await;
    assert!(append(&store, &new, "by the new owner").await.is_ok());
    assert!(store.injected().is_empty(), "with the newest lease nothing is wrong");

    assert!(append(&store, &old, "by the old owner").await.is_ok());
    assert!(store.renew(&old, secs(30)).await.is_ok());
    assert_eq!(keys(&store, "r").await, ["by the new owner", "by the old owner"]);
    assert_eq!(store.injected().len(), 2);

    store.heal();
    assert!(append(&store, &old, "too late").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn dropped_record_is_acknowledged() {
    let (store, lease) = prepared().await;
    store.always(Calls::ALL, Fault::DropRecord);
    assert_eq!(append(&store, &lease, "charge").await, Ok(()));
    assert_eq!(store.replace(&lease, record("charge"), Durability::Sync).await, Ok(()));
    let settled = store.settle(&lease, record("approve"), Settling::Withdraw).await;
    assert_eq!(settled, Ok(Some(Outcome::Value(payload()))));
    assert_eq!(keys(&store, "r").await, ["old"]);
    assert_eq!(stored(&store, "r").await.waits.len(), 1);
}

/// Returns which of a hundred appends of a run are refused at random, while another run appends `beside` times.
async fn refused(seed: u64, run: &str, beside: usize) -> Vec<usize> {
    let store = faulty();
    store.seed(seed).chance(Call::Append, 0.2, Fault::Refuse);
    let (lease, other) = (begin(&store, run).await, begin(&store, "other").await);
    let mut refused = Vec::new();
    for number in 0..100 {
        for _ in 0..beside {
            let _ = append(&store, &other, "a").await;
        }
        if matches!(append(&store, &lease, "a").await, Err(StoreError::Unavailable { .. })) {
            refused.push(number);
        }
    }
    refused
}

#[tokio::test(start_paused = true)]
async fn random_faults_are_independent_of_other_runs() {
    let first = refused(7, "r", 0).await;
    assert!((10..=30).contains(&first.len()), "{first:?}");
    assert_eq!(refused(7, "r", 0).await, first);
    assert_eq!(refused(7, "r", 3).await, first);
    assert_ne!(refused(8, "r", 0).await, first);
    assert_ne!(refused(7, "s", 0).await, first);
}

const STEPS: [&str; 4] = ["reserve", "charge", "ship", "mail"];

/// Executes a run on `store` until it ends, and returns the number of executions of each step.
async fn run_until_it_ends(store: &Faulty, run: &str) -> [u64; 4] {
    let executed: [AtomicU64; 4] = Default::default();
    let body = async |run: &DurableRun| {
        for (step, executed) in STEPS.into_iter().zip(&executed) {
            step!(run, step, async {
                tokio::time::sleep(secs(20)).await;
                Ok::<_, RunError>(executed.fetch_add(1, Ordering::Relaxed))
            });
        }
        Ok::<_, RunError>("done".to_owned())
    };
    for _ in 0..1000 {
        match Workflow::new("order").store(store.clone()).run(run, body).await {
            Ok(done) => {
                assert_eq!(done, "done");
                return executed.map(AtomicU64::into_inner);
            }
            Err(RunError::Store(_)) => {}
            Err(RunError::Busy { remaining, .. }) => tokio::time::sleep(remaining + ms(1)).await,
            Err(other) => panic!("a failing store must not end a run with {other:?}"),
        }
    }
    panic!("the run does not end");
}

/// Counts the executions of a step whose record a fault prevented.
fn wasted(store: &Faulty, key: &str) -> u64 {
    let injected = store.injected();
    let refused = injected.iter().filter(|injected| {
        injected.key.as_deref() == Some(key) && matches!(injected.fault, Fault::Full | Fault::StaleLease)
    });
    refused.count() as u64
}

#[tokio::test(start_paused = true)]
async fn run_records_each_step_once_despite_random_faults() {
    let mut applied = 0;
    for seed in 0..60 {
        let store = faulty();
        store
            .seed(seed)
            .chance(Calls::ALL, 0.05, Fault::Refuse)
            .chance(Calls::ALL, 0.1, Fault::LoseAnswer)
            .chance(Call::Append, 0.2, Fault::Full)
            .chance(Call::Append, 0.1, Fault::StaleLease)
            .chance(Calls::ALL, 0.1, Fault::Delay(ms(300)))
            .chance(Calls::ALL, 0.1, Fault::DelayAnswer(ms(20)));
        let (first, second) = tokio::join!(run_until_it_ends(&store, "a"), run_until_it_ends(&store, "b"));
        for run in ["a", "b"] {
            let stored = stored(&store, run).await;
            assert_eq!(
                (stored.header.status, &*keys(&store, run).await),
                (Status::Completed, &STEPS.map(String::from)[..])
            );
        }
        for (key, (first, second)) in STEPS.into_iter().zip(first.into_iter().zip(second)) {
            let executed = first + second;
            assert!(executed >= 2 + wasted(&store, key), "seed {seed}: {key} was executed {executed} times");
        }
        applied += store.injected().len();
    }
    assert!(applied > 500, "{applied}");
}

#[tokio::test(start_paused = true)]
async fn step_runs_again_only_if_its_record_was_refused() {
    for seed in 0..60 {
        let store = faulty();
        store.seed(seed).chance(Call::Append | Call::Finish, 0.2, Fault::Full).chance(
            Call::Append | Call::Finish,
            0.3,
            Fault::LoseAnswer,
        );
        let executed = run_until_it_ends(&store, "r").await;
        let expected = STEPS.map(|key| 1 + wasted(&store, key));
        assert_eq!(executed, expected, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn body_sees_no_value_before_its_record_is_acknowledged() {
    let store = faulty();
    store.always(Call::Append, Fault::DelayAnswer(secs(60)));
    let began = Instant::now();
    let workflow = Workflow::new("w").store(store);
    let seen_after = workflow.run("r", async |run: &DurableRun| {
        step!(run, "charge", async { Ok::<_, RunError>(1) });
        Ok::<_, RunError>(began.elapsed())
    });
    assert_eq!(seen_after.await, Ok(Duration::from_secs(60)));
}

/// Books an amount on a ledger with one `fault`, and returns the number of bookings and of attempts.
async fn book(call: Call, fault: Fault) -> (usize, u64) {
    let store = faulty();
    store.once(call, fault).once(Call::Finish, Fault::Full);
    let tried = AtomicU64::new(0);
    let workflow = Workflow::new("book").store(store.clone());
    let book = async |run: &DurableRun| {
        let booked = run.step("book", async |mut tx: Tx<MemoryTransaction>| {
            tx.put(tried.fetch_add(1, Ordering::Relaxed).to_string(), &42);
            Ok::<_, RunError>(42)
        });
        Ok::<_, RunError>(step!(booked.transaction(&store)))
    };
    while workflow.run("r", book).await.is_err() {}
    let tried = tried.into_inner();
    let booked = (0..tried).filter(|number| store.inner().get::<u64>(&number.to_string()).is_some());
    (booked.count(), tried)
}

#[tokio::test(start_paused = true)]
async fn fault_in_a_commit_applies_to_all_its_writes() {
    assert_eq!(book(Call::Begin, Fault::Refuse).await, (1, 1));
    assert_eq!(book(Call::Commit, Fault::Refuse).await, (1, 2));
    assert_eq!(book(Call::Commit, Fault::StaleLease).await, (1, 2));
    assert_eq!(book(Call::Commit, Fault::LoseAnswer).await, (1, 1));
    // The store acknowledges the commit but does not keep it: the run continues, and a resume books again.
    assert_eq!(book(Call::Commit, Fault::DropRecord).await, (1, 2));
}

#[tokio::test(start_paused = true)]
async fn dropped_record_makes_a_resumed_run_repeat_its_step() {
    for (fault, expected) in [(Fault::LoseAnswer, 1), (Fault::DropRecord, 2)] {
        let store = faulty();
        store.once(Call::Append.key("charge"), fault).once(Call::Finish, Fault::Full);
        let [_, charged, ..] = run_until_it_ends(&store, "r").await;
        assert_eq!(charged, expected, "{fault:?}");
    }
}

/// Returns the results of two owners of a run, of which the first is frozen beyond the end of its lease.
async fn frozen(store: &Faulty) -> [Result<u64, RunError>; 2] {
    store.always(Call::Renew, Fault::Refuse);
    let workflow = Workflow::new("order").store(store.clone());
    let body = async |run: &DurableRun| {
        Ok::<_, RunError>(step!(run, "charge", async {
            tokio::time::sleep(secs(60)).await;
            Ok::<_, RunError>(7)
        }))
    };
    let second = async {
        tokio::time::sleep(secs(35)).await;
        workflow.run("r", body).await
    };
    tokio::join!(workflow.run("r", body), second).into()
}

#[tokio::test(start_paused = true)]
async fn ignored_fencing_spoils_the_run_of_the_new_owner() {
    let lost = RunError::Store(StoreError::LeaseLost { run: "r".into() });
    assert_eq!(frozen(&faulty()).await, [Err(lost.clone()), Ok(7)]);

    let broken = faulty();
    broken.always(Calls::ALL, Fault::IgnoreFencing);
    assert_eq!(frozen(&broken).await, [Ok(7), Err(lost)]);
}
