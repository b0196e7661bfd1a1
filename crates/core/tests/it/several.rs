use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use awaitly_core::clock::{ms, secs};
use awaitly_core::retry::Jitter;
use awaitly_core::several::Progress;
use awaitly_core::{Error, Retry, RunError, Workflow, parallel, race, run, step};

use crate::world::{AppError, Service, ServiceError};

async fn after(delay: u64, value: &str) -> Result<String, ServiceError> {
    tokio::time::sleep(ms(delay)).await;
    Ok(value.into())
}

async fn fail_after(delay: u64, code: u32) -> Result<String, ServiceError> {
    tokio::time::sleep(ms(delay)).await;
    Err(ServiceError::Declined(code))
}

#[tokio::test(start_paused = true)]
async fn parallel_steps_take_the_time_of_the_slowest() {
    let began = tokio::time::Instant::now();
    let result = run(async |run| {
        let (a, b) = parallel!(run, "load", { a: after(300, "a"), b: after(200, "b") });
        Ok::<_, AppError>(a + &b)
    })
    .await;
    assert_eq!((result, began.elapsed()), (Ok("ab".into()), ms(300)));
}

#[tokio::test(start_paused = true)]
async fn entry_of_parallel_takes_the_options_of_a_step() {
    let (result, state) = Workflow::new("w")
        .run_with_state("r", async |run| {
            let tries = AtomicUsize::new(0);
            let flaky = async || match tries.fetch_add(1, Ordering::Relaxed) {
                0 => fail_after(1, 1).await,
                _ => after(1, "b").await,
            };
            let (a, b, c) = parallel!(run, "load", {
                a: step!(timeout = secs(1), after(2, "a")),
                b: step!(retry = Retry::fixed(ms(1)).jitter(Jitter::None), key = "own", flaky()),
                c: after(1, "c"),
            });
            Ok::<_, AppError>(a + &b + &c)
        })
        .await;
    assert_eq!(result, Ok("abc".into()));
    let mut keys: Vec<_> = state.records.iter().map(|record| record.key.to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["load.a", "load.c", "own"]);
    let slow = run(async |run| {
        let (_, _) = parallel!(run, { a: step!(timeout = ms(5), after(9, "a")), b: after(1, "b") });
        Ok::<_, AppError>(())
    });
    assert!(matches!(slow.await, Err(AppError::Run(RunError::Timeout { .. }))));
}

#[tokio::test(start_paused = true)]
async fn first_failure_in_time_drops_the_others() {
    let service = Service::default();
    let began = tokio::time::Instant::now();
    let result = run(async |run| {
        let (_, _, _) = parallel!(run, { a: service.hang(), b: fail_after(200, 2), c: fail_after(100, 3) });
        Ok::<_, AppError>(())
    })
    .await;
    assert_eq!((result, began.elapsed()), (Err(ServiceError::Declined(3).into()), ms(100)));
}

#[tokio::test(start_paused = true)]
async fn parallel_steps_are_recorded_each_under_its_own_key() {
    let workflow = Workflow::new("w");
    let (result, state) = workflow
        .run_with_state("r", async |run| {
            let (_, _) = parallel!(run, "load", { a: after(2, "a"), b: after(1, "b") });
            let (_, _) = parallel!(run, "load", { a: after(2, "a"), b: fail_after(5, 1) });
            Ok::<_, AppError>(())
        })
        .await;
    assert!(result.is_err());
    let keys: Vec<_> = state.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["load.b", "load.a", "load.a#2", "load.b#2"]);
}

#[tokio::test(start_paused = true)]
async fn race_gives_the_first_success() {
    let began = tokio::time::Instant::now();
    let result = run(async |run| {
        let fastest = race!(run, "mirror", { after(300, "a"), fail_after(10, 1), after(200, "c") });
        Ok::<_, AppError>(fastest)
    })
    .await;
    assert_eq!((result, began.elapsed()), (Ok("c".into()), ms(200)));
}

