//! Runs a crash test on each store.

#[path = "../../tests/it/servers.rs"]
pub(crate) mod servers;

/// Defines the crash tests of a process, which is a function over a `World<S>`. On a store in memory, the process dies at
/// each boundary; on the other stores, at a limited number of boundaries.
macro_rules! survives_on_every_store {
    ($process:ident) => {
        use awaitly::testing::CrashTest;

        const SOME: usize = 60;

        #[tokio::test(start_paused = true)]
        async fn process_survives_crashes_in_memory() {
            CrashTest::new().everywhere($process).await.assert_same_outcome();
        }

        #[tokio::test(start_paused = true)]
        async fn process_survives_crashes_on_sqlite() {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("crash.db");
            let store = awaitly::persistence::SqliteStore::open(file).await.unwrap();
            survives_on(store).await;
        }

        #[tokio::test]
        async fn process_survives_crashes_on_postgres() {
            let servers = stores::servers::Servers::new();
            let store = servers.postgres().await;
            tokio::time::pause();
            survives_on(store).await;
            tokio::time::resume();
            servers.clear().await;
        }

        #[tokio::test]
        async fn process_survives_crashes_on_redis() {
            let servers = stores::servers::Servers::new();
            let store = servers.redis().await;
            tokio::time::pause();
            survives_on(store).await;
            tokio::time::resume();
            servers.clear().await;
        }

        async fn survives_on(store: impl awaitly::store::Operate) {
            let test = CrashTest::new().shared_store(store).max_cases(SOME);
            test.everywhere($process).await.assert_same_outcome();
        }
    };
}
pub(crate) use survives_on_every_store;
