//! A bit flips in the file while no store has it open. Every answer after that is the right one, or an error.
//!
//! `AWAITLY_FLIPS=5000` says how many bits, each in a copy of its own, and `AWAITLY_SEED` which ones. With `--nocapture` the
//! test prints how many were noticed.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use awaitly_core::journal::{Header, Kind, Outcome, Payload, Record, Status, Timestamp, WaitEntry};
use awaitly_core::store::{
    DeleteIf, Dispatch, Due, DueQuery, Durability, Ending, Input, Message, Opened, Operate, Publish,
    PutSchedule, RunId, RunQuery, RunSummary, ScheduleQuery, Store, StoreError, StoredRun, StoredSchedule,
    StreamPart, Wait, WaitQuery, Waiting,
};
use awaitly_persistence::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

use super::file;
use crate::given::{hold, request, run_id, value};

/// What a store says of everything in it, question by question.
type Answers = BTreeMap<String, Result<Answer, StoreError>>;

#[derive(Debug, PartialEq)]
enum Answer {
    Run(Option<StoredRun>),
    Ended(Header),
    Runs(Vec<RunSummary>),
    Waiting(Vec<Waiting>),
    Due(Vec<Due>),
    Published(Option<Payload>),
    Stream(Option<StreamPart>),
    Schedules(Vec<StoredSchedule>),
}

const RUNS: usize = 24;
const DELETED: usize = 10;

fn deleted(number: usize) -> RunId {
    run_id(&format!("deleted-{number}"))
}

fn id(number: usize) -> RunId {
    run_id(&format!("order-{number}"))
}

/// A file with runs of each status, large and small values, questions, and pages that were freed.
async fn filled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await.unwrap();
    for number in 0..RUNS {
        if number % 3 == 0 {
            execute(&store, number).await;
        } else {
            let _ = store.import(id(number), imported(number)).await.unwrap();
        }
    }
    for number in 0..DELETED {
        let _ = store.import(deleted(number), imported(4)).await.unwrap();
    }
    let runs: Vec<_> = (0..DELETED).map(deleted).collect();
    assert_eq!(store.delete(runs.clone(), DeleteIf::Free).await.unwrap(), runs);
    for number in 0..DELETED {
        let put = Some((Some(Timestamp::from_millis(number as u64)), Payload::from_stored("\"a rule\"")));
        let schedule = PutSchedule { name: format!("schedule {number}").into(), version: None, put };
        assert_eq!(store.put_schedules(vec![schedule]).await.unwrap(), [true]);
    }
    store.close().await.unwrap();
    folder
}

async fn execute(store: &SqliteStore, number: usize) {
    let input = Input::of(&("x".repeat(number * 40))).unwrap();
    let (lease, _) = hold(store, request(&format!("order-{number}")).input(input)).await;
    for key in 0..number {
        let text = format!("\"{}\"", "value ".repeat(key * key % 90));
        store.append(&lease, value(&format!("step-{key}"), &text), Durability::Batched).await.unwrap();
    }
    let items =
        (0..number as u64).map(|index| Publish::item("log", index, Payload::from_stored("\"a line\"")));
    let published = items.chain([Publish::value("progress", Payload::from_stored("0.5"))]);
    store.publish(&lease, published.collect()).await.unwrap();
    let message = Message::new(id(number), "note", Payload::from_stored("\"a note\"")).id("note-1");
    assert_eq!(store.send(vec![message]).await.unwrap(), [Ok(())]);
    store.replace(&lease, value("step-0", "\"another\""), Durability::Batched).await.unwrap();
    let request = Payload::from_stored("{\"prompt\":\"may I?\"}");
    let expires_in = Some(Duration::from_secs(1_000_000));
    let wait = Wait { key: "manager".into(), token: format!("token-{number}").into(), request, expires_in };
    match number % 4 {
        0 => store.release(&lease),
        1 => {
            store.wait(&lease, wait).await.unwrap();
            store.finish(&lease, Ending::new(Status::Waiting)).await.unwrap();
        }
        2 => {
            let outcome = Some(Outcome::Failed(Payload::from_stored("\"declined\"")));
            let ending = Ending {
                outcome,
                error: Some("it's declined".into()),
                failed_on: vec!["step-1".into()],
                ..Ending::new(Status::Failed)
            };
            store.finish(&lease, ending).await.unwrap();
        }
        _ => {
            let outcome = Some(value("", "[1, 2, 3]").outcome);
            store.finish(&lease, Ending { outcome, ..Ending::new(Status::Completed) }).await.unwrap();
        }
    }
}

