//! Runs in flight resume with the current code. The folder `journals/` contains their journals.

use std::path::PathBuf;
use std::time::SystemTime;

use awaitly::Workflow;
use awaitly::persistence::MemoryStore;
use awaitly::testing::fault::{Call, Fault, FaultyStore};
use awaitly::testing::replay::{Journal, fixtures};
use awaitly::testing::would_resume;

use crate::fake::FakeShop;
use crate::workflow::place_order;

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "examples/tests/journals"].iter().collect()
}

#[tokio::test(start_paused = true)]
async fn orders_in_flight_resume_with_current_code() {
    let (shop, _) = FakeShop::noting();
    let orders = Workflow::new("orders");
    for (path, journal) in fixtures(folder()).unwrap() {
        println!("{}", path.display());
        let replay = would_resume(&journal, &orders, async |run| place_order(run, &shop, "tea").await).await;
        replay.assert_resumes();
    }
}

/// Writes the fixtures. Before you change the code, run this test to add a new kind of run, and read the diff:
///
/// ```text
/// cargo test --example tests --features saga,testing -- --ignored fixtures_are_written
/// ```
///
/// In a real project, copy journals from production: `Journal::of(&store, "order-42").await?.write(path)?`.
#[tokio::test(start_paused = true)]
#[ignore = "it writes to examples/tests/journals"]
async fn fixtures_are_written() {
    for (run, breaks_at, has_courier) in [
        ("charged", Some("ship"), true),
        ("shipped", None, true),
        ("half-undone", Some("undo reserve"), false),
    ] {
        let store = FaultyStore::new(MemoryStore::made_at(SystemTime::UNIX_EPOCH));
        if let Some(step) = breaks_at {
            store.always(Call::Append.key(step), Fault::Refuse);
        }
        let (shop, _) = FakeShop::noting();
        let shop = if has_courier { shop } else { shop.without_courier() };
        let orders = Workflow::new("orders").store(store.clone());
        let _ = orders.run(run, async |run| place_order(run, &shop, "tea").await).await;
        Journal::of(&store, run).await.unwrap().write(folder().join(format!("{run}.json"))).unwrap();
    }
}
