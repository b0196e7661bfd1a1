//! Pauses: a wait, a cancellation and the run's deadline are not failures.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly::clock::{hours, ms, secs};
use awaitly::guard::Refusal;
use awaitly::journal::Status;
use awaitly::persistence::MemoryStore;
use awaitly::resilience::{CircuitBreaker, Fallback};
use awaitly::saga::{SagaError, saga};
use awaitly::store::Store;
use awaitly::{DurableRun, FromStep, Limit, RunError, Workflow, parallel, race, step};
use tokio_util::sync::CancellationToken;

use super::{Heard, answer, id, is_due, open_questions, status};

fn waits<T>(step: &'static str) -> Result<T, RunError> {
    Err(RunError::Waiting { step: step.into() })
}

#[tokio::test(start_paused = true)]
async fn fallback_does_not_replace_a_wait_inside_its_step() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("ask").store(store.clone());
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        let asked = async || Ok::<u32, RunError>(step!(run.wait_for("manager")));
        Ok(step!(run.step("ask", asked).or_value(0)))
    };
    assert_eq!(workflow.run("r", body).await, waits("ask/manager"));
    assert_eq!(status(&store, "r").await, Status::Waiting);
    answer(&store, "r", "ask/manager", 7).await;
    assert_eq!(workflow.run("r", body).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn fallback_of_volatile_step_does_not_replace_a_wait() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("ask").store(store.clone());
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        let asked = async || Ok::<u32, RunError>(step!(run.wait_for("manager")));
        Ok(step!(run.volatile().step("ask", asked).or_value(0)))
    };
    assert!(matches!(workflow.run("r", body).await, Err(RunError::Waiting { .. })));
    answer(&store, "r", "manager", 7).await;
    assert_eq!(workflow.run("r", body).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn waits_are_not_failures_for_breakers_and_observers() {
    let (store, heard) = (MemoryStore::new(), Heard::default());
    let workflow = Workflow::new("ask").store(store.clone()).observe(heard.observer());
    let breaker = CircuitBreaker::options("manager").failures(1).build();
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        let asked = async || Ok::<u32, RunError>(step!(run.wait_for("manager")));
        Ok(step!(run.step("ask", asked).guard(&breaker)))
    };
    for run in ["a", "b", "c"] {
        assert_eq!(workflow.run(run, body).await, waits("ask/manager"));
    }
    let heard = heard.take();
    assert_eq!(heard.iter().filter(|event| *event == "step_waiting ask").count(), 3, "{heard:?}");
    assert!(!heard.iter().any(|event| event.starts_with("step_failed")), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn fallback_does_not_replace_cancellation_or_run_deadline() {
    let slow = async || -> Result<u32, String> {
        tokio::time::sleep(secs(60)).await;
        Err("it was stopped".to_owned())
    };
    let body = async |run: &DurableRun| -> Result<u32, awaitly::Error<String>> {
        run.step("slow", slow).or_value(0).await
    };
    let token = CancellationToken::new();
    let workflow = Workflow::new("slow").store(MemoryStore::new());
    let cancelled = workflow.clone().cancel_on(token.clone());
    let (ended, ()) = tokio::join!(cancelled.run("r", body), async {
        tokio::time::sleep(secs(1)).await;
        token.cancel();
    });
    let step = Some("slow".into());
    assert_eq!(ended, Err(awaitly::Error::Run(RunError::Cancelled { step })));
    let ended = workflow.deadline(secs(1)).run("s", body).await;
    let over = |error: &awaitly::Error<String>| {
        matches!(error, awaitly::Error::Run(RunError::Timeout { limit: Limit::Run, .. }))
    };
    assert!(ended.as_ref().is_err_and(over), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn operation_failure_during_cancellation_returns_cancelled_each_time() {
    let (store, token) = (MemoryStore::new(), CancellationToken::new());
    let workflow = Workflow::new("pay").store(store.clone()).cancel_on(token.clone());
    let body = async |run: &DurableRun| -> Result<u32, awaitly::Error<String>> {
        let declined = || async {
            token.cancel();
            Err::<u32, _>("declined".to_owned())
        };
        run.step("charge", declined).await
    };
    let cancelled = Err(awaitly::Error::Run(RunError::Cancelled { step: Some("charge".into()) }));
    assert_eq!(workflow.run("r", body).await, cancelled);
    assert_eq!(workflow.run("r", body).await, cancelled);
    assert_eq!(status(&store, "r").await, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn all_waiting_branches_ask_before_the_scope_waits() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("ask").store(store.clone());
    let body = async |run: &DurableRun| -> Result<(u32, u32, u32), RunError> {
        let slow = async {
            tokio::time::sleep(secs(1)).await;
            Ok::<u32, RunError>(3)
        };
        Ok(parallel!(run, "ask", { a: run.wait_for::<u32>("ada"), b: run.wait_for::<u32>("bob"), c: slow }))
    };
    assert!(matches!(workflow.run("r", body).await, Err(RunError::Waiting { .. })));
    assert_eq!(open_questions(&store, "r").await, ["ask.a/ada", "ask.b/bob"]);
    let recorded = store.load(&id("r")).await.unwrap().unwrap().records;
    assert_eq!(recorded.iter().map(|record| &*record.key).collect::<Vec<_>>(), ["ask.c"]);
    answer(&store, "r", "ask.b/bob", 2).await;
    assert_eq!(workflow.run("r", body).await, waits("ask.a/ada"));
    answer(&store, "r", "ask.a/ada", 1).await;
    assert_eq!(workflow.run("r", body).await, Ok((1, 2, 3)));
}

#[tokio::test(start_paused = true)]
async fn waiting_items_do_not_stop_other_items() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("ask").store(store.clone());
    let body = async |run: &DurableRun| -> Result<Vec<u32>, RunError> {
        let item = |n: u32| async move {
            if n == 1 { Ok::<u32, RunError>(n) } else { run.wait_for(format!("ask {n}")).await }
        };
        Ok(step!(run.each("item", [0, 1, 2], item)))
    };
    assert!(matches!(workflow.run("r", body).await, Err(RunError::Waiting { .. })));
    assert_eq!(open_questions(&store, "r").await, ["item[0]/ask 0", "item[2]/ask 2"]);
    answer(&store, "r", "item[0]/ask 0", 10).await;
    answer(&store, "r", "item[2]/ask 2", 12).await;
    assert_eq!(workflow.run("r", body).await, Ok(vec![10, 1, 12]));
}

#[tokio::test(start_paused = true)]
async fn failed_branch_overrides_a_wait_and_undoes_the_saga() {
    let (store, undone) = (MemoryStore::new(), AtomicU32::new(0));
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Result<(), SagaError<RunError>> {
        saga(run, async |saga| {
            let undo = |_: u32| async {
                undone.fetch_add(1, Ordering::Relaxed);
                Ok::<(), RunError>(())
            };
            step!(saga, "seat", compensate = undo, async { Ok::<u32, RunError>(1) });
            let declined = async { Err::<u32, RunError>(RunError::Expired { step: "card".into() }) };
            let (_, _) = parallel!(saga, "both", { a: run.wait_for::<u32>("ada"), b: declined });
            Ok(())
        })
        .await
    };
    let error = workflow.run("r", body).await.unwrap_err();
    assert!(error.to_string().contains("card"), "{error}");
    assert_eq!((status(&store, "r").await, undone.load(Ordering::Relaxed)), (Status::Failed, 1));
}

#[tokio::test(start_paused = true)]
async fn parked_sleeps_run_concurrently() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("nap").store(store.clone()).park_after(Duration::ZERO);
    let body = async |run: &DurableRun| -> Result<(), RunError> {
        let _: ((), ()) =
            parallel!(run, "p", { a: run.sleep("long", hours(5)), b: run.sleep("short", hours(1)) });
        Ok(())
    };
    let began = tokio::time::Instant::now();
    while workflow.run("r", body).await.is_err() {
        while !is_due(&store, "r").await {
            tokio::time::sleep(secs(60)).await;
        }
    }
    let minutes = began.elapsed().as_secs().div_ceil(60);
    assert!((300..=302).contains(&minutes), "{minutes} minutes");
}

#[tokio::test(start_paused = true)]
async fn failed_branch_ends_every_wait_of_an_unfinished_list() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("ask").store(store.clone());
    let body = async |run: &DurableRun| -> Result<(Vec<u32>, u32), RunError> {
        let item = async |item: u32| {
            if item == 0 {
                tokio::time::sleep(secs(2)).await;
                return Ok(0);
            }
            run.wait_for::<u32>(format!("person {item}")).await
        };
        let fails = async {
            tokio::time::sleep(secs(1)).await;
            Err::<u32, RunError>(RunError::Expired { step: "branch".into() })
        };
        let list = async {
            let items = run.each("items", [0, 1, 2], item).concurrency(3);
            items.await.map_err(RunError::from_step)
        };
        Ok(parallel!(run, "both", { a: list, b: fails }))
    };
    assert_eq!(workflow.run("r", body).await, Err(RunError::Expired { step: "branch".into() }));
    assert_eq!(status(&store, "r").await, Status::Failed, "the body does not wait for the list");
}

#[tokio::test(start_paused = true)]
async fn cancellation_beside_a_parked_sleep_cancels_the_run() {
    let (store, token) = (MemoryStore::new(), CancellationToken::new());
    let workflow = Workflow::new("nap").store(store.clone()).park_after(secs(1)).cancel_on(token.clone());
    let body = async |run: &DurableRun| -> Result<((), u32), RunError> {
        let cancels = async {
            tokio::time::sleep(ms(10)).await;
            token.cancel();
            tokio::task::yield_now().await;
            Ok::<u32, RunError>(1)
        };
        Ok(parallel!(run, "both", { a: run.sleep("night", hours(8)), b: cancels }))
    };
    assert!(matches!(workflow.run("r", body).await, Err(RunError::Cancelled { .. })));
    assert_eq!(status(&store, "r").await, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn winner_of_a_race_ends_the_waits_of_losers() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("race").store(store.clone());
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        let slow = async {
            tokio::time::sleep(secs(1)).await;
            Ok::<u32, RunError>(2)
        };
        let won = race!(run, "first", { run.wait_for::<u32>("ada"), slow });
        assert_eq!(won, 2);
        Err(RunError::Expired { step: "later".into() })
    };
    assert_eq!(workflow.run("r", body).await, Err(RunError::Expired { step: "later".into() }));
    assert_eq!(status(&store, "r").await, Status::Failed, "the run does not wait for the loser");
}

#[tokio::test(start_paused = true)]
async fn caller_of_a_waiting_run_waits_too() {
    let store = MemoryStore::new();
    let outer = Workflow::new("outer").store(store.clone());
    let inner = Workflow::new("inner").store(store.clone());
    for in_step in [false, true] {
        let (run, child) = if in_step { ("a", "a-child") } else { ("b", "b-child") };
        let call = async || inner.run(child, async |run| Ok::<u32, RunError>(step!(run.wait_for("x")))).await;
        let body = async |run: &DurableRun| -> Result<u32, RunError> {
            if in_step { Ok(step!(run, "call", call())) } else { call().await }
        };
        for _ in 0..2 {
            assert!(matches!(outer.run(run, body).await, Err(RunError::Waiting { .. })));
            assert_eq!(status(&store, run).await, Status::Waiting, "in a step: {in_step}");
        }
        assert!(store.load(&id(run)).await.unwrap().unwrap().records.is_empty());
        answer(&store, child, "x", 7).await;
        tokio::time::sleep(secs(60)).await;
        assert!(is_due(&store, run).await, "the outer run becomes due by itself");
        assert_eq!(outer.run(run, body).await, Ok(7));
    }
}

#[tokio::test(start_paused = true)]
async fn failure_after_a_handled_wait_fails_the_run() {
    let store = MemoryStore::new();
    let outer = Workflow::new("outer").store(store.clone());
    let inner = Workflow::new("inner").store(store.clone());
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        let waits = inner.run("child", async |run| Ok::<u32, RunError>(step!(run.wait_for("x")))).await;
        assert!(waits.is_err());
        let failed = async { Err::<u32, RunError>(RunError::Expired { step: "later".into() }) };
        Ok(step!(run, "later", failed))
    };
    assert_eq!(outer.run("r", body).await, Err(RunError::Expired { step: "later".into() }));
    assert_eq!(status(&store, "r").await, Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn events_show_the_end_and_the_parking_of_sleeps() {
    let (store, heard) = (MemoryStore::new(), Heard::default());
    let workflow = Workflow::new("nap").store(store.clone()).observe(heard.observer());
    let body = async |run: &DurableRun| -> Result<(), RunError> {
        run.sleep("nap", secs(1)).await?;
        run.sleep("nap", hours(1)).await
    };
    let parking = workflow.clone().park_after(secs(60));
    assert_eq!(parking.run("r", body).await, waits("nap#2"));
    let told = heard.take();
    let of_naps: Vec<_> = told.iter().filter(|event| event.contains("nap")).map(String::as_str).collect();
    assert_eq!(
        of_naps,
        [
            "step_missed nap",
            "step_started nap",
            "step_recorded nap",
            "step_succeeded nap",
            "step_missed nap#2",
            "step_started nap#2",
            "step_recorded nap#2",
            "step_waiting nap#2",
        ]
    );
    tokio::time::sleep(hours(2)).await;
    assert_eq!(parking.run("r", body).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn hooks_end_with_the_deadline_of_the_run() {
    let store = MemoryStore::new();
    let slow = |_| async {
        tokio::time::sleep(secs(30)).await;
        Ok::<(), Refusal>(())
    };
    let hooked = Workflow::new("hooked").store(store.clone()).deadline(ms(100));
    let began = tokio::time::Instant::now();
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        Ok(step!(run, "one", async { Ok::<u32, RunError>(1) }))
    };
    let ended = hooked.clone().before_run(slow).run("r", body).await;
    assert!(matches!(ended, Err(RunError::Timeout { limit: Limit::Run, .. })), "{ended:?}");
    assert!(began.elapsed() < secs(1));
    let slow = |_| async {
        tokio::time::sleep(secs(30)).await;
        Ok::<(), Refusal>(())
    };
    let ended = hooked.after_step(slow).run("s", body).await;
    assert!(matches!(ended, Err(RunError::Timeout { limit: Limit::Run, .. })), "{ended:?}");
    assert!(began.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn dropped_and_panicking_runs_emit_an_end_event() {
    let heard = Heard::default();
    let workflow = Workflow::new("end").observe(heard.observer());
    let hang = workflow.run_volatile(async |_| std::future::pending::<Result<(), RunError>>().await);
    assert!(tokio::time::timeout(secs(1), hang).await.is_err());
    assert_eq!(heard.take(), ["run_started", "run_aborted"]);
    let panics = tokio::spawn(async move {
        workflow.run_volatile(async |_| -> Result<(), RunError> { panic!("no") }).await
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(heard.take(), ["run_started", "run_failed"]);
}

#[tokio::test(start_paused = true)]
async fn wait_in_a_spawned_task_does_not_fail_its_step() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("spawn").store(store.clone());
    let body = async |run: &DurableRun| -> Result<u32, RunError> {
        let asking = run.clone();
        let joined = async move {
            tokio::spawn(async move { asking.wait_for::<u32>("manager").await }).await.unwrap()
        };
        Ok(step!(run, "ask", joined))
    };
    assert!(workflow.run("r", body).await.is_err());
    assert_eq!(status(&store, "r").await, Status::Waiting);
    assert!(store.load(&id("r")).await.unwrap().unwrap().records.is_empty());
    answer(&store, "r", "manager", 7).await;
    assert_eq!(workflow.run("r", body).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn branch_that_fails_after_a_wait_fails_the_run() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("ask").store(store.clone());
    let body = async |run: &DurableRun| -> Result<(u32, Vec<u32>), RunError> {
        let list = async || {
            let items = run.each("items", [0, 1], async |item: u32| match item {
                0 => run.wait_for("bob").await,
                _ => Err::<u32, RunError>(RunError::Expired { step: "item".into() }),
            });
            items.await.map_err(RunError::from_step)
        };
        Ok(parallel!(run, "both", { a: run.wait_for::<u32>("ada"), b: list() }))
    };
    let failed = workflow.run("r", body).await;
    assert_eq!(failed, Err(RunError::Expired { step: "item".into() }));
    assert_eq!(status(&store, "r").await, Status::Failed);
}