fn imported(number: usize) -> StoredRun {
    let at = Timestamp::from_millis;
    let status = Status::ALL[number % Status::ALL.len()];
    let mut header = Header::new("checkout".into(), 2, status, at(1_700_000_000_000 + number as u64));
    header.changed = at(1_700_000_001_000);
    if status.has_ended() {
        header.outcome = Some(value("", "\"the end\"").outcome);
    }
    header.tags = vec!["a tag".into(), format!("tag {}", number % 3).into()];
    let mut waits = Vec::new();
    if status == Status::Waiting {
        header.wake = Some(at(1_700_000_002_000));
        waits.push(WaitEntry {
            key: "manager".into(),
            token: format!("0123456789-{number}").into(),
            request: Payload::from_stored("{\"prompt\":\"may I?\"}"),
            since: at(1_700_000_002_000),
            expires: None,
        });
    }
    let record = |key: usize| Record {
        key: format!("step[{key}]").into(),
        outcome: Outcome::from_parts(Kind::Value, Payload::from_stored(key.to_string())),
        input: Some(Input::of(&key).unwrap().fingerprint),
    };
    StoredRun { header, input: None, records: (0..number).map(record).collect(), waits }
}

async fn open(folder: &TempDir) -> Result<SqliteStore, StoreError> {
    SqliteOptions::new().synchronous_normal().open(file(folder)).await
}

/// Everything that a store can be asked for.
async fn ask(store: &SqliteStore) -> Answers {
    let mut answers = Answers::new();
    let load = async |run: RunId| store.load(&run).await.map(Answer::Run);
    let list =
        async |query: RunQuery| store.list(query.limit(1000)).await.map(|page| Answer::Runs(page.items));
    let waiting = async |query: WaitQuery| {
        store.waiting(query.limit(1000)).await.map(|page| Answer::Waiting(page.items))
    };
    for number in 0..RUNS {
        answers.insert(format!("load {number}"), load(id(number)).await);
        answers.insert(format!("waiting of {number}"), waiting(WaitQuery::new().run(id(number))).await);
        for token in [format!("token-{number}"), format!("0123456789-{number}")] {
            answers.insert(format!("waiting by {token}"), waiting(WaitQuery::new().token(token)).await);
        }
    }
    for number in 0..RUNS {
        let published = store.published(&id(number), "progress".into()).await.map(Answer::Published);
        answers.insert(format!("published by {number}"), published);
        let stream = store.stream(&id(number), "log".into(), 0, 100).await.map(Answer::Stream);
        answers.insert(format!("stream of {number}"), stream);
    }
    for number in 0..DELETED {
        answers.insert(format!("load deleted {number}"), load(deleted(number)).await);
    }
    for status in Status::ALL {
        answers.insert(format!("list {status}"), list(RunQuery::new().status(status)).await);
    }
    answers.insert("list".into(), list(RunQuery::new()).await);
    answers.insert("list by key".into(), list(RunQuery::new().key("step-1")).await);
    answers.insert("list by error".into(), list(RunQuery::new().error("declined")).await);
    for number in 0..3 {
        answers.insert(
            format!("list by tag {number}"),
            list(RunQuery::new().tag(format!("tag {number}"))).await,
        );
    }
    let schedules = store.schedules(ScheduleQuery::new()).await.map(Answer::Schedules);
    answers.insert("schedules".into(), schedules);
    answers.insert("waiting".into(), waiting(WaitQuery::new()).await);
    answers.insert("due".into(), store.due(DueQuery::new().limit(1000)).await.map(Answer::Due));
    for number in 0..RUNS {
        let opened = store.open(request(&format!("order-{number}")).version(2)).await;
        let opened = opened.map(|opened| match opened {
            Opened::Held { run, .. } => Answer::Run(Some(run)),
            Opened::Ended(header) => Answer::Ended(header),
            Opened::Refused(refused) => panic!("{refused:?}"),
        });
        answers.insert(format!("open {number}"), opened);
    }
    answers
}

/// The answers of a store on a file with these bytes.
async fn ask_copy(bytes: &[u8]) -> Result<Answers, StoreError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(file(&folder), bytes).unwrap();
    let store = open(&folder).await?;
    let answers = ask(&store).await;
    drop(store.close().await);
    Ok(answers)
}

#[tokio::test]
async fn flipped_bit_at_rest_never_changes_an_answer() {
    let folder = filled().await;
    let bytes = fs::read(file(&folder)).unwrap();
    let truth = ask_copy(&bytes).await.unwrap();
    assert!(truth.values().all(Result::is_ok), "{truth:?}");
    let seed = super::number("AWAITLY_SEED", 7);
    let flips = super::number("AWAITLY_FLIPS", 300);
    let (mut at_opening, mut when_read, mut harmless) = (0, 0, 0);
    for number in 0..flips {
        let bit = drawn(seed, number) % (bytes.len() * 8);
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match ask_copy(&flipped).await {
            Err(_) => at_opening += 1,
            Ok(answers) => {
                for (question, answer) in &answers {
                    let right = &truth[question];
                    assert!(
                        answer.is_err() || answer == right,
                        "bit {bit}, {question}: {answer:?}, not {right:?}"
                    );
                }
                if answers.values().all(Result::is_ok) { harmless += 1 } else { when_read += 1 }
            }
        }
    }
    println!(
        "{flips} flips in {} bytes: {at_opening} noticed at opening, {when_read} when read, {harmless} harmless, 0 silent",
        bytes.len()
    );
    assert!(at_opening + when_read > flips / 10, "hardly any bit was noticed");
}

/// The number that a seed leads to (SplitMix64).
fn drawn(seed: usize, number: usize) -> usize {
    let mut bits = (seed as u64).wrapping_add((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as usize
}
