#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use awaitly_core::clock::{Clock, days, hours, secs};
use awaitly_core::store::Operate;
use awaitly_core::{DurableRun, RunError, Workflow, parallel, step};
use awaitly_persistence::MemoryStore;
use awaitly_testing::{Harness, Sim, Simulation, hang, ok, simulate};

use crate::panic_of;

async fn number() -> Result<u32, RunError> {
    Ok(1)
}

#[test]
fn simulation_returns_the_value_of_the_test() {
    assert_eq!(simulate(async || 7), 7);
    assert_eq!(Simulation::new().seeds(3..6).run(async |sim| sim.seed()), [3, 4, 5]);
}

#[test]
fn sleep_of_a_month_takes_few_polls() {
    let polls = simulate(async || {
        let harness = Harness::new();
        let mut run = pin!(harness.run(async |run| run.sleep("a month", days(30)).await));
        let mut polls = 0;
        let report = std::future::poll_fn(|cx| {
            polls += 1;
            run.as_mut().poll(cx)
        })
        .await;
        assert_eq!(report.result, Ok(()));
        assert_eq!(report.events().last().unwrap().at, days(30));
        polls
    });
    assert!(polls < 10, "{polls}");
}

#[test]
fn simulation_clock_starts_at_midnight_and_follows_tokio() {
    let times = Simulation::new().run(async |sim: Sim| {
        let began = sim.clock().wall();
        tokio::time::sleep(hours(3)).await;
        sim.clock().advance(hours(1)).await;
        (sim.clock().wall().duration_since(began).unwrap(), sim.clock().elapsed())
    });
    assert_eq!(times, [(hours(4), hours(4))]);
}

#[test]
fn stuck_simulation_fails() {
    let message = panic_of(|| simulate(async || pending::<()>().await));
    assert!(message.starts_with("nothing can happen any more: every task waits"), "{message}");

    // This also holds while a lease is renewed repeatedly.
    let stuck = || {
        simulate(async || {
            Harness::new().run(async |_| pending::<Result<(), RunError>>().await).await.result.is_ok()
        })
    };
    assert!(panic_of(stuck).starts_with("nothing can happen any more"));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "nothing can happen any more")]
async fn run_that_hangs_without_a_time_limit_fails() {
    let harness = Harness::new().script("number", hang());
    let _ = harness.run(async |run| Ok::<_, RunError>(step!(run, number()))).await;
}

#[test]
fn endless_ticking_ends_at_the_time_limit() {
    let ticking = || {
        Simulation::new().time_limit(hours(1)).run(async |_| {
            loop {
                tokio::time::sleep(secs(1)).await;
            }
        })
    };
    panic_of(|| drop::<Vec<()>>(ticking()));
}

#[test]
fn stuck_run_with_short_lease_fails_soon() {
    let renewals = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&renewals);
    let stuck = || {
        simulate(async || {
            let workflow = Workflow::new("stuck").store(MemoryStore::new()).lease(hours(1));
            let counting = async {
                loop {
                    tokio::time::sleep(hours(1)).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            };
            let run = workflow.run("a", async |_| pending::<Result<(), RunError>>().await);
            tokio::join!(run, counting).0.is_ok()
        })
    };
    assert!(panic_of(stuck).starts_with("nothing can happen any more"));
    assert!(renewals.load(Ordering::Relaxed) <= 400 * 24);
}

#[test]
fn longer_limit_permits_years_of_sleep() {
    let decade = async |run: &DurableRun| run.sleep("a decade", days(3650)).await;
    let results = Simulation::new().time_limit(days(4000)).run(async |sim: Sim| {
        let first = sim.harness().run(decade).await.result.clone();
        // The time of an ended run does not count towards the limit of the next one.
        (first, sim.harness().run_id("another").run(decade).await.result.clone())
    });
    assert_eq!(results, [(Ok(()), Ok(()))]);
}

async fn order_of(sim: Sim) -> String {
    let heard = Mutex::new(String::new());
    let say = async |word| {
        sim.shuffle().await;
        heard.lock().unwrap().push_str(word);
    };
    tokio::join!(say("a"), say("b"), say("c"));
    heard.into_inner().unwrap()
}

#[test]
fn interleaving_is_determined_by_the_seed() {
    let orders = || Simulation::new().seeds(0..200).run(order_of);
    let all = orders();
    assert_eq!(all, orders());
    let different: BTreeSet<_> = all.into_iter().collect();
    assert_eq!(different.len(), 6, "{different:?}");
}

#[test]
fn branches_of_a_run_interleave_by_the_seed() {
    let order = async |sim: Sim| {
        let harness = sim.harness();
        let report = harness
            .run(async |run| {
                let (a, b) = parallel!(run, { a: number(), b: number() });
                Ok::<_, RunError>(a + b)
            })
            .await;
        report.trace_without_times()
    };
    let orders = || Simulation::new().seeds(0..50).run(order);
    let all = orders();
    assert_eq!(all, orders());
    assert!(all.into_iter().collect::<BTreeSet<_>>().len() > 1);
}

