use std::fs;
use std::io::{Seek, SeekFrom, Write};

use awaitly_core::journal::{Contents, Status};
use awaitly_core::store::{Durability, Ending, Rewrite, Store, StoreError};
use awaitly_persistence::{SqliteOptions, SqliteStore};

use super::{InFolder, file, open_error};
use crate::given::{begin, keys, request, run_id, value};

fn is_corrupt<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Corrupt { .. }))
}

/// A closed file with a run of 2000 records, and its folder.
async fn filled() -> tempfile::TempDir {
    let InFolder { store, place: folder } = InFolder::new().await;
    let lease = begin(&store, "order-42").await;
    let records = (0..2000).map(|number| value(&format!("step-{number:04}"), "\"some text\"")).collect();
    let contents = Contents { records, ..Contents::default() };
    store.rewrite(&lease, Rewrite::new(1, contents, [])).await.unwrap();
    store.close().await.unwrap();
    folder
}

#[tokio::test]
async fn non_database_file_is_corrupt_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "not a database ".repeat(1000);
    fs::write(file(&folder), &text).unwrap();
    assert!(matches!(open_error(file(&folder)).await, StoreError::Corrupt { .. }));
    assert_eq!(fs::read_to_string(file(&folder)).unwrap(), text);
}

#[tokio::test]
async fn truncated_file_is_corrupt() {
    let folder = filled().await;
    let length = fs::metadata(file(&folder)).unwrap().len();
    fs::File::options().write(true).open(file(&folder)).unwrap().set_len(length / 2).unwrap();
    assert!(load_again(&folder).await);
}

#[tokio::test]
async fn damaged_page_is_corrupt() {
    let folder = filled().await;
    let length = fs::metadata(file(&folder)).unwrap().len();
    let mut damaged = fs::File::options().write(true).open(file(&folder)).unwrap();
    for page in (length / 2 / 4096)..(length / 4096) {
        damaged.seek(SeekFrom::Start(page * 4096)).unwrap();
        damaged.write_all(&[0xff; 512]).unwrap();
    }
    drop(damaged);
    assert!(load_again(&folder).await);
}

/// Whether opening the file, or else loading its run, says that it is damaged.
async fn load_again(folder: &tempfile::TempDir) -> bool {
    match SqliteStore::open(file(folder)).await {
        Ok(store) => is_corrupt(&store.load(&run_id("order-42")).await),
        opened => is_corrupt(&opened),
    }
}

#[tokio::test]
async fn damaged_row_is_corrupt_only_for_its_run() {
    let fixture = InFolder::new().await;
    let good = begin(&fixture.store, "good").await;
    let damage = [
        "UPDATE awaitly_runs SET status = 'dreaming' WHERE run_id = ?",
        "UPDATE awaitly_runs SET failed_on = 'charge' WHERE run_id = ?",
        "UPDATE awaitly_runs SET failed_on = '[7]' WHERE run_id = ?",
        "UPDATE awaitly_runs SET outcome_kind = NULL WHERE run_id = ?",
        "UPDATE awaitly_runs SET outcome_kind = 9 WHERE run_id = ?",
        "UPDATE awaitly_runs SET outcome = x'ff' WHERE run_id = ?",
        "UPDATE awaitly_runs SET version = -1 WHERE run_id = ?",
    ];
    for (number, sql) in damage.iter().enumerate() {
        let id = format!("bad-{number}");
        let lease = begin(&fixture.store, &id).await;
        let outcome = Some(value("", "1").outcome);
        let ending = Ending { outcome, ..Ending::new(Status::Failed) };
        fixture.store.finish(&lease, ending).await.unwrap();
        assert_eq!(fixture.sql().execute(sql, [&id]).unwrap(), 1);
        assert!(is_corrupt(&fixture.store.open(request(&id)).await), "open after {sql}");
        assert!(is_corrupt(&fixture.store.load(&run_id(&id)).await), "load after {sql}");
    }
    for sql in ["UPDATE awaitly_steps SET kind = 9", "UPDATE awaitly_steps SET payload = x'ff' WHERE run > 1"]
    {
        let lease = begin(&fixture.store, sql).await;
        fixture.store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
        fixture.store.release(&lease);
        fixture.sql().execute(sql, []).unwrap();
        assert!(is_corrupt(&fixture.store.open(request(sql)).await), "open after {sql}");
    }
    fixture.store.append(&good, value("charge", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&fixture.store, "good").await, ["charge"]);
}

#[tokio::test]
async fn file_of_newer_version_is_refused_unchanged() {
    let folder = filled().await;
    let sql = rusqlite::Connection::open(file(&folder)).unwrap();
    sql.execute("INSERT INTO awaitly_migrations VALUES (7, 0)", []).unwrap();
    sql.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(sql);
    let before = fs::read(file(&folder)).unwrap();
    assert_eq!(open_error(file(&folder)).await, StoreError::NewerFormat { found: 7, supported: 4 });
    assert!(fs::read(file(&folder)).unwrap() == before, "the file was changed");
}

