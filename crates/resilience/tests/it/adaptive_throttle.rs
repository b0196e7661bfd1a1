use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use awaitly_core::clock::{Clock, VirtualClock, ms, secs};
use awaitly_core::{Error, RunError, run};
use awaitly_resilience::adaptive_throttle::{AdaptiveThrottle, Headers, Options, Signal};
use awaitly_resilience::{CallError, GuardExt, Keyed};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::{ApiError, begun, ok, settle};

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
enum Answer {
    #[error("too many requests")]
    TooMany(Option<Duration>),
    #[error("not found")]
    NotFound,
    #[error("unreachable")]
    Unreachable,
}

fn judge(answer: &Answer) -> Signal {
    match answer {
        Answer::TooMany(wait) => Signal::Overloaded { wait: *wait },
        Answer::NotFound => Signal::Accepted,
        Answer::Unreachable => Signal::Unknown,
    }
}

type Judgement = fn(&Answer) -> Signal;
type Throttle = AdaptiveThrottle<Judgement>;

fn options(clock: &VirtualClock) -> Options<Judgement> {
    AdaptiveThrottle::options("api").clock(clock.clone()).judge(judge as Judgement)
}

/// A service that takes `best` calls at once, each for `takes` milliseconds or so, and refuses what is above that
/// with a 429.
struct Service {
    clock: VirtualClock,
    best: Cell<usize>,
    takes: u64,
    /// How long it asks callers to wait that it refuses.
    asks: Cell<Option<Duration>>,
    /// How much the time of a call varies, as a part of it.
    noise: f64,
    running: Cell<usize>,
    dice: RefCell<fastrand::Rng>,
}

/// What a phase of a simulation came to.
#[derive(Debug, Default)]
struct Phase {
    /// The limit, second by second.
    limits: Vec<usize>,
    calls: usize,
    refused: usize,
}

impl Service {
    fn new(clock: &VirtualClock, best: usize, takes: u64, noise: f64) -> Rc<Self> {
        Rc::new(Self {
            clock: clock.clone(),
            best: Cell::new(best),
            takes,
            asks: Cell::new(None),
            noise,
            running: Cell::new(0),
            dice: RefCell::new(fastrand::Rng::with_seed(7)),
        })
    }

    async fn call(&self) -> Result<u32, Answer> {
        if self.running.get() >= self.best.get() {
            self.clock.sleep_until(self.clock.now() + ms(1)).await;
            return Err(Answer::TooMany(self.asks.get()));
        }
        self.running.set(self.running.get() + 1);
        let spread = 1.0 + self.noise * (2.0 * self.dice.borrow_mut().f64() - 1.0);
        let takes = Duration::from_secs_f64(self.takes as f64 / 1000.0 * spread);
        self.clock.sleep_until(self.clock.now() + takes).await;
        self.running.set(self.running.get() - 1);
        Ok(7)
    }

    /// Calls with as many callers as there can be work for, for so many seconds.
    async fn run(self: &Rc<Self>, throttle: &Throttle, seconds: u64) -> Phase {
        let (end, mut phase) = (self.clock.elapsed() + secs(seconds), Phase::default());
        let (mut second, mut idle) = (self.clock.elapsed() + secs(1), 0);
        let mut callers = FuturesUnordered::new();
        let call = || throttle.call(|| self.call());
        for _ in 0..400 {
            callers.push(call());
        }
        while self.clock.elapsed() < end {
            match futures_util::poll!(callers.next()) {
                std::task::Poll::Ready(ended) => {
                    phase.calls += 1;
                    phase.refused += usize::from(ended.unwrap().is_err());
                    callers.push(call());
                }
                // Whoever can go on does so before time passes.
                std::task::Poll::Pending if idle < 20 => {
                    idle += 1;
                    tokio::task::yield_now().await;
                    continue;
                }
                std::task::Poll::Pending => {
                    assert!(self.clock.advance_to_next().is_some(), "everybody waits, and nobody runs");
                    if self.clock.elapsed() >= second {
                        phase.limits.push(throttle.stats().limit);
                        second += secs(1);
                    }
                }
            }
            idle = 0;
        }
        drop(callers);
        self.running.set(0);
        phase
    }
}

