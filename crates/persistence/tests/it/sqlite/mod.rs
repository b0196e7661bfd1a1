use awaitly_persistence::SqliteStore;
use awaitly_persistence::conformance::Fixture;
use tempfile::TempDir;

/// A store on a file of its own.
struct InFolder {
    store: SqliteStore,
    _folder: TempDir,
}

impl InFolder {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("journals.db")).await.unwrap();
        Self { store, _folder: folder }
    }
}

impl Fixture for InFolder {
    type Store = SqliteStore;

    fn store(&self) -> &SqliteStore {
        &self.store
    }
}

mod conformance {
    use super::InFolder;
    awaitly_persistence::conformance_tests!(InFolder::new().await);
}