#[tokio::test]
async fn run_of_a_newer_format_is_refused() {
    let fixture = InFolder::new().await;
    begin(&fixture.store, "order-42").await;
    fixture.sql().execute("UPDATE awaitly_runs SET format = 5", []).unwrap();
    let refused = StoreError::NewerFormat { found: 5, supported: 4 };
    assert_eq!(fixture.store.open(request("order-42")).await, Err(refused.clone()));
    assert_eq!(fixture.store.load(&run_id("order-42")).await, Err(refused));
}

#[tokio::test]
async fn unusable_path_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    for path in
        [folder.path().join("missing").join("journals.db"), folder.path().to_owned(), ":memory:".into()]
    {
        let error = open_error(path).await;
        assert!(matches!(error, StoreError::NotThere { .. }), "{error}");
        assert!(error.to_string().contains("check its address"), "{error}");
    }
}

/// A closed file with two runs, in one of which a bit of a value has flipped.
async fn flipped() -> tempfile::TempDir {
    let InFolder { store, place: folder } = InFolder::new().await;
    for id in ["good", "bad"] {
        let lease = begin(&store, id).await;
        store.append(&lease, value("charge", &format!("\"a {id} text\"")), Durability::Sync).await.unwrap();
        store.release(&lease);
    }
    store.close().await.unwrap();
    let mut bytes = fs::read(file(&folder)).unwrap();
    let at = bytes.windows(10).position(|part| part == b"a bad text").unwrap();
    bytes[at] ^= 2;
    fs::write(file(&folder), bytes).unwrap();
    folder
}

#[tokio::test]
async fn file_with_a_flipped_bit_is_not_opened() {
    let folder = flipped().await;
    let error = open_error(file(&folder)).await;
    let said = "the checksum of a row of awaitly_steps does not match";
    assert_eq!(error, StoreError::Corrupt { detail: said.into() });
}

#[tokio::test]
async fn unchecked_file_refuses_only_the_damaged_run() {
    let folder = flipped().await;
    let store = SqliteOptions::new().check_tables_only().open(file(&folder)).await.unwrap();
    assert!(is_corrupt(&store.load(&run_id("bad")).await));
    assert!(is_corrupt(&store.open(request("bad")).await));
    assert_eq!(keys(&store, "good").await, ["charge"]);
    begin(&store, "good").await;
}

#[tokio::test]
async fn damaged_run_stays_damaged_when_it_is_written() {
    let fixture = InFolder::new().await;
    let [damaged, good] = [begin(&fixture.store, "bad").await, begin(&fixture.store, "good").await];
    fixture.sql().execute("UPDATE awaitly_runs SET workflow = 'chackout' WHERE run_id = 'bad'", []).unwrap();
    let ending = Ending::new(Status::Completed);
    let (refused, finished) = tokio::join!(
        fixture.store.finish(&damaged, ending.clone()),
        fixture.store.finish(&good, ending.clone()),
    );
    assert!(is_corrupt(&refused), "{refused:?}");
    assert_eq!(finished, Ok(()));
    assert!(is_corrupt(&fixture.store.load(&run_id("bad")).await));
}

#[tokio::test]
async fn rows_of_an_application_are_not_judged() {
    let InFolder { store, place: folder } = InFolder::new().await;
    begin(&store, "order-42").await;
    store.close().await.unwrap();
    let sql = rusqlite::Connection::open(file(&folder)).unwrap();
    sql.execute_batch(
        "CREATE TABLE theirs (id INTEGER, CHECK (id > 0)); PRAGMA ignore_check_constraints = ON; \
        INSERT INTO theirs VALUES (-1); CREATE INDEX theirs_on_ours ON awaitly_runs (workflow)",
    )
    .unwrap();
    drop(sql);
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    assert!(store.load(&run_id("order-42")).await.unwrap().is_some());
}

#[tokio::test]
async fn table_with_another_definition_is_corrupt() {
    for harm in [
        "ALTER TABLE awaitly_waits DROP COLUMN expires_at",
        "DROP INDEX awaitly_runs_by_status",
        "DROP TABLE awaitly_migrations",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'payload           TEXT', 'payload TEXU')",
    ] {
        let InFolder { store, place: folder } = InFolder::new().await;
        store.close().await.unwrap();
        rusqlite::Connection::open(file(&folder)).unwrap().execute_batch(harm).unwrap();
        for options in [SqliteOptions::new(), SqliteOptions::new().check_tables_only()] {
            let opened = options.open(file(&folder)).await;
            assert!(is_corrupt(&opened), "{opened:?} after {harm}");
        }
    }
}
