use awaitly_core::clock::{days, hours, mins, secs};
use awaitly_core::journal::{Outcome, Payload};
use awaitly_core::retry::Jitter;
use awaitly_core::store::{Answer, Operate};
use awaitly_core::{DurableRun, Error, Retry, RunError, step};
use awaitly_engine::{Contract, Phase, Worker};

use crate::world::{Gauge, memory, work};

const REMIND: Contract<u64, u64, RunError> = Contract::new("remind");

#[tokio::test(start_paused = true)]
async fn sleeping_run_waits_in_the_store_and_continues() {
    let (store, client) = memory();
    let gauge = Gauge::default();
    let counted = gauge.clone();
    let body = move |run: DurableRun, days_off: u64| {
        let gauge = counted.clone();
        async move {
            gauge
                .during(async {
                    step!(run.sleep("a while", days(days_off)));
                    Ok(days_off)
                })
                .await
        }
    };
    let worker = Worker::new(store).serve(REMIND, body);
    let run = client.start(REMIND, "a", &3).await.unwrap();
    let begun = tokio::time::Instant::now();
    let done = async {
        tokio::time::sleep(hours(1)).await;
        assert!(matches!(run.state().await.unwrap().phase, Phase::Waiting { until: Some(_), .. }));
        assert_eq!(run.state().await.unwrap().to_string(), "asleep");
        run.result().await
    };
    assert_eq!(work(&worker, done).await, Ok(3));
    assert_eq!(gauge.total(), 2, "two executions");
    assert!(begun.elapsed() < days(3) + secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn step_between_attempts_shows_when_it_is_tried_again() {
    let (store, client) = memory();
    let attempts = Gauge::default();
    let counted = attempts.clone();
    let body = move |run: DurableRun, _: u64| {
        let attempts = counted.clone();
        async move {
            let retry = Retry::fixed(hours(2)).max_delay(hours(2)).jitter(Jitter::None).attempts(3);
            let call = || attempts.during(async { Err::<u64, _>("down".to_owned()) });
            match run.step("charge", call).retry(retry).await {
                Ok(value) => Ok(value),
                Err(awaitly_core::Error::Failed(_)) => Ok(0),
                Err(awaitly_core::Error::Run(error)) => Err(error),
            }
        }
    };
    let worker = Worker::new(store).serve(REMIND, body);
    let run = client.start(REMIND, "a", &3).await.unwrap();
    let done = async {
        tokio::time::sleep(hours(3)).await;
        let state = run.state().await.unwrap();
        assert_eq!(state.to_string(), "retrying `charge` after 2 failed attempts");
        run.result().await
    };
    assert_eq!(work(&worker, done).await, Ok(0));
    assert_eq!(attempts.total(), 3);
}

#[tokio::test(start_paused = true)]
async fn answered_run_continues_at_once() {
    let (store, client) = memory();
    let body = async |run: DurableRun, _: u64| {
        let cents: u64 = run.wait_for("manager").await?;
        Ok(cents)
    };
    let worker = Worker::new(store.clone()).serve(REMIND, body);
    let run = client.start(REMIND, "a", &3).await.unwrap();
    let done = async {
        tokio::time::sleep(days(1)).await;
        assert_eq!(run.state().await.unwrap().to_string(), "waiting for `manager`");
        let yes = Outcome::Value(Payload::encode(&4000).unwrap());
        let begun = tokio::time::Instant::now();
        store.answer(Answer::new(run.id().clone(), "manager", yes)).await.unwrap().unwrap();
        let result = run.result().await;
        assert!(begun.elapsed() < secs(1), "{:?}", begun.elapsed());
        result
    };
    assert_eq!(work(&worker, done).await, Ok(4000));
}

#[tokio::test(start_paused = true)]
async fn failed_run_is_retried_from_its_failed_step_until_it_is_a_dead_letter() {
    let (store, client) = memory();
    let (charges, mails) = (Gauge::default(), Gauge::default());
    let (charged, mailed) = (charges.clone(), mails.clone());
    let body = move |run: DurableRun, fails: u64| {
        let (charges, mails) = (charged.clone(), mailed.clone());
        async move {
            let cents = step!(run, "charge", charges.during(async { Ok::<u64, Declined>(7) }));
            let mail = async || {
                mails.during(async {}).await;
                if (mails.total() as u64) <= fails { Err(Declined) } else { Ok(cents) }
            };
            Ok::<u64, Error<Declined>>(step!(run, "mail", mail()))
        }
    };
    const ORDER: Contract<u64, u64, Error<Declined>> = Contract::new("order");
    let retry = Retry::fixed(hours(1)).max_delay(hours(1)).jitter(Jitter::None).attempts(4);
    let worker = Worker::new(store).serve_with(ORDER, |workflow| workflow.retry_runs(retry), body);
    let run = client.start(ORDER, "a", &2).await.unwrap();
    let done = async {
        tokio::time::sleep(mins(90)).await;
        let state = run.state().await.unwrap();
        assert_eq!(state.to_string(), "failed 2 times, to be retried: declined");
        run.result().await
    };
    assert_eq!(work(&worker, done).await, Ok(7));
    assert_eq!((charges.total(), mails.total()), (1, 3));
    let begun = tokio::time::Instant::now();
    let dead = client.start(ORDER, "b", &u64::MAX).await.unwrap();
    assert_eq!(work(&worker, dead.result()).await, Err(Error::Failed(Declined)));
    assert_eq!((charges.total(), mails.total()), (2, 7), "four executions");
    assert!(begun.elapsed() >= hours(3) && begun.elapsed() < hours(3) + secs(5), "{:?}", begun.elapsed());
    assert_eq!(dead.state().await.unwrap().to_string(), "failed: declined");
}

#[tokio::test(start_paused = true)]
async fn message_does_not_shorten_the_pause_before_a_retry() {
    let (store, client) = memory();
    let executions = Gauge::default();
    let counted = executions.clone();
    let body = move |_: DurableRun, fails: u64| {
        let executions = counted.clone();
        async move {
            executions.during(async {}).await;
            if (executions.total() as u64) <= fails { Err(Error::Failed(Declined)) } else { Ok(fails) }
        }
    };
    const ORDER: Contract<u64, u64, Error<Declined>> = Contract::new("order");
    let retry = Retry::fixed(hours(1)).max_delay(hours(1)).jitter(Jitter::None).attempts(4);
    let worker = Worker::new(store).serve_with(ORDER, |workflow| workflow.retry_runs(retry), body);
    let run = client.start(ORDER, "a", &2).await.unwrap();
    let begun = tokio::time::Instant::now();
    let done = async {
        for _ in 0..10 {
            tokio::time::sleep(mins(5)).await;
            run.send("chat", "hello?").await.unwrap();
        }
        tokio::time::sleep(mins(5)).await;
        assert!(run.state().await.unwrap().to_string().ends_with("to be retried: declined"));
        assert_eq!(executions.total(), 1);
        run.result().await
    };
    assert_eq!(work(&worker, done).await, Ok(2));
    assert_eq!(executions.total(), 3);
    assert!(begun.elapsed() >= hours(2) && begun.elapsed() < hours(2) + secs(5), "{:?}", begun.elapsed());
    let cancelled = client.start(ORDER, "b", &u64::MAX).await.unwrap();
    let done = async {
        tokio::time::sleep(mins(5)).await;
        assert_eq!(executions.total(), 4);
        let _ = cancelled.cancel().await.unwrap();
        tokio::time::sleep(mins(1)).await;
        assert_eq!(executions.total(), 5, "a cancellation does not wait for the retry");
        assert!(cancelled.result().await.is_err(), "a cancelled run is not retried");
    };
    work(&worker, done).await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Declined;

impl std::fmt::Display for Declined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("declined")
    }
}
