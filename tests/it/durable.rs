//! Durable runs keep their promises on every store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly::journal::{Migration, Status};
use awaitly::persistence::{MemoryStore, SqliteStore};
use awaitly::store::{AnyStore, RunId, Store, StoreError};
use awaitly::{DurableRun, RunError, Workflow, step};
use serde::{Deserialize, Serialize};

use crate::servers::Servers;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("declined, code {0}")]
    Declined(u32),
    #[error(transparent)]
    Run(#[from] RunError),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("declined, code {0}")]
pub(crate) struct Declined(pub(crate) u32);

impl From<Declined> for OrderError {
    fn from(Declined(code): Declined) -> Self {
        Self::Declined(code)
    }
}

/// Counts calls, and fails the next `fail` calls.
#[derive(Default)]
pub(crate) struct Bank {
    pub(crate) calls: AtomicU32,
    pub(crate) fail: AtomicU32,
}

impl Bank {
    pub(crate) async fn charge(&self) -> Result<u32, Declined> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let failed = self.fail.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if failed.is_ok() { Err(Declined(call)) } else { Ok(call) }
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Runs `check` with every store.
pub(crate) async fn on_every_store(check: impl AsyncFn(AnyStore)) {
    check(AnyStore::new(MemoryStore::new())).await;
    let folder = tempfile::tempdir().unwrap();
    check(AnyStore::new(SqliteStore::open(folder.path().join("it's a \"store\".db")).await.unwrap())).await;
    let servers = Servers::new();
    check(AnyStore::new(servers.postgres().await)).await;
    check(AnyStore::new(servers.redis().await)).await;
    servers.clear().await;
}

pub(crate) async fn status(store: &AnyStore, run: &str) -> Status {
    store.load(&RunId::new(run).unwrap()).await.unwrap().unwrap().header.status
}

#[tokio::test]
async fn finished_run_returns_its_recorded_value_without_calling_body() {
    on_every_store(async |store| {
        let bank = Bank::default();
        let workflow = Workflow::new("w").any_store(store.clone());
        let body = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, bank.charge()));
        assert_eq!(workflow.run("r", body).await, Ok(1));
        let not_called = async |_: &DurableRun| -> Result<u32, OrderError> { unreachable!("it has ended") };
        assert_eq!(workflow.run("r", not_called).await, Ok(1));
        assert_eq!(status(&store, "r").await, Status::Completed);
        assert_eq!(bank.calls(), 1);
    })
    .await;
}

