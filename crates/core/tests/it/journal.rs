use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use awaitly_core::clock::{Clock, VirtualClock, days, secs};
use awaitly_core::guard::Refusal;
use awaitly_core::journal::{Migration, OnChange, ResumeState};
use awaitly_core::{DurableRun, Error, Limit, RunError, Workflow, step};
use serde::{Deserialize, Serialize};

use crate::world::{AppError, Service, ServiceError};

fn keys(state: &ResumeState) -> Vec<String> {
    state.keys().map(ToString::to_string).collect()
}

#[tokio::test]
async fn resumed_run_skips_recorded_steps() {
    let service = Service::default();
    let workflow = Workflow::new("w");
    let stop_after_two = AtomicU32::new(1);
    let body = async |run: &DurableRun| {
        let first = step!(run, service.call());
        let second = step!(run, service.call());
        if stop_after_two.load(Ordering::Relaxed) == 1 {
            return Err(AppError::Own("stop".into()));
        }
        let third = step!(run, "third", service.call());
        Ok((first, second, third))
    };
    let (failed, state) = workflow.run_with_state("r", body).await;
    assert_eq!(failed, Err(AppError::Own("stop".into())));
    assert_eq!(keys(&state), ["call", "call#2"]);

    stop_after_two.store(0, Ordering::Relaxed);
    let json = serde_json::to_string(&state).unwrap();
    let (done, state) = workflow.resume(serde_json::from_str(&json).unwrap()).run_with_state(body).await;
    assert_eq!((done, service.calls()), (Ok((1, 2, 3)), 3));
    // The state is cumulative: the old records and the new one.
    assert_eq!(keys(&state), ["call", "call#2", "third"]);
}

#[tokio::test]
async fn recorded_error_comes_back_typed() {
    let service = Service::failing([ServiceError::Declined(7)]);
    let workflow = Workflow::new("w");
    let body = async |run: &DurableRun| match run.step("charge", || service.call()).await {
        Err(Error::Failed(ServiceError::Declined(code))) => Ok::<_, AppError>(code),
        other => panic!("{other:?}"),
    };
    let (first, state) = workflow.run_with_state("r", body).await;
    let again = workflow.resume(state).run(body).await;
    assert_eq!((first, again, service.calls()), (Ok(7), Ok(7), 1));
}

