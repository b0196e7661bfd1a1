//! Simulated services that fail, slow down and recover.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use awaitly_core::clock::{mins, ms, secs};
use awaitly_core::retry::Jitter;
use awaitly_core::{DurableRun, Limit, Retry, RunError, Workflow, step};
use awaitly_persistence::MemoryStore;
use awaitly_testing::fault::{Condition, Network, Service, Unreachable};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum BankError {
    #[error("declined")]
    Declined,
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum OrderError {
    #[error(transparent)]
    Bank(#[from] BankError),
    #[error(transparent)]
    Run(#[from] RunError),
}

struct FakeBank {
    line: Service,
    charged: AtomicU64,
}

impl FakeBank {
    fn new(line: Service) -> Self {
        Self { line, charged: AtomicU64::new(0) }
    }

    async fn charge(&self, cents: u64) -> Result<u64, BankError> {
        self.line
            .call(|| async move {
                if cents > 1000 {
                    return Err(BankError::Declined);
                }
                Ok(self.charged.fetch_add(cents, Ordering::Relaxed) + cents)
            })
            .await
    }

    fn charged(&self) -> u64 {
        self.charged.load(Ordering::Relaxed)
    }
}

fn refused(service: &str) -> Unreachable {
    Unreachable::Refused { service: service.into() }
}

fn no_answer(service: &str) -> Unreachable {
    Unreachable::NoAnswer { service: service.into() }
}

async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (call.await, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn call_to_a_running_service_returns_its_result() {
    let bank = FakeBank::new(Network::new(7).service("bank"));
    assert_eq!(timed(bank.charge(10)).await, (Ok(10), Duration::ZERO));
    assert_eq!(bank.charge(5000).await, Err(BankError::Declined));
    assert_eq!((bank.line.calls(), bank.line.failures()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn service_that_is_down_refuses_calls() {
    let bank = FakeBank::new(Network::new(7).service("bank"));
    bank.line.down();
    assert_eq!(bank.charge(10).await, Err(refused("bank").into()));
    assert_eq!(bank.charged(), 0);
    assert_eq!((bank.line.calls(), bank.line.failures()), (1, 1));
    bank.line.up();
    assert_eq!(bank.charge(10).await, Ok(10));
}

#[tokio::test(start_paused = true)]
async fn temporary_outage_ends_by_itself() {
    let network = Network::new(7);
    let bank = network.service("bank");
    network.at(secs(20), "bank", Condition::Cut);
    bank.down_for(secs(10));
    assert_eq!(bank.condition(), Condition::Down);
    tokio::time::sleep(secs(10)).await;
    assert_eq!(bank.condition(), Condition::Up);
    tokio::time::sleep(secs(10)).await;
    assert_eq!(network.service("bank").condition(), Condition::Cut);
    network.heal();
    assert_eq!(bank.condition(), Condition::Up);
}

#[tokio::test(start_paused = true)]
async fn slow_service_delays_calls_within_its_range() {
    let bank = Network::new(7).service("bank");
    bank.slow(ms(100)..=ms(900));
    let mut times = Vec::new();
    for _ in 0..20 {
        times.push(timed(bank.pass()).await.1);
    }
    assert!(times.iter().all(|time| (ms(100)..=ms(901)).contains(time)), "{times:?}");
    times.sort();
    times.dedup();
    assert!(times.len() > 10, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn cut_service_makes_callers_wait() {
    let network = Network::new(7);
    let bank = FakeBank::new(network.service("bank"));
    network.service("bank").set(Condition::Cut);
    assert_eq!(timed(bank.charge(10)).await, (Err(no_answer("bank").into()), Network::PATIENCE));
    assert_eq!(bank.charged(), 0);
}

#[tokio::test(start_paused = true)]
async fn call_in_progress_loses_its_answer_in_an_outage() {
    let network = Network::new(7);
    let (bank, post) = (network.service("bank"), network.service("post"));
    network.at(secs(1), "bank", Condition::Down).at(secs(1), "post", Condition::Cut);
    let done = AtomicU64::new(0);
    let work = || async {
        tokio::time::sleep(secs(2)).await;
        done.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Unreachable>(())
    };
    let (first, second) = tokio::join!(timed(bank.call(work)), timed(post.call(work)));
    assert_eq!(first, (Err(no_answer("bank")), secs(2)));
    assert_eq!(second, (Err(no_answer("post")), secs(2) + Network::PATIENCE));
    assert_eq!(done.into_inner(), 2);
}

/// Records the course of each of a hundred calls: `+` through, `-` refused, `?` carried out but not answered.
async fn fates(seed: u64, name: &str, beside: usize) -> String {
    let network = Network::new(seed);
    let bank = FakeBank::new(network.service(name));
    bank.line.flaky(0.2, 0.2);
    let other = network.service("other");
    other.flaky(0.5, 0.5);
    let mut fates = String::new();
    for _ in 0..100 {
        for _ in 0..beside {
            let _ = other.pass().await;
        }
        let before = bank.charged();
        let fate = match bank.charge(1).await {
            Ok(_) => '+',
            Err(_) if bank.charged() == before => '-',
            Err(_) => '?',
        };
        fates.push(fate);
    }
    assert_eq!(bank.line.failures(), fates.matches(['-', '?']).count() as u64);
    fates
}

#[tokio::test(start_paused = true)]
async fn course_of_calls_is_independent_of_other_services() {
    let first = fates(7, "bank", 0).await;
    for fate in ['-', '?'] {
        assert!((8..35).contains(&first.matches(fate).count()), "{first}");
    }
    assert_eq!(fates(7, "bank", 0).await, first);
    assert_eq!(fates(7, "bank", 5).await, first);
    assert_ne!(fates(8, "bank", 0).await, first);
    assert_ne!(fates(7, "post", 0).await, first);
}

#[test]
#[should_panic(expected = "a chance must be between 0 (never) and 1 (always), not 1.5")]
fn chance_above_one_panics() {
    Network::new(7).service("bank").flaky(1.5, 0.0);
}

/// Records the condition of a service once per second.
async fn weather(seed: u64, name: &str) -> Vec<Condition> {
    let network = Network::new(seed);
    let service = network.service(name);
    network.unsettled();
    let late = network.service("late");
    let mut conditions = Vec::new();
    let mut late_was_down = false;
    for _ in 0..1000 {
        conditions.push(service.condition());
        late_was_down |= late.condition() == Condition::Down;
        tokio::time::sleep(secs(1)).await;
    }
    assert!(late_was_down, "the weather is for services that are named later, too");
    conditions
}

#[tokio::test(start_paused = true)]
async fn unsettled_services_fail_and_recover_independently() {
    let first = weather(7, "bank").await;
    let outages =
        first.chunk_by(|one, next| one == next).filter(|spell| spell.contains(&Condition::Down)).count();
    assert!(outages > 5, "{outages}");
    assert_eq!(weather(7, "bank").await, first);
    assert_ne!(weather(7, "post").await, first);
    assert_ne!(weather(8, "bank").await, first);
}

#[tokio::test(start_paused = true)]
async fn weather_does_not_override_a_condition_set_by_the_test() {
    let network = Network::new(7);
    network.weather(secs(1)..=secs(1), mins(9)..=mins(9));
    tokio::time::sleep(mins(1)).await;
    let bank = network.service("bank");
    assert_eq!(bank.condition(), Condition::Down);
    let slow = Condition::Slow { least: ms(1), most: ms(2) };
    bank.set(slow);
    assert_eq!(bank.condition(), slow);
    network.heal();
    assert_eq!(bank.condition(), Condition::Up);
}

#[tokio::test(start_paused = true)]
async fn retries_outlast_an_outage_and_timeout_ends_a_cut() {
    let network = Network::new(7);
    let bank = FakeBank::new(network.service("bank"));
    bank.line.down_for(secs(5));
    let workflow = Workflow::new("order").store(MemoryStore::new());
    let retry = Retry::exponential(secs(1)).jitter(Jitter::None).attempts(9);
    let retried =
        async |run: &DurableRun| Ok::<_, OrderError>(step!(run, "charge", retry = retry, bank.charge(10)));
    assert_eq!(workflow.run("a", retried).await, Ok(10));
    // The attempts come immediately, after 1 s and after 3 s; the service is back after 7 s.
    assert_eq!((bank.line.calls(), bank.line.failures()), (4, 3));

    network.service("bank").set(Condition::Cut);
    let limited = async |run: &DurableRun| {
        Ok::<_, OrderError>(step!(run, "charge", timeout = secs(3), bank.charge(10)))
    };
    let ended = workflow.run("b", limited).await;
    assert!(
        matches!(ended, Err(OrderError::Run(RunError::Timeout { limit: Limit::Attempt, .. }))),
        "{ended:?}"
    );
}

#[test]
fn unreachable_round_trips_as_json_and_advises() {
    for (error, text) in [
        (refused("bank"), "`bank` refused the call and did not carry it out: call it again later"),
        (
            no_answer("bank"),
            "`bank` did not answer and may have carried out the call: call it again with the same idempotency key",
        ),
    ] {
        assert_eq!((error.to_string().as_str(), error.service()), (text, "bank"));
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<Unreachable>(&json).unwrap(), error);
    }
}
