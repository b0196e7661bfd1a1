use awaitly_core::journal::{Payload, Status};
use awaitly_core::store::{Ending, Open, Owner, RunId, Store};
use awaitly_persistence::SqliteStore;
use futures_util::future::join_all;

use super::{Durability, InFolder, begin, file, keys, run, value};

#[tokio::test]
async fn a_run_is_what_it_was_after_the_store_was_dropped() {
    let InFolder { store, folder } = InFolder::new().await;
    let lease = begin(&store, "order-42").await;
    for key in ["reserve", "charge"] {
        store.append(&lease, value(key, "{\"id\":7}"), Durability::Sync).await.unwrap();
    }
    let before = store.load(&run("order-42")).await.unwrap().unwrap();
    store.close().await.unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    assert_eq!(store.load(&run("order-42")).await.unwrap().unwrap(), before);
    let lease = begin(&store, "order-42").await;
    store.append(&lease, value("a later key that sorts first", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&store, "order-42").await, ["reserve", "charge", "a later key that sorts first"]);
}

#[tokio::test]
async fn the_error_of_a_run_is_kept_for_people() {
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
async fn many_stores_that_open_a_new_file_at_once_make_its_tables_once() {
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
    assert_eq!(applied, 3);
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
        "🫖'",
        "x'00'",
    ];
    let InFolder { store, folder } = InFolder::new().await;
    for text in hostile {
        let input = awaitly_core::store::Input::of(text).unwrap();
        let open = Open::new(RunId::new(text).unwrap(), text, Owner::new(text)).input(input);
        let (lease, _) = super::hold(&store, open).await;
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
        let stored = store.load(&run(text)).await.unwrap().unwrap();
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
    std::fs::copy(corpus, file(&folder)).unwrap();
    let older = rusqlite::Connection::open(file(&folder)).unwrap();
    let taken = "UPDATE awaitly_runs SET token = 5, owner = 'older', owner_lock = 'older.lock', lease_until = ? \
        WHERE run_id = 'order-running'";
    assert_eq!(older.execute(taken, [i64::MAX]).unwrap(), 1);
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    let held = "SELECT count(*) FROM awaitly_runs WHERE token = 5 AND owner IS NOT NULL";
    assert_eq!(older.query_row(held, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    assert!(older.execute(taken, [i64::MAX]).is_err(), "an older process takes no lease any more");
    let mut request = super::request("order-running");
    request.version = 2;
    let (lease, _) = super::hold(&store, request).await;
    assert_eq!(lease.token(), 7);
}
