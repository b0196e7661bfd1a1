//! Tests that a paused run counts as not ended, regardless of the cause of the pause.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use awaitly_core::clock::{hours, secs};
use awaitly_core::journal::Status;
use awaitly_core::store::{RunId, Store, WaitQuery};
use awaitly_core::{AsRunError, DurableRun, FromStep, RunError, Workflow, step};
use awaitly_hitl::http::{Handled, Inbound, MessageHandler};
use awaitly_hitl::{Approvals, Inbox};
use awaitly_persistence::MemoryStore;
use awaitly_saga::saga;
use axum::Router;
use axum::body::Body;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Reply, is, request, send};

/// A body that is served as a route and as a message handler, on one store.
struct Both {
    router: Router,
    handler: Box<dyn Fn() -> BoxFuture<'static, Handled>>,
}

impl Both {
    fn new<E, F, Fut>(workflow: &Workflow, body: F) -> Self
    where
        E: AsRunError + FromStep<RunError> + Serialize + DeserializeOwned + Display + Send + 'static,
        F: Fn(DurableRun) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<u32, E>> + Send + 'static,
    {
        let inbound = Inbound::new(workflow.clone(), |_| Ok(()), body.clone());
        let inbound = inbound.run_id(|_| Ok("r".to_owned()));
        let handler = Arc::new(MessageHandler::new(workflow.clone(), |_| Ok(()), body));
        let handle = move || -> BoxFuture<'static, Handled> {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler.handle("m", b"").await })
        };
        Self { router: Router::new().route("/r", inbound.post()), handler: Box::new(handle) }
    }

    async fn ask(&self) -> Reply {
        send(&self.router, request("POST", "/r").body(Body::empty()).unwrap()).await
    }

    async fn deliver(&self) -> Handled {
        (self.handler)().await
    }
}

async fn inner(workflow: &Workflow, run: &str) -> Result<u32, RunError> {
    let body = async |run: &DurableRun| run.wait_for("bank").await;
    workflow.run(format!("{run}/inner"), body).await
}

#[tokio::test]
async fn run_with_waiting_inner_run_continues_after_the_answer() {
    let store = MemoryStore::new();
    let (outer, called) =
        (Workflow::new("outer").store(store.clone()), Workflow::new("inner").store(store.clone()));
    let both = Both::new(&outer, move |run: DurableRun| {
        let called = called.clone();
        async move { inner(&called, run.id()).await }
    });
    for _ in 0..2 {
        assert_eq!(both.ask().await.status, 202);
        let again = both.deliver().await;
        assert!(!matches!(again, Handled::AckWithError { .. }), "{again:?}");
    }
    let inbox = Inbox::new(store.clone());
    inbox.at("r/inner", "bank").answer(&7).await.unwrap();
    inbox.at("m/inner", "bank").answer(&7).await.unwrap();
    let done = both.ask().await;
    assert_eq!((done.status.as_u16(), done.text.as_str()), (200, "7"));
    assert_eq!(both.deliver().await, Handled::Ack);
    let delivered = store.load(&RunId::new("m").unwrap()).await.unwrap().unwrap();
    assert_eq!(delivered.header.status, Status::Completed);
}

#[tokio::test]
async fn run_with_busy_inner_run_continues_afterwards() {
    let store = MemoryStore::new();
    let (outer, called) = (Workflow::new("outer").store(store.clone()), Workflow::new("inner").store(store));
    let body = {
        let called = called.clone();
        move |_: DurableRun| {
            let called = called.clone();
            async move { called.run("busy", async |_: &DurableRun| Ok::<_, RunError>(7)).await }
        }
    };
    let both = Both::new(&outer, body);
    let holds = called.run("busy", async |_: &DurableRun| {
        for _ in 0..2 {
            assert_eq!(both.ask().await.status, 202);
            assert_eq!(both.deliver().await, Handled::Ack);
        }
        Ok::<u32, RunError>(7)
    });
    assert_eq!(holds.await, Ok(7));
    assert_eq!(both.ask().await.text, "7");
    assert_eq!(both.deliver().await, Handled::Ack);
}

/// An error that hides the error inside it.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
struct Opaque(String);

impl From<RunError> for Opaque {
    fn from(error: RunError) -> Self {
        Self(error.to_string())
    }
}

impl AsRunError for Opaque {
    fn as_run_error(&self) -> Option<&RunError> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_or_parked_run_with_opaque_error_is_accepted() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("outer").store(store.clone()).park_after(secs(1));
    let both = Both::new(&workflow, |run: DurableRun| async move {
        let _: bool = step!(run.approval("manager"));
        step!(run.sleep("nap", hours(1)));
        Ok::<_, Opaque>(7)
    });
    assert_eq!((both.ask().await.status.as_u16(), both.deliver().await), (202, Handled::Ack));
    for run in ["r", "m"] {
        Inbox::new(store.clone()).approve(run, "manager", &true).await.unwrap();
    }
    assert_eq!((both.ask().await.status.as_u16(), both.deliver().await), (202, Handled::Ack));
    tokio::time::sleep(hours(1)).await;
    assert_eq!((both.ask().await.text.as_str(), both.deliver().await), ("7", Handled::Ack));
}

#[tokio::test]
async fn saga_that_waits_during_undo_has_not_ended() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
    enum Trip {
        #[error("no room")]
        Full,
        #[error(transparent)]
        Run(#[from] RunError),
    }
    impl AsRunError for Trip {
        fn as_run_error(&self) -> Option<&RunError> {
            match self {
                Self::Run(error) => Some(error),
                Self::Full => None,
            }
        }
    }
    let store = MemoryStore::new();
    let workflow = Workflow::new("trip").store(store.clone());
    let both = Both::new(&workflow, |run: DurableRun| async move {
        let refund = &run;
        saga(&run, async |saga| {
            let seat = saga.step("seat", || async { Ok::<_, RunError>(7) });
            step!(seat.compensate(async |_: u32| refund.wait_for::<()>("refund").await));
            Err::<u32, _>(Trip::Full)
        })
        .await
    });
    for _ in 0..2 {
        assert_eq!((both.ask().await.status.as_u16(), both.deliver().await), (202, Handled::Ack));
    }
    let inbox = Inbox::new(store);
    let asked = inbox.list(WaitQuery::new()).await.unwrap().items;
    assert_eq!(asked.len(), 2);
    for question in asked {
        inbox.at(&*question.run, question.key).answer(&()).await.unwrap();
    }
    assert_eq!(both.ask().await.problem(), is(500, "internal"));
    assert_eq!(both.deliver().await, Handled::AckWithError { error: "no room".into() });
}
