use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly_core::clock::{VirtualClock, mins, ms, secs};
use awaitly_core::retry::{Budget, Jitter};
use awaitly_core::{DurableRun, Error, Limit, RunError, Workflow, run, step};
use awaitly_resilience::policy::{self, ConfigError, Growth, Policy, Registry};
use awaitly_resilience::{CircuitBreaker, ConcurrencyLimiter, GuardExt};

use crate::{ApiError, begun, fails, hangs, ok, run_out};

#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Run(#[from] RunError),
}

fn retry(attempts: u32, growth: Growth, delay: u64, max_delay: u64) -> Policy {
    Policy::new()
        .attempts(attempts)
        .growth(growth)
        .delay(ms(delay))
        .max_delay(ms(max_delay))
        .jitter(Jitter::Full)
}

#[test]
fn presets_are_those_of_the_reference() {
    use Growth::{Exponential, Linear};
    let standard = retry(3, Exponential, 200, 5_000);
    let aggressive = retry(5, Exponential, 500, 30_000);
    for (preset, expected) in [
        (policy::NO_RETRY, Policy::new().attempts(1)),
        (policy::TRANSIENT, retry(3, Exponential, 100, 1_000)),
        (policy::STANDARD, standard),
        (policy::AGGRESSIVE, aggressive),
        (policy::WITHIN_FAST, Policy::new().timeout(secs(1))),
        (policy::WITHIN_API, Policy::new().timeout(secs(5))),
        (policy::WITHIN_EXTENDED, Policy::new().timeout(secs(30))),
        (policy::WITHIN_LONG, Policy::new().timeout(mins(2))),
        (policy::HTTP_API, standard.timeout(secs(5))),
        (policy::DATABASE, retry(2, Exponential, 100, 2_000).timeout(secs(30))),
        (policy::CACHE, Policy::new().attempts(1).timeout(secs(1))),
        (policy::MESSAGE_QUEUE, aggressive.timeout(secs(30))),
        (policy::FILE_SYSTEM, standard.timeout(mins(2))),
        (policy::RATE_LIMITED, retry(5, Linear, 1_000, 10_000).timeout(secs(10))),
        (
            policy::API_ORCHESTRATOR,
            Policy::new().attempts(3).growth(Exponential).jitter(Jitter::Full).timeout(secs(5)),
        ),
        (policy::ORCHESTRATOR, Policy::new()),
        (policy::PIPEWEAVE, Policy::new().growth(Exponential).max_delay(secs(24 * 3600))),
        (policy::WORKFLOW_ORCHESTRATOR, retry(5, Exponential, 1_000, 30_000).jitter(Jitter::None)),
    ] {
        assert_eq!(preset, expected);
    }
    let fixed = Policy::new().attempts(4).growth(Growth::Fixed).delay(ms(70)).jitter(Jitter::None);
    assert_eq!(policy::fixed(4, ms(70)), fixed);
    let linear = Policy::new().attempts(4).growth(Linear).delay(ms(70)).jitter(Jitter::Full);
    assert_eq!(policy::linear(4, ms(70)), linear);
}

#[test]
fn later_policy_wins_field_by_field() {
    let merged = policy::HTTP_API.merge(&Policy::new().attempts(5)).merge(&policy::WITHIN_FAST);
    assert_eq!(merged, retry(5, Growth::Exponential, 200, 5_000).timeout(secs(1)));
    assert_eq!(merged.merge(&Policy::new()), merged);
    assert!(Policy::new().merge(&Policy::new()).is_empty());
}

