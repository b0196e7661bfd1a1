use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_core::{Error, Retry, RunError, Workflow, run, step};
use awaitly_resilience::{CallError, ConcurrencyLimiter, GuardExt, Judge};

use crate::{ApiError, all_begun, begun, fails, hangs, ok};
use awaitly_resilience::circuit_breaker::{CircuitBreaker, Options, Snapshot, State, Tripped};

/// Opens after 3 failures within 10 seconds, for 5; 2 probes.
fn breaker(clock: &VirtualClock) -> CircuitBreaker {
    options(clock).build()
}

fn closed() -> (VirtualClock, CircuitBreaker) {
    let clock = VirtualClock::new();
    let breaker = breaker(&clock);
    (clock, breaker)
}

async fn due_for_probes() -> (VirtualClock, CircuitBreaker) {
    let (clock, breaker) = closed();
    fail(&breaker, 3).await;
    clock.advance(secs(5));
    (clock, breaker)
}

fn options(clock: &VirtualClock) -> Options {
    CircuitBreaker::options("api")
        .failures(3)
        .within(secs(10))
        .retry_after(secs(5))
        .probes(2)
        .clock(clock.clone())
}

async fn fail<P: Judge<ApiError, bool>>(breaker: &CircuitBreaker<P>, times: u32) {
    for _ in 0..times {
        assert_eq!(breaker.call(fails).await, Err(CallError::Failed(ApiError("down"))));
    }
}

fn open(retry_after: Option<std::time::Duration>) -> CallError<ApiError, Tripped> {
    CallError::Refused(Tripped { name: "api".into(), state: State::Open, retry_after })
}

fn half_open(retry_after: std::time::Duration) -> CallError<ApiError, Tripped> {
    CallError::Refused(Tripped { name: "api".into(), state: State::HalfOpen, retry_after: Some(retry_after) })
}

#[tokio::test]
async fn breaker_opens_after_failures_and_refuses_calls() {
    let (clock, breaker) = closed();
    fail(&breaker, 2).await;
    assert_eq!(breaker.call(ok).await, Ok(7), "a success");
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 1).await;
    assert_eq!(breaker.state(), State::Open, "a success does not clear the window");
    clock.advance(ms(1500));
    let called = AtomicU32::new(0);
    let refused = breaker
        .call(|| {
            called.fetch_add(1, Ordering::Relaxed);
            ok()
        })
        .await;
    assert_eq!(refused, Err(open(Some(ms(3500)))));
    assert_eq!(called.into_inner(), 0);
}

#[tokio::test]
async fn failures_older_than_the_window_do_not_count() {
    let (clock, breaker) = closed();
    fail(&breaker, 2).await;
    clock.advance(secs(10));
    fail(&breaker, 2).await;
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.stats().failures, 2);
    clock.advance(secs(9));
    fail(&breaker, 1).await;
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn breaker_half_opens_after_delay_and_closes_after_probes() {
    let (_, breaker) = due_for_probes().await;
    assert_eq!(breaker.state(), State::HalfOpen, "found out by looking");
    assert_eq!(breaker.call(ok).await, Ok(7));
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.call(ok).await, Ok(7));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.stats().failures, 0, "the window is empty again");
    fail(&breaker, 2).await;
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn failed_probe_reopens_breaker_for_full_time() {
    let (_, breaker) = due_for_probes().await;
    assert_eq!(breaker.call(ok).await, Ok(7));
    fail(&breaker, 1).await;
    assert_eq!(breaker.call(ok).await, Err(open(Some(secs(5)))));
}

