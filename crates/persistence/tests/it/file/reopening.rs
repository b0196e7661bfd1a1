use std::fs;
use std::time::Duration;

use awaitly_core::journal::{Key, Payload, Status};
use awaitly_core::store::{
    Answer, Answered, Cancelled, DueQuery, Durability, Ending, Input, Open, Operate, Owner, RunId, RunQuery,
    Store, StoredRun, Wait, WaitQuery,
};
use awaitly_persistence::FileStore;

use super::{InFolder, SYNC, append, begin, hold, journals, keys, load, request, run, value};

#[tokio::test]
async fn runs_of_every_status_are_what_they_were() {
    let fixture = InFolder::new().await;
    for status in Status::ALL {
        let input = Input::of(&("tea", status.as_str())).unwrap();
        let (lease, _) = hold(&fixture.store, request(status.as_str()).version(3).input(input)).await;
        for key in ["reserve", "charge"] {
            append(&fixture.store, &lease, key).await;
        }
        fixture.store.replace(&lease, value("reserve", "{\"id\": [7]}"), Durability::Batched).await.unwrap();
        let wait = |key: &'static str, expires_in| Wait {
            key: key.into(),
            token: key.into(),
            request: Payload::from_stored("[1]"),
            expires_in,
        };
        fixture.store.wait(&lease, wait("manager", Some(Duration::from_secs(3600)))).await.unwrap();
        fixture.store.wait(&lease, wait("director", None)).await.unwrap();
        if status == Status::Running {
            assert_eq!(fixture.store.cancel(&run("running")).await.unwrap(), Cancelled::Requested);
            continue;
        }
        let outcome = status.has_ended().then(|| value("", "\"the end\"").outcome);
        let ending = Ending { outcome, failed_on: vec!["charge".into()], ..Ending::new(status) };
        fixture.store.finish(&lease, ending).await.unwrap();
    }
    let answer = Answer::new(run("waiting"), "manager", value("", "true").outcome);
    assert_eq!(fixture.store.answer(answer).await.unwrap(), Answered::Taken);

    let mut before: Vec<StoredRun> = Vec::new();
    for status in Status::ALL {
        before.push(load(&fixture.store, status.as_str()).await);
    }
    let due = fixture.store.due(DueQuery::new()).await.unwrap();
    assert_eq!(due.len(), 1, "the one that waits was answered, the one that runs is held");
    let mut listed = fixture.store.list(RunQuery::new()).await.unwrap();
    let waiting = fixture.store.waiting(WaitQuery::new()).await.unwrap();
    assert_eq!(waiting.items.len(), 3);

    let fixture = fixture.reopen().await;
    for (status, before) in Status::ALL.iter().zip(before) {
        assert_eq!(load(&fixture.store, status.as_str()).await, before);
    }
    listed.items.iter_mut().for_each(|run| run.held = false);
    assert_eq!(fixture.store.list(RunQuery::new()).await.unwrap(), listed);
    assert_eq!(fixture.store.waiting(WaitQuery::new()).await.unwrap(), waiting);
    assert_eq!(fixture.store.due(DueQuery::new()).await.unwrap().len(), 2, "nobody holds a run any more");
    let (lease, _) = hold(&fixture.store, request("running").version(3)).await;
    assert!(fixture.store.renew(&lease, Duration::ZERO).await.unwrap().cancel);
    append(&fixture.store, &lease, "a later key that sorts first").await;
    assert_eq!(keys(&fixture.store, "running").await, ["charge", "reserve", "a later key that sorts first"]);
}

#[tokio::test]
async fn an_input_of_nothing_is_not_no_input() {
    let fixture = InFolder::new().await;
    let (_, run) = hold(&fixture.store, request("order-42").input(Input::of(&()).unwrap())).await;
    assert!(run.input.is_some());
    let fixture = fixture.reopen().await;
    assert_eq!(load(&fixture.store, "order-42").await, run);
    assert_eq!(load(&fixture.reopen().await.store, "order-42").await.input, run.input);
}

