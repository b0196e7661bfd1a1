#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use awaitly_core::clock::{ms, secs};
use awaitly_core::retry::{Jitter, Retry};
use awaitly_core::{DurableRun, RunError, parallel, race, step};
use awaitly_testing::report::{Difference, Ended, Ending, compare};
use awaitly_testing::{Harness, Leftovers, Report, Simulation, err, hang, ok, panic, timeout};

use crate::shop::{Declined, Hold, OrderError, charge, order, order_or_nothing, reserve};

async fn number() -> Result<u32, RunError> {
    Ok(1)
}

async fn declined() -> Result<u32, Declined> {
    Err(Declined)
}

fn shop() -> Harness {
    Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", ok(9_u64))
}

fn panics(test: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).expect_err("it does not panic");
    panic.downcast_ref::<String>().expect("a text").clone()
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_a_plain_success() {
    insta::assert_snapshot!(shop().run(order).await.trace(), @"");
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_retries() {
    let charge = [err(Declined).after(secs(1)), timeout(secs(5)), ok(9_u64)];
    let report = shop().script("charge", charge).run(order).await;
    insta::assert_snapshot!(report.trace(), @"");
    insta::assert_snapshot!(report.trace_without_times(), @"");
    insta::assert_snapshot!(shop().script("charge", err(Declined)).run(order).await.trace(), @"");
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_timeouts() {
    let report = Harness::new()
        .script("number", hang())
        .run(async |run| {
            let policy = Retry::fixed(ms(500)).jitter(Jitter::None).attempts(2);
            let _ = run.step("number", number).timeout(secs(5)).await;
            Ok::<_, RunError>(step!(run, retry = policy, timeout = secs(5), number()))
        })
        .await;
    insta::assert_snapshot!(report.trace(), @"");
    assert!(report.invocations().iter().all(|step| matches!(step.ended, Ended::Stopped(_))));
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_a_saga_that_is_undone() {
    let shop = shop().script("charge", err(Declined)).script("undo reserve", ok(()).after(secs(1)));
    insta::assert_snapshot!(shop.run(order_or_nothing).await.trace(), @"");
    let stays = shop.run_id("test-2").script("charge", ok(9_u64)).run(order_or_nothing).await;
    insta::assert_snapshot!(stays.trace(), @"");
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_several_steps_at_once() {
    let report = Harness::new()
        .script("user", ok(1_u32).after(ms(20)))
        .script("posts", ok(2_u32).after(ms(10)))
        .script("ship[1]", ok(7_u32).after(ms(10)))
        .run(async |run| {
            parallel!(run, "load", { user: number(), posts: number() });
            step!(run.each("ship", 0..3, |_| number()).concurrency(2));
            let mirror = race!(run, "mirror", { std::future::pending(), number() });
            let gift = step!(run.step("gift", number).when(false).because("no gift").or(0));
            Ok::<_, RunError>(mirror + gift)
        })
        .await;
    insta::assert_snapshot!(report.trace(), @"");
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_a_run_that_waits_and_is_resumed() {
    let body = async |run: &DurableRun| {
        let hold = step!(run, reserve());
        step!(run.volatile(), "connect", number());
        let word: String = step!(run.wait_for("word"));
        step!(run, "charge", charge(&hold));
        Ok::<_, OrderError>(word)
    };
    let harness = shop();
    let waits = harness.run(body).await;
    insta::assert_snapshot!(waits.trace(), @"");
    assert_eq!(waits.ending(), Ending::Waiting);
    let resumed = harness.run(body).await;
    insta::assert_snapshot!(resumed.trace(), @"");
    assert!(resumed.invocations()[0].is_reused());
    resumed.assert_steps(["reserve", "connect", "word"]);
    resumed.assert_not_called("reserve");
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_runs_that_go_wrong() {
    insta::assert_snapshot!(shop().script("charge", panic("no bank")).run(order).await.trace(), @"");
    let harness = shop();
    let _ = harness.run(order).await;
    insta::assert_snapshot!(harness.run(order).await.trace(), @"");
    let twice = Harness::new()
        .run(async |run| {
            step!(run, key = "once", number());
            Ok::<_, RunError>(step!(run, key = "once", number()))
        })
        .await;
    insta::assert_snapshot!(twice.trace(), @"");
}

#[tokio::test(start_paused = true)]
async fn an_invocation_says_when_how_often_and_how_a_step_ended() {
    let charge = [err(Declined), ok(9_u64).after(secs(1))];
    let reserve = ok(Hold { id: 7 }).after(secs(3));
    let report = shop().script("reserve", reserve).script("charge", charge).run(order).await;
    let [reserve, charge] = report.invocations() else { panic!("two steps: {report:?}") };
    assert_eq!((reserve.order, reserve.attempts, reserve.began, reserve.duration), (0, 1, ms(0), secs(3)));
    assert_eq!((charge.order, charge.attempts, charge.began, charge.duration), (1, 2, secs(3), ms(1100)));
    assert_eq!((&*charge.name, &*charge.key, &charge.ended), ("charge", "charge", &Ended::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn how_a_step_ended_is_told_from_the_events() {
    let report = Harness::new()
        .script("never", hang())
        .leftovers(Leftovers::Allow)
        .run(async |run| {
            let _ = run.step("own", declined).await;
            let _ = run.step("late", std::future::pending::<Result<u32, RunError>>).timeout(secs(1)).await;
            let _ = run.step("skipped", number).when(false).await;
            let failed: Result<(), OrderError> = async {
                parallel!(run, { never: number(), fails: declined() });
                Ok(())
            }
            .await;
            failed.unwrap_err();
            let _: Result<u32, _> = run.wait_for("word").await;
            Ok::<_, RunError>(())
        })
        .await;
    let ended: Vec<_> = report.invocations().iter().map(|step| (&*step.name, step.ended.clone())).collect();
    insta::assert_debug_snapshot!(ended, @"");
}

#[tokio::test(start_paused = true)]
async fn an_assertion_that_fails_shows_the_difference_and_what_happened() {
    let report = shop().run(order).await;
    insta::assert_snapshot!(panics(|| report.assert_steps(["charge", "ship"])), @"");
    insta::assert_snapshot!(panics(|| report.assert_called("ship")), @"");
    insta::assert_snapshot!(panics(|| report.assert_not_called("charge")), @"");
    insta::assert_snapshot!(panics(|| report.assert_calls("charge", 2)), @"");
    insta::assert_snapshot!(panics(|| report.assert_result(&Err(Declined.into()))), @"");
    report.assert_called("charge");
    report.assert_not_called("ship");
    report.assert_result(&Ok(9));
}

#[tokio::test(start_paused = true)]
async fn steps_are_asserted_by_key_or_by_name() {
    let report =
        Harness::new().run(async |run| Ok::<_, RunError>((step!(run, number()), step!(run, number())))).await;
    report.assert_steps(["number", "number"]);
    report.assert_steps(["number", "number#2"]);
    report.assert_calls("number", 2);
    report.assert_calls("number#2", 1);
}

#[tokio::test(start_paused = true)]
async fn two_runs_are_compared_step_by_step() {
    let a = shop().run(order).await;
    assert!(compare(&a, &shop().run(order).await).is_same());
    let b = shop().script("charge", err(Declined)).run(order).await;
    let comparison = compare(&a, &b);
    assert_eq!(comparison.differences.len(), 2);
    insta::assert_snapshot!(comparison, @"");
    let c = Harness::new()
        .run(async |run| {
            step!(run, "reserve", key = "hold", number());
            step!(run, "pay", number());
            Ok::<_, RunError>(step!(run, "ship", number()))
        })
        .await;
    let comparison = compare(&a, &c);
    assert!(matches!(comparison.differences[0], Difference::Count { a: 2, b: 3 }));
    insta::assert_snapshot!(comparison, @"");
}

#[tokio::test(start_paused = true)]
async fn a_report_is_json_for_tools() {
    let json = shop().run(order).await.to_json();
    assert_eq!(json["result"], "Ok(9)");
    assert_eq!(json["ending"], "completed");
    assert_eq!(json["invocations"][1]["name"], "charge");
    assert_eq!(json["events"][0]["kind"]["type"], "run_started");
    let volatile = async || {
        let harness = Harness::new();
        harness.run_volatile(async |run| Ok::<_, RunError>(step!(run, number()))).await.to_json()
    };
    assert_eq!(volatile().await, volatile().await);
}

/// Retries with jitter, side by side and in a list.
async fn busy(run: &DurableRun) -> Result<Vec<u32>, OrderError> {
    let policy = || Retry::exponential(ms(100)).attempts(5);
    parallel!(run, "load", {
        user: step!(retry = policy(), declined()),
        posts: step!(retry = policy(), declined()),
    });
    Ok(step!(run.each("ship", 0..6, |_| declined()).retry(policy()).concurrency(3)))
}

async fn report_of_busy(seed: u64) -> Report<Vec<u32>, OrderError> {
    let works =
        || awaitly_testing::by_attempt(|attempt| if attempt < 3 { err(Declined) } else { ok(attempt) });
    let harness = Harness::new().seed(seed).interleaved();
    harness.script("user", works()).script("posts", works()).script("ship", works()).run(busy).await
}

#[test]
fn the_same_seed_gives_the_same_trace_a_thousand_times() {
    let trace =
        |seed| Simulation::new().seed(seed).run(async |_| report_of_busy(seed).await.trace()).remove(0);
    let first = trace(7);
    for _ in 0..1000 {
        assert_eq!(trace(7), first);
    }
    assert_ne!(trace(8), first);
    insta::assert_snapshot!(first, @"");
}