impl Phase {
    /// Asserts that the limit was `best` or so, from that second on.
    fn assert_found(&self, best: usize, second: usize) {
        let limits = &self.limits[second..];
        let mean = limits.iter().sum::<usize>() as f64 / limits.len() as f64;
        let best = best as f64;
        assert!((mean - best).abs() <= best / 10.0, "best {best}, found {mean}: {:?}", self.limits);
    }

    fn assert_few_refusals(&self) {
        assert!(self.refused * 100 <= self.calls, "{} of {} calls met a 429", self.refused, self.calls);
    }
}

fn service(best: usize, noise: f64) -> (VirtualClock, Rc<Service>, Throttle) {
    let clock = VirtualClock::new();
    let (service, throttle) = (Service::new(&clock, best, 100, noise), options(&clock).build());
    (clock, service, throttle)
}

#[tokio::test]
async fn throttle_finds_limit_of_constant_or_noisy_service() {
    for (noise, found_after, bests) in [(0.0, 15, &[10, 20, 40, 80, 150][..]), (0.8, 29, &[10, 50, 120])] {
        for best in bests {
            let (_, service, throttle) = service(*best, noise);
            let phase = service.run(&throttle, 60).await;
            phase.assert_found(*best, found_after);
            phase.assert_few_refusals();
        }
    }
}

#[tokio::test]
async fn throttle_follows_growing_and_shrinking_service() {
    let (_, service, throttle) = service(20, 0.0);
    let mut all = Phase::default();
    for best in [20, 60, 10, 40, 15] {
        service.best.set(best);
        let phase = service.run(&throttle, 40).await;
        phase.assert_found(best, 29);
        (all.calls, all.refused) = (all.calls + phase.calls, all.refused + phase.refused);
    }
    all.assert_few_refusals();
}

#[tokio::test]
async fn found_limit_survives_pauses_and_idle_time() {
    for wait in [1, 10, 30] {
        let (_, service, throttle) = service(50, 0.0);
        service.asks.set(Some(secs(wait)));
        let phase = service.run(&throttle, 600).await;
        phase.assert_found(50, 60);
        phase.assert_few_refusals();
    }
    let (clock, service, throttle) = service(50, 0.0);
    service.run(&throttle, 30).await;
    let found = throttle.stats().limit;
    clock.advance(secs(3600));
    let phase = service.run(&throttle, 30).await;
    assert!(phase.limits[0] <= found + 5, "{found}, then {:?}", phase.limits);
    phase.assert_few_refusals();
}

#[tokio::test]
async fn requested_wait_pauses_only_its_key() {
    let clock = VirtualClock::new();
    let throttle = options(&clock);
    let hosts = Keyed::with_capacity(100, move |_: &String| throttle.clone().build());
    let told = hosts.key("busy").call(async || Err::<u32, _>(Answer::TooMany(Some(secs(3))))).await;
    assert!(matches!(told, Err(CallError::Failed(Answer::TooMany(_)))));
    let busy = hosts.key("busy");
    assert_eq!(busy.paused(), Some(secs(3)));
    let waits = begun(busy.call(async || Ok::<_, Answer>(7))).await;
    assert_eq!(hosts.key("calm").call(async || Ok::<_, Answer>(7)).await, Ok(7));
    assert_eq!(clock.advance_to_next(), Some(secs(3)));
    assert_eq!(waits.await, Ok(7));
}

#[tokio::test]
async fn headers_of_successful_answer_pause_throttle() {
    let clock = VirtualClock::new();
    let throttle: AdaptiveThrottle = AdaptiveThrottle::options("api").clock(clock.clone()).build();
    let headers = |remaining: &'static str| {
        move |name: &str| match name {
            "x-ratelimit-remaining" => Some(remaining),
            "x-ratelimit-reset" => Some("20"),
            _ => None,
        }
    };
    throttle.learn(&Headers::read(200, headers("5")));
    assert_eq!(throttle.paused(), None);
    throttle.learn(&Headers::read(200, headers("0")));
    assert_eq!(throttle.paused(), Some(secs(20)));
    throttle.pause(secs(1));
    assert_eq!(throttle.paused(), Some(secs(20)), "the longer pause stays");
    clock.advance(secs(20));
    assert_eq!(throttle.call(ok).await, Ok(7));
}

