use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_core::guard::{Admission, Guard, Refusal};
use awaitly_core::{Error, RunError, run};
use awaitly_resilience::circuit_breaker::{Options, State};
use awaitly_resilience::keyed::Idle;
use awaitly_resilience::{
    AdaptiveThrottle, CallError, CircuitBreaker, CombinedLimiter, ConcurrencyLimiter, GuardExt, Keyed,
    RateLimiter,
};

use crate::{ApiError, begun, fails, hangs, ok};

#[tokio::test]
async fn one_open_breaker_leaves_other_keys_alone() {
    let hosts = Keyed::new(|host: &String| {
        CircuitBreaker::options(host.clone()).failures(1).clock(VirtualClock::new()).build()
    });
    assert_eq!(hosts.key("down").call(fails).await, Err(CallError::Failed(ApiError("down"))));
    assert_eq!(hosts.key("up").call(ok).await, Ok(7));
    let refused = run(async |run| run.step("get", ok).guard(hosts.key("down")).await).await;
    assert!(matches!(refused, Err(Error::Run(RunError::Refused { by, .. })) if &*by == "down"));
    assert_eq!((hosts.clone().key("down").state(), hosts.keys()), (State::Open, 2));
}

/// A breaker that is forgotten once it is idle.
fn hosts(clock: &VirtualClock, window: fn(Options) -> Options) -> Keyed<u32, CircuitBreaker> {
    let clock = clock.clone();
    Keyed::new(move |_| {
        let options = window(CircuitBreaker::options("host").failures(2).retry_after(secs(10)));
        options.clock(clock.clone()).build()
    })
}

/// How many keys are left once the idle ones are forgotten.
fn left<G: Guard<ApiError> + Idle + Clone>(keyed: &Keyed<u32, G>) -> usize {
    keyed.forget_idle();
    keyed.keys()
}

#[tokio::test]
async fn breaker_is_forgotten_once_its_failures_count_no_more() {
    let within: fn(Options) -> Options = |options| options.within(secs(60));
    let last: fn(Options) -> Options = |options| options.last_calls(9);
    for (window, length) in [(within, 61), (last, 10)] {
        let clock = VirtualClock::new();
        let hosts = hosts(&clock, window);
        hosts.key(&1).call(ok).await.unwrap();
        assert_eq!(left(&hosts), 0, "a success alone is worth nothing");
        hosts.key(&1).call(fails).await.unwrap_err();
        clock.advance(secs(length - 2));
        assert_eq!(left(&hosts), 1);
        clock.advance(secs(2));
        assert_eq!(left(&hosts), 0);
    }
}

#[tokio::test]
async fn open_breaker_is_kept_long_past_its_probe_time() {
    let clock = VirtualClock::new();
    let hosts = hosts(&clock, |options| options.within(secs(1)));
    hosts.key(&1).call(fails).await.unwrap_err();
    hosts.key(&1).call(fails).await.unwrap_err();
    hosts.key(&2).open();
    clock.advance(secs(19));
    assert_eq!(left(&hosts), 2);
    let probe = begun(async { hosts.key(&1).call(hangs).await }).await;
    clock.advance(secs(99));
    assert_eq!(left(&hosts), 2, "its probe is out");
    drop(probe);
    assert_eq!(left(&hosts), 1, "the other one is open until the program closes it");
    assert_eq!(hosts.key(&2).state(), State::Open);
}

#[tokio::test]
async fn every_limiter_is_remembered_for_as_long_as_it_limits() {
    let clock = VirtualClock::new();
    let options = RateLimiter::options("rate", 10, secs(1)).burst(2).clock(clock.clone());
    let tokens = Keyed::new(move |_: &u32| options.clone().build());
    tokens.key(&1).try_acquire().unwrap();
    assert_eq!(left(&tokens), 1);
    clock.advance(ms(100));
    assert_eq!(left(&tokens), 0);

    let options = RateLimiter::options("rate", 10, secs(1)).clock(clock.clone());
    let both = Keyed::new(move |_: &u32| {
        CombinedLimiter::new(options.clone().build(), ConcurrencyLimiter::new("slots", 1))
    });
    let runs = begun(async { both.key(&1).call(hangs).await }).await;
    clock.advance(secs(1));
    assert_eq!(left(&both), 1, "its slot is in use");
    drop(runs);
    assert_eq!(left(&both), 0);

    let options = AdaptiveThrottle::options("throttle").clock(clock.clone());
    let throttles = Keyed::new(move |_: &u32| options.clone().build());
    throttles.key(&1).pause(secs(1));
    assert_eq!(left(&throttles), 1);
    clock.advance(secs(1));
    assert_eq!(left(&throttles), 0);
}

#[test]
fn key_flood_is_forgotten_and_used_keys_are_kept() {
    let slots = Keyed::with_capacity(100, |_: &u32| ConcurrencyLimiter::new("slots", 1));
    let used: Vec<_> = (0..50).map(|key| slots.key(&key)).collect();
    for guard in &used {
        guard.resize(3);
    }
    for key in 1000..11_000 {
        slots.key(&key);
        assert!(slots.keys() <= 16 * 16, "{}", slots.keys());
    }
    assert!((0..50).all(|key| slots.key(&key).stats().limit == 3));
}

/// Admits one attempt. A guard of the program's own.
#[derive(Clone)]
struct Once(Arc<AtomicU32>);

impl<E> Guard<E> for Once {
    type Pass = ();
    type Refused = Refusal;
    type Wait = std::future::Pending<Result<(), Refusal>>;

    fn enter(&self) -> Admission<(), Refusal> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Admission::Admitted(()),
            _ => Admission::Refused(Refusal::new("once", "not again")),
        }
    }
}

impl Idle for Once {
    fn is_idle(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some_and(|calls| *calls.get_mut() == 0)
    }
}

#[tokio::test]
async fn guard_of_ones_own_is_kept_for_each_key() {
    let users = Keyed::new(|_: &u32| Once(Arc::default()));
    drop(users.key(&1));
    assert_eq!(left(&users), 0);
    let greet = async || run(async |run| run.step("greet", ok).guard(users.key(&1)).await).await;
    assert_eq!(greet().await, Ok(7));
    assert_eq!(left(&users), 1);
    assert!(matches!(greet().await, Err(Error::Run(RunError::Refused { .. }))));
}

#[tokio::test]
async fn guard_may_be_made_with_the_help_of_another_key() {
    let slots: Arc<std::sync::OnceLock<Keyed<u32, ConcurrencyLimiter>>> = Arc::default();
    let keyed = Keyed::new({
        let slots = Arc::clone(&slots);
        move |key: &u32| match (*key, slots.get()) {
            (0, _) | (_, None) => ConcurrencyLimiter::new("slots", 1),
            (key, Some(slots)) => slots.key(&(key - 1)),
        }
    });
    slots.set(keyed.clone()).unwrap();
    keyed.key(&40).resize(7);
    assert_eq!(keyed.key(&0).stats().limit, 7);
}