#[tokio::test(start_paused = true)]
async fn attempt_timeout_is_recorded() {
    let service = Service::default();
    let workflow = Workflow::new("w");
    let body = async |run: &DurableRun| match run.step("hang", || service.hang()).timeout(secs(1)).await {
        Err(Error::Run(RunError::Timeout { limit: Limit::Attempt, .. })) => Ok::<_, AppError>(true),
        other => panic!("{other:?}"),
    };
    let (_, state) = workflow.run_with_state("r", body).await;
    workflow.resume(state).run(body).await.unwrap();
    assert_eq!(service.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn run_deadline_timeout_is_not_recorded() {
    let service = Service::default();
    let workflow = Workflow::new("w").deadline(secs(1));
    let body = async |run: &DurableRun| Ok::<_, AppError>(step!(run, service.hang()));
    let (result, state) = workflow.run_with_state("r", body).await;
    assert!(matches!(result, Err(AppError::Run(RunError::Timeout { limit: Limit::Run, .. }))));
    assert_eq!(state.records, []);
}

#[tokio::test]
async fn step_with_rerun_errors_runs_again_after_failure() {
    let service = Service::failing([ServiceError::Down]);
    let workflow = Workflow::new("w");
    let body =
        async |run: &DurableRun| Ok::<_, AppError>(step!(run.step("call", || service.call()).rerun_errors()));
    let (failed, state) = workflow.run_with_state("r", body).await;
    assert_eq!((failed, keys(&state)), (Err(ServiceError::Down.into()), vec![]));
    assert_eq!(workflow.resume(state).run(body).await, Ok(2));
}

#[tokio::test]
async fn volatile_step_runs_again_and_takes_no_key() {
    let service = Service::default();
    let workflow = Workflow::new("w");
    let body = async |run: &DurableRun| {
        let fresh = step!(run.volatile(), "call", service.call());
        let kept = step!(run, "call", service.call());
        Ok::<_, AppError>((fresh, kept))
    };
    let (first, state) = workflow.run_with_state("r", body).await;
    assert_eq!((first, keys(&state)), (Ok((1, 2)), vec!["call".to_owned()]));
    assert_eq!(workflow.resume(state).run(body).await, Ok((3, 2)));
}

#[tokio::test]
async fn duplicate_key_fails_run_that_ignores_the_error() {
    let service = Service::default();
    let workflow = Workflow::new("w");
    let result = workflow
        .run("r", async |run| {
            step!(run, "a", key = "same", service.call());
            let second = run.step("b", || service.call()).key("same").await;
            assert_eq!(second, Err(Error::Run(RunError::DuplicateKey { key: "same".into() })));
            Ok::<_, AppError>(true)
        })
        .await;
    assert_eq!(result, Err(RunError::DuplicateKey { key: "same".into() }.into()));
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn keys_are_taken_when_steps_are_built() {
    let workflow = Workflow::new("w");
    let body = async |run: &DurableRun| {
        let slow = run.step("n", async || {
            tokio::task::yield_now().await;
            Ok::<_, ServiceError>("first built".to_owned())
        });
        let quick = run.step("n", async || Ok::<_, ServiceError>("second built".to_owned()));
        let (_, _) = tokio::join!(async { quick.await }, async { slow.await });
        Ok::<_, AppError>(())
    };
    let (_, state) = workflow.run_with_state("r", body).await;
    let json = serde_json::to_value(&state).unwrap();
    let outcome = |key: &str| {
        let records = json["records"].as_array().unwrap();
        records.iter().find(|record| record["key"] == key).unwrap()["outcome"]["value"].clone()
    };
    assert_eq!(outcome("n"), "first built");
    assert_eq!(outcome("n#2"), "second built");
}

#[tokio::test]
async fn step_policy_decides_on_changed_input() {
    let workflow = Workflow::new("w");
    let execute = async |state: Option<ResumeState>, amount: u32, policy: OnChange| {
        let body = async |run: &DurableRun| {
            let charge = run.step("charge", async || Ok::<_, ServiceError>(amount)).input(&amount);
            Ok::<_, AppError>(step!(charge.on_change(policy)))
        };
        match state {
            None => workflow.run_with_state("r", body).await,
            Some(state) => workflow.resume(state).run_with_state(body).await,
        }
    };
    let (_, state) = execute(None, 5, OnChange::Fail).await;
    let state = || Some(state.clone());
    assert_eq!(execute(state(), 5, OnChange::Fail).await.0, Ok(5));
    assert_eq!(execute(state(), 6, OnChange::Reuse).await.0, Ok(5));
    let (rerun, new_state) = execute(state(), 6, OnChange::Rerun).await;
    assert_eq!((rerun, keys(&new_state)), (Ok(6), vec!["charge".to_owned()]));
    assert_eq!(execute(Some(new_state), 6, OnChange::Fail).await.0, Ok(6));
    let changed = RunError::InputChanged { what: "step `charge`".into() };
    assert_eq!(execute(state(), 6, OnChange::Fail).await.0, Err(changed.into()));
}

#[tokio::test]
async fn undecodable_value_stops_run_and_keeps_records() {
    let workflow = Workflow::new("w");
    let (_, state) = workflow
        .run_with_state("r", async |run| {
            Ok::<_, AppError>(step!(run, "n", async { Ok::<_, ServiceError>("text".to_owned()) }))
        })
        .await;
    let (result, after) = workflow
        .resume(state.clone())
        .run_with_state(async |run| Ok::<_, AppError>(step!(run, "n", async { Ok::<u32, ServiceError>(1) })))
        .await;
    let Err(AppError::Run(RunError::Undecodable { what, type_name, .. })) = result else {
        panic!("{result:?}")
    };
    assert_eq!((&*what, &*type_name), ("step `n`", "u32"));
    assert_eq!(after, state);
}

#[tokio::test]
async fn value_that_cannot_be_recorded_stops_the_run() {
    #[derive(Serialize, Deserialize)]
    struct Odd(std::collections::HashMap<(u8, u8), u8>);
    let workflow = Workflow::new("w");
    let odd = async || Ok::<_, ServiceError>(Odd([((1, 2), 3)].into()));
    let result = workflow
        .run("r", async |run| {
            step!(run, "odd", odd());
            Ok::<_, AppError>(())
        })
        .await;
    assert!(matches!(result, Err(AppError::Run(RunError::Unencodable { .. }))), "{result:?}");
}

#[tokio::test]
async fn keys_and_values_beyond_the_limits_are_refused() {
    let workflow = Workflow::new("w");
    let record = async |key: String, bytes: usize| {
        let value = async || Ok::<_, ServiceError>("x".repeat(bytes));
        let body = async |run: &DurableRun| Ok::<_, AppError>(step!(run, "n", key = key, value()).len());
        workflow.run("r", body).await
    };
    assert!(record("k".repeat(1024), 10).await.is_ok());
    for (key, bytes) in [("k".repeat(1025), 10), ("k".into(), 16 * 1024 * 1024)] {
        let result = record(key, bytes).await;
        assert!(matches!(result, Err(AppError::Run(RunError::TooLarge { .. }))), "{result:?}");
    }
    let result = workflow.run("r".repeat(513), async |_| Ok::<_, AppError>(())).await;
    assert!(matches!(result, Err(AppError::Run(RunError::TooLarge { .. }))), "{result:?}");
}

#[tokio::test]
async fn empty_run_id_name_or_key_is_refused_as_empty() {
    let run = async |workflow: &'static str, id: &'static str, key: &'static str| {
        let body = async |run: &DurableRun| {
            Ok::<_, RunError>(step!(run, "n", key = key, async { Ok::<_, RunError>(1) }))
        };
        Workflow::new(workflow).run(id, body).await.map_err(|error| error.to_string())
    };
    assert_eq!(run("w", "r", "k").await, Ok(1));
    let empty = |what| Err(format!("{what} is empty: use a text of at least one character"));
    assert_eq!(run("w", "", "k").await, empty("the run id"));
    assert_eq!(run("", "r", "k").await, empty("the name of the workflow"));
    assert_eq!(run("w", "r", "").await, empty("the key of a step"));
    let id: Result<awaitly_core::store::RunId, _> = "".parse();
    assert_eq!(
        id.map_err(|error| error.to_string()),
        Err("a run id has 1 to 512 bytes, this one is empty".into())
    );
}

#[tokio::test]
async fn restarted_sleep_waits_only_for_its_rest() {
    let clock = VirtualClock::new();
    let workflow = Workflow::new("w").clock(clock.clone());
    let body = async |run: &DurableRun| {
        run.sleep("cool-off", days(3)).await?;
        Ok::<_, AppError>(())
    };
    let mut state = None;
    for day in 0..3 {
        // The run stops a day later; what was recorded before stands.
        let token = tokio_util::sync::CancellationToken::new();
        let cancellable = Workflow::clone(&workflow).cancel_on(token.clone());
        let running = async {
            match state.clone() {
                None => cancellable.run_with_state("r", body).await,
                Some(state) => cancellable.resume(state).run_with_state(body).await,
            }
        };
        let (ended, ()) = tokio::join!(running, async {
            while clock.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
            clock.advance(days(1));
            tokio::task::yield_now().await;
            if day < 2 {
                token.cancel();
            }
        });
        assert_eq!(ended.0.is_ok(), day == 2, "day {day}: {:?}", ended.0);
        state = Some(ended.1);
    }
    assert_eq!(clock.elapsed(), days(3));
    assert!(clock.wall() > SystemTime::UNIX_EPOCH);
}

#[tokio::test]
async fn older_journal_is_migrated_and_a_newer_one_refused() {
    let service = Service::default();
    let old = Workflow::new("w").version(1);
    let (_, state) =
        old.run_with_state("r", async |run| Ok::<_, AppError>(step!(run, "pay", service.call()))).await;

    let body = async |run: &DurableRun| Ok::<_, AppError>(step!(run, "charge", service.call()));
    let new = Workflow::new("w").version(2);
    let missing = new.resume(state.clone()).run(body).await;
    assert!(matches!(missing, Err(AppError::Run(RunError::Migration { .. }))), "{missing:?}");

    let new = new.migration(1, Migration::rename("pay", "charge"));
    let (migrated, state) = new.resume(state).run_with_state(body).await;
    assert_eq!((migrated, service.calls(), state.version), (Ok(1), 1, 2));

    let newer = old.resume(state).run(body).await;
    assert_eq!(newer, Err(RunError::NewerVersion { run: "r".into(), stored: 2, code: 1 }.into()));
}

#[tokio::test]
async fn panic_is_caught_and_names_its_step() {
    let workflow = Workflow::new("w");
    let bad = async || -> Result<u32, ServiceError> { panic!("no such card") };
    let result = workflow.run("r", async |run| Ok::<_, AppError>(step!(run, bad()))).await;
    let panicked = RunError::Panicked { step: Some("bad".into()), message: "no such card".into() };
    assert_eq!(result, Err(panicked.into()));
}

#[tokio::test]
async fn input_of_a_run_is_read_by_its_body() {
    let workflow = Workflow::new("w").input(&("tea", 2));
    let body = async |run: &DurableRun| Ok::<_, AppError>(run.input::<(String, u32)>()?);
    assert_eq!(workflow.run("r", body).await, Ok(("tea".into(), 2)));
    let none = Workflow::new("w").run("r", body).await;
    assert!(matches!(none, Err(AppError::Run(RunError::Undecodable { .. }))), "{none:?}");
}

#[tokio::test]
async fn idempotency_key_tells_every_step_of_every_run_apart() {
    let key = async |run: &'static str, step: &'static str| {
        let workflow = Workflow::new("w");
        workflow.run(run, async |run| Ok::<_, RunError>(run.idempotency_key(step))).await.unwrap()
    };
    assert_eq!(key("order-42", "charge").await, "order-42/charge");
    assert_ne!(key("a/b", "c").await, key("a", "b/c").await);
    assert_ne!(key("a%2Fb", "c").await, key("a/b", "c").await);
}

#[tokio::test]
async fn hook_before_the_run_can_refuse_it() {
    let service = Service::default();
    let workflow = Workflow::new("w").before_run(|info| async move {
        if &*info.run == "closed" { Err(Refusal::new("opening hours", "closed")) } else { Ok(()) }
    });
    let body = async |run: &DurableRun| Ok::<_, AppError>(step!(run, service.call()));
    assert_eq!(workflow.run("open", body).await, Ok(1));
    let refused = workflow.run("closed", body).await;
    assert!(matches!(refused, Err(AppError::Run(RunError::Refused { .. }))), "{refused:?}");
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn after_step_hook_sees_new_records_and_can_stop_run() {
    let service = Service::default();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let workflow = Workflow::new("w").after_step({
        let told = std::sync::Arc::clone(&told);
        move |info| {
            told.lock().unwrap().push(info.step.key.to_string());
            let refuse = told.lock().unwrap().len() == 2;
            async move { if refuse { Err(Refusal::new("checkpoint", "disk full")) } else { Ok(()) } }
        }
    });
    let body = async |run: &DurableRun| {
        let first = step!(run, service.call());
        let second = step!(run, service.call());
        Ok::<_, AppError>(first + second)
    };
    let (refused, state) = workflow.run_with_state("r", body).await;
    assert!(matches!(refused, Err(AppError::Run(RunError::Refused { .. }))), "{refused:?}");
    assert_eq!(keys(&state), ["call", "call#2"]);
    assert_eq!(workflow.resume(state).run(body).await, Ok(3));
    assert_eq!(*told.lock().unwrap(), ["call", "call#2"]);
}

#[tokio::test]
async fn handle_of_ended_run_refuses_steps() {
    let service = Service::default();
    let mut kept = None;
    let workflow = Workflow::new("w");
    workflow
        .run("r", async |run| {
            kept = Some(run.clone());
            Ok::<_, AppError>(())
        })
        .await
        .unwrap();
    let late = kept.unwrap();
    let refused = late.step("late", || service.call()).await;
    assert_eq!(refused, Err(Error::Run(RunError::Ended { run: "r".into() })));
    assert_eq!(service.calls(), 0);
}

#[tokio::test]
async fn nested_steps_leave_outer_keys_unchanged_on_resume() {
    async fn pay(run: &DurableRun, service: &Service) -> Result<u32, AppError> {
        Ok(step!(run, "charge", service.call()))
    }
    let service = Service::default();
    let workflow = Workflow::new("w");
    let body = async |run: &DurableRun| {
        let paid = step!(run, "pay", pay(run, &service));
        let other = step!(run, "charge", service.call());
        Ok::<_, AppError>((paid, other))
    };
    let (first, mut state) = workflow.run_with_state("r", body).await;
    assert_eq!(keys(&state), ["pay/charge", "pay", "charge"]);
    // Crashed after `pay` was recorded, and before `charge` was.
    assert!(state.forget("charge"));
    let (again, _) = workflow.resume(state).run_with_state(body).await;
    assert_eq!((first, again), (Ok((1, 2)), Ok((1, 3))));
}

#[tokio::test]
async fn each_attempt_has_nested_steps_of_its_own() {
    let service = Service::failing([ServiceError::Down]);
    let workflow = Workflow::new("w");
    let inner = async |run: &DurableRun| Ok::<_, AppError>(step!(run, "charge", key = "k", service.call()));
    let body = async |run: &DurableRun| {
        Ok::<_, AppError>(step!(
            run,
            "pay",
            retry = awaitly_core::Retry::fixed(Default::default()),
            inner(run)
        ))
    };
    let (paid, state) = workflow.run_with_state("r", body).await;
    assert_eq!(paid, Ok(2));
    assert_eq!(keys(&state), ["pay/k", "pay@2/k", "pay"]);
    assert_eq!(workflow.resume(state).run(body).await, Ok(2));
    assert_eq!(service.calls(), 2);
}

#[tokio::test]
async fn error_of_cancelled_operation_is_not_recorded() {
    let token = tokio_util::sync::CancellationToken::new();
    let workflow = Workflow::new("w").cancel_on(token.clone());
    let nap = async |run: &DurableRun| -> Result<u32, AppError> {
        token.cancel();
        run.sleep("nap", days(1)).await?;
        Ok(1)
    };
    let (result, state) =
        workflow.run_with_state("r", async |run| Ok::<_, AppError>(step!(run, "outer", nap(run)))).await;
    assert!(matches!(result, Err(AppError::Run(RunError::Cancelled { .. }))), "{result:?}");
    assert!(!keys(&state).contains(&"outer".to_owned()), "{:?}", keys(&state));
}

#[tokio::test]
async fn oversized_key_is_refused_before_the_call() {
    let service = Service::default();
    let workflow = Workflow::new("w");
    let body =
        async |run: &DurableRun| Ok::<_, AppError>(step!(run, "n", key = "k".repeat(1025), service.call()));
    assert!(matches!(workflow.run("r", body).await, Err(AppError::Run(RunError::TooLarge { .. }))));
    assert_eq!(service.calls(), 0);
}

#[tokio::test]
async fn panic_after_journal_failure_returns_the_failure() {
    let workflow = Workflow::new("w");
    let result = workflow
        .run("r", async |run| {
            let duplicate = async || {
                step!(run, "a", key = "k", async { Ok::<_, ServiceError>(1) });
                Ok::<_, AppError>(step!(run, "b", key = "k", async { Ok::<_, ServiceError>(2) }))
            };
            Ok::<_, AppError>(duplicate().await.expect("no duplicates"))
        })
        .await;
    assert_eq!(result, Err(RunError::DuplicateKey { key: "k".into() }.into()));
}

#[tokio::test]
async fn hook_panic_becomes_run_error() {
    let workflow = Workflow::new("w").before_run(|_| async { panic!("bad hook") });
    let result = workflow.run("r", async |_| Ok::<_, AppError>(1)).await;
    let panicked = RunError::Panicked { step: None, message: "bad hook".into() };
    assert_eq!(result, Err(panicked.into()));
}

#[tokio::test]
async fn of_parallel_steps_the_one_that_panicked_is_named() {
    let service = Service::default();
    let boom = async || -> Result<u32, ServiceError> { panic!("boom") };
    let result = Workflow::new("w")
        .run("r", async |run| {
            let (_, _) = awaitly_core::parallel!(run, "p", { a: service.hang(), b: boom() });
            Ok::<_, AppError>(())
        })
        .await;
    let panicked = RunError::Panicked { step: Some("p.b".into()), message: "boom".into() };
    assert_eq!(result, Err(panicked.into()));
}

#[tokio::test]
async fn state_holds_the_input_of_its_run() {
    let workflow = Workflow::new("w");
    let body = async |run: &DurableRun| Ok::<_, AppError>(run.input::<u32>()?);
    let (_, state) = workflow.clone().input(&7).run_with_state("r", body).await;
    assert_eq!(workflow.resume(state.clone()).run(body).await, Ok(7));
    let other = workflow.clone().input(&8);
    let changed = other.resume(state).run(body).await;
    assert!(matches!(changed, Err(AppError::Run(RunError::InputChanged { .. }))), "{changed:?}");
}

#[tokio::test(start_paused = true)]
async fn stopped_run_stops_retries_of_other_steps() {
    let service = Service::failing(vec![ServiceError::Down; 100]);
    let workflow = Workflow::new("w");
    let result = workflow
        .run("r", async |run| {
            let retried = run.step("retried", || service.call());
            let retried = retried.retry(awaitly_core::Retry::fixed(secs(1)).attempts(50));
            let first = run.step("a", async || Ok::<_, ServiceError>(1)).key("k");
            let second = run.step("b", async || Ok::<_, ServiceError>(1)).key("k");
            let _ = tokio::join!(async { retried.await }, async { first.await }, async { second.await });
            Ok::<_, AppError>(())
        })
        .await;
    assert!(matches!(result, Err(AppError::Run(RunError::DuplicateKey { .. }))), "{result:?}");
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn step_built_before_first_poll_is_nested() {
    let service = Service::default();
    let clock = VirtualClock::new();
    let workflow = Workflow::new("w").clock(clock);
    let body = async |run: &DurableRun| {
        // `sleep` takes its key when it is called, which here is before the operation is polled.
        let nap = || run.sleep("nap", Default::default());
        step!(run.step("rest", nap).rerun_errors());
        Ok::<_, AppError>(step!(run, "nap", service.call()))
    };
    let (first, mut state) = workflow.run_with_state("r", body).await;
    assert_eq!(keys(&state), ["rest/nap", "rest", "nap"]);
    assert!(state.forget("nap"));
    assert_eq!((first, workflow.resume(state).run(body).await), (Ok(1), Ok(2)));
}

#[tokio::test]
async fn input_map_order_does_not_change_input() {
    use std::collections::HashMap;
    let map =
        |order: &mut dyn Iterator<Item = u32>| order.map(|n| (n.to_string(), n)).collect::<HashMap<_, _>>();
    let (forward, backward) = (map(&mut (0..40)), map(&mut (0..40).rev()));
    let workflow = Workflow::new("w");
    let body = async |run: &DurableRun| Ok::<_, AppError>(run.input::<HashMap<String, u32>>()?.len());
    let (_, state) = workflow.clone().input(&forward).run_with_state("r", body).await;
    assert_eq!(workflow.clone().input(&backward).resume(state).run(body).await, Ok(40));
}