#[test]
fn only_set_fields_have_a_value() {
    const NOTHING: Policy = Policy::new();
    const ALL: Policy = policy::RATE_LIMITED.delay(ms(70)).deadline(mins(1));
    assert_eq!((NOTHING.attempts, ALL.attempts), (None, NonZeroU32::new(5)));
    assert_eq!((NOTHING.growth, ALL.growth), (None, Some(Growth::Linear)));
    assert_eq!((NOTHING.delay, ALL.delay), (None, Some(ms(70))));
    assert_eq!((NOTHING.max_delay, ALL.max_delay), (None, Some(secs(10))));
    assert_eq!((NOTHING.jitter, ALL.jitter), (None, Some(Jitter::Full)));
    assert_eq!((NOTHING.timeout, ALL.timeout), (None, Some(secs(10))));
    assert_eq!((NOTHING.deadline, ALL.deadline), (None, Some(mins(1))));
    let read =
        read(r#"{ "a": { "timeout": "2s", "retry": { "jitter": "none" } } }"#).unwrap().get("a").unwrap();
    assert_eq!(read, Policy::new().timeout(secs(2)).jitter(Jitter::None));
}

#[test]
fn partial_retry_takes_defaults_and_unset_retry_is_none() {
    assert_eq!(policy::WITHIN_API.to_retry().max_attempts(), 1);
    let said = format!("{:?}", Policy::new().max_delay(secs(30)).to_retry());
    let custom = format!("{:?}", retry(3, Growth::Exponential, 100, 30_000).to_retry());
    assert_eq!(said, custom);
}

/// How often the operation was called, and how long that took.
async fn attempts_of(policy: Policy) -> (u32, Duration) {
    let (clock, calls) = (VirtualClock::new(), std::sync::Arc::new(AtomicU32::new(0)));
    let workflow = Workflow::new("policies").clock(clock.clone());
    let running = tokio::spawn({
        let calls = std::sync::Arc::clone(&calls);
        async move {
            let body = async |run: &DurableRun| -> Result<u32, RunError> {
                let failing = step!(
                    run.step("call", || {
                        calls.fetch_add(1, Ordering::Relaxed);
                        async { Err::<u32, RunError>(RunError::Cancelled { step: None }) }
                    })
                    .policy(policy)
                );
                Ok(failing)
            };
            workflow.run("one", body).await
        }
    });
    run_out(&clock, || running.is_finished()).await;
    (calls.load(Ordering::Relaxed), clock.elapsed())
}

#[tokio::test]
async fn step_is_retried_as_its_policy_says() {
    assert_eq!(attempts_of(policy::NO_RETRY).await, (1, Duration::ZERO));
    assert_eq!(attempts_of(policy::fixed(4, ms(70))).await, (4, ms(210)));
    let grows = policy::linear(4, ms(100)).jitter(Jitter::None);
    assert_eq!(attempts_of(grows).await, (4, ms(600)));
    assert_eq!(attempts_of(grows.max_delay(ms(150))).await, (4, ms(400)));
    assert_eq!(attempts_of(policy::fixed(4, ms(70)).growth(Growth::Fibonacci)).await, (4, ms(280)));
}

#[tokio::test(start_paused = true)]
async fn later_step_option_wins_over_policy() {
    let slow = || tokio::time::sleep(secs(3));
    let took = async |timeout: Option<Duration>| {
        run(async |run| {
            let step = run.step("slow", async || {
                slow().await;
                ok().await
            });
            let step = step.policy(policy::WITHIN_FAST);
            let step = match timeout {
                Some(timeout) => step.timeout(timeout),
                None => step,
            };
            step.await
        })
        .await
    };
    let timed_out = took(None).await;
    assert!(matches!(
        timed_out,
        Err(Error::Run(RunError::Timeout { after, limit: Limit::Attempt, .. })) if after == secs(1)
    ));
    assert_eq!(took(Some(secs(5))).await.unwrap(), 7);
}

#[tokio::test]
async fn predicates_guards_and_budgets_are_added_to_the_numbers() {
    let (breaker, slots, budget) =
        (CircuitBreaker::new("api"), ConcurrencyLimiter::new("slots", 1), Budget::new(10, 0.1));
    let calls = AtomicU32::new(0);
    let policy = policy::fixed(9, Duration::ZERO)
        .when(|error: &ApiError| error.0 == "down")
        .budget(&budget)
        .guard(&slots)
        .guard(&breaker);
    let ended: Result<u32, AppError> = run(async |run| {
        Ok(step!(run, "call", policy = policy.clone(), async {
            calls.fetch_add(1, Ordering::Relaxed);
            assert_eq!(slots.stats().running, 1);
            if calls.load(Ordering::Relaxed) < 3 { fails().await } else { Err(ApiError("declined")) }
        }))
    })
    .await;
    assert!(matches!(ended, Err(AppError::Api(ApiError("declined")))));
    assert_eq!((calls.into_inner(), breaker.stats().all_failures), (3, 3));
    let once: Result<u32, AppError> =
        run(async |run| Ok(step!(run, policy = policy::HTTP_API, guard = &breaker, ok()))).await;
    assert_eq!(once.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn refusal_does_not_spend_retry_budget() {
    let (budget, full) = (Budget::new(4, 0.0), ConcurrencyLimiter::bounded("full", 1, 0));
    let _running = begun(full.call(hangs)).await;
    let policy = policy::fixed(3, Duration::ZERO).budget(&budget).guard(&full);
    for _ in 0..10 {
        let ended = run(async |run| run.step("call", ok).policy(policy.clone()).await).await;
        assert!(matches!(ended, Err(Error::Run(RunError::Refused { .. }))));
    }
    assert!(budget.has_room());
}

#[tokio::test]
async fn each_of_a_list_takes_a_policy() {
    let calls = AtomicU32::new(0);
    let policy = policy::fixed(3, Duration::ZERO).guard(ConcurrencyLimiter::new("slots", 2));
    let ended = run(async |run| {
        let flaky = |number: u32| {
            let fails = calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            async move { if fails { Err(ApiError("down")) } else { Ok(number) } }
        };
        run.each("call", [1, 2, 3], flaky).policy(policy.clone()).await
    })
    .await;
    assert_eq!((ended.unwrap(), calls.into_inner()), (vec![1, 2, 3], 6));
}

#[test]
fn registry_knows_its_policies_in_their_order() {
    let mut policies: Registry = [("a", policy::CACHE), ("b", policy::DATABASE)].into_iter().collect();
    policies.register("a", policy::STANDARD);
    assert_eq!((policies.get("a"), policies.has("c")), (Ok(policy::STANDARD), false));
    assert!(policies.names().eq(["a", "b"]));
    let unknown = policies.get("c").unwrap_err();
    let reason = "no policy has this name, but there are `a`, `b`";
    assert_eq!((unknown.path.as_str(), unknown.reason.as_str()), ("c", reason));
    assert!(Registry::new().get("c").unwrap_err().reason.ends_with("there are none"));
}

fn read(json: &str) -> Result<Registry, ConfigError> {
    policy::read_all(&mut serde_json::Deserializer::from_str(json))
}

#[test]
fn policies_are_read_from_a_configuration() {
    let policies = read(
        r#"{
            "search": {
                "timeout": "5s",
                "deadline": "1m 30s",
                "retry": { "attempts": 4, "growth": "linear", "delay": "250ms", "max_delay": "2s",
                           "jitter": { "proportional": 0.2 } }
            },
            "stock": { "retry": { "jitter": "none" } },
            "queue": { "retry": { "jitter": { "additive": "20ms" } } },
            "plain": {}
        }"#,
    )
    .unwrap();
    let search = Policy::new()
        .attempts(4)
        .growth(Growth::Linear)
        .delay(ms(250))
        .max_delay(secs(2))
        .jitter(Jitter::Proportional(0.2))
        .timeout(secs(5))
        .deadline(secs(90));
    assert_eq!(policies.get("search"), Ok(search));
    assert_eq!(policies.get("stock"), Ok(Policy::new().jitter(Jitter::None)));
    assert_eq!(policies.get("queue"), Ok(Policy::new().jitter(Jitter::Additive(ms(20)))));
    assert!(policies.get("plain").unwrap().is_empty());
    assert!(policies.names().eq(["search", "stock", "queue", "plain"]));
}

#[test]
fn configuration_error_names_its_path() {
    for (json, path, reason) in [
        (r#"{"a": {"retry": {"attempts": 0}}}"#, "a.retry.attempts", "nonzero"),
        (r#"{"a": {"retry": {"attempts": -3}}}"#, "a.retry.attempts", "nonzero"),
        (r#"{"a": {"timeout": "soon"}}"#, "a.timeout", "a duration such as"),
        (r#"{"a": {"timeout": "0s"}}"#, "a.timeout", "leave it out"),
        (r#"{"a": {"timeout": 5}}"#, "a.timeout", "a duration such as"),
        (r#"{"a": {"retry": {"growth": "wild"}}}"#, "a.retry.growth", "unknown variant `wild`"),
        (r#"{"a": {"retry": {"jitter": {"proportional": 1.5}}}}"#, "a.retry.jitter.proportional", "0 to 1"),
        (r#"{"a": {"retires": {}}}"#, "a.retires", "unknown field `retires`"),
        (r#"{"a": {}, "a": {}}"#, ".", "`a` stands there twice"),
        (r#"{"a": 7}"#, "a", "invalid type"),
        ("[]", ".", "a map from names"),
    ] {
        let refused = read(json).unwrap_err();
        assert!(refused.reason.contains(reason), "{json}: {refused}");
        assert_eq!(refused.path, path, "{refused}");
    }
}
