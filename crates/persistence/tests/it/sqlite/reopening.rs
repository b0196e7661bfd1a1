use std::fs;
use std::time::Duration;

use awaitly_core::journal::{Payload, Status};
use awaitly_core::store::{
    Answer, Cancelled, DueQuery, Durability, Ending, Input, Open, Operate, Owner, RunId, RunQuery,
    RunSummary, Store, StoredRun, Wait, WaitQuery,
};
use awaitly_persistence::SqliteStore;
use futures_util::future::join_all;

use super::{InFolder, file};
use crate::given::{begin, hold, keys, load, question, request, run_id, value};

/// A run of each status, each with records, an input and two questions. The run that waits has one answer, and the running
/// one is to be cancelled.
async fn fill(store: &SqliteStore) {
    for status in Status::ALL {
        let input = Input::of(&("tea", status.as_str())).unwrap();
        let (lease, _) = hold(store, request(status.as_str()).version(3).input(input)).await;
        for key in ["reserve", "charge"] {
            store.append(&lease, value(key, "1"), Durability::Sync).await.unwrap();
        }
        store.replace(&lease, value("reserve", "{\"id\": [7]}"), Durability::Batched).await.unwrap();
        for (key, expires_in) in [("manager", Some(Duration::from_secs(3600))), ("director", None)] {
            store.wait(&lease, Wait { expires_in, ..question(key, key) }).await.unwrap();
        }
        if status == Status::Running {
            assert_eq!(store.cancel(&run_id("running")).await.unwrap(), Cancelled::Requested);
            continue;
        }
        let outcome = status.has_ended().then(|| value("", "\"the end\"").outcome);
        let ending = Ending { outcome, failed_on: vec!["charge".into()], ..Ending::new(status) };
        store.finish(&lease, ending).await.unwrap();
    }
    let answer = Answer::new(run_id("waiting"), "manager", value("", "true").outcome);
    assert_eq!(store.answer(answer).await.unwrap(), Ok(()));
}

async fn all(store: &SqliteStore) -> Vec<StoredRun> {
    join_all(Status::ALL.map(async |status| load(store, status.as_str()).await)).await
}

#[tokio::test]
async fn reopened_store_keeps_runs_of_every_status() {
    let fixture = InFolder::new().await;
    fill(&fixture.store).await;
    let before = all(&fixture.store).await;
    let due = fixture.store.due(DueQuery::new()).await.unwrap();
    assert_eq!(due.len(), 1, "the waiting run was answered, the running one is held");
    let mut listed = fixture.store.list(RunQuery::new()).await.unwrap();
    let waiting = fixture.store.waiting(WaitQuery::new()).await.unwrap();
    assert_eq!(waiting.items.len(), 3);

    let InFolder { store, place: _folder } = fixture.reopen().await;
    assert_eq!(all(&store).await, before);
    listed.items.iter_mut().for_each(|run| run.held = false);
    assert_eq!(store.list(RunQuery::new()).await.unwrap(), listed);
    assert_eq!(store.waiting(WaitQuery::new()).await.unwrap(), waiting);
    assert_eq!(store.due(DueQuery::new()).await.unwrap().len(), 2, "no run is held any more");
    let (lease, _) = hold(&store, request("running").version(3)).await;
    assert!(store.renew(&lease, Duration::ZERO).await.unwrap().cancel);
    store.append(&lease, value("a later key that sorts first", "1"), Durability::Sync).await.unwrap();
    let expected = ["charge", "reserve", "a later key that sorts first"];
    assert_eq!(keys(&store, "running").await, expected);
}

#[tokio::test]
async fn unit_input_is_kept_as_input() {
    let fixture = InFolder::new().await;
    let (_, run) = hold(&fixture.store, request("order-42").input(Input::of(&()).unwrap())).await;
    assert!(run.input.is_some());
    let fixture = fixture.reopen().await;
    assert_eq!(load(&fixture.store, "order-42").await, run);
}

#[tokio::test]
async fn reopened_store_continues_a_list_and_puts_new_runs_first() {
    let fixture = InFolder::new().await;
    for number in 0..5 {
        begin(&fixture.store, &number.to_string()).await;
    }
    let page = fixture.store.list(RunQuery::new().limit(2)).await.unwrap();
    let InFolder { store, place: _folder } = fixture.reopen().await;
    begin(&store, "new").await;
    let rest = store.list(RunQuery::new().after(page.next.unwrap())).await.unwrap();
    let ids = |items: &[RunSummary]| items.iter().map(|run| run.run.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&page.items), ["4", "3"]);
    assert_eq!(ids(&rest.items), ["2", "1", "0"]);
    assert_eq!(ids(&store.list(RunQuery::new().limit(2)).await.unwrap().items), ["new", "4"]);
}

