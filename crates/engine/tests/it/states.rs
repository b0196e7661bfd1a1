//! The states in which people see a run. `stores` executes these tests on each store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{hours, ms, secs};
use awaitly_core::journal::Key;
use awaitly_core::store::{Dispatch, Standing};
use awaitly_core::{DurableRun, Error, Retry, RunError, step};
use awaitly_engine::{Client, Contract, Phase, RunExt, RunHandle, Worker};
use tokio::sync::Semaphore;

use crate::world::{SUM, memory};

type Failure = Error<RunError>;

const SHIP: Contract<bool, u64, Failure> = Contract::new("ship");

/// The places at which the body stops until the test opens them.
#[derive(Clone)]
struct Gates(Arc<[Semaphore; 2]>);

impl Gates {
    async fn pass(&self, number: usize) -> Result<(), RunError> {
        let permit = self.0[number].acquire().await;
        permit.map(drop).map_err(|_| refused())
    }
}

fn refused() -> RunError {
    RunError::Empty { what: "stock".into() }
}

/// Charges, stops at a gate, packs in two attempts, the second of which stops at a gate, and waits for an answer. Then, a
/// step fails that is retried after an hour.
async fn ship(run: DurableRun, stops: bool, gates: Gates) -> Result<u64, Failure> {
    if !stops {
        return Ok(0);
    }
    step!(run, "charge", async { Ok::<_, RunError>(()) });
    gates.pass(0).await.map_err(Error::Run)?;
    let attempts = AtomicU32::new(0);
    let pack = async || match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => Err(refused()),
        _ => gates.pass(1).await,
    };
    step!(run, "pack", retry = Retry::fixed(ms(1)).attempts(2), pack());
    let () = step!(run.receive("address"));
    let hourly = Retry::fixed(hours(1)).max_delay(hours(1)).attempts(2);
    step!(run, "mail", retry = hourly, async { Err::<(), _>(refused()) });
    Ok(1)
}

async fn text<S: Dispatch + Clone>(run: &RunHandle<S, u64, Failure>) -> String {
    run.state().await.unwrap().to_string()
}

/// Waits until the state has this text.
async fn until<S: Dispatch + Clone>(run: &RunHandle<S, u64, Failure>, expected: &str) {
    let seen = async {
        while text(run).await != expected {
            tokio::time::sleep(ms(5)).await;
        }
    };
    if tokio::time::timeout(secs(20), seen).await.is_err() {
        panic!("expected {expected:?}, the state is {:?}", text(run).await);
    }
}

pub(crate) async fn explain_themselves<S: Dispatch + Clone>(store: S) {
    let client = Client::new(store.clone());
    let starting = client.start_many(SHIP, [("ship-a", true), ("ship-b", false), ("ship-c", false)]);
    let runs = starting.queue("ships").await.unwrap().into_iter().map(Result::unwrap);
    let [a, b, c] = runs.collect::<Vec<_>>().try_into().map_err(|_| "three runs").unwrap();
    wait_in_line(&a, &b, &c).await;
    client.pause_queue("ships").await.unwrap();
    assert_eq!(text(&b).await, "queued in the paused queue `ships`, 1 run is ahead");
    client.resume_queue("ships").await.unwrap();

    let gates = Gates(Arc::new([const { Semaphore::const_new(0) }; 2]));
    let body = {
        let gates = gates.clone();
        move |run, stops| ship(run, stops, gates.clone())
    };
    let worker = |name: &str| Worker::new(store.clone()).named(name).serve(SHIP, body.clone()).concurrency(1);
    worker("web-1").grace(ms(0)).run_until(until(&a, "running on `web-1` after `charge`")).await.unwrap();
    until(&a, "interrupted after `charge`").await;

    let rest = async {
        until(&a, "running on `web-2` after `charge`").await;
        let Phase::Running { worker, after, retrying, .. } = a.state().await.unwrap().phase else {
            panic!("it is running")
        };
        let after_charge = (Some("web-2"), Some(Key::from("charge")), None);
        assert_eq!((worker.as_deref(), after, retrying), after_charge);
        gates.0[0].add_permits(1);
        until(&a, "running on `web-2`, retrying `pack`").await;
        a.pause().await.unwrap();
        until(&a, "running on `web-2`, retrying `pack`, paused").await;
        a.resume().await.unwrap();
        gates.0[1].add_permits(1);
        until(&a, "waiting for `address`").await;
        assert_eq!((b.result().await, c.result().await), (Ok(0), Ok(0)));
        a.pause().await.unwrap();
        until(&a, "waiting for `address`, paused").await;
        a.resume().await.unwrap();
        a.send("address", &()).await.unwrap();
        until(&a, "retrying `mail` after 1 failed attempts").await;
        assert!(matches!(a.state().await.unwrap().phase, Phase::Retrying { attempts: 1, .. }));
    };
    worker("web-2").run_until(rest).await.unwrap();
    let _ = a.cancel().await.unwrap();
    worker("web-3").run_until(until(&a, "cancelled")).await.unwrap();
}

/// A queued run shows its place, and its own pause or that of its queue.
async fn wait_in_line<S: Dispatch + Clone>(
    a: &RunHandle<S, u64, Failure>,
    b: &RunHandle<S, u64, Failure>,
    c: &RunHandle<S, u64, Failure>,
) {
    for (run, expected) in [(a, "no run is ahead"), (b, "1 run is ahead"), (c, "2 runs are ahead")] {
        assert_eq!(text(run).await, format!("queued in `ships`, {expected}"));
    }
    b.pause().await.unwrap();
    assert_eq!(text(b).await, "queued in `ships`, paused");
    assert!(matches!(b.state().await.unwrap().phase, Phase::Queued { ahead: None, .. }));
    assert_eq!(text(c).await, "queued in `ships`, 1 run is ahead");
    b.resume().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn long_line_is_not_counted_to_its_end() {
    let (_, client) = memory();
    let runs = (0..Standing::MOST_AHEAD + 2).map(|number| (number.to_string(), vec![number]));
    let runs = client.start_many(SUM, runs).await.unwrap();
    let [.., below, most, last] = &runs[..] else { panic!("there are many runs") };
    for (run, expected) in [
        (below, "queued, 999 runs are ahead"),
        (most, "queued, 1000 or more runs are ahead"),
        (last, "queued, 1000 or more runs are ahead"),
    ] {
        assert_eq!(run.as_ref().unwrap().state().await.unwrap().to_string(), expected);
    }
}

#[test]
#[should_panic(expected = "`named` takes a name of 1 to 100 bytes, not 101")]
fn long_name_of_a_worker_is_refused() {
    let _ = Worker::new(memory().0).named("x".repeat(101));
}
