use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly_core::clock::{Clock, VirtualClock, ms, secs};
use awaitly_core::guard::{Admission, Guard, Pass, Refusal, Verdict};
use awaitly_core::retry::{Backoff, Budget, Jitter};
use awaitly_core::{Error, Limit, Retry, RunError, Workflow, run, step};
use tokio_util::sync::CancellationToken;

use crate::world::{AppError, Service, ServiceError};

const EVERY_10_MS: Retry = Retry::fixed(ms(10)).jitter(Jitter::None);

fn down(times: usize) -> Service {
    Service::failing(vec![ServiceError::Down; times])
}

#[tokio::test(start_paused = true)]
async fn attempts_count_the_first_one() {
    for (attempts, failures, expected) in
        [(3, 2, Ok(3)), (3, 3, Err(ServiceError::Down)), (1, 1, Err(ServiceError::Down))]
    {
        let service = down(failures);
        let result = run(async |run| {
            Ok::<_, AppError>(step!(run, "call", retry = EVERY_10_MS.attempts(attempts), service.call()))
        })
        .await;
        assert_eq!(result, expected.map_err(AppError::from));
        assert_eq!(service.calls(), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn delays_are_those_of_the_policy() {
    let began = tokio::time::Instant::now();
    let service = down(3);
    let retry = Retry::exponential(ms(100)).attempts(4).jitter(Jitter::None);
    run(async |run| Ok::<_, AppError>(step!(run, "call", retry = retry, service.call()))).await.unwrap();
    assert_eq!(began.elapsed(), ms(700));
}

#[tokio::test(start_paused = true)]
async fn predicate_runs_once_per_failed_attempt_except_last() {
    let asked = AtomicU32::new(0);
    let retry = EVERY_10_MS.attempts(3).when(|error: &ServiceError| {
        asked.fetch_add(1, Ordering::Relaxed);
        *error == ServiceError::Down
    });
    let service = down(3);
    let result =
        run(async |run| Ok::<_, AppError>(step!(run, "call", retry = retry.clone(), service.call()))).await;
    assert_eq!(result, Err(ServiceError::Down.into()));
    assert_eq!((service.calls(), asked.swap(0, Ordering::Relaxed)), (3, 2));

    let service = Service::failing([ServiceError::Declined(1), ServiceError::Down]);
    let result =
        run(async |run| Ok::<_, AppError>(step!(run, "call", retry = retry.clone(), service.call()))).await;
    assert_eq!(result, Err(ServiceError::Declined(1).into()));
    assert_eq!((service.calls(), asked.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn servers_hint_is_waited_for() {
    let began = tokio::time::Instant::now();
    let service = Service::failing([ServiceError::Declined(5)]);
    let retry = EVERY_10_MS.retry_after(|error: &ServiceError| match error {
        ServiceError::Declined(seconds) => Some(secs(u64::from(*seconds))),
        ServiceError::Down => None,
    });
    run(async |run| Ok::<_, AppError>(step!(run, "call", retry = retry, service.call()))).await.unwrap();
    assert_eq!(began.elapsed(), secs(5));
}

#[tokio::test(start_paused = true)]
async fn timed_out_attempt_is_dropped_and_retried() {
    let service = Service::default();
    let dropped = AtomicU32::new(0);
    struct Dropped<'a>(&'a AtomicU32);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let hang = async || {
        let _dropped = Dropped(&dropped);
        service.hang().await
    };
    let result = run(async |run| {
        let value = step!(run, "hang", retry = EVERY_10_MS.attempts(2), timeout = secs(1), hang());
        Ok::<_, AppError>(value)
    })
    .await;
    let timeout =
        RunError::Timeout { step: "hang".into(), attempt: 2, after: secs(1), limit: Limit::Attempt };
    assert_eq!(result, Err(timeout.into()));
    assert_eq!((service.calls(), dropped.load(Ordering::Relaxed)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn policy_may_give_up_on_timeouts() {
    let service = Service::default();
    let retry = EVERY_10_MS.give_up_on_timeout();
    let result = run(async |run| {
        Ok::<_, AppError>(step!(run, "hang", retry = retry, timeout = secs(1), service.hang()))
    })
    .await;
    assert!(matches!(result, Err(AppError::Run(RunError::Timeout { attempt: 1, .. }))));
}

#[tokio::test(start_paused = true)]
async fn deadline_of_a_step_ends_all_its_attempts() {
    let began = tokio::time::Instant::now();
    let service = Service::default();
    let result = run(async |run| {
        let step = run.step("hang", || service.hang()).retry(EVERY_10_MS.attempts(100)).timeout(secs(1));
        step.deadline(ms(2500)).await
    })
    .await;
    let deadline = RunError::Timeout { step: "hang".into(), attempt: 3, after: ms(2500), limit: Limit::Step };
    assert_eq!(result, Err(Error::Run(deadline)));
    assert_eq!(began.elapsed(), ms(2500));
}

#[tokio::test(start_paused = true)]
async fn retry_beyond_deadline_is_skipped() {
    let began = tokio::time::Instant::now();
    let service = down(10);
    let retry = Retry::fixed(secs(2)).jitter(Jitter::None).attempts(10);
    let result =
        run(async |run| run.step("call", || service.call()).retry(retry).deadline(secs(5)).await).await;
    assert_eq!(result, Err(Error::Failed(ServiceError::Down)));
    assert_eq!((service.calls(), began.elapsed()), (3, secs(4)));
}

#[tokio::test(start_paused = true)]
async fn nearest_limit_binds() {
    let service = Service::default();
    let workflow = Workflow::new("w").deadline(secs(1));
    let result = workflow
        .run_volatile(async |run| Ok::<_, AppError>(step!(run, "hang", timeout = secs(3), service.hang())))
        .await;
    assert!(matches!(result, Err(AppError::Run(RunError::Timeout { limit: Limit::Run, .. }))), "{result:?}");
}

#[tokio::test]
async fn cancellation_ends_a_delay_and_an_attempt_at_once() {
    let token = CancellationToken::new();
    let clock = VirtualClock::new();
    let workflow = Workflow::new("w").clock(clock.clone()).cancel_on(token.clone());
    let service = down(10);
    let running = workflow.run_volatile(async |run| {
        Ok::<_, AppError>(step!(run, "call", retry = Retry::fixed(secs(60)), service.call()))
    });
    let (result, ()) = tokio::join!(running, async {
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        token.cancel();
    });
    assert_eq!(result, Err(RunError::Cancelled { step: Some("call".into()) }.into()));
    assert_eq!((service.calls(), clock.elapsed()), (1, Duration::ZERO));

    // No step begins after that.
    let result =
        workflow.run_volatile(async |run| Ok::<_, AppError>(step!(run, "other", service.call()))).await;
    assert_eq!(result, Err(RunError::Cancelled { step: Some("other".into()) }.into()));
    assert_eq!(service.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn backoff_of_ones_own_ends_the_attempts() {
    let service = down(10);
    let retry = Retry::new(Backoff::from_fn(|attempt| (attempt < 3).then_some(ms(1)))).attempts(100);
    let result = run(async |run| run.step("call", || service.call()).retry(retry).await).await;
    assert_eq!(result, Err(Error::Failed(ServiceError::Down)));
    assert_eq!(service.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn exhausted_budget_stops_retries_of_all_sharers() {
    let budget = Budget::new(4, 0.1);
    let retry = EVERY_10_MS.attempts(10).budget(&budget);
    let service = down(100);
    for expected in [2, 3] {
        let _ = run(async |run| run.step("call", || service.call()).retry(retry.clone()).await).await;
        assert_eq!(service.calls(), expected);
    }
}

#[test]
fn seed_fixes_the_delays() {
    let delays = |seed| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let service = down(4);
            let retry = Retry::exponential(ms(100)).attempts(5);
            Workflow::new("w")
                .seed(seed)
                .run("r", async |run| Ok::<_, AppError>(step!(run, "call", retry = retry, service.call())))
                .await
                .unwrap();
            began.elapsed()
        })
    };
    assert_eq!(delays(1), delays(1));
    assert_ne!(delays(1), delays(2));
}

/// Lets everything pass but the attempts it was told to refuse, and writes down what it saw.
#[derive(Default)]
struct Watched {
    refuse: AtomicU32,
    seen: std::sync::Mutex<Vec<&'static str>>,
}

struct WatchedPass<'a>(&'a Watched, bool);

impl<'a, E> Guard<E> for &'a Watched {
    type Pass = WatchedPass<'a>;
    type Refused = Refusal;
    type Wait = std::future::Pending<Result<WatchedPass<'a>, Refusal>>;

    fn enter(&self) -> Admission<WatchedPass<'a>, Refusal> {
        let refused =
            self.refuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match refused {
            Ok(_) => Admission::Refused(Refusal::new("watched", "told to").with_retry_after(secs(3))),
            Err(_) => Admission::Admitted(WatchedPass(self, false)),
        }
    }
}

impl<E> Pass<E> for WatchedPass<'_> {
    fn leave(mut self, verdict: Verdict<'_, E>) {
        self.1 = true;
        self.0.seen.lock().unwrap().push(match verdict {
            Verdict::Succeeded => "succeeded",
            Verdict::Failed(_) => "failed",
            Verdict::TimedOut => "timed out",
        });
    }
}

impl Drop for WatchedPass<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.seen.lock().unwrap().push("dropped");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn guard_sees_end_of_each_attempt() {
    let (outer, inner) = (Watched::default(), Watched::default());
    let service = down(1);
    run(async |run| {
        Ok::<_, AppError>(step!(
            run,
            "call",
            guard = &outer,
            guard = &inner,
            retry = EVERY_10_MS,
            service.call()
        ))
    })
    .await
    .unwrap();
    for guard in [&outer, &inner] {
        assert_eq!(*guard.seen.lock().unwrap(), ["failed", "succeeded"]);
    }

    let result =
        run(async |run| run.step("hang", || service.hang()).guard(&outer).timeout(secs(1)).await).await;
    assert!(matches!(result, Err(Error::Run(RunError::Timeout { .. }))));
    assert_eq!(outer.seen.lock().unwrap().last(), Some(&"timed out"));
}

#[tokio::test(start_paused = true)]
async fn refusal_is_typed_and_retried_when_the_guard_says() {
    let guard = Watched { refuse: AtomicU32::new(1), ..Watched::default() };
    let service = Service::default();
    let began = tokio::time::Instant::now();
    let retried =
        run(async |run| run.step("call", || service.call()).guard(&guard).retry(EVERY_10_MS).await).await;
    assert_eq!((retried, began.elapsed()), (Ok(1), secs(3)));

    guard.refuse.store(1, Ordering::Relaxed);
    let refused = run(async |run| run.step("call", || service.call()).guard(&guard).await).await;
    let refusal = RunError::Refused {
        step: "call".into(),
        by: "watched".into(),
        reason: "told to".into(),
        retry_after: Some(secs(3)),
    };
    assert_eq!(refused, Err(Error::Run(refusal)));
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn cancelled_attempt_is_dropped_by_guard() {
    let guard = Watched::default();
    let service = Service::default();
    let clock = VirtualClock::new();
    let _ = clock.now();
    {
        let running = run(async |run| run.step("hang", || service.hang()).guard(&guard).await);
        tokio::select! {
            biased;
            _ = running => unreachable!("it hangs"),
            () = std::future::ready(()) => {}
        }
    }
    assert_eq!(*guard.seen.lock().unwrap(), ["dropped"]);
}