#[tokio::test]
async fn pause_beyond_longest_refuses_call_with_time() {
    let clock = VirtualClock::new();
    let options = AdaptiveThrottle::options("api").clock(clock.clone()).longest_pause(secs(5));
    let throttle: AdaptiveThrottle = options.build();
    throttle.pause(secs(9));
    throttle.resume();
    assert_eq!(throttle.call(ok).await, Ok(7));
    throttle.pause(secs(60));
    let refused = throttle.call(ok).await.unwrap_err();
    assert_eq!(refused.to_string(), "throttle `api` is paused: ask again in 60000 ms");
    let step = run(async |run| match run.step("get", ok).guard(&throttle).await {
        Err(Error::Run(refused)) => Err::<u32, RunError>(refused),
        other => panic!("{other:?}"),
    })
    .await;
    assert!(matches!(step, Err(RunError::Refused { retry_after: Some(after), .. }) if after == secs(60)));
    clock.advance(secs(56));
    let waits = begun(throttle.call(ok)).await;
    clock.advance(secs(4));
    assert_eq!(waits.await, Ok(7));
}

#[tokio::test]
async fn only_overload_signal_lowers_limit() {
    let clock = VirtualClock::new();
    let throttle = options(&clock).bounds(1, 10).build();
    for answer in [Answer::NotFound, Answer::Unreachable] {
        throttle.call(async || Err::<u32, _>(answer)).await.unwrap_err();
        assert_eq!(throttle.stats().limit, 10);
    }
    throttle.call(async || Err::<u32, _>(Answer::TooMany(None))).await.unwrap_err();
    assert_eq!(throttle.stats().limit, 9);
    let halves: AdaptiveThrottle<_> =
        Options::simple("api", 8).judge(judge as Judgement).clock(clock.clone()).build();
    halves.call(async || Err::<u32, _>(Answer::TooMany(None))).await.unwrap_err();
    assert_eq!(halves.stats().limit, 4);
    let slow: AdaptiveThrottle =
        AdaptiveThrottle::options("api").bounds(1, 10).slower_than(secs(1)).clock(clock.clone()).build();
    let call = async || {
        clock.advance(secs(2));
        Ok::<_, ApiError>(7)
    };
    assert_eq!((slow.call(call).await, slow.stats().limit), (Ok(7), 9));
}

#[test]
#[should_panic(expected = "at least one key is remembered")]
fn throttle_for_no_keys_is_refused() {
    let _: Keyed<u32, AdaptiveThrottle> = Keyed::with_capacity(0, |_| AdaptiveThrottle::new("host"));
}

#[tokio::test]
async fn keys_that_are_in_use_are_not_forgotten() {
    let clock = VirtualClock::new();
    let throttle = AdaptiveThrottle::options("host").clock(clock.clone());
    let hosts: Keyed<u32, AdaptiveThrottle> = Keyed::with_capacity(10, move |_| throttle.clone().build());
    for host in 0..20 {
        hosts.key(&host).pause(secs(9));
    }
    for host in 100..1000 {
        hosts.key(&host);
    }
    assert!((0..20).all(|host| hosts.key(&host).paused().is_some()));
    clock.advance(secs(9));
    for host in 1000..2000 {
        hosts.key(&host);
    }
    assert!(hosts.keys() <= 100, "{}", hosts.keys());
}

#[tokio::test]
async fn callers_run_in_order_after_pause_without_dropped_ones() {
    let clock = VirtualClock::new();
    let throttle: AdaptiveThrottle =
        AdaptiveThrottle::options("api").start(1).bounds(1, 1).clock(clock.clone()).build();
    throttle.pause(secs(1));
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let callers: Vec<_> = (0..10)
        .map(|number| {
            let (throttle, order) = (throttle.clone(), std::sync::Arc::clone(&order));
            tokio::spawn(async move {
                let call = throttle.call(async || {
                    order.lock().unwrap().push(number);
                    tokio::task::yield_now().await;
                    ok().await
                });
                call.await
            })
        })
        .collect();
    settle().await;
    assert_eq!((throttle.stats().waiting, throttle.stats().running), (10, 0));
    callers[3].abort();
    settle().await;
    clock.advance(secs(1));
    for (number, caller) in callers.into_iter().enumerate() {
        assert_eq!(caller.await.is_ok(), number != 3);
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!((throttle.stats().waiting, throttle.stats().running, clock.sleepers()), (0, 0, 0));
}
