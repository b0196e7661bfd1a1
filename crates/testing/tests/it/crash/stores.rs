//! Crash tests on a real store.

use awaitly_persistence::SqliteStore;
use awaitly_testing::crash::CrashTest;

use super::{crashed, order};

#[tokio::test(start_paused = true)]
async fn five_steps_survive_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("crash.db")).await.unwrap();
    let test = CrashTest::new().shared_store(store).max_cases(100);
    crashed(test, order).await.assert_same_outcome();
}
