//! Crash tests on a real store.

use awaitly_core::Workflow;
use awaitly_persistence::SqliteStore;
use awaitly_testing::crash::CrashTest;

use super::{Shop, order};

#[tokio::test(start_paused = true)]
async fn five_steps_survive_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("crash.db")).await.unwrap();
    let test = CrashTest::new().shared_store(store).limit(100);
    let report = test.everywhere(async |world| {
        let shop = Shop { ledger: world.ledger() };
        world.workflow(Workflow::new("order")).run("o", async |run| order(run, &shop).await).await
    });
    let report = report.await;
    println!("{report}");
    report.assert_same_outcome();
}