#[tokio::test(start_paused = true)]
async fn race_without_success_returns_earliest_failure() {
    let result = run(async |run| {
        let retry = Retry::fixed(ms(1)).attempts(2).jitter(Jitter::None);
        Ok::<_, AppError>(race!(run, "mirror", retry = retry, { fail_after(300, 1), fail_after(20, 2) }))
    })
    .await;
    assert_eq!(result, Err(ServiceError::Declined(2).into()));
}

#[tokio::test(start_paused = true)]
async fn resumed_race_makes_no_call() {
    let service = Service::default();
    let workflow = Workflow::new("w");
    let body = async |run: &awaitly_core::DurableRun| {
        Ok::<_, AppError>(race!(run, "mirror", { service.call(), service.call() }))
    };
    let (first, state) = workflow.run_with_state("r", body).await;
    assert_eq!((first, service.calls()), (Ok(1), 1));
    let again = workflow.resume(state).run(body).await;
    assert_eq!((again, service.calls()), (Ok(1), 1));
}

#[tokio::test(start_paused = true)]
async fn each_keeps_the_order_and_the_bound() {
    let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = async |n: u64| {
        most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::time::sleep(ms(100 - n)).await;
        running.fetch_sub(1, Ordering::Relaxed);
        Ok::<_, ServiceError>(n * 2)
    };
    let result =
        run(async |run| Ok::<_, AppError>(step!(run.each("work", 0..20, &work).concurrency(8)))).await;
    assert_eq!(result, Ok((0..20).map(|n| n * 2).collect()));
    assert_eq!(most.load(Ordering::Relaxed), 8);
}