#[tokio::test]
async fn probes_are_bounded_and_dropped_probe_frees_place() {
    let (_, breaker) = due_for_probes().await;
    let mut probes = all_begun(2, || breaker.call(hangs)).await;
    // A hundredth of the time that it stays open: the probes have just gone out.
    let no = half_open(ms(50));
    assert_eq!(breaker.call(ok).await, Err(no.clone()));
    drop(probes.pop());
    assert_eq!(breaker.call(ok).await, Ok(7));
    assert_eq!(breaker.call(ok).await, Err(no), "one runs, one went well");
    drop(probes);
    assert_eq!(breaker.call(ok).await, Ok(7));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn half_open_breaker_says_when_to_come_back() {
    let (clock, breaker) = due_for_probes().await;
    let first = begun(breaker.call(hangs)).await;
    clock.advance(secs(60));
    let second = begun(breaker.call(hangs)).await;
    for (passes, retry_after) in [(0, 50), (20, 50), (180, 200), (300, 500), (9_500, 5_000), (1 << 40, 5_000)]
    {
        clock.advance(ms(passes));
        assert_eq!(breaker.call(ok).await, Err(half_open(ms(retry_after))), "after {passes} ms more");
    }
    drop(second);
    let third = begun(breaker.call(hangs)).await;
    assert_eq!(breaker.call(ok).await, Err(half_open(ms(50))), "another probe is out");
    drop((first, third));
    breaker.open();
    assert_eq!(breaker.call(ok).await, Err(open(None)), "until the program closes it");
}

#[tokio::test]
async fn breaker_that_reopens_at_once_still_names_a_time() {
    let clock = VirtualClock::new();
    let breaker = options(&clock).retry_after(ms(0)).probes(1).build();
    fail(&breaker, 3).await;
    let _probe = begun(breaker.call(hangs)).await;
    assert_eq!(breaker.call(ok).await, Err(half_open(ms(1))));
}

#[tokio::test]
async fn call_from_before_a_change_counts_no_more() {
    let (clock, breaker) = closed();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let old = begun(breaker.call(async || {
        ended.await.unwrap();
        fails().await
    }))
    .await;
    fail(&breaker, 3).await;
    clock.advance(secs(5));
    assert_eq!(breaker.state(), State::HalfOpen);
    end.send(()).unwrap();
    assert_eq!(old.await, Err(CallError::Failed(ApiError("down"))));
    assert_eq!(breaker.state(), State::HalfOpen, "it was no probe");
}

#[tokio::test]
async fn only_errors_that_the_predicate_names_count() {
    let clock = VirtualClock::new();
    let breaker = options(&clock).failure_when(|error: &ApiError| error.0 == "down").build();
    for _ in 0..9 {
        let declined = breaker.call(async || Err::<u32, _>(ApiError("declined"))).await;
        assert_eq!(declined, Err(CallError::Failed(ApiError("declined"))));
    }
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 3).await;
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn rate_opens_it_once_there_are_enough_calls() {
    let clock = VirtualClock::new();
    let breaker = options(&clock).last_calls(10).ignore_failures().failure_rate(0.5, 6).build();
    fail(&breaker, 5).await;
    assert_eq!(breaker.state(), State::Closed, "five are too few");
    assert_eq!(breaker.call(ok).await, Ok(7));
    assert_eq!(breaker.state(), State::Open, "five of six, as soon as there are six");
    breaker.close();
    for _ in 0..4 {
        assert_eq!(breaker.call(ok).await, Ok(7));
    }
    fail(&breaker, 3).await;
    assert_eq!(breaker.state(), State::Closed, "three of seven");
    fail(&breaker, 1).await;
    assert_eq!(breaker.state(), State::Open, "four of eight");
}

#[tokio::test]
async fn rate_is_reached_at_that_part_whatever_its_digits() {
    for part in 1..=100_u32 {
        let window = options(&VirtualClock::new()).last_calls(100).ignore_failures();
        let breaker = window.failure_rate(f64::from(part) / 100.0, 100).build();
        for _ in 0..100 - part {
            breaker.record_success();
        }
        for _ in 0..part - 1 {
            breaker.record_failure();
        }
        assert_eq!(breaker.state(), State::Closed, "{part}");
        breaker.record_failure();
        assert_eq!(breaker.state(), State::Open, "{part} of 100");
    }
}

#[tokio::test]
async fn import_into_smaller_window_keeps_rate() {
    let clock = VirtualClock::new();
    let of = |calls| options(&clock).last_calls(calls).ignore_failures().failure_rate(0.5, calls).build();
    let (large, small) = (of(100), of(10));
    for call in 0..100 {
        if call % 20 == 0 { large.record_failure() } else { large.record_success() }
    }
    small.import(&large.export());
    assert!(small.stats().failures <= 1, "{:?}", small.stats());
    small.record_success();
    assert_eq!(small.state(), State::Closed);
    let mut far = open_snapshot(&clock);
    far.probes_at = Some(std::time::SystemTime::UNIX_EPOCH + secs(u32::MAX.into()));
    small.import(&far);
    assert_eq!(small.stats().probes_in, Some(secs(5)), "no longer than it would wait itself");
}

fn open_snapshot(clock: &VirtualClock) -> Snapshot {
    let breaker = breaker(clock);
    (0..3).for_each(|_| breaker.record_failure());
    breaker.export()
}

#[tokio::test]
async fn operation_that_panics_has_failed() {
    let breaker = CircuitBreaker::options("api").failures(1).build();
    let panics = tokio::spawn({
        let breaker = breaker.clone();
        async move { breaker.call(async || -> Result<u32, ApiError> { panic!("a call of the test") }).await }
    });
    assert!(panics.await.is_err());
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn step_deadline_does_not_count_as_failure() {
    let breaker = CircuitBreaker::options("api").failures(1).build();
    let ended = run(async |run| run.step("hangs", hangs).guard(&breaker).deadline(ms(1)).await).await;
    assert!(matches!(ended, Err(Error::Run(RunError::Timeout { .. }))));
    assert_eq!((breaker.state(), breaker.stats().all_failures), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn timeout_counts_only_with_most_time_in_operation() {
    for (queued, failures) in [(900, 0), (100, 1)] {
        let slots = ConcurrencyLimiter::new("slots", 1);
        let breaker = CircuitBreaker::options("api").failures(9).build();
        let busy = tokio::spawn({
            let slots = slots.clone();
            async move {
                let call = slots.call(async || {
                    tokio::time::sleep(ms(queued)).await;
                    ok().await
                });
                call.await
            }
        });
        tokio::task::yield_now().await;
        let ended =
            run(async |run| run.step("hangs", hangs).guard(&slots).guard(&breaker).timeout(secs(1)).await)
                .await;
        assert!(matches!(ended, Err(Error::Run(RunError::Timeout { .. }))));
        assert_eq!(breaker.stats().all_failures, failures, "queued for {queued} ms");
        busy.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn caught_panic_counts_as_failure() {
    let breaker = CircuitBreaker::options("api").failures(1).build();
    let panics = breaker.call(async || -> Result<u32, ApiError> { panic!("a call of the test") });
    let caught = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(panics)).await;
    assert!(caught.is_err());
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn slow_calls_open_it_though_they_succeed() {
    let clock = VirtualClock::new();
    let breaker = options(&clock).slow_calls(secs(1), 0.5, 4).build();
    let slow = async || {
        clock.advance(ms(1001));
        ok().await
    };
    for _ in 0..2 {
        assert_eq!(breaker.call(ok).await, Ok(7));
    }
    assert_eq!(breaker.call(slow).await, Ok(7));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.call(slow).await, Ok(7));
    assert_eq!(breaker.state(), State::Open);
    clock.advance(secs(5));
    assert_eq!(breaker.call(slow).await, Ok(7));
    assert_eq!(breaker.state(), State::Open, "a slow probe opens it again");
}

#[tokio::test]
async fn breaker_is_opened_closed_and_reset_by_hand() {
    let (clock, breaker) = closed();
    breaker.open();
    clock.advance(secs(3600));
    assert_eq!(breaker.call(ok).await, Err(open(None)), "until somebody closes it");
    breaker.close();
    assert_eq!(breaker.call(ok).await, Ok(7));
    fail(&breaker, 2).await;
    breaker.reset();
    let stats = breaker.stats();
    assert_eq!((stats.state, stats.failures, stats.all_failures), (State::Closed, 0, 0));
    assert_eq!((stats.all_successes, stats.all_refused, stats.last_failure), (0, 0, None));
}

#[tokio::test]
async fn recorded_outcomes_change_state() {
    let (clock, breaker) = closed();
    (0..3).for_each(|_| breaker.record_failure());
    assert_eq!(breaker.state(), State::Open);
    clock.advance(secs(5));
    (0..9).for_each(|_| breaker.record_success());
    assert_eq!(breaker.state(), State::HalfOpen, "a success from elsewhere is no probe");
    breaker.record_failure();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn stats_count_calls_and_times() {
    let (clock, breaker) = closed();
    assert_eq!(breaker.call(ok).await, Ok(7));
    fail(&breaker, 3).await;
    clock.advance(secs(2));
    breaker.call(ok).await.unwrap_err();
    let stats = breaker.stats();
    assert_eq!(stats.state, State::Open);
    assert_eq!((stats.all_successes, stats.all_failures, stats.all_refused), (1, 3, 1));
    assert_eq!((stats.failures, stats.last_failure, stats.probes_in), (3, Some(secs(2)), Some(secs(3))));
}

#[tokio::test]
async fn listener_hears_each_change_once_despite_other_panic() {
    let clock = VirtualClock::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let breaker = options(&clock)
        .on_change(|_| panic!("a listener of the test"))
        .on_change({
            let heard = Arc::clone(&heard);
            move |change| heard.lock().unwrap().push((change.from, change.to))
        })
        .build();
    fail(&breaker, 3).await;
    breaker.call(ok).await.unwrap_err();
    clock.advance(secs(5));
    for _ in 0..2 {
        breaker.call(ok).await.unwrap();
    }
    breaker.close();
    let changes =
        [(State::Closed, State::Open), (State::Open, State::HalfOpen), (State::HalfOpen, State::Closed)];
    assert_eq!(*heard.lock().unwrap(), changes);
}

#[tokio::test]
async fn presets_are_those_of_the_reference() {
    for (preset, failures, window, wait, probes) in [
        (Options::critical as fn(&'static str) -> Options, 3, 30, 60, 1),
        (Options::standard, 5, 60, 30, 3),
        (Options::lenient, 10, 120, 15, 5),
    ] {
        let clock = VirtualClock::new();
        let breaker = preset("api").clock(clock.clone()).build();
        fail(&breaker, failures - 1).await;
        clock.advance(secs(window));
        fail(&breaker, failures - 1).await;
        assert_eq!(breaker.state(), State::Closed);
        fail(&breaker, 1).await;
        assert_eq!(breaker.call(ok).await, Err(open(Some(secs(wait)))));
        clock.advance(secs(wait));
        for _ in 0..probes {
            assert_eq!(breaker.state(), State::HalfOpen);
            breaker.call(ok).await.unwrap();
        }
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[tokio::test]
async fn json_snapshot_transfers_state_to_another_breaker() {
    let clock = VirtualClock::new();
    let first = breaker(&clock);
    fail(&first, 2).await;
    let json = serde_json::to_string(&first.export()).unwrap();
    clock.advance(secs(4));
    let second = breaker(&clock);
    second.import(&serde_json::from_str::<Snapshot>(&json).unwrap());
    assert_eq!((second.state(), second.stats().failures), (State::Closed, 2));
    fail(&second, 1).await;
    let json = serde_json::to_string(&second.export()).unwrap();
    clock.advance(secs(1));
    let third = breaker(&clock);
    third.import(&serde_json::from_str::<Snapshot>(&json).unwrap());
    assert_eq!(third.call(ok).await, Err(open(Some(secs(4)))), "it goes on waiting where the other one was");
    clock.advance(secs(60));
    let late = breaker(&clock);
    late.import(&serde_json::from_str::<Snapshot>(&json).unwrap());
    assert_eq!((late.state(), late.stats().failures), (State::HalfOpen, 0));
}

#[tokio::test]
async fn step_refusal_is_typed_and_retried_at_its_time() {
    let (clock, breaker) = closed();
    fail(&breaker, 3).await;
    let refused = run(async |run| match run.step("charge", ok).guard(&breaker).await {
        Err(Error::Run(refused)) => Err::<u32, RunError>(refused),
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(
        refused.unwrap_err(),
        RunError::Refused {
            step: "charge".into(),
            by: "api".into(),
            reason: "circuit breaker is open: ask again in 5 s".into(),
            retry_after: Some(secs(5)),
        }
    );
    let running = tokio::spawn({
        let (breaker, workflow) = (breaker.clone(), Workflow::new("pay").clock(clock.clone()));
        async move {
            let body = async |run: &awaitly_core::DurableRun| {
                Ok::<_, RunError>(step!(
                    run,
                    "charge",
                    retry = Retry::fixed(ms(1)).attempts(2),
                    guard = breaker,
                    async { Ok::<u32, RunError>(7) }
                ))
            };
            workflow.run("one", body).await
        }
    });
    while clock.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(clock.advance_to_next(), Some(secs(5)), "not before its time");
    assert_eq!(running.await.unwrap(), Ok(7));
}

#[tokio::test(start_paused = true)]
async fn step_timeout_counts_and_cancellation_does_not() {
    let breaker = CircuitBreaker::options("api").failures(1).failure_when(|_: &ApiError| false).build();
    let ended = run(async |run| run.step("hangs", hangs).guard(&breaker).timeout(secs(1)).await).await;
    assert!(matches!(ended, Err(Error::Run(RunError::Timeout { .. }))));
    assert_eq!(breaker.state(), State::Open);
    breaker.reset();
    let dropped =
        tokio::time::timeout(secs(1), run(async |run| run.step("hangs", hangs).guard(&breaker).await));
    assert!(dropped.await.is_err());
    assert_eq!((breaker.state(), breaker.stats().all_failures), (State::Closed, 0));
}
