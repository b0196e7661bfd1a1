//! Faults: a bank that does not answer, and a store that fails.

use awaitly::clock::{ms, secs};
use awaitly::persistence::MemoryStore;
use awaitly::saga::SagaError;
use awaitly::testing::fault::{Call, Calls, Fault, FaultyStore};
use awaitly::testing::{Simulation, assert_err, assert_ok};
use awaitly::{RunError, Workflow};

use crate::fake::FakeShop;
use crate::workflow::{OrderError, PaymentError, place_order};

#[tokio::test(start_paused = true)]
async fn order_survives_a_short_outage_of_the_bank() {
    let (shop, notes) = FakeShop::noting();
    shop.line.down_for(ms(150));
    let orders = Workflow::new("orders").store(MemoryStore::new()).seed(7);
    assert_ok!(orders.run("order-42", async |run| place_order(run, &shop, "tea").await).await);
    assert!(shop.line.failures() > 0, "the bank had no outage");
    assert_eq!(notes.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn order_is_undone_after_a_long_outage_of_the_bank() {
    let (shop, notes) = FakeShop::noting();
    shop.line.down_for(secs(60));
    let orders = Workflow::new("orders").store(MemoryStore::new());
    let placed = orders.run("order-42", async |run| place_order(run, &shop, "tea").await).await;
    let error = assert_err!(placed, error if error.is_undone());
    assert_eq!(error.into_error(), OrderError::Payment(PaymentError::Unreachable));
    assert_eq!(notes.lock().unwrap().get("hold 7").map(String::as_str), Some("release"));
}

#[tokio::test(start_paused = true)]
async fn lost_answer_of_the_store_only_interrupts_the_order() {
    let (shop, notes) = FakeShop::noting();
    let store = FaultyStore::new(MemoryStore::new());
    store.once(Call::Append.key("charge"), Fault::LoseAnswer);
    let orders = Workflow::new("orders").store(store.clone());
    let order = async || orders.run("order-42", async |run| place_order(run, &shop, "tea").await).await;

    let interrupted = assert_err!(order().await);
    assert!(matches!(interrupted.into_error(), OrderError::Run(RunError::Store(_))));
    assert_ok!(order().await);
    shop.bank.assert_calls(1); // the store has the record; only its answer was lost
    assert_eq!(notes.lock().unwrap().len(), 3);
}

#[test]
fn order_is_placed_or_undone_despite_random_faults() {
    Simulation::new().seeds(0..50).run(async |sim| {
        let (shop, notes) = FakeShop::noting();
        shop.line.flaky(0.3, 0.3);
        let store = FaultyStore::new(sim.store().clone());
        store.seed(sim.seed()).chance(Calls::WRITES, 0.2, Fault::LoseAnswer);
        let orders = Workflow::new("orders").store(store).clock(sim.clock()).seed(sim.seed());
        let ended = loop {
            let ended = orders.run("order-42", async |run| place_order(run, &shop, "tea").await).await;
            match ended.map_err(SagaError::into_error) {
                Err(OrderError::Run(RunError::Store(_))) => {} // The run was interrupted: run it again.
                ended => break ended,
            }
        };
        let was_shipped = notes.lock().unwrap().contains_key("order-42/ship");
        assert_eq!(was_shipped, ended.is_ok(), "{ended:?}");
    });
}