#[test]
fn random_draws_are_determined_by_the_seed() {
    let drawn = |seed| {
        let draw = async |sim: Sim| (sim.rng().u64(..), sim.rng().u64(..), fastrand::u64(..));
        Simulation::new().seed(seed).run(draw).remove(0)
    };
    assert_eq!(drawn(7), drawn(7));
    assert_ne!(drawn(7), drawn(8));
    assert_ne!(drawn(7).0, drawn(7).1);
}

#[test]
fn simulation_store_keeps_several_runs() {
    let resumed = Simulation::new().run(async |sim: Sim| {
        let workflow = Workflow::new("count").clock(sim.clock()).store(sim.store().clone());
        let first = workflow.run("a", async |run| Ok::<_, RunError>(step!(run, number()))).await;
        let report = sim
            .harness()
            .script("number", ok(7_u32))
            .run(async |run| Ok::<_, RunError>(step!(run, number())))
            .await;
        let again = workflow.run("a", async |_| Ok::<_, RunError>(0)).await;
        (first, report.result.clone(), again)
    });
    assert_eq!(resumed, [(Ok(1), Ok(7), Ok(1))]);
}

#[test]
fn simulation_has_one_clock() {
    Simulation::new().run(async |sim: Sim| {
        sim.clock().advance(days(2)).await;
        let harness = sim.harness_of(Workflow::new("late"));
        let report = harness.run(async |run| Ok::<_, RunError>(run.clock().wall())).await;
        assert_eq!(report.result, Ok(sim.clock().wall()));
        assert_eq!(sim.clock().elapsed(), days(2));
        assert_eq!(sim.store().now().await.unwrap(), sim.clock().wall().into());
    });
}

#[tokio::test(start_paused = true)]
async fn reset_harness_starts_at_midnight_with_a_new_store() {
    let mut harness = Harness::new();
    let midnight = harness.clock().wall();
    harness.clock().advance(days(2)).await;
    harness.reset();
    assert_eq!(harness.clock().wall(), midnight);
    assert_eq!(harness.memory().now().await.unwrap(), midnight.into());

    // A store set by the test is kept, and the clock does not go back relative to it.
    let store = harness.clock().store();
    harness = harness.store(store.clone());
    harness.clock().advance(days(2)).await;
    harness.reset();
    assert_eq!(harness.clock().wall(), midnight + days(2));
    assert_eq!(store.now().await.unwrap(), harness.clock().wall().into());
}

/// Fails on purpose; `failed_test_prints_how_to_repeat_it` executes it in a separate process.
#[test]
#[ignore = "it fails on purpose"]
fn fails_with_seed_three() {
    Simulation::new().seeds(0..10).run(async |sim: Sim| assert_ne!(sim.seed(), 3));
}

#[test]
#[ignore = "it fails on purpose"]
fn fails_with_a_report() {
    simulate(async || {
        let report = Harness::new().seed(41).run(async |_| Ok::<_, RunError>(7)).await;
        assert_eq!(report.result, Ok(8));
    });
}

#[test]
#[ignore = "it fails on purpose"]
fn fails_with_a_script() {
    simulate(async || {
        let harness = Harness::new().seed(41).script("nobody", ok(7));
        let _ = harness.run(async |_| Ok::<_, RunError>(7)).await;
    });
}

fn failing(test: &str, seed: Option<&str>) -> (bool, String) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test, "--nocapture"]).env_remove("AWAITLY_SEED");
    if let Some(seed) = seed {
        command.env("AWAITLY_SEED", seed);
    }
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn failed_test_prints_how_to_repeat_it() {
    let (passed, said) = failing("time::fails_with_seed_three", None);
    assert!(!passed && said.contains("repeat the test with AWAITLY_SEED=3,"), "{said}");
    let (passed, _) = failing("time::fails_with_seed_three", Some("4"));
    assert!(passed);
    let (passed, _) = failing("time::fails_with_seed_three", Some("3"));
    assert!(!passed);
    let (passed, said) = failing("time::fails_with_a_report", None);
    assert!(!passed && said.contains("or with `.seed(41)` if the code sets its seed"), "{said}");
    let (passed, said) = failing("time::fails_with_a_script", None);
    assert!(!passed && said.contains("the seed was 41:"), "{said}");
    let (passed, said) = failing("time::fails_with_a_report", Some("0x7"));
    assert!(!passed && said.contains("AWAITLY_SEED=0x7 is not a seed"), "{said}");
}

#[test]
fn virtual_year_takes_no_real_time() {
    let passed = Simulation::new().seeds(0..100).run(async |sim: Sim| {
        let mut sleep = pin!(tokio::time::sleep(days(365)));
        let polled = std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await;
        assert_eq!(polled, Poll::Pending);
        sleep.await;
        sim.clock().elapsed()
    });
    assert!(passed.iter().all(|passed: &Duration| *passed == days(365)));
}
