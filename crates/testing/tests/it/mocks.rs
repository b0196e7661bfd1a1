//! Mocks: recorded calls with answers from the test.

use awaitly_core::clock::{ms, secs};
use awaitly_core::{DurableRun, Limit, Retry, RunError, Workflow, step};
use awaitly_persistence::MemoryStore;
use awaitly_testing::mock::Mock;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::panic_of;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("declined")]
struct Declined;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum OrderError {
    #[error(transparent)]
    Declined(#[from] Declined),
    #[error(transparent)]
    Run(#[from] RunError),
}

type Charge = Mock<(u64, String), Result<u64, Declined>>;

fn charge() -> Charge {
    Mock::new("charge")
}

fn order(cents: u64) -> (u64, String) {
    (cents, "order".into())
}

#[test]
fn queued_answers_precede_the_answer_for_every_call() {
    let charge = charge();
    charge.returns(Ok(1)).returns_once(Err(Declined)).returns_once(Ok(2));
    let answers = [10, 20, 30, 40].map(|cents| charge.call(order(cents)));
    assert_eq!(answers, [Err(Declined), Ok(2), Ok(1), Ok(1)]);
    assert_eq!(charge.calls(), [order(10), order(20), order(30), order(40)]);
    charge.assert_used_up();
}

#[test]
fn answer_may_use_arguments_and_inspect_the_mock() {
    let charge = charge();
    let seen = charge.clone();
    charge.answers(move |(cents, _)| Ok(cents + seen.call_count() as u64));
    assert_eq!(charge.call(order(10)), Ok(11));
    assert_eq!(charge.clone().call(order(10)), Ok(12));
    charge.assert_calls(2);
}

#[test]
fn call_without_answer_panics_with_advice() {
    let charge = charge();
    charge.returns_once(Ok(1));
    let _ = charge.call(order(10));
    let line = line!() + 1;
    let message = panic_of(|| drop(charge.call(order(20))));
    let begin =
        format!("mock `charge` was called with (20, \"order\") at crates/testing/tests/it/mocks.rs:{line}:");
    assert!(message.starts_with(&begin), "{message}");
    assert!(
        message.ends_with("call `.returns(..)`, `.returns_once(..)` or `.answers(|arguments| ..)` first")
    );
    // The mock survives the panic and has recorded the call.
    charge.assert_calls(2);
}

#[test]
fn failed_assertions_show_the_calls() {
    let charge = charge();
    assert_eq!(
        panic_of(|| charge.assert_calls(1)),
        "mock `charge` was called 0 times, not 1; there were no calls"
    );
    charge.returns(Ok(1)).returns_once(Ok(2)).returns_once(Ok(2)).returns_once(Ok(3));
    let _ = (charge.call(order(10)), charge.call(order(20)));
    charge.assert_calls(2);
    charge.assert_called_with(&order(20));
    assert_eq!(
        panic_of(|| charge.assert_called_with(&order(30))),
        "mock `charge` was not called with (30, \"order\"); the calls were:\n  (10, \"order\")\n  (20, \"order\")"
    );
    assert_eq!(
        panic_of(|| charge.assert_used_up()),
        "mock `charge` has 1 unused answers; the calls were:\n  (10, \"order\")\n  (20, \"order\")"
    );
}

#[test]
fn reset_mock_has_no_answers_and_no_calls() {
    let charge = charge();
    charge.returns(Ok(1)).returns_once(Ok(2)).returns_once(Ok(3)).takes(secs(1));
    let _ = charge.call(order(10));
    charge.reset();
    charge.assert_calls(0);
    charge.assert_used_up();
    panic_of(|| charge.call(order(10)));
}

#[tokio::test(start_paused = true)]
async fn async_call_is_recorded_on_first_poll() {
    let charge = charge();
    charge.returns(Ok(1)).takes(secs(5));
    let began = Instant::now();
    let call = charge.call_async(order(10));
    charge.assert_calls(0);
    assert_eq!((call.await, began.elapsed()), (Ok(1), secs(5)));
    charge.assert_calls(1);
}

#[tokio::test(start_paused = true)]
async fn mock_works_on_another_task() {
    let charge = charge();
    charge.returns_once(Err(Declined)).returns(Ok(7));
    let workflow = Workflow::new("order").store(MemoryStore::new());
    let played = charge.clone();
    let run = tokio::spawn(async move {
        let body = async |run: &DurableRun| {
            let retry = Retry::exponential(ms(10)).attempts(2);
            Ok::<_, OrderError>(step!(run, "charge", retry = retry, played.call_async(order(10))))
        };
        workflow.run("r", body).await
    });
    assert_eq!(run.await.unwrap(), Ok(7));
    charge.assert_calls(2);
    charge.assert_used_up();
}

#[tokio::test(start_paused = true)]
async fn dropped_attempt_uses_up_its_answer() {
    let charge = charge();
    charge.returns_once(Ok(1)).returns_once(Ok(2)).takes(secs(5));
    let workflow = Workflow::new("order").store(MemoryStore::new());
    let body = async |run: &DurableRun| {
        Ok::<_, OrderError>(step!(run, "charge", timeout = secs(1), charge.call_async(order(10))))
    };
    let ended = workflow.run("r", body).await;
    assert!(
        matches!(ended, Err(OrderError::Run(RunError::Timeout { limit: Limit::Attempt, .. }))),
        "{ended:?}"
    );
    charge.takes(secs(0));
    assert_eq!(charge.call_async(order(20)).await, Ok(2));
}
