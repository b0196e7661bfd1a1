//! The scenarios on each store.

use awaitly_core::clock::hours;
use awaitly_persistence::MemoryStore;
use awaitly_testing::crash::CrashTest;

use super::{scenarios, trips};

/// Writes a test in which each scenario survives one and two accidents on stores in memory.
macro_rules! survives {
    ($($name:ident: $scenario:path, $cases:literal;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let test = CrashTest::new().max_cases($cases).time_limit(hours(2));
            let report = test.everywhere($scenario).await;
            report.assert_same_outcome();
            assert!(report.cases() > 100, "{report}");
        }
    )*};
}

survives! {
    started_run_survives: scenarios::two_steps, 1000;
    parent_and_children_survive: scenarios::children, 1000;
    mail_survives: scenarios::mail, 1000;
    schedule_survives: scenarios::schedule, 300;
    backfill_survives: scenarios::backfill, 1000;
    restarts_survive: scenarios::rounds, 1000;
    drain_survives: scenarios::drain, 1000;
    retries_of_a_run_survive: scenarios::retries, 1000;
    retries_of_a_child_survive: scenarios::retried_child, 1000;
    limited_queue_survives: scenarios::queue, 1000;
    cancelled_trip_is_undone: trips::trip, 1000;
}

#[tokio::test(start_paused = true)]
async fn two_interleaved_workers_survive() {
    for seed in 0..4 {
        let test = || CrashTest::new().interleaved().seed(seed);
        test().max_cases(40).everywhere(scenarios::schedule).await.assert_same_outcome();
        test().max_cases(300).everywhere(scenarios::backfill).await.assert_same_outcome();
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_processes_survive_random_deaths() {
    let test = || CrashTest::new().seed(7).runs(3).rounds(10);
    test().randomly(scenarios::two_steps).await.assert_same_outcome();
    test().randomly(scenarios::children).await.assert_same_outcome();
    test().randomly(scenarios::mail).await.assert_same_outcome();
    test().randomly(scenarios::backfill).await.assert_same_outcome();
    test().randomly(scenarios::queue).await.assert_same_outcome();
}

/// Writes the tests of one store, which all cases share. The body returns a test with the store.
macro_rules! on_store {
    ($store:ident, $test:expr) => {
        mod $store {
            use super::*;

            on_store! { @ $test,
                two_steps: scenarios::two_steps;
                children: scenarios::children;
                mail: scenarios::mail;
                backfill: scenarios::backfill;
                rounds: scenarios::rounds;
                drain: scenarios::drain;
                retries: scenarios::retries;
                retried_child: scenarios::retried_child;
                queue: scenarios::queue;
                trip: trips::trip;
            }
        }
    };
    (@ $test:expr, $($name:ident: $scenario:path;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let test = $test.max_cases(25).time_limit(hours(2));
            test.everywhere($scenario).await.assert_same_outcome();
        }
    )*};
}

on_store!(shared_memory, CrashTest::new().shared_store(MemoryStore::new()));
