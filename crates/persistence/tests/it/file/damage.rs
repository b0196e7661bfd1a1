use std::fs;
use std::path::Path;
use std::time::Duration;

use awaitly_core::journal::{Contents, Payload, Status};
use awaitly_core::store::{
    Answer, Answered, DeleteIf, DueQuery, Durability, Ending, Operate, Purpose, Rewrite, RunQuery, Store,
    StoreError, StoredRun, Wait,
};
use awaitly_persistence::FileStore;
use tempfile::TempDir;

use super::{InFolder, SYNC, append, begin, hold, journals, keys, load, request, run, value};

const FILE: &str = "run-order-42.log";

/// The file of a run, and what the run was each time that so much of it had been written.
struct Written {
    bytes: Vec<u8>,
    states: Vec<(usize, Option<StoredRun>)>,
}

impl Written {
    /// A run of so many records, with a question, an answer, another attempt and an ending.
    async fn new(records: usize) -> Self {
        let fixture = InFolder::new().await;
        let mut written = Self { bytes: Vec::new(), states: vec![(0, None)] };
        let (store, file) = (&fixture.store, fixture.file(FILE));
        let lease = begin(store, "order-42").await;
        written.note(store, &file).await;
        for number in 0..records / 2 {
            append(store, &lease, &format!("s{number}")).await;
            written.note(store, &file).await;
        }
        let expires_in = Some(Duration::from_secs(3600));
        let request = Payload::from_stored("\"may I?\"");
        let wait = Wait { key: "ask".into(), token: "t0ken".into(), request, expires_in };
        store.wait(&lease, wait).await.unwrap();
        written.note(store, &file).await;
        store.replace(&lease, value("s1", "[2]"), SYNC).await.unwrap();
        written.note(store, &file).await;
        store
            .finish(&lease, Ending { waits_on: vec!["ask".into()], ..Ending::new(Status::Waiting) })
            .await
            .unwrap();
        written.note(store, &file).await;
        let answer = Answer::new(run("order-42"), "ask", value("", "\"yes\"").outcome);
        assert_eq!(store.answer(answer).await.unwrap(), Answered::Taken);
        written.note(store, &file).await;
        let lease = begin(store, "order-42").await;
        store.revive(&lease, vec!["s2".into()]).await.unwrap();
        written.note(store, &file).await;
        for number in records / 2 + 1..records {
            append(store, &lease, &format!("s{number}")).await;
            written.note(store, &file).await;
        }
        let ending = Ending {
            outcome: Some(value("", "{\"why\":null}").outcome),
            error: Some("declined".into()),
            failed_on: vec!["s49".into()],
            ..Ending::new(Status::Failed)
        };
        store.finish(&lease, ending).await.unwrap();
        written.note(store, &file).await;
        assert_eq!(load(store, "order-42").await.records.len(), records - 1, "one was dropped");
        written
    }

    async fn note(&mut self, store: &FileStore, file: &Path) {
        let bytes = fs::read(file).unwrap();
        assert!(bytes.starts_with(&self.bytes), "what was written is never changed");
        self.bytes = bytes;
        self.states.push((self.bytes.len(), store.load(&run("order-42")).await.unwrap()));
    }

    /// What the run was when no more than `length` bytes had been written.
    fn at(&self, length: usize) -> &Option<StoredRun> {
        &self.states.iter().rfind(|(written, _)| *written <= length).unwrap().1
    }
}

/// Where writing to the disk costs nothing, for tests that open thousands of stores.
fn quick() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

async fn opened(folder: &TempDir, bytes: &[u8]) -> FileStore {
    fs::write(folder.path().join(FILE), bytes).unwrap();
    FileStore::open(folder.path()).await.unwrap()
}