#[tokio::test]
async fn a_list_goes_on_where_it_was_and_new_runs_are_newer() {
    let fixture = InFolder::new().await;
    for number in 0..5 {
        begin(&fixture.store, &number.to_string()).await;
    }
    let page = fixture.store.list(RunQuery::new().limit(2)).await.unwrap();
    let fixture = fixture.reopen().await;
    begin(&fixture.store, "new").await;
    let rest = fixture.store.list(RunQuery::new().after(page.next.unwrap())).await.unwrap();
    let ids = |items: Vec<awaitly_core::store::RunSummary>| {
        items.into_iter().map(|run| run.run.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(page.items), ["4", "3"]);
    assert_eq!(ids(rest.items), ["2", "1", "0"]);
    assert_eq!(ids(fixture.store.list(RunQuery::new().limit(2)).await.unwrap().items), ["new", "4"]);
}

#[tokio::test]
async fn files_of_two_stores_can_be_brought_together() {
    let (one, other) = (InFolder::new().await, InFolder::new().await);
    begin(&one.store, "one").await;
    begin(&other.store, "other").await;
    let file = other.file("run-other.log");
    let other = other.close().await;
    fs::rename(file, one.file("run-other.log")).unwrap();
    let one = one.reopen().await;
    drop(other);
    assert_eq!(one.store.list(RunQuery::new()).await.unwrap().items.len(), 2);
    let (lease, other) = (begin(&one.store, "one").await, begin(&one.store, "other").await);
    assert_ne!(lease.slot(), other.slot());
    append(&one.store, &lease, "charge").await;
    append(&one.store, &other, "charge").await;
}

#[tokio::test]
async fn hostile_text_is_only_ever_a_value() {
    let long = "x/".repeat(256);
    let hostile = [
        ".",
        "..",
        "../../x",
        "/etc/passwd",
        "a\0b",
        "a\0c",
        "\0",
        "a",
        "A",
        "con",
        "lock",
        "run-a.log",
        "%61",
        "🫖'",
        "\\",
        "\r\n",
        " ",
        &long,
        &long[..511],
        &long[1..],
    ];
    let fixture = InFolder::new().await;
    for text in hostile {
        let open =
            Open::new(RunId::new(text).unwrap(), text, Owner::new(text)).input(Input::of(text).unwrap());
        let (lease, _) = hold(&fixture.store, open).await;
        for key in hostile {
            let record = value(key, Payload::encode(text).unwrap().as_str());
            fixture.store.append(&lease, record, Durability::Batched).await.unwrap();
        }
        let failed_on = hostile.iter().map(|key| Key::from((*key).to_owned())).collect();
        let ending = Ending { error: Some(text.into()), failed_on, ..Ending::new(Status::Failed) };
        fixture.store.finish(&lease, ending).await.unwrap();
    }
    let fixture = fixture.reopen().await;
    for text in hostile {
        let stored = load(&fixture.store, text).await;
        assert_eq!(&*stored.header.workflow, text);
        assert_eq!(stored.input.unwrap().decode::<String>().unwrap(), text);
        assert_eq!(keys(&fixture.store, text).await, hostile);
        for record in stored.records {
            assert_eq!(record.outcome.payload().decode::<String>().unwrap(), text);
        }
    }
    let all: Vec<_> = hostile.iter().map(|text| run(text)).collect();
    let deleted = fixture.store.delete(all.clone(), awaitly_core::store::DeleteIf::Free).await.unwrap();
    assert_eq!(deleted, all);
    let left: Vec<_> =
        fs::read_dir(journals(&fixture.folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[tokio::test]
async fn a_file_that_is_mostly_not_needed_any_more_is_written_anew() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    append(&fixture.store, &lease, "charge").await;
    let large = format!("\"{}\"", "x".repeat(100_000));
    let mut longest = 0;
    let file = fixture.file("run-order-42.log");
    for _ in 0..30 {
        fixture.store.replace(&lease, value("state", &large), Durability::Batched).await.unwrap();
        longest = longest.max(fs::metadata(&file).unwrap().len());
    }
    assert!(longest < 2_000_000, "it grew to {longest} bytes");
    fixture.store.replace(&lease, value("state", "1"), SYNC).await.unwrap();
    append(&fixture.store, &lease, "ship").await;
    let again = fixture.store.append(&lease, value("charge", "2"), SYNC).await;
    assert!(again.is_err(), "the keys are still known");
    let before = load(&fixture.store, "order-42").await;
    // As a process leaves it that dies while it writes a file anew.
    fs::write(file.with_extension("log.new"), "half").unwrap();
    let fixture = fixture.reopen().await;
    assert_eq!(load(&fixture.store, "order-42").await, before);
    assert_eq!(keys(&fixture.store, "order-42").await, ["charge", "state", "ship"]);
    assert_eq!(fs::read_dir(journals(&fixture.folder)).unwrap().count(), 2, "the lock and one file");
}

#[tokio::test]
async fn a_run_can_be_read_while_its_file_is_written_anew() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    append(&fixture.store, &lease, "charge").await;
    let large = format!("\"{}\"", "x".repeat(200_000));
    let writing = async {
        for _ in 0..40 {
            fixture.store.replace(&lease, value("state", &large), Durability::Batched).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..100 {
            let found = load(&fixture.store, "order-42").await.records;
            assert_eq!(found[0], value("charge", "1"));
            assert!(found[1..].iter().all(|record| *record == value("state", &large)));
        }
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn a_batched_record_is_on_the_disk_with_what_comes_next() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    for number in 0..10 {
        let durability = if number % 3 == 2 { SYNC } else { Durability::Batched };
        fixture.store.append(&lease, value(&number.to_string(), "1"), durability).await.unwrap();
    }
    let before = load(&fixture.store, "order-42").await;
    assert_eq!(before.records.len(), 10);
    // A copy is what another process would find.
    let copy = tempfile::tempdir().unwrap();
    fs::copy(fixture.file("run-order-42.log"), copy.path().join("run-order-42.log")).unwrap();
    let store = FileStore::open(copy.path()).await.unwrap();
    assert_eq!(load(&store, "order-42").await, before);
}