#[tokio::test]
async fn copy_of_the_files_holds_batched_records() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    for number in 0..10 {
        let durability = if number % 3 == 2 { Durability::Sync } else { Durability::Batched };
        fixture.store.append(&lease, value(&number.to_string(), "1"), durability).await.unwrap();
    }
    let before = load(&fixture.store, "order-42").await;
    assert_eq!(before.records.len(), 10);
    // A copy is what another process finds after a kill.
    let copy = tempfile::tempdir().unwrap();
    for name in ["journals.db", "journals.db-wal"] {
        fs::copy(fixture.place.path().join(name), copy.path().join(name)).unwrap();
    }
    assert_eq!(load(&SqliteStore::open(file(&copy)).await.unwrap(), "order-42").await, before);
}

#[tokio::test]
async fn error_of_a_run_is_kept_for_people() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    let outcome = Some(value("", "1").outcome);
    let ending = Ending {
        outcome,
        error: Some("it's declined".into()),
        failed_on: vec!["charge".into()],
        ..Ending::new(Status::Failed)
    };
    fixture.store.finish(&lease, ending).await.unwrap();
    let kept = fixture
        .sql()
        .query_row(
            "SELECT status, error, failed_on, outcome_kind, outcome, owner FROM awaitly_runs",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)),
        )
        .unwrap();
    let text = |text: &str| String::from(text);
    assert_eq!(
        kept,
        (text("failed"), text("it's declined"), text("[\"charge\"]"), 0, text("1"), None::<String>)
    );
}

#[tokio::test]
async fn concurrent_opens_create_tables_of_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let stores = join_all((0..8).map(async |_| SqliteStore::open(file(&folder)).await.unwrap())).await;
    for (number, store) in stores.iter().enumerate() {
        let id = number.to_string();
        let lease = begin(store, &id).await;
        store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    }
    let sql = rusqlite::Connection::open(file(&folder)).unwrap();
    let applied: i64 =
        sql.query_row("SELECT count(*) FROM awaitly_migrations", [], |row| row.get(0)).unwrap();
    assert_eq!(applied, 4);
    assert_eq!(
        sql.query_row("SELECT count(*) FROM awaitly_steps", [], |row| row.get::<_, i64>(0)).unwrap(),
        8
    );
}

#[tokio::test]
async fn hostile_text_is_only_ever_a_value() {
    let hostile = [
        "'; DROP TABLE awaitly_runs; --",
        "\" OR 1=1 --",
        "a\0b",
        "a\0c",
        "a",
        "\0",
        "../../x\n;",
        "?1 :a $b @c",
        "`[x]`",
        "..",
        "/etc/passwd",
        "A",
        "\\",
        "\r\n",
        " ",
        "🫖'",
        "x'00'",
    ];
    let InFolder { store, place: folder } = InFolder::new().await;
    for text in hostile {
        let input = Input::of(text).unwrap();
        let open = Open::new(RunId::new(text).unwrap(), text, Owner::new(text)).input(input);
        let (lease, _) = hold(&store, open).await;
        for key in hostile {
            store
                .append(&lease, value(key, Payload::encode(text).unwrap().as_str()), Durability::Sync)
                .await
                .unwrap();
        }
        let ending = Ending {
            error: Some(text.into()),
            failed_on: hostile.map(Into::into).to_vec(),
            ..Ending::new(Status::Failed)
        };
        store.finish(&lease, ending).await.unwrap();
    }
    store.close().await.unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    for text in hostile {
        let stored = store.load(&run_id(text)).await.unwrap().unwrap();
        assert_eq!(&*stored.header.workflow, text);
        assert_eq!(stored.header.failed_on, hostile.map(awaitly_core::journal::Key::from));
        assert_eq!(stored.input.unwrap().decode::<String>().unwrap(), text);
        assert_eq!(keys(&store, text).await, hostile);
        for record in stored.records {
            assert_eq!(record.outcome.payload().decode::<String>().unwrap(), text);
        }
    }
}

#[tokio::test]
async fn upgraded_file_takes_the_leases_of_older_processes() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/sqlite-2.db");
    fs::copy(corpus, file(&folder)).unwrap();
    let older = rusqlite::Connection::open(file(&folder)).unwrap();
    let taken = "UPDATE awaitly_runs SET token = 5, owner = 'older', owner_lock = 'older.lock', lease_until = ? \
        WHERE run_id = 'order-running'";
    assert_eq!(older.execute(taken, [i64::MAX]).unwrap(), 1);
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    let held = "SELECT count(*) FROM awaitly_runs WHERE token = 5 AND owner IS NOT NULL";
    assert_eq!(older.query_row(held, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    assert!(older.execute(taken, [i64::MAX]).is_err(), "an older process takes no lease any more");
    let mut request = request("order-running");
    request.version = 2;
    let (lease, _) = hold(&store, request).await;
    assert_eq!(lease.token(), 7);
}