#[tokio::test]
async fn a_file_that_was_cut_anywhere_is_what_was_written_before() {
    let written = Written::new(50).await;
    let folder = quick();
    for length in 0..=written.bytes.len() {
        let store = opened(&folder, &written.bytes[..length]).await;
        let (lease, found) = hold(&store, request("order-42").purpose(Purpose::Retry)).await;
        let mut records = found.records.clone();
        match written.at(length) {
            Some(expected) => assert_eq!(found, *expected, "cut at {length}"),
            None => assert_eq!((records.len(), found.header.status), (0, Status::Running), "cut at {length}"),
        }
        // It is written on from there, and the rest of what was cut is not in the way.
        store.revive(&lease, vec![]).await.unwrap();
        append(&store, &lease, "after the cut").await;
        store.close().await.unwrap();
        let store = FileStore::open(folder.path()).await.unwrap();
        records.push(value("after the cut", "1"));
        assert_eq!(load(&store, "order-42").await.records, records, "cut at {length}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_ends_in_zeros_is_what_was_written_before() {
    let written = Written::new(50).await;
    let folder = quick();
    for length in (0..written.bytes.len()).step_by(7) {
        for zeros in [1, 5, 4096] {
            // As far as it was to be written, or further: a file system gives room in blocks.
            let mut bytes = written.bytes[..length].to_vec();
            bytes.resize(length + zeros, 0);
            let store = opened(&folder, &bytes).await;
            let found = store.load(&run("order-42")).await.unwrap();
            assert_eq!(found, *written.at(length), "{zeros} zeros from {length} on");
            store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_file_with_a_flipped_bit_is_damaged_and_stays_as_it_is() {
    let written = Written::new(50).await;
    let folder = quick();
    for position in 0..written.bytes.len() {
        for bit in [position % 8, (position + 3) % 8] {
            let mut bytes = written.bytes.clone();
            bytes[position] ^= 1 << bit;
            let store = opened(&folder, &bytes).await;
            let found = store.load(&run("order-42")).await;
            let newer = position == b"awaitly-run 1".len() - 1;
            match found {
                Err(StoreError::Corrupt { detail }) => assert!(detail.contains(FILE), "{detail}"),
                Err(StoreError::NewerFormat { .. }) if newer => {}
                found => panic!("bit {bit} of byte {position} made {found:?}"),
            }
            store.close().await.unwrap();
            assert!(fs::read(folder.path().join(FILE)).unwrap() == bytes, "the damaged file was changed");
        }
    }
}

#[tokio::test]
async fn a_damaged_run_answers_everything_so_and_the_others_are_not_concerned() {
    let fixture = InFolder::new().await;
    for id in ["good", "order-42"] {
        let lease = begin(&fixture.store, id).await;
        append(&fixture.store, &lease, "charge").await;
        append(&fixture.store, &lease, "ship").await;
    }
    let path = fixture.file(FILE);
    let folder = fixture.close().await;
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, &bytes).unwrap();

    let store = FileStore::open(journals(&folder)).await.unwrap();
    let id = run("order-42");
    let error = store.load(&id).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { detail } if detail.contains(FILE) && detail.contains("byte")),
        "{error}"
    );
    assert_eq!(store.open(request("order-42")).await, Err(error.clone()));
    assert_eq!(store.cancel(&id).await, Err(error.clone()));
    assert_eq!(store.delete(vec![run("good"), id.clone()], DeleteIf::Free).await, Err(error.clone()));
    let stored = load(&store, "good").await;
    assert_eq!(store.import(id, stored).await, Err(error));
    let listed = store.list(RunQuery::new()).await.unwrap().items;
    assert_eq!(listed.into_iter().map(|run| run.run).collect::<Vec<_>>(), [run("good")]);
    assert_eq!(store.due(DueQuery::new()).await.unwrap().len(), 1);
    let lease = begin(&store, "good").await;
    append(&store, &lease, "mail").await;
    assert_eq!(keys(&store, "good").await, ["charge", "ship", "mail"]);
    assert!(fs::read(path).unwrap() == bytes);
}

#[tokio::test]
async fn a_run_of_a_newer_format_is_refused_and_left_as_it_is() {
    let fixture = InFolder::new().await;
    let path = fixture.file(FILE);
    begin(&fixture.store, "order-42").await;
    let folder = fixture.close().await;
    let bytes = b"awaitly-run 12\nwhatever that is".to_vec();
    fs::write(&path, &bytes).unwrap();
    let store = FileStore::open(journals(&folder)).await.unwrap();
    let refused = StoreError::NewerFormat { found: 12, supported: 1 };
    assert_eq!(store.open(request("order-42")).await, Err(refused.clone()));
    assert_eq!(store.load(&run("order-42")).await, Err(refused));
    begin(&store, "order-43").await;
    assert!(fs::read(path).unwrap() == bytes);
}

#[tokio::test]
async fn a_file_under_the_name_of_another_run_is_damaged() {
    let fixture = InFolder::new().await;
    begin(&fixture.store, "order-42").await;
    fs::copy(fixture.file(FILE), fixture.file("run-order-43.log")).unwrap();
    fs::create_dir(fixture.file("run-order-44.log")).unwrap();
    let fixture = fixture.reopen().await;
    for id in ["order-43", "order-44"] {
        let found = fixture.store.load(&run(id)).await;
        assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{found:?}");
    }
    begin(&fixture.store, "order-42").await;
}

#[tokio::test]
async fn what_is_no_json_is_refused_and_leaves_no_damage() {
    let fixture = InFolder::new().await;
    let store = &fixture.store;
    let lease = begin(store, "order-42").await;
    let bad = || Payload::from_stored("{\"half\":");
    let record = || value("charge", bad().as_str());
    let is_refused = |result: Result<(), StoreError>| {
        assert!(matches!(result, Err(StoreError::Unstorable { .. })), "{result:?}")
    };
    for durability in [SYNC, Durability::Batched] {
        is_refused(store.append(&lease, record(), durability).await);
        is_refused(store.replace(&lease, record(), durability).await);
    }
    let contents = Contents { records: vec![value("good", "1"), record()], ..Contents::default() };
    is_refused(store.rewrite(&lease, Rewrite::new(2, contents, [])).await);
    let wait = Wait { key: "ask".into(), token: "t".into(), request: bad(), expires_in: None };
    is_refused(store.wait(&lease, wait).await);
    let ending = Ending { outcome: Some(record().outcome), ..Ending::new(Status::Completed) };
    is_refused(store.finish(&lease, ending).await);
    let mut input = awaitly_core::store::Input::of(&1).unwrap();
    input.payload = bad();
    is_refused(store.open(request("order-43").input(input)).await.map(drop));
    let mut stored = load(store, "order-42").await;
    stored.records.push(record());
    is_refused(store.import(run("order-44"), stored).await.map(drop));
    assert_eq!(store.list(RunQuery::new()).await.unwrap().items.len(), 1);
    append(store, &lease, "charge").await;
    let before = load(store, "order-42").await;
    assert_eq!((before.header.version, before.header.status), (1, Status::Running));
    let fixture = fixture.reopen().await;
    assert_eq!(load(&fixture.store, "order-42").await, before);
}

#[tokio::test]
async fn what_was_not_written_to_its_end_is_cut_off_by_the_next_write() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    append(&fixture.store, &lease, "charge").await;
    let path = fixture.file(FILE);
    let before = fs::metadata(&path).unwrap().len() as usize;
    let large = format!("\"{}\"", "x".repeat(4000));
    fixture.store.append(&lease, value("large", &large), SYNC).await.unwrap();
    let folder = fixture.close().await;
    let bytes = fs::read(&path).unwrap();
    for torn in [before + 1, before + 11, before + 12, before + 2000, bytes.len() - 1] {
        fs::write(&path, &bytes[..torn]).unwrap();
        let store = FileStore::open(journals(&folder)).await.unwrap();
        append(&store, &begin(&store, "order-42").await, "small").await;
        store.close().await.unwrap();
        let store = FileStore::open(journals(&folder)).await.unwrap();
        assert_eq!(keys(&store, "order-42").await, ["charge", "small"]);
        append(&store, &begin(&store, "order-42").await, "ship").await;
        store.close().await.unwrap();
    }
}
