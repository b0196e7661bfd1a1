//! The path through the workflow, with scripted outcomes of its steps. Each test also states which services are called.

use awaitly::clock::{ms, secs};
use awaitly::event::EventKind;
use awaitly::saga::SagaError;
use awaitly::testing::{Harness, Report, assert_err, assert_event, assert_ok, err, hang, ok, real, timeout};

use crate::fake::FakeShop;
use crate::workflow::{Declined, Hold, NoCourier, OrderError, Payment, PaymentError, place_order};

/// Returns a harness in which each step succeeds, unless a test scripts another outcome.
pub(crate) fn all_goes_well() -> Harness {
    Harness::new()
        .scripted_only()
        .script("reserve", ok(Hold { id: 7, sku: "tea".into() }))
        .script("charge", ok(Payment { id: 107 }))
        .script("ship", ok(()))
}

pub(crate) async fn order(harness: &Harness) -> Report<Payment, SagaError<OrderError>> {
    let (shop, _) = FakeShop::noting();
    harness.run(async |run| place_order(run, &shop, "tea").await).await
}

#[tokio::test(start_paused = true)]
async fn order_is_paid_and_shipped() {
    let report = order(&all_goes_well()).await;
    report.assert_steps(["reserve", "charge", "ship"]);
    report.assert_result(&Ok(Payment { id: 107 }));
}

#[tokio::test(start_paused = true)]
async fn unreachable_bank_is_retried() {
    let charge = [err(PaymentError::Unreachable), timeout(secs(5)), ok(Payment { id: 107 })];
    let report = order(&all_goes_well().script("charge", charge)).await;
    report.assert_calls("charge", 3);
    assert_ok!(&report.result);
    assert_event!(report.events(), EventKind::RetryScheduled { attempt: 2, .. });
}

#[tokio::test(start_paused = true)]
async fn hanging_bank_costs_four_timeouts() {
    let began = tokio::time::Instant::now();
    let harness = all_goes_well().script("charge", hang()).script("undo reserve", ok(()));
    let report = order(&harness.allow_unused_scripts()).await;
    assert_err!(report.result, error if error.is_undone());
    assert!(began.elapsed() >= 4 * secs(5) && began.elapsed() < 4 * secs(5) + ms(1_400));
}

#[tokio::test(start_paused = true)]
async fn declined_card_is_not_retried_and_releases_the_hold() {
    let report = Harness::new()
        .scripted_only()
        .script("reserve", ok(Hold { id: 7, sku: "tea".into() }))
        .script("charge", err(PaymentError::Declined(Declined)))
        .script("undo reserve", ok(()));
    let report = order(&report).await;
    report.assert_steps(["reserve", "charge", "undo reserve"]);
    report.assert_calls("charge", 1);
}

#[tokio::test(start_paused = true)]
async fn missing_courier_undoes_all_steps() {
    let harness = all_goes_well()
        .script("ship", err(NoCourier))
        .script("undo charge", ok(()))
        .script("undo reserve", ok(()));
    let report = order(&harness).await;
    report.assert_steps(["reserve", "charge", "ship", "undo charge", "undo reserve"]);
    let error = assert_err!(report.result, error if error.is_undone());
    assert_eq!(error.into_error(), OrderError::NoCourier(NoCourier));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_an_equal_idempotency_key() {
    let (shop, _) = FakeShop::noting();
    shop.bank.returns_once(Err(PaymentError::Unreachable));
    let harness = all_goes_well().script("charge", real()).run_id("order-42");
    let report = harness.run(async |run| place_order(run, &shop, "tea").await).await;
    assert_ok!(&report.result);
    shop.bank.assert_calls(2);
    assert_eq!(shop.bank.calls(), [(7, "order-42/charge".into()), (7, "order-42/charge".into())]);
}

#[tokio::test(start_paused = true)]
async fn recorded_steps_are_not_repeated() {
    let harness = all_goes_well();
    assert_ok!(&order(&harness).await.result);
    let again = order(&harness).await;
    again.assert_result(&Ok(Payment { id: 107 }));
    again.assert_not_called("charge");
}