#[tokio::test(start_paused = true)]
async fn each_retries_items_and_stops_at_final_failure() {
    let calls = Mutex::new(Vec::new());
    let flaky = async |n: u32| {
        calls.lock().unwrap().push(n);
        match n {
            2 => Err(ServiceError::Declined(n)),
            _ => Ok(n),
        }
    };
    let result = run(async |run| {
        let retry = Retry::fixed(ms(1)).attempts(2);
        Ok::<_, AppError>(step!(run.each("flaky", [1, 2, 3], &flaky).retry(retry)))
    })
    .await;
    assert_eq!(result, Err(ServiceError::Declined(2).into()));
    assert_eq!(*calls.lock().unwrap(), [1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn settled_list_has_every_result() {
    let odd = async |n: u32| {
        if n % 2 == 1 { Ok(n) } else { Err(ServiceError::Declined(n)) }
    };
    let results =
        run(async |run| Ok::<_, RunError>(run.each("odd", 1..5, &odd).concurrency(4).settle().await)).await;
    let failed = |n| Err(Error::Failed(ServiceError::Declined(n)));
    assert_eq!(results, Ok(vec![Ok(1), failed(2), Ok(3), failed(4)]));
}

#[tokio::test(start_paused = true)]
async fn batches_pause_in_between_and_report_progress() {
    let told = Mutex::new(Vec::new());
    let began = tokio::time::Instant::now();
    let result = run(async |run| {
        let numbers = run.each("n", 0..5_u32, async |n| Ok::<_, ServiceError>(n));
        let numbers = numbers.concurrency(2).batches(2).pause(secs(1));
        Ok::<_, AppError>(step!(
            numbers.on_progress(|progress: Progress| told.lock().unwrap().push(progress))
        ))
    })
    .await;
    assert_eq!((result, began.elapsed()), (Ok(vec![0, 1, 2, 3, 4]), secs(2)));
    let told: Vec<_> =
        told.lock().unwrap().iter().map(|p| (p.batch, p.batches, p.done, p.percent())).collect();
    assert_eq!(told, [(1, 3, 2, 40), (2, 3, 4, 80), (3, 3, 5, 100)]);
}

#[tokio::test(start_paused = true)]
async fn empty_list_is_done_at_once() {
    let result = run(async |run| {
        let none: [u32; 0] = [];
        Ok::<_, AppError>(step!(run.each("n", none, async |n| Ok::<_, ServiceError>(n)).batches(3)))
    })
    .await;
    assert_eq!(result, Ok(vec![]));
}

#[tokio::test]
async fn durable_list_items_have_own_keys() {
    let service = Service::failing([ServiceError::Down]);
    let workflow = Workflow::new("w");
    let body = async |run: &awaitly_core::DurableRun| {
        let first =
            run.each("call", ["a", "b"], async |_| service.call().await).concurrency(2).settle().await;
        let by_name =
            step!(run.each("call", ["a", "b"], async |_| service.call().await).key_by(ToString::to_string));
        Ok::<_, AppError>((first.len(), by_name))
    };
    let (first, state) = workflow.run_with_state("r", body).await;
    let keys: Vec<_> = state.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["call[0]", "call[1]", "call#2[a]", "call#2[b]"]);
    let again = workflow.resume(state).run(body).await;
    assert_eq!((&again, service.calls()), (&first, 4));
}

#[tokio::test]
async fn two_items_with_one_key_are_refused() {
    let workflow = Workflow::new("w");
    let result = workflow
        .run("r", async |run| {
            let numbers =
                run.each("n", [1, 1], async |n: u32| Ok::<_, ServiceError>(n)).key_by(ToString::to_string);
            Ok::<_, AppError>(step!(numbers))
        })
        .await;
    assert_eq!(result, Err(RunError::DuplicateKey { key: "n[1]".into() }.into()));
}

#[test]
#[should_panic(expected = "`concurrency(0)` is refused")]
fn no_concurrency_at_all_is_refused() {
    let _ = futures_executor(run(async |run| {
        step!(run.each("n", [1], async |n: u32| Ok::<_, ServiceError>(n)).concurrency(0));
        Ok::<_, AppError>(())
    }));
}

fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[tokio::test(start_paused = true)]
async fn race_of_three_returns_earliest_failure() {
    let result = run(async |run| {
        let lost = race!(run, "mirror", { fail_after(30, 1), fail_after(10, 2), fail_after(50, 3) });
        Ok::<_, AppError>(lost)
    })
    .await;
    assert_eq!(result, Err(ServiceError::Declined(2).into()));
}

#[tokio::test(start_paused = true)]
async fn pause_between_batches_ends_with_the_run() {
    let token = tokio_util::sync::CancellationToken::new();
    let workflow = Workflow::new("w").cancel_on(token.clone());
    let began = tokio::time::Instant::now();
    let running = workflow.run_volatile(async |run| {
        let slow = run.each("n", 0..4, async |n: u32| Ok::<_, ServiceError>(n));
        Ok::<_, AppError>(step!(slow.batches(2).pause(secs(600))))
    });
    let (result, ()) = tokio::join!(running, async {
        tokio::time::sleep(secs(1)).await;
        token.cancel();
    });
    assert!(matches!(result, Err(AppError::Run(RunError::Cancelled { .. }))), "{result:?}");
    assert_eq!(began.elapsed(), secs(1));
}

#[tokio::test]
async fn runtime_names_and_temporary_handles_are_accepted() {
    let workflow = Workflow::new("w");
    let (result, state) = workflow
        .run_with_state("r", async |run| {
            let name = format!("load-{}", 1);
            let (a, b) = parallel!(run, name.clone(), { a: after(0, "a"), b: after(0, "b") });
            let (_, _) = parallel!(run.volatile(), &name, { a: after(0, "a"), b: after(0, "b") });
            let c = race!(run, format!("race-{name}"), { after(0, "c"), after(0, "d") });
            Ok::<_, AppError>(a + &b + &c)
        })
        .await;
    assert_eq!(result, Ok("abc".into()));
    let keys: Vec<_> = state.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["load-1.a", "load-1.b", "race-load-1"]);
}

#[tokio::test]
async fn list_may_keep_only_its_values() {
    let service = Service::failing([ServiceError::Down]);
    let workflow = Workflow::new("w");
    let body = async |run: &awaitly_core::DurableRun| {
        let calls = run.each("call", [1, 2], async |_| service.call().await).rerun_errors();
        Ok::<_, AppError>(step!(calls.timeout(secs(1)).deadline(secs(5))))
    };
    let (failed, state) = workflow.run_with_state("r", body).await;
    assert_eq!(failed, Err(ServiceError::Down.into()));
    assert_eq!(workflow.resume(state).run(body).await, Ok(vec![2, 3]));
}
