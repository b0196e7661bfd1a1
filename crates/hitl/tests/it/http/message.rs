use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly_core::store::{RunId, Store};
use awaitly_core::{DurableRun, Error, RunError, Workflow, step};
use awaitly_hitl::http::{Handled, MessageHandler, Problem};
use awaitly_hitl::{Approvals, Inbox};
use awaitly_persistence::MemoryStore;
use serde::{Deserialize, Serialize};

use super::faulty::Faulty;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum Trouble {
    #[error("the account is closed")]
    Closed,
    #[error("the bank is away")]
    Away,
}

/// A handler whose second step fails a given number of times, with the counts of calls.
struct Queue {
    store: Faulty,
    first: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
    failures: Arc<AtomicU32>,
}

impl Queue {
    fn new() -> Self {
        Self {
            store: Faulty::default(),
            first: Arc::default(),
            calls: Arc::default(),
            failures: Arc::default(),
        }
    }

    fn handler(&self) -> MessageHandler<Error<Trouble>> {
        let (first, calls, failures) =
            (Arc::clone(&self.first), Arc::clone(&self.calls), Arc::clone(&self.failures));
        let parse = |message: &[u8]| {
            serde_json::from_slice::<String>(message).map_err(|error| Problem::malformed(error.to_string()))
        };
        let workflow = Workflow::new("booking").store(self.store.clone());
        let handler = MessageHandler::new(workflow, parse, move |run: DurableRun| {
            let (first, calls, failures) = (Arc::clone(&first), Arc::clone(&calls), Arc::clone(&failures));
            async move {
                let what: String = run.input().map_err(Error::Run)?;
                let count = || async {
                    first.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, Trouble>(())
                };
                step!(run.step("first", count));
                let book = || async {
                    calls.fetch_add(1, Ordering::Relaxed);
                    let fails = failures
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                    match what.as_str() {
                        "closed" => Err(Trouble::Closed),
                        "away" if fails.is_ok() => Err(Trouble::Away),
                        "slow" if fails.is_ok() => std::future::pending().await,
                        _ => Ok(()),
                    }
                };
                step!(run.step("book", book).timeout(Duration::from_secs(1)));
                if what == "ask" {
                    let _: bool = step!(run.approval("manager"));
                }
                Ok(())
            }
        });
        handler.retryable(|error| *error == Error::Failed(Trouble::Away))
    }

    async fn deliver(&self, id: &str, body: &str) -> Handled {
        self.handler().handle(id, body.as_bytes()).await
    }

    /// Returns the number of calls of the first and the second step.
    fn calls(&self) -> (u32, u32) {
        (self.first.load(Ordering::Relaxed), self.calls.load(Ordering::Relaxed))
    }

    fn fail(&self, times: u32) {
        self.failures.store(times, Ordering::Relaxed);
    }
}

fn again(reason: &str) -> Handled {
    Handled::Nack { retry_after: None, reason: reason.to_owned() }
}

#[tokio::test]
async fn redelivered_message_executes_no_step_twice() {
    let queue = Queue::new();
    for _ in 0..3 {
        assert_eq!(queue.deliver("m", "\"tea\"").await, Handled::Ack);
    }
    assert_eq!(queue.calls(), (1, 1));
    assert!(queue.store.memory.load(&RunId::new("m").unwrap()).await.unwrap().is_some());
    // Other content under a used id cannot succeed.
    assert!(matches!(queue.deliver("m", "\"mug\"").await, Handled::AckWithError { .. }));
    assert_eq!(queue.calls(), (1, 1));
}

#[tokio::test]
async fn unreadable_message_is_acknowledged_with_an_error() {
    let queue = Queue::new();
    for poison in ["", "{", "7"] {
        let Handled::AckWithError { error } = queue.deliver("m", poison).await else { panic!("{poison}") };
        assert!(!error.is_empty());
    }
    assert!(matches!(queue.deliver("", "\"tea\"").await, Handled::AckWithError { .. }));
    assert!(matches!(queue.deliver(&"m".repeat(600), "\"tea\"").await, Handled::AckWithError { .. }));
    assert_eq!(queue.calls(), (0, 0));
}

