#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use awaitly_core::clock::{hours, ms, secs};
use awaitly_core::retry::{Jitter, Retry};
use awaitly_core::{DurableRun, RunError, parallel, race, step};
use awaitly_saga::{SagaOptions, saga_with};
use awaitly_testing::report::{RunEnding, StepEnding};
use awaitly_testing::{Harness, Report, Simulation, err, hang, ok, panic, timeout};

use crate::panic_of;
use crate::shop::{Declined, Hold, OrderError, charge, order, order_or_nothing, release, reserve};

async fn number() -> Result<u32, RunError> {
    Ok(1)
}

async fn declined() -> Result<u32, Declined> {
    Err(Declined)
}

fn shop() -> Harness {
    Harness::new().script("reserve", ok(Hold { id: 7 })).script("charge", ok(9_u64))
}

#[tokio::test(start_paused = true)]
async fn trace_shows_plain_success() {
    insta::assert_snapshot!(shop().run(order).await.trace(), @r#"
    0s  reserve  succeeded
    0s  charge   succeeded
    0s  the run completed
    "#);
}

#[tokio::test(start_paused = true)]
async fn trace_shows_retries() {
    let charge = [err(Declined).after(secs(1)), timeout(secs(5)), ok(9_u64)];
    let report = shop().script("charge", charge).run(order).await;
    insta::assert_snapshot!(report.trace(), @r#"
      0s  reserve  succeeded
      1s  charge   attempt 1 of 3 failed: the card is declined; next in 100ms
    6.1s  charge   attempt 2 of 3 timed out after 5s; next in 200ms
    6.3s  charge   succeeded in attempt 3, took 6.3s
    6.3s  the run completed
    "#);
    insta::assert_snapshot!(report.trace_without_times(), @r#"
    reserve  succeeded
    charge   attempt 1 of 3 failed: the card is declined; another one follows
    charge   attempt 2 of 3 timed out after 5s; another one follows
    charge   succeeded in attempt 3
    the run completed
    "#);
    insta::assert_snapshot!(shop().script("charge", err(Declined)).run(order).await.trace(), @r#"
       0s  reserve  succeeded
       0s  charge   attempt 1 of 3 failed: the card is declined; next in 100ms
    100ms  charge   attempt 2 of 3 failed: the card is declined; next in 200ms
    300ms  charge   failed in attempt 3: the card is declined
    300ms  the run failed: the card is declined
    "#);
}

#[tokio::test(start_paused = true)]
async fn trace_shows_timeouts() {
    let report = Harness::new()
        .script("number", hang())
        .run(async |run| {
            let policy = Retry::fixed(ms(500)).jitter(Jitter::None).attempts(2);
            let _ = run.step("number", number).timeout(secs(5)).await;
            Ok::<_, RunError>(step!(run, retry = policy, timeout = secs(5), number()))
        })
        .await;
    insta::assert_snapshot!(report.trace(), @r#"
       5s  number    timed out after 5s
      10s  number#2  attempt 1 of 2 timed out after 5s; next in 500ms
    15.5s  number#2  timed out after 5s in attempt 2
    15.5s  the run failed: step `number#2` did not end within 5s in attempt 2: raise the step's timeout, or find out why the operation is slow
    "#);
    assert!(report.invocations().iter().all(|step| matches!(step.ending, StepEnding::Stopped(_))));
}

#[tokio::test(start_paused = true)]
async fn trace_shows_undone_saga() {
    let shop = shop().script("charge", err(Declined)).script("undo reserve", ok(()).after(secs(1)));
    insta::assert_snapshot!(shop.run(order_or_nothing).await.trace(), @r#"
    0s  ┌ saga          begins
    0s  │ reserve       succeeded
    0s  │ charge        failed: the card is declined
    0s  ├ saga          failed: the card is declined
    0s  ├ saga          undoes 1 step
    1s  │ undo reserve  succeeded, took 1s
    1s  └ saga          undone
    1s  the run failed: the card is declined
    "#);
    let stays = shop.run_id("test-2").script("charge", ok(9_u64)).run(order_or_nothing).await;
    insta::assert_snapshot!(stays.trace(), @r#"
    0s  ┌ saga     begins
    0s  │ reserve  succeeded
    0s  │ charge   succeeded
    0s  └ saga     stays
    0s  the run completed
    "#);
}

#[tokio::test(start_paused = true)]
async fn trace_shows_nested_scopes_and_steps() {
    let report = Harness::new()
        .script("reserve", ok(Hold { id: 7 }).after(secs(1)))
        .script("undo reserve", err(RunError::Expired { step: "hold".into() }))
        .run(async |run| {
            saga_with(run, SagaOptions::default().name("trip"), async |saga| {
                step!(saga, compensate = release, reserve());
                run.sleep("nap", hours(5) + ms(30)).await?;
                step!(saga, "pay", async { Ok::<_, RunError>(step!(run, number())) });
                parallel!(saga, "both", { a: number(), b: declined() });
                Ok::<_, OrderError>(())
            })
            .await
        })
        .await;
    insta::assert_snapshot!(report.trace(), @r#"
          0s  ┌ saga trip     begins
          1s  │ reserve       succeeded, took 1s
    5h 1.03s  │ nap           slept
    5h 1.03s  │ pay           started
    5h 1.03s  │ pay/number    succeeded
    5h 1.03s  │ pay           succeeded
    5h 1.03s  │ ┌ both        parallel
    5h 1.03s  │ │ both.a      succeeded
    5h 1.03s  │ │ both.b      failed: the card is declined
    5h 1.03s  │ └ both        ended
    5h 1.03s  ├ saga trip     failed: the card is declined
    5h 1.03s  ├ saga trip     undoes 1 step
    5h 1.03s  │ undo reserve  failed: `hold` got no answer in time: retry the run to ask again
    5h 1.03s  └ saga trip     1 could not be undone
    5h 1.03s  the run failed: the card is declined; `reserve` could not be undone: `hold` got no answer in time: retry the run to ask again
    "#);
}

#[tokio::test(start_paused = true)]
async fn trace_shows_concurrent_steps() {
    let report = Harness::new()
        .script("load.user", ok(1_u32).after(ms(20)))
        .script("load.posts", ok(2_u32).after(ms(10)))
        .script("ship[1]", ok(7_u32).after(ms(10)))
        .run(async |run| {
            parallel!(run, "load", { user: number(), posts: number() });
            step!(run.each("ship", 0..3, |_| number()).concurrency(2));
            let mirror = race!(run, "mirror", { std::future::pending(), number() });
            let gift = step!(run.step("gift", number).when(false).because("no gift").or(0));
            Ok::<_, RunError>(mirror + gift)
        })
        .await;
    insta::assert_snapshot!(report.trace(), @r#"
      0s  ┌ load        parallel
      0s  │ load.user   started
    10ms  │ load.posts  succeeded, took 10ms
    20ms  │ load.user   succeeded, took 20ms
    20ms  └ load        ended, took 20ms
    20ms  ┌ ship        each
    20ms  │ ship[0]     succeeded
    20ms  │ ship[1]     started
    20ms  │ ship[2]     succeeded
    30ms  │ ship[1]     succeeded, took 10ms
    30ms  └ ship        ended, took 10ms
    30ms  mirror        started
    30ms  ┌ mirror      race
    30ms  └ mirror      call 2 won
    30ms  mirror        succeeded
    30ms  gift          skipped: no gift
    30ms  the run completed
    "#);
}

#[tokio::test(start_paused = true)]
async fn trace_shows_waiting_and_resumed_run() {
    let body = async |run: &DurableRun| {
        let hold = step!(run, reserve());
        step!(run.volatile(), "connect", number());
        let word: String = step!(run.wait_for("word"));
        step!(run, "charge", charge(&hold));
        Ok::<_, OrderError>(word)
    };
    let harness = shop();
    let waits = harness.run(body).await;
    insta::assert_snapshot!(waits.trace(), @r#"
    0s  reserve  succeeded
    0s  connect  succeeded
    0s  word     waits for an answer
    0s  the run waits
    "#);
    assert_eq!(waits.ending(), RunEnding::Waiting);
    let resumed = harness.run(body).await;
    insta::assert_snapshot!(resumed.trace(), @r#"
    0s  the run resumes with 1 outcome
    0s  reserve  reused
    0s  connect  succeeded
    0s  word     waits for an answer
    0s  the run waits
    "#);
    assert!(resumed.invocations()[0].is_reused());
    resumed.assert_steps(["reserve", "connect", "word"]);
    resumed.assert_not_called("reserve");
}

#[tokio::test(start_paused = true)]
async fn trace_shows_failed_runs() {
    insta::assert_snapshot!(shop().script("charge", panic("no bank")).run(order).await.trace(), @r#"
    0s  reserve  succeeded
    0s  charge   aborted
    0s  the run failed: the run panicked at step `charge`: no bank; fix the code and retry the run
    "#);
    let harness = shop();
    let _ = harness.run(order).await;
    insta::assert_snapshot!(harness.run(order).await.trace(), @"0s  the run did not begin");
    let twice = Harness::new()
        .run(async |run| {
            step!(run, key = "once", number());
            Ok::<_, RunError>(step!(run, key = "once", number()))
        })
        .await;
    insta::assert_snapshot!(twice.trace(), @r#"
    0s  once  succeeded
    0s  the run was interrupted: two steps of the run have the key `once`: give one of them a `key` of its own
    "#);
}

#[tokio::test(start_paused = true)]
async fn invocation_has_times_attempts_and_ending() {
    let charge = [err(Declined), ok(9_u64).after(secs(1))];
    let reserve = ok(Hold { id: 7 }).after(secs(3));
    let report = shop().script("reserve", reserve).script("charge", charge).run(order).await;
    let [reserve, charge] = report.invocations() else { panic!("expected two steps: {report:?}") };
    assert_eq!((reserve.order, reserve.attempts, reserve.began, reserve.duration), (0, 1, ms(0), secs(3)));
    assert_eq!((charge.order, charge.attempts, charge.began, charge.duration), (1, 2, secs(3), ms(1100)));
    assert_eq!((&*charge.name, &*charge.key, &charge.ending), ("charge", "charge", &StepEnding::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn ending_of_a_step_is_derived_from_events() {
    let report = Harness::new()
        .script("parallel.never", hang())
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
    let ended: Vec<_> = report.invocations().iter().map(|step| (&*step.name, step.ending.clone())).collect();
    insta::assert_debug_snapshot!(ended, @r#"
    [
        (
            "own",
            Failed(
                "the card is declined",
            ),
        ),
        (
            "late",
            Stopped(
                "step `late` did not end within 1s in attempt 1: raise the step's timeout, or find out why the operation is slow",
            ),
        ),
        (
            "skipped",
            Skipped,
        ),
        (
            "parallel.never",
            Aborted,
        ),
        (
            "parallel.fails",
            Failed(
                "the card is declined",
            ),
        ),
        (
            "word",
            Waiting,
        ),
    ]
    "#);
}

#[tokio::test(start_paused = true)]
async fn failed_assertion_shows_diff_and_trace() {
    let report = shop().run(order).await;
    insta::assert_snapshot!(panic_of(|| report.assert_steps(["charge", "ship"])), @r#"
    other steps than expected:
    --- expected
    +++ actual
    @@ -1,2 +1,2 @@
    +reserve
     charge
    -ship

    trace:
    0s  reserve  succeeded
    0s  charge   succeeded
    0s  the run completed
    "#);
    insta::assert_snapshot!(panic_of(|| report.assert_called("ship")), @r#"
    step `ship` was not called

    trace:
    0s  reserve  succeeded
    0s  charge   succeeded
    0s  the run completed
    "#);
    insta::assert_snapshot!(panic_of(|| report.assert_not_called("charge")), @r#"
    step `charge` was called once

    trace:
    0s  reserve  succeeded
    0s  charge   succeeded
    0s  the run completed
    "#);
    insta::assert_snapshot!(panic_of(|| report.assert_calls("charge", 2)), @r#"
    step `charge` was called once, expected 2 times

    trace:
    0s  reserve  succeeded
    0s  charge   succeeded
    0s  the run completed
    "#);
    insta::assert_snapshot!(panic_of(|| report.assert_result(&Err(Declined.into()))), @r#"
    another result than expected:
    --- expected
    +++ actual
    @@ -1,5 +1,3 @@
    -Err(
    -    Declined(
    -        Declined,
    -    ),
    +Ok(
    +    9,
     )

    trace:
    0s  reserve  succeeded
    0s  charge   succeeded
    0s  the run completed
    "#);
    report.assert_called("charge");
    report.assert_calls("charge#2", 0);
    report.assert_result(&Ok(9));
}

#[tokio::test(start_paused = true)]
async fn absence_of_an_unknown_step_cannot_be_asserted() {
    let harness = shop();
    let report = harness.run(order).await;
    insta::assert_snapshot!(panic_of(|| report.assert_not_called("chrage")), @r#"
    no step is named `chrage`, so its absence proves nothing: correct the name, or declare a step that the body did not build with `Harness::optional_steps(["chrage"])`; the known steps are `charge`, `reserve`

    trace:
    0s  reserve  succeeded
    0s  charge   succeeded
    0s  the run completed
    "#);
    for name in ["undo chrage", "chrage#2", "chrage[0]", "charge!", "charge#", "reserve/charge", ""] {
        assert!(panic_of(|| report.assert_calls(name, 0)).starts_with("no step is named"), "{name}");
    }
    // Derived from a known step: its second use, an item of a list, its compensation.
    for name in ["charge#2", "charge[0]", "undo charge", "undo charge[0]#2"] {
        report.assert_not_called(name);
    }
}

#[tokio::test(start_paused = true)]
async fn declared_scripted_skipped_or_earlier_step_may_be_absent() {
    let body = async |run: &DurableRun| {
        if run.input::<bool>()? {
            step!(run, "wrap", number());
        }
        Ok::<_, RunError>(step!(run, "ship", when = false, number()))
    };
    let plain = Harness::new().input(&false);
    let report = plain.run(body).await;
    report.assert_not_called("ship");
    assert!(panic_of(|| report.assert_not_called("wrap")).starts_with("no step is named `wrap`"));

    Harness::new().input(&false).optional_steps(["wrap"]).run(body).await.assert_not_called("wrap");
    let scripted = Harness::new().input(&false).script("wrap", ok(1)).allow_unused_scripts();
    scripted.run(body).await.assert_not_called("wrap");

    let harness = Harness::new().input(&true);
    harness.run(body).await.assert_called("wrap");
    let mut plain = harness.input(&false);
    plain.reset();
    plain.run(body).await.assert_not_called("wrap");
}

#[tokio::test(start_paused = true)]
async fn steps_are_asserted_by_key_or_name() {
    let report =
        Harness::new().run(async |run| Ok::<_, RunError>((step!(run, number()), step!(run, number())))).await;
    report.assert_steps(["number", "number"]);
    report.assert_steps(["number", "number#2"]);
    report.assert_calls("number", 2);
    report.assert_calls("number#2", 1);
}

#[tokio::test(start_paused = true)]
async fn diff_shows_attempts_and_endings() {
    let a = shop().run(order).await;
    assert_eq!(a.diff(&shop().run(order).await), "");
    insta::assert_snapshot!(a.diff(&shop().script("charge", err(Declined)).run(order).await), @r#"
    --- this run
    +++ the other run
    @@ -1,3 +1,3 @@
     reserve  succeeded
    -charge  succeeded
    -the run completed
    +charge  failed: the card is declined, after 3 attempts
    +the run failed: the card is declined
    "#);
}

/// Executes steps with these names and keys.
async fn walked<const N: usize>(steps: [(&'static str, &'static str); N]) -> Report<(), RunError> {
    let body = async |run: &DurableRun| {
        for (name, key) in steps {
            step!(run, name, key = key, number());
        }
        Ok(())
    };
    Harness::new().run(body).await
}

#[tokio::test(start_paused = true)]
async fn diff_shows_new_moved_and_renamed_steps() {
    let a = walked([("reserve", "reserve"), ("pay", "pay"), ("ship", "ship"), ("tell", "tell")]).await;
    let other = walked([("ship", "ship"), ("hold", "hold"), ("charge", "pay"), ("tell", "tell")]).await;
    insta::assert_snapshot!(a.diff(&other), @r#"
    --- this run
    +++ the other run
    @@ -1,5 +1,5 @@
    -reserve  succeeded
    -pay  succeeded
     ship  succeeded
    +hold  succeeded
    +pay  succeeded, as `charge`
     tell  succeeded
     the run completed
    "#);
}

#[tokio::test(start_paused = true)]
async fn report_converts_to_json() {
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

/// Retries steps with jitter, in parallel and in a list.
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
    harness.script("load.user", works()).script("load.posts", works()).script("ship", works()).run(busy).await
}

#[test]
fn one_seed_gives_one_trace_a_thousand_times() {
    let trace =
        |seed| Simulation::new().seed(seed).run(async |_| report_of_busy(seed).await.trace()).remove(0);
    let first = trace(7);
    for _ in 0..1000 {
        assert_eq!(trace(7), first);
    }
    assert_ne!(trace(8), first);
    insta::assert_snapshot!(first, @r#"
       0s  ┌ load        parallel
       0s  │ load.user   attempt 1 of 5 failed: the card is declined; next in 19.917ms
       0s  │ load.posts  attempt 1 of 5 failed: the card is declined; next in 44.619ms
     20ms  │ load.user   attempt 2 of 5 failed: the card is declined; next in 74.404ms
     45ms  │ load.posts  attempt 2 of 5 failed: the card is declined; next in 129.947ms
     95ms  │ load.user   succeeded in attempt 3, took 95ms
    175ms  │ load.posts  succeeded in attempt 3, took 175ms
    175ms  └ load        ended, took 175ms
    175ms  ┌ ship        each
    175ms  │ ship[0]     started
    175ms  │ ship[1]     attempt 1 of 5 failed: the card is declined; next in 886µs
    175ms  │ ship[2]     started
    175ms  │ ship[0]     attempt 1 of 5 failed: the card is declined; next in 93.609ms
    175ms  │ ship[2]     attempt 1 of 5 failed: the card is declined; next in 67.122ms
    176ms  │ ship[1]     attempt 2 of 5 failed: the card is declined; next in 153.186ms
    243ms  │ ship[2]     attempt 2 of 5 failed: the card is declined; next in 136.982ms
    269ms  │ ship[0]     attempt 2 of 5 failed: the card is declined; next in 161.885ms
    330ms  │ ship[1]     succeeded in attempt 3, took 155ms
    330ms  │ ship[3]     attempt 1 of 5 failed: the card is declined; next in 20.162ms
    351ms  │ ship[3]     attempt 2 of 5 failed: the card is declined; next in 142.66ms
    380ms  │ ship[2]     succeeded in attempt 3, took 205ms
    380ms  │ ship[4]     attempt 1 of 5 failed: the card is declined; next in 35.203ms
    416ms  │ ship[4]     attempt 2 of 5 failed: the card is declined; next in 149.616ms
    431ms  │ ship[0]     succeeded in attempt 3, took 256ms
    431ms  │ ship[5]     attempt 1 of 5 failed: the card is declined; next in 8.88ms
    440ms  │ ship[5]     attempt 2 of 5 failed: the card is declined; next in 74.879ms
    494ms  │ ship[3]     succeeded in attempt 3, took 164ms
    515ms  │ ship[5]     succeeded in attempt 3, took 84ms
    566ms  │ ship[4]     succeeded in attempt 3, took 186ms
    566ms  └ ship        ended, took 391ms
    566ms  the run completed
    "#);
}