#[tokio::test]
async fn dropped_run_resumes_at_once() {
    on_every_store(async |store| {
        let bank = Bank::default();
        let workflow = Workflow::new("w").any_store(store.clone());
        let hang = AtomicU32::new(1);
        let body = async |run: &DurableRun| {
            let first = step!(run, "first", bank.charge());
            if hang.load(Ordering::Relaxed) == 1 {
                hang.store(2, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            let second = step!(run, "second", bank.charge());
            Ok::<_, OrderError>((first, second))
        };
        tokio::select! {
            _ = workflow.run("r", body) => unreachable!("it hangs"),
            () = async { while hang.load(Ordering::Relaxed) != 2 { tokio::task::yield_now().await } } => {}
        }
        assert_eq!(status(&store, "r").await, Status::Running);
        assert_eq!(workflow.run("r", body).await, Ok((1, 2)));
    })
    .await;
}

#[tokio::test]
async fn second_concurrent_execution_is_busy() {
    on_every_store(async |store| {
        let workflow = Workflow::new("w").any_store(store);
        let begun = AtomicU32::new(0);
        let first = workflow.run("r", async |_| {
            begun.store(1, Ordering::Relaxed);
            while begun.load(Ordering::Relaxed) != 2 {
                tokio::task::yield_now().await;
            }
            Ok::<_, OrderError>(1)
        });
        let second = async {
            while begun.load(Ordering::Relaxed) != 1 {
                tokio::task::yield_now().await;
            }
            let busy = workflow.run("r", async |_| Ok::<_, OrderError>(2)).await;
            begun.store(2, Ordering::Relaxed);
            busy
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first, Ok(1));
        assert!(matches!(second, Err(OrderError::Run(RunError::Busy { .. }))), "{second:?}");
    })
    .await;
}

#[tokio::test]
async fn panic_fails_the_run_until_it_is_retried() {
    on_every_store(async |store| {
        let bank = Bank::default();
        let workflow = Workflow::new("w").any_store(store.clone());
        let body = async |run: &DurableRun| {
            step!(run, "first", bank.charge());
            assert!(bank.calls() > 1, "not yet");
            Ok::<_, OrderError>(step!(run, "second", bank.charge()))
        };
        let panicked = RunError::Panicked { step: None, message: "not yet".into() };
        assert_eq!(workflow.run("r", body).await, Err(panicked.clone().into()));
        assert_eq!(status(&store, "r").await, Status::Failed);
        assert_eq!(workflow.run("r", body).await, Err(panicked.into()));
        bank.calls.store(9, Ordering::Relaxed);
        assert_eq!(workflow.retry("r", body).await, Ok(10));
    })
    .await;
}

#[tokio::test]
async fn errors_without_serde_are_recorded_as_text() {
    on_every_store(async |store| {
        let workflow = Workflow::new("w").any_store(store).errors_as_text();
        let body = async |_: &DurableRun| -> anyhow::Result<u32> {
            Err(anyhow::anyhow!("no route").context("the bank is away"))
        };
        let first = workflow.run("r", body).await.unwrap_err();
        assert_eq!(format!("{first:#}"), "the bank is away: no route");
        let again = workflow.run("r", body).await.unwrap_err();
        let expected = RunError::Failed { run: "r".into(), text: "the bank is away: no route".into() };
        assert_eq!(again.downcast_ref::<RunError>(), Some(&expected));
    })
    .await;
}

#[tokio::test]
async fn input_is_kept_and_changed_input_is_refused() {
    on_every_store(async |store| {
        let workflow = Workflow::new("w").any_store(store);
        let fail_first = Bank::default();
        fail_first.fail.store(1, Ordering::Relaxed);
        let body = async |run: &DurableRun| {
            let cart: Vec<String> = run.input()?;
            step!(run, fail_first.charge());
            Ok::<_, OrderError>(cart)
        };
        let with_input = workflow.clone().input(&["tea", "mug"]);
        assert_eq!(with_input.run("r", body).await, Err(OrderError::Declined(1)));
        let other = workflow.clone().input(&["tea"]).retry("r", body).await;
        assert!(matches!(other, Err(OrderError::Run(RunError::InputChanged { .. }))), "{other:?}");
        assert_eq!(workflow.retry("r", body).await, Ok(vec!["tea".to_owned(), "mug".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn journal_is_migrated_before_the_body_is_called() {
    on_every_store(async |store| {
        let bank = Bank::default();
        bank.fail.store(0, Ordering::Relaxed);
        let old = Workflow::new("w").any_store(store.clone());
        let stop = old.run("r", async |run| {
            step!(run, "pay", bank.charge());
            Err::<u32, _>(OrderError::Declined(99))
        });
        stop.await.unwrap_err();

        let body = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, "charge", bank.charge()));
        let missing = Workflow::new("w").any_store(store.clone()).version(2).retry("r", body).await;
        assert!(matches!(missing, Err(OrderError::Run(RunError::Migration { .. }))), "{missing:?}");

        let new = Workflow::new("w").any_store(store.clone()).version(2);
        let new = new.migration(1, Migration::rename("pay", "charge"));
        assert_eq!(new.retry("r", body).await, Ok(1));
        let stored = store.load(&RunId::new("r").unwrap()).await.unwrap().unwrap();
        assert_eq!((stored.header.version, &*stored.records[0].key), (2, "charge"));
    })
    .await;
}

#[tokio::test]
async fn changed_input_reruns_step_and_replaces_its_record() {
    use awaitly::journal::OnChange;
    on_every_store(async |store| {
        let workflow = Workflow::new("w").any_store(store.clone());
        let execute = async |amount: u32| {
            let body = async |run: &DurableRun| {
                let charged = run.step("charge", async || Ok::<_, Declined>(amount)).input(&amount);
                let charged = step!(charged.on_change(OnChange::Rerun));
                if amount == 1 { Err(OrderError::Declined(0)) } else { Ok(charged) }
            };
            workflow.retry("r", body).await
        };
        assert_eq!(execute(1).await, Err(OrderError::Declined(0)));
        assert_eq!(execute(2).await, Ok(2));
        let stored = store.load(&RunId::new("r").unwrap()).await.unwrap().unwrap();
        assert_eq!(stored.records.len(), 1);
        assert_eq!(stored.records[0].outcome.payload().as_str(), "2");
    })
    .await;
}

#[tokio::test]
async fn undecodable_value_leaves_the_run_resumable() {
    on_every_store(async |store| {
        let workflow = Workflow::new("w").any_store(store.clone());
        let text = async || Ok::<_, Declined>("text".to_owned());
        workflow
            .run("r", async |run| {
                step!(run, "n", text());
                Err::<u32, _>(OrderError::Declined(1))
            })
            .await
            .unwrap_err();
        let wrong = workflow
            .retry("r", async |run| Ok::<_, OrderError>(step!(run, "n", async { Ok::<u32, Declined>(1) })))
            .await;
        assert!(matches!(wrong, Err(OrderError::Run(RunError::Undecodable { .. }))), "{wrong:?}");
        assert_eq!(status(&store, "r").await, Status::Running);
        let right = workflow.run("r", async |run| Ok::<_, OrderError>(step!(run, "n", text()))).await;
        assert_eq!(right, Ok("text".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn run_of_other_workflow_or_newer_version_is_refused() {
    on_every_store(async |store| {
        let body = async |_: &DurableRun| Err::<u32, _>(OrderError::Declined(1));
        Workflow::new("w").version(2).any_store(store.clone()).run("r", body).await.unwrap_err();
        let other = Workflow::new("v").any_store(store.clone()).run("r", body).await;
        let refused = RunError::OtherWorkflow { run: "r".into(), workflow: "w".into() };
        assert_eq!(other, Err(refused.into()));
        let older = Workflow::new("w").version(1).any_store(store).retry("r", body).await;
        assert_eq!(older, Err(RunError::NewerVersion { run: "r".into(), stored: 2, code: 1 }.into()));
    })
    .await;
}

#[tokio::test]
async fn hostile_names_are_stored_unchanged() {
    on_every_store(async |store| {
        let workflow = Workflow::new("'; DROP TABLE awaitly_runs; --").any_store(store);
        for run in ["it's", "a\"b", "nul\0nul", "../../etc/passwd", "line\nbreak", "😀", "%s%n", "a", "A"] {
            let body = async |handle: &DurableRun| {
                assert_eq!(handle.id(), run);
                let keyed = step!(handle, "k", key = run, async { Ok::<_, Declined>(run.to_owned()) });
                Ok::<_, OrderError>(keyed)
            };
            assert_eq!(workflow.run(run, body).await.as_deref(), Ok(run));
            assert_eq!(workflow.run(run, body).await.as_deref(), Ok(run));
        }
    })
    .await;
}

#[tokio::test]
async fn concurrent_runs_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("many.db")).await.unwrap();
    let workflow = Workflow::new("w").store(store);
    let bank = Arc::new(Bank::default());
    let runs: Vec<_> = (0..100_u32)
        .map(|number| {
            let (workflow, bank) = (workflow.clone(), Arc::clone(&bank));
            tokio::spawn(async move {
                let body = async |run: &DurableRun| {
                    for _ in 0..5 {
                        step!(run, bank.charge());
                    }
                    Ok::<_, OrderError>(number)
                };
                workflow.run(format!("run-{number}"), body).await
            })
        })
        .collect();
    for (number, run) in runs.into_iter().enumerate() {
        assert_eq!(run.await.unwrap(), Ok(number as u32));
    }
    assert_eq!(bank.calls(), 500);
}

#[tokio::test]
async fn closed_store_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("closed.db")).await.unwrap();
    let workflow = Workflow::new("w").store(store.clone());
    store.close().await.unwrap();
    let closed = workflow.run("r", async |_| Ok::<_, OrderError>(1)).await;
    assert_eq!(closed, Err(RunError::Store(StoreError::Closed).into()));
}

#[tokio::test]
async fn state_of_an_ended_run_keeps_its_version() {
    on_every_store(async |store| {
        let bank = Bank::default();
        let old = Workflow::new("w").any_store(store.clone()).input(&"cart");
        old.run("r", async |run| Ok::<_, OrderError>(step!(run, "pay", bank.charge()))).await.unwrap();

        let body = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, "charge", bank.charge()));
        let new =
            Workflow::new("w").any_store(store).version(2).migration(1, Migration::rename("pay", "charge"));
        let (result, state) = new.run_with_state("r", body).await;
        assert_eq!((result, state.version), (Ok(1), 1));
        assert!(state.input.is_some());
        assert_eq!(new.resume(state).run(body).await, Ok(1));
        assert_eq!(bank.calls(), 1);
    })
    .await;
}

#[tokio::test]
async fn operation_error_during_cancellation_cancels_the_run() {
    on_every_store(async |store| {
        let token = tokio_util::sync::CancellationToken::new();
        let workflow = Workflow::new("w").any_store(store.clone()).cancel_on(token.clone());
        let stopping = async || {
            token.cancel();
            Err::<u32, _>(Declined(0))
        };
        let result = workflow.run("r", async |run| Ok::<_, OrderError>(step!(run, stopping()))).await;
        let step = Some("stopping".into());
        assert_eq!(result, Err(RunError::Cancelled { step }.into()));
        assert_eq!(status(&store, "r").await, Status::Cancelled);
    })
    .await;
}