#[tokio::test]
async fn message_of_waiting_run_is_acknowledged() {
    let queue = Queue::new();
    assert_eq!(queue.deliver("m", "\"ask\"").await, Handled::Ack);
    assert_eq!(queue.deliver("m", "\"ask\"").await, Handled::Ack);
    Inbox::new(queue.store.clone()).reject("m", "manager", "no").await.unwrap();
    assert!(matches!(queue.deliver("m", "\"ask\"").await, Handled::AckWithError { .. }));
    assert_eq!(queue.calls(), (1, 1));
}

#[tokio::test]
async fn message_with_withdrawn_question_is_acknowledged_with_an_error() {
    let queue = Queue::new();
    assert_eq!(queue.deliver("m", "\"ask\"").await, Handled::Ack);
    Inbox::new(queue.store.clone()).at("m", "manager").by("ops").withdraw("off").await.unwrap();
    for _ in 0..2 {
        let Handled::AckWithError { error } = queue.deliver("m", "\"ask\"").await else { panic!() };
        assert!(error.contains("the question was taken back: off"), "{error}");
    }
    assert!(
        Inbox::new(queue.store.clone()).at("m", "manager").show().await.is_err(),
        "the question is not asked again"
    );
}

#[tokio::test]
async fn next_delivery_retries_from_the_failed_step() {
    let queue = Queue::new();
    queue.fail(2);
    assert_eq!(queue.deliver("m", "\"away\"").await, again("the bank is away"));
    assert_eq!(queue.calls(), (1, 1));
    assert_eq!(queue.deliver("m", "\"away\"").await, again("the bank is away"));
    assert_eq!(queue.calls(), (1, 2), "each delivery attempts the step once");
    assert_eq!(queue.deliver("m", "\"away\"").await, Handled::Ack);
    assert_eq!(queue.deliver("m", "\"away\"").await, Handled::Ack);
    assert_eq!(queue.calls(), (1, 3));

    let closed = Handled::AckWithError { error: "the account is closed".into() };
    for _ in 0..2 {
        assert_eq!(queue.deliver("c", "\"closed\"").await, closed);
    }
    assert_eq!(queue.calls(), (2, 4), "a permanent failure is not retried");
}

#[tokio::test(start_paused = true)]
async fn timed_out_step_is_retried_by_the_next_delivery() {
    let queue = Queue::new();
    queue.fail(1);
    assert!(matches!(queue.deliver("m", "\"slow\"").await, Handled::Nack { retry_after: None, .. }));
    assert_eq!(queue.deliver("m", "\"slow\"").await, Handled::Ack);
    assert_eq!(queue.calls(), (1, 2));
}

#[tokio::test]
async fn message_of_busy_run_is_delivered_again() {
    let queue = Queue::new();
    queue.store.fail(true);
    assert!(matches!(queue.deliver("m", "\"tea\"").await, Handled::Nack { .. }));
    queue.store.fail(false);
    let workflow = Workflow::new("booking").store(queue.store.memory.clone()).input("tea");
    let busy = workflow
        .run("m", async |_: &DurableRun| {
            let busy = queue.deliver("m", "\"tea\"").await;
            assert!(
                matches!(&busy, Handled::Nack { retry_after: Some(after), .. } if *after > Duration::ZERO),
                "{busy:?}"
            );
            Err::<(), _>(RunError::Waiting { step: "elsewhere".into() })
        })
        .await;
    assert!(busy.is_err());
    assert_eq!(queue.calls(), (0, 0));
}

#[test]
#[should_panic(expected = "`booking` has no store")]
fn handler_without_a_store_panics() {
    let _ = MessageHandler::new(
        Workflow::new("booking"),
        |_| Ok(()),
        async |_: DurableRun| Ok::<_, RunError>(()),
    );
}

#[tokio::test]
async fn panic_in_callers_code_is_acknowledged_with_an_error() {
    let handler = |at: &'static str| {
        let workflow = Workflow::new("booking").store(MemoryStore::new());
        let parse = move |_: &[u8]| {
            assert_ne!(at, "parse", "out of order");
            Ok(())
        };
        let body = async |_: DurableRun| Err::<(), _>(Error::Failed(Trouble::Away));
        MessageHandler::new(workflow, parse, body).retryable(move |_| {
            assert_ne!(at, "retryable", "out of order");
            true
        })
    };
    for at in ["parse", "retryable"] {
        let Handled::AckWithError { error } = handler(at).handle("m", b"").await else { panic!("{at}") };
        assert!(error.contains("out of order"), "{error}");
    }
}
