#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{days, ms, secs};
use awaitly_core::guard::Refusal;
use awaitly_core::{DurableRun, Error, Limit, Retry, Run, RunError, Workflow, parallel, step};
use awaitly_resilience::CircuitBreaker;
use awaitly_saga::SagaError;
use awaitly_testing::report::RunEnding;
use awaitly_testing::{
    Harness, PausedClock, by_attempt, cancelled, err, err_once, hang, ok, ok_once, panic, real, refused,
    stop, timeout,
};
use futures_util::FutureExt;

use crate::shop::{Declined, Hold, OrderError, charge, order, order_or_nothing, release, reserve};

async fn number() -> Result<u32, RunError> {
    Ok(1)
}

async fn down() -> Result<u32, Declined> {
    Err(Declined)
}

/// Executes three steps with one name.
async fn three(run: &Run) -> Result<[u32; 3], RunError> {
    Ok([step!(run, number()), step!(run, number()), step!(run, number())])
}

/// Returns the message with which the harness fails a run.
async fn failure<T>(run: impl Future<Output = T>) -> String {
    let panic = AssertUnwindSafe(run).catch_unwind().await.err().expect("the harness should fail the run");
    panic.downcast_ref::<String>().expect("the message is a string").clone()
}

/// Returns the problems that the harness lists when it fails a run.
async fn problems<T>(run: impl Future<Output = T>) -> Vec<String> {
    failure(run).await.lines().filter_map(|line| Some(line.strip_prefix("- ")?.to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn scripted_step_does_not_call_its_operation() {
    let report =
        Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", err(Declined)).run(order).await;
    assert_eq!(report.result, Err(OrderError::Declined(Declined)));
    report.assert_steps(["reserve", "charge"]);
}

#[tokio::test(start_paused = true)]
async fn single_outcome_applies_to_all_attempts_and_steps() {
    let report = Harness::new().script("number", ok(5_u32)).run_volatile(three).await;
    assert_eq!(report.result, Ok([5, 5, 5]));
    let report =
        Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", err(Declined)).run(order).await;
    report.assert_calls("charge", 3);
}

#[tokio::test(start_paused = true)]
async fn sequence_is_used_in_order_before_the_operation() {
    let report = Harness::new().script("number", [ok(5_u32), ok(6_u32)]).run_volatile(three).await;
    assert_eq!(report.result, Ok([5, 6, 1]));
    let outcomes = vec![err(Declined), err(Declined), ok(7_u64)];
    let report =
        Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", outcomes).run(order).await;
    assert_eq!(report.result, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn script_may_be_a_function_of_the_attempt() {
    let charge = by_attempt(|attempt| if attempt < 3 { err(Declined) } else { ok(u64::from(attempt)) });
    let report =
        Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", charge).run(order).await;
    assert_eq!(report.result, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn result_converts_to_a_script() {
    let report = Harness::new()
        .script("reserve", Ok::<_, RunError>(Hold { id: 7 }))
        .script("charge", Err::<u64, _>(Declined))
        .run(order)
        .await;
    assert_eq!(report.result, Err(OrderError::Declined(Declined)));
}

#[tokio::test(start_paused = true)]
async fn once_outcome_serves_types_without_clone() {
    #[derive(Debug)]
    struct Socket(u32);
    impl std::fmt::Display for Socket {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no socket")
        }
    }
    async fn connect() -> Result<Socket, Socket> {
        Ok(Socket(1))
    }
    let body = async |run: &Run| {
        let first = run.step("connect", connect).await;
        let second = run.step("connect", connect).await;
        let third = run.step("connect", connect).await;
        let number = |socket: Result<Socket, Error<Socket>>| match socket {
            Ok(Socket(number)) | Err(Error::Failed(Socket(number))) => number,
            Err(Error::Run(_)) => 0,
        };
        Ok::<_, RunError>([number(first), number(second), number(third)])
    };
    let report =
        Harness::new().script("connect", [ok_once(Socket(7)), err_once(Socket(8))]).run_volatile(body).await;
    assert_eq!(report.result, Ok([7, 8, 1]));
    let report = Harness::new().script("connect", ok_once(Socket(7))).run_volatile(body).await;
    assert_eq!(report.result, Ok([7, 1, 1]));
}

#[tokio::test(start_paused = true)]
async fn script_of_a_key_precedes_script_of_a_name() {
    let report = Harness::new()
        .script("number", ok(5_u32))
        .script("number#2", ok(6_u32))
        .script("milk", ok(7_u32))
        .run(async |run| {
            let (first, second) = (step!(run, number()), step!(run, number()));
            Ok::<_, RunError>((first, second, step!(run, "number", key = "milk", number())))
        })
        .await;
    assert_eq!(report.result, Ok((5, 6, 7)));
}

#[tokio::test(start_paused = true)]
async fn in_order_outcomes_serve_unscripted_attempts() {
    let report = Harness::new()
        .script("reserve", ok(Hold { id: 7 }))
        .in_order([err(Declined), ok(9_u64)])
        .run(order)
        .await;
    assert_eq!(report.result, Ok(9));
}

#[tokio::test(start_paused = true)]
async fn in_order_outcomes_skip_sleeps_and_saga_records() {
    let report = Harness::new()
        .in_order([ok(Hold { id: 7 }), err(Declined), ok(())])
        .run(async |run| {
            run.sleep("a while", secs(5)).await.unwrap();
            order_or_nothing(run).await
        })
        .await;
    assert_eq!(report.result, Err(SagaError::new(OrderError::Declined(Declined))));
    report.assert_steps(["a while", "reserve", "charge", "undo reserve"]);
}

#[tokio::test(start_paused = true)]
async fn unscripted_attempt_runs_or_stops_the_run() {
    let report = Harness::new().run_volatile(three).await;
    assert_eq!(report.result, Ok([1, 1, 1]));

    let unscripted =
        |step| format!("step `{step}`: the attempt has no script; add one, or remove `scripted_only()`");
    let strict = || Harness::new().scripted_only().script("number", [ok(5_u32)]);
    let went_on = AtomicU32::new(0);
    let harness = strict();
    let run = harness.run(async |run| {
        let _ = step!(run, number());
        let error = run.step("number", number).await.unwrap_err();
        went_on.fetch_add(1, Ordering::Relaxed);
        let text = error.to_string();
        assert_eq!(text, "`script` refused `number#2`: no script says what it ends in");
        // No other step runs, even if the body ignores the error.
        run.step("number", number).await.unwrap_err();
        Ok::<_, RunError>(())
    });
    assert_eq!(problems(run).await, [unscripted("number#2")]);
    assert_eq!(went_on.into_inner(), 1);
    assert_eq!(problems(strict().run_volatile(three)).await, [unscripted("number")]);
}

#[tokio::test(start_paused = true)]
async fn sleep_needs_no_script() {
    let harness = Harness::new().scripted_only();
    let report = harness.run(async |run| run.sleep("a month", days(30)).await).await;
    assert_eq!(report.result, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn script_for_a_sleep_is_reported() {
    let harness = Harness::new().script("a month", ok(())).script("number", [ok(5_u32)]);
    let body = async |run: &DurableRun| {
        run.sleep("a month", days(30)).await?;
        Ok::<_, RunError>(step!(run, number()))
    };
    let error = harness.run(body);
    let text = failure(error).await;
    assert!(text.contains("- script `a month`: a durable sleep has no operation"), "{text}");

    // A step with the name of the sleep uses the script.
    let report = Harness::new()
        .script("pause", ok(5_u32))
        .run(async |run| {
            run.sleep("pause", days(30)).await?;
            Ok::<_, RunError>(step!(run, "pause", number()))
        })
        .await;
    assert_eq!(report.result, Ok(5));
}

#[tokio::test(start_paused = true)]
async fn script_can_end_an_attempt_with_a_library_error() {
    let body = async |run: &Run| Ok::<_, RunError>(step!(run, number()));
    let run =
        async |outcome| Harness::new().script("number", outcome).run_volatile(body).await.result.unwrap_err();
    let step = || "number".into();
    assert_eq!(
        run(timeout(secs(5))).await,
        RunError::Timeout { step: step(), attempt: 1, after: secs(5), limit: Limit::Attempt }
    );
    assert_eq!(run(cancelled()).await, RunError::Cancelled { step: Some(step()) });
    let (by, reason) = ("breaker".into(), "open".into());
    assert_eq!(
        run(refused("breaker", "open")).await,
        RunError::Refused { step: step(), by, reason, retry_after: None }
    );
    let expired = RunError::Expired { step: step() };
    assert_eq!(run(stop(expired.clone())).await, expired);
}

#[tokio::test(start_paused = true)]
async fn scripted_timeout_takes_its_time_and_is_retried() {
    let report = Harness::new()
        .script("number", [timeout(secs(5)), ok(7_u32)])
        .run(async |run| Ok::<_, RunError>(step!(run, retry = Retry::fixed(ms(0)).attempts(2), number())))
        .await;
    assert_eq!(report.result, Ok(7));
    assert_eq!(report.invocations()[0].duration, secs(5));
}

#[tokio::test(start_paused = true)]
async fn scripted_cancellation_cancels_the_run() {
    let report = Harness::new()
        .script("reserve", cancelled())
        .script("charge", real())
        .allow_unused_scripts()
        .run(order)
        .await;
    assert_eq!(report.ending(), RunEnding::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn scripted_panic_counts_as_panic_of_the_operation() {
    let report = Harness::new().script("reserve", panic("no stock")).run(order).await;
    let panicked = RunError::Panicked { step: Some("reserve".into()), message: "no stock".into() };
    assert_eq!(report.result, Err(OrderError::Run(panicked)));
}

#[tokio::test(start_paused = true)]
async fn real_outcome_calls_the_operation() {
    let report = Harness::new().script("number", [ok(5_u32), real(), ok(6_u32)]).run_volatile(three).await;
    assert_eq!(report.result, Ok([5, 1, 6]));
}

#[tokio::test(start_paused = true)]
async fn step_timeout_ends_hanging_and_late_outcomes() {
    let policy = Retry::fixed(ms(0)).attempts(3);
    let report = Harness::new()
        .script("number", [hang(), ok(6_u32).after(secs(9)), ok(7_u32).after(secs(4))])
        .run(async |run| Ok::<_, RunError>(step!(run, retry = policy, timeout = secs(5), number())))
        .await;
    assert_eq!(report.result, Ok(7));
    assert_eq!(report.invocations()[0].duration, secs(14));
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_after_scripted_failures() {
    let breaker = CircuitBreaker::options("bank").failures(2).clock(PausedClock::new()).build();
    let report = Harness::new()
        .script("down", err(Declined))
        .run(async |run| {
            for _ in 0..4 {
                let _ = run.step("down", down).guard(&breaker).await;
            }
            run.sleep("until it probes", days(1)).await?;
            let _ = run.step("down", down).guard(&breaker).await;
            Ok::<_, RunError>(())
        })
        .await;
    // The other two were refused.
    report.assert_calls("down", 3);
    assert_eq!(report.invocations_of("down").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn saga_is_undone_after_a_scripted_failure() {
    let scripted = || {
        Harness::new()
            .script("reserve", ok(Hold { id: 7 }))
            .script("charge", err(Declined))
            .script("undo reserve", ok(()))
    };
    let report = scripted().run(order_or_nothing).await;
    assert_eq!(report.result, Err(SagaError::new(OrderError::Declined(Declined))));
    report.assert_steps(["reserve", "charge", "undo reserve"]);

    let report = scripted()
        .run_volatile(async |run| {
            awaitly_saga::saga(run, async |saga| {
                let hold = step!(saga, compensate = release, reserve());
                Ok::<_, OrderError>(step!(saga, "charge", charge(&hold)))
            })
            .await
        })
        .await;
    report.assert_steps(["reserve", "charge", "undo reserve"]);
}

#[tokio::test(start_paused = true)]
async fn volatile_steps_of_a_durable_run_are_scripted_by_name() {
    let report = Harness::new()
        .script("number", [timeout(secs(1)), ok(7_u32)])
        .run(async |run| {
            let error = run.volatile().step("number", number).await.unwrap_err();
            assert!(matches!(error, Error::Run(RunError::Timeout { step, .. }) if &*step == "number"));
            Ok::<_, RunError>(step!(run.volatile(), number()))
        })
        .await;
    assert_eq!(report.result, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn scripted_outcome_is_recorded() {
    let harness =
        Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", panic("the power is gone"));
    let workflow = Workflow::new("test").clock(PausedClock::new()).store(harness.memory().clone());
    let report = harness.run(order).await;
    assert!(report.result.is_err());
    let retried = workflow.retry("test", async |run| Ok::<_, OrderError>(step!(run, reserve()))).await;
    assert_eq!(retried, Ok(Hold { id: 7 }));
}

#[tokio::test(start_paused = true)]
async fn scripted_value_of_another_type_stops_the_run() {
    let harness = || Harness::new().script("reserve", ok("hold 7"));
    let misfit = |given: &str, expected: &str| {
        let types = format!("the script gives `{given}`, but the step has `{expected}`");
        vec![format!("step `reserve`: {types}; script that type")]
    };
    assert_eq!(problems(harness().run(order)).await, misfit("&str", "it::shop::Hold"));

    // This also holds if the body ignores the error, panics because of it, or runs on a volatile handle.
    assert_eq!(
        problems(harness().run(async |run| Ok::<_, OrderError>(run.step("reserve", reserve).await.is_ok())))
            .await,
        misfit("&str", "it::shop::Hold")
    );
    assert_eq!(
        problems(
            harness().run(async |run| Ok::<_, OrderError>(run.step("reserve", reserve).await.unwrap().id))
        )
        .await,
        misfit("&str", "it::shop::Hold")
    );
    assert_eq!(
        problems(
            harness()
                .run_volatile(async |run| Ok::<_, OrderError>(run.step("reserve", reserve).await.is_ok()))
        )
        .await,
        misfit("&str", "it::shop::Hold")
    );

    assert_eq!(
        problems(Harness::new().script("reserve", err("none left")).run(order)).await,
        misfit("&str", "awaitly_core::error::RunError")
    );
}

#[tokio::test(start_paused = true)]
async fn value_that_may_borrow_cannot_be_scripted() {
    async fn first(words: &[String]) -> Result<&String, Declined> {
        words.first().ok_or(Declined)
    }
    let words = vec!["tea".to_owned()];
    let harness = Harness::new().script("first", ok("milk".to_owned()));
    let run = harness.run_volatile(async |run| {
        let word = step!(run.borrowing(), first(&words));
        Ok::<_, OrderError>(word.clone())
    });
    let problems = problems(run).await;
    assert!(problems[0].starts_with("step `first`: its value may borrow"), "{problems:?}");
}

#[tokio::test(start_paused = true)]
async fn all_unused_scripts_are_reported_together() {
    let harness = || {
        Harness::new()
            .seed(7)
            .script("resreve", ok(Hold { id: 7 }))
            .script("number", [ok(1_u32), ok(2_u32), ok(3_u32), ok(4_u32)])
    };
    let message = failure(harness().in_order([]).run_volatile(three)).await;
    insta::assert_snapshot!(message, @r#"
    the script does not fit the run:
    - script `number`: only 3 of its 4 outcomes were used; remove the rest, or call `allow_unused_scripts()`
    - script `resreve`: no step asked for it; the steps were `number`; correct the name, or remove the script

    trace:
    0s  number    succeeded
    0s  number#2  succeeded
    0s  number#3  succeeded
    0s  the run completed

    the seed was 7: repeat the test with AWAITLY_SEED=7, or with `.seed(7)` if the code sets its seed
    "#);
    let report = harness().allow_unused_scripts().run_volatile(three).await;
    assert_eq!(report.result, Ok([1, 2, 3]));
    let harness = Harness::new().in_order([ok(1_u32), ok(2_u32), ok(3_u32), ok(4_u32)]);
    let left = "outcomes in order: only 3 of its 4 outcomes were used; remove the rest, or call `allow_unused_scripts()`";
    assert_eq!(problems(harness.run_volatile(three)).await, [left]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "script `resreve`: no step asked for it; the steps were `number`")]
async fn run_with_unused_script_panics() {
    let _ = Harness::new().script("resreve", ok(7)).run_volatile(three).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_run_may_leave_scripts_unused() {
    use awaitly_core::journal::Outcome;
    use awaitly_core::store::{Answer, Operate, RunId};

    let body = async |run: &awaitly_core::DurableRun| {
        let word: String = step!(run.wait_for("word"));
        let number = step!(run, number());
        Ok::<_, RunError>(format!("{word} {number}"))
    };
    let harness = Harness::new().script("number", [ok(7_u32)]);
    let report = harness.run(body).await;
    assert!(matches!(report.result, Err(RunError::Waiting { .. })));
    let outcome = Outcome::Value(awaitly_core::journal::Payload::encode("tea").unwrap());
    let run = RunId::new("test").unwrap();
    let answered = harness.memory().answer(Answer::new(run, "word", outcome)).await.unwrap();
    assert_eq!(answered, Ok(()));
    let report = harness.run(body).await;
    assert_eq!(report.result, Ok("tea 7".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn reset_harness_rewinds_scripts_and_store() {
    let mut harness =
        Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", [err(Declined), ok(9_u64)]);
    assert_eq!(harness.run(order).await.result, Ok(9));
    let again = harness.run(order).await;
    assert_eq!((again.result.clone(), again.events().len()), (Ok(9), 0));
    harness.reset();
    let anew = harness.run(order).await;
    assert_eq!(anew.result, Ok(9));
    anew.assert_calls("charge", 2);
}

#[tokio::test(start_paused = true)]
async fn harness_keeps_the_definition_of_its_workflow() {
    let shut = |_| async { Err(Refusal::new("hours", "the shop is shut")) };
    let run =
        Harness::of(Workflow::new("shop").before_run(shut)).script("reserve", real()).allow_unused_scripts();
    let report = run.run(order).await;
    assert!(matches!(report.result, Err(OrderError::Run(RunError::Refused { .. }))));

    let deadline = Harness::of(Workflow::new("shop").deadline(secs(5))).script("reserve", hang());
    let report = deadline.run(order).await;
    assert!(matches!(report.result, Err(OrderError::Run(RunError::Timeout { limit: Limit::Run, .. }))));

    let input = Harness::new().input("tea").run_id("order-42");
    let report =
        input.run(async |run| Ok::<_, RunError>((run.id().to_owned(), run.input::<String>()?))).await;
    assert_eq!(report.result, Ok(("order-42".to_owned(), "tea".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn retry_continues_from_the_failed_step() {
    let harness = Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", err(Declined));
    assert!(harness.run(order).await.result.is_err());
    let harness = harness.script("charge", ok(9_u64));
    let report = harness.retry(order).await;
    assert_eq!(report.result, Ok(9));
    report.assert_not_called("reserve");
}

#[tokio::test(start_paused = true)]
async fn waiting_run_is_cancelled_and_undone() {
    let body = async |run: &awaitly_core::DurableRun| {
        awaitly_saga::saga(run, async |saga| {
            let hold = step!(saga, compensate = release, reserve());
            let word: String = run.wait_for("word").await?;
            Ok::<_, OrderError>((hold, word))
        })
        .await
    };
    let harness = Harness::new().script("reserve", ok(Hold { id: 7 })).script("undo reserve", [ok(())]);
    assert_eq!(harness.run(body).await.ending(), RunEnding::Waiting);
    let report = harness.cancel(body).await;
    report.assert_steps(["reserve", "undo reserve"]);
    assert_eq!(report.ending(), RunEnding::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn harness_run_can_be_spawned() {
    let spawned = tokio::spawn(async {
        let harness = Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", ok(9_u64));
        harness.run(async |run| order(run).await).await
    });
    assert_eq!(spawned.await.unwrap().result, Ok(9));
}

#[tokio::test(start_paused = true)]
async fn concurrent_steps_have_separate_scripts() {
    let report = Harness::new()
        .script("load.user", ok(1_u32).after(secs(2)))
        .script("load.posts", ok(2_u32).after(secs(1)))
        .run(async |run| {
            let (user, posts) = parallel!(run, "load", { user: number(), posts: number() });
            Ok::<_, RunError>((user, posts))
        })
        .await;
    assert_eq!(report.result, Ok((1, 2)));
}

#[test]
#[should_panic(expected = "time is not paused here")]
fn harness_panics_if_time_is_not_paused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { drop(Harness::new()) });
}

mod answers {
    use awaitly_core::clock::days;
    use awaitly_core::{DurableRun, RunError, step};
    use awaitly_hitl::{Approvals, Resolution};
    use awaitly_testing::report::RunEnding;
    use awaitly_testing::{Harness, answer, expired, ok, rejected};

    async fn expense(run: &DurableRun) -> Result<u64, RunError> {
        let cents: u64 = step!(run.approval("manager").proposal(&4200_u64).expires_in(days(3)));
        Ok(step!(run, "pay", async move { Ok::<_, RunError>(cents) }))
    }

    #[tokio::test(start_paused = true)]
    async fn script_answers_an_approval() {
        let report = Harness::new().script("manager", answer(&4000_u64)).run(expense).await;
        assert_eq!(report.result, Ok(4000));
        report.assert_steps(["manager", "pay"]);
    }

    #[tokio::test(start_paused = true)]
    async fn scripted_answer_is_recorded() {
        let harness = Harness::new().script("manager", answer(&4000_u64));
        let _ = harness.run(expense).await;
        let report = harness.run(expense).await;
        assert_eq!(report.result, Ok(4000), "the run has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn script_rejects_or_expires_an_approval() {
        let ask = async |run: &DurableRun| run.approval::<u64>("manager").resolution().await.map(Said::from);
        let report = Harness::new().script("manager", rejected("too much")).run(ask).await;
        assert_eq!(report.result, Ok(Said("rejected \"too much\"".into())));
        let report = Harness::new().script("manager", expired()).run(ask).await;
        assert_eq!(report.result, Ok(Said("expired".into())));
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Said(String);

    impl From<Resolution<u64>> for Said {
        fn from(resolution: Resolution<u64>) -> Self {
            Self(match resolution {
                Resolution::Approved(answer) => format!("approved {}", answer.value),
                Resolution::Rejected(answer) => format!("rejected {}", answer.value),
                Resolution::Expired(_) => "expired".into(),
                _ => "other".into(),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn script_answers_wait_for() {
        let body = async |run: &DurableRun| Ok::<_, RunError>(step!(run.wait_for::<u64>("payment")));
        let report = Harness::new().script("payment", answer(&7_u64)).run(body).await;
        assert_eq!(report.result, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn unencodable_request_is_not_answered() {
        let body = async |run: &DurableRun| {
            let request = std::collections::BTreeMap::from([(vec![1], 2)]);
            Ok::<_, RunError>(step!(run.wait_for::<u64>("payment").request(&request)))
        };
        let report = Harness::new().script("payment", answer(&7_u64)).allow_unused_scripts().run(body).await;
        assert!(matches!(report.result, Err(RunError::Unencodable { .. })), "{report:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn answer_for_a_step_without_question_is_reported() {
        let body =
            async |run: &DurableRun| Ok::<_, RunError>(step!(run, "pay", async { Ok::<_, RunError>(1) }));
        let harness = Harness::new().script("pay", answer(&7_u64));
        let problem = "step `pay`: it does not wait for an external answer; script `ok(..)` or `err(..)`";
        assert_eq!(super::problems(harness.run(body)).await, [problem]);
    }

    #[test]
    #[should_panic(expected = "a scripted answer arrives immediately")]
    fn delayed_answer_panics() {
        let _ = answer(&7_u64).after(days(1));
    }

    #[tokio::test(start_paused = true)]
    async fn in_order_outcomes_do_not_answer_questions() {
        let harness = Harness::new().in_order([ok(1_u64)]);
        let report = harness.run(expense).await;
        assert_eq!(report.ending(), RunEnding::Waiting);
    }

    #[tokio::test(start_paused = true)]
    async fn value_for_a_step_with_a_question_is_reported() {
        let harness = Harness::new().script("manager", ok(7_u64));
        let problem = "step `manager`: it waits for an external answer and has no operation; script `answer(&..)`, \
                       `rejected(..)` or `expired()`";
        assert_eq!(super::problems(harness.run(expense)).await, [problem]);
    }
}
