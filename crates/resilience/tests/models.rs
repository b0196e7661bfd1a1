//! Interleavings: each model runs under thousands of schedules, and a lost wake-up shows as a deadlock.
//!
//! `RUSTFLAGS="--cfg awaitly_models" cargo test -p awaitly-resilience --test models --target-dir target/models`
#![cfg(awaitly_models)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_resilience::circuit_breaker::State;
use awaitly_resilience::single_flight::OwnKey;
use awaitly_resilience::{
    AdaptiveThrottle, Cache, CallError, CircuitBreaker, CombinedLimiter, ConcurrencyLimiter, GuardExt, Keyed,
    RateLimiter, SingleFlight,
};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::thread;

/// Runs `model` under random schedules, and under those that are likely to find a bug of few turns.
fn explore(model: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(model, 4000);
    shuttle::check_pct(model, 4000, 3);
}

/// Begins `call` with each number below `callers`, on a thread of its own.
fn threads<T: Send + 'static>(
    callers: u32,
    call: impl Fn(u32) -> T + Clone + Send + 'static,
) -> Vec<thread::JoinHandle<T>> {
    let begin = |n| {
        let call = call.clone();
        thread::spawn(move || call(n))
    };
    (0..callers).map(begin).collect()
}

fn join<T>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Lets the time pass until `calls` ends.
fn while_time_passes(clock: &VirtualClock, calls: impl FnOnce()) {
    let (clock, done) = (clock.clone(), Arc::new(AtomicBool::new(false)));
    let passing = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            while !done.load(Ordering::SeqCst) {
                clock.advance_to_next();
                thread::yield_now();
            }
        }
    });
    calls();
    done.store(true, Ordering::SeqCst);
    passing.join().unwrap();
}

/// Polls once and drops: a caller that was cancelled in the middle.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

type Never = Result<u32, ()>;

async fn ok() -> Result<u32, ()> {
    Ok(7)
}

async fn yielding() -> Result<u32, ()> {
    yield_now().await;
    Ok(7)
}

/// Counts who is inside, and holds that there are never more than `most`.
#[derive(Clone)]
struct Inside {
    now: Arc<AtomicUsize>,
    most: usize,
}

impl Inside {
    fn new(most: usize) -> Self {
        Self { now: Arc::default(), most }
    }

    async fn stay(&self, ended: Result<u32, ()>) -> Result<u32, ()> {
        let inside = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(inside <= self.most, "{inside} are inside, and {} may be", self.most);
        yield_now().await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        ended
    }
}

fn half_open(probes: u32) -> CircuitBreaker {
    let clock = VirtualClock::new();
    let options = CircuitBreaker::options("model").failures(1).retry_after(secs(1)).probes(probes);
    let breaker = options.clock(clock.clone()).build();
    breaker.record_failure();
    clock.advance(secs(1));
    breaker
}

#[test]
fn probes_are_bounded_and_finally_close_breaker() {
    explore(|| {
        let (breaker, inside) = (half_open(2), Inside::new(2));
        let shared = breaker.clone();
        join(threads(4, move |n| {
            if n == 0 {
                // A probe that is dropped in the middle.
                let _ = poll_once(shared.call(pending::<Never>));
                return;
            }
            // A closed breaker admits any number of calls.
            let is_closed = || shared.state() == State::Closed;
            let inside = if is_closed() { Inside::new(9) } else { inside.clone() };
            let call =
                shared.call(|| async { if is_closed() { ok().await } else { inside.stay(Ok(7)).await } });
            assert!(!matches!(block_on(call), Err(CallError::Failed(()))));
        }));
        for _ in 0..2 {
            assert_eq!(block_on(breaker.call(ok)), Ok(7), "no probe's place was lost");
        }
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn failed_probe_opens_it_whatever_the_others_do() {
    explore(|| {
        let breaker = half_open(3);
        let shared = breaker.clone();
        let ended = join(threads(3, move |n| {
            block_on(shared.call(|| async move {
                yield_now().await;
                if n == 0 { Err(()) } else { Ok(7) }
            }))
        }));
        assert!(ended.contains(&Err(CallError::Failed(()))));
        assert_eq!(breaker.state(), State::Open);
        assert!(block_on(breaker.call(ok)).unwrap_err().is_refused());
    });
}

#[test]
fn window_counts_every_call_that_ends() {
    explore(|| {
        let options = CircuitBreaker::options("model").last_calls(100).failures(100);
        let breaker = options.clock(VirtualClock::new()).build();
        let shared = breaker.clone();
        join(threads(3, move |n| {
            for turn in 0..3 {
                let _ = block_on(shared.call(|| async move {
                    yield_now().await;
                    if turn == n { Err(()) } else { Ok(7) }
                }));
            }
        }));
        let stats = breaker.stats();
        assert_eq!((stats.calls, stats.failures), (9, 3));
        assert_eq!((stats.all_successes, stats.all_failures), (6, 3));
    });
}

#[test]
fn call_meets_state_of_last_change() {
    explore(|| {
        let breaker = CircuitBreaker::options("model").clock(VirtualClock::new()).build();
        let shared = breaker.clone();
        join(threads(2, move |n| if n == 0 { shared.open() } else { shared.close() }));
        let refused = block_on(breaker.call(ok)).is_err();
        assert_eq!(refused, breaker.state() == State::Open);
    });
}

#[test]
fn slot_is_never_lost_and_all_callers_end() {
    explore(|| {
        let (limiter, inside) = (ConcurrencyLimiter::new("model", 2), Inside::new(2));
        let shared = limiter.clone();
        join(threads(5, move |n| {
            if n == 0 {
                let _ = poll_once(shared.call(pending::<Never>));
            } else {
                assert_eq!(block_on(shared.call(|| inside.stay(Ok(7)))), Ok(7));
            }
        }));
        let stats = limiter.stats();
        assert_eq!((stats.running, stats.waiting), (0, 0));
    });
}

#[test]
fn resized_limiter_ends_with_last_number_of_slots() {
    explore(|| {
        let limiter = ConcurrencyLimiter::new("model", 2);
        let shared = limiter.clone();
        let callers = threads(3, move |_| block_on(shared.call(yielding)));
        for limit in [1, 3, 1] {
            limiter.resize(limit);
            thread::yield_now();
        }
        assert_eq!(join(callers), [Ok(7), Ok(7), Ok(7)]);
        assert_eq!((limiter.stats().running, limiter.stats().limit), (0, 1));
        let first = Box::pin(limiter.call(pending::<Never>));
        let mut first = pin!(first);
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(poll_once(limiter.call(ok)).is_pending(), "one slot, and no more");
    });
}

#[test]
fn dropped_waiter_leaves_tokens_for_all_others() {
    explore(|| {
        let clock = VirtualClock::new();
        let limiter = RateLimiter::options("model", 10, secs(1)).burst(1).clock(clock.clone()).build();
        let shared = limiter.clone();
        while_time_passes(&clock, || {
            join(threads(4, move |n| {
                if n == 0 {
                    let _ = poll_once(shared.acquire());
                } else {
                    assert_eq!(block_on(shared.acquire()), Ok(()));
                }
            }));
        });
        assert_eq!((limiter.waiting(), clock.sleepers()), (0, 0));
        assert!(clock.elapsed() >= ms(200), "three tokens take two intervals");
    });
}

#[test]
fn keys_are_forgotten_after_their_last_user() {
    explore(|| {
        let slots = Keyed::new(|_: &u32| ConcurrencyLimiter::new("model", 1));
        let clock = VirtualClock::new();
        let options = RateLimiter::options("model", 1, secs(1)).burst(1).clock(clock.clone());
        let tokens = Keyed::new(move |_: &u32| options.clone().build());
        let shared = (slots.clone(), tokens.clone());
        join(threads(4, move |n| {
            let (slots, tokens) = (shared.0.key(&(n % 2)), shared.1.key(&(n % 2)));
            let _ = poll_once(tokens.acquire());
            assert_eq!(block_on(slots.call(yielding)), Ok(7));
        }));
        slots.forget_idle();
        assert_eq!((slots.keys(), clock.sleepers()), (0, 0));
        assert_eq!((tokens.key(&0).waiting(), tokens.key(&1).waiting()), (0, 0));
    });
}

#[test]
fn callers_share_guard_while_idle_keys_are_forgotten() {
    explore(|| {
        let slots = Keyed::with_capacity(1, |_: &u32| ConcurrencyLimiter::new("model", 1));
        let (shared, inside) = (slots.clone(), Inside::new(1));
        join(threads(3, move |n| {
            if n == 0 {
                shared.forget_idle();
            }
            assert_eq!(block_on(shared.key(&1).call(|| inside.stay(Ok(7)))), Ok(7));
        }));
        slots.forget_idle();
        assert_eq!(slots.keys(), 0);
    });
}

#[test]
fn combined_limiter_loses_no_slot() {
    explore(|| {
        let clock = VirtualClock::new();
        let rate = RateLimiter::options("model", 10, secs(1)).burst(1).clock(clock.clone()).build();
        let limiter = CombinedLimiter::new(rate, ConcurrencyLimiter::new("model", 1));
        let inside = Inside::new(1);
        let call = || {
            let (limiter, inside) = (limiter.clone(), inside.clone());
            spawn(async move { limiter.call(|| inside.stay(Ok(7))).await })
        };
        while_time_passes(&clock, || {
            let calls = [call(), call(), call()];
            let shared = limiter.clone();
            let dropped = spawn(async move { drop(poll_once(shared.call(pending::<Never>))) });
            block_on(async {
                for call in calls {
                    assert_eq!(call.await.unwrap(), Ok(7));
                }
                dropped.await.unwrap();
            });
        });
        assert_eq!(limiter.concurrency().stats().running, 0);
        assert_eq!((limiter.rate().waiting(), clock.sleepers()), (0, 0));
    });
}

#[test]
fn throttle_that_pauses_loses_no_caller_and_no_slot() {
    explore(|| {
        let clock = VirtualClock::new();
        let throttle: AdaptiveThrottle =
            AdaptiveThrottle::options("model").start(1).bounds(1, 1).clock(clock.clone()).build();
        let (shared, inside) = (throttle.clone(), Inside::new(1));
        while_time_passes(&clock, || {
            join(threads(4, move |n| match n {
                0 => shared.pause(ms(100)),
                1 => drop(poll_once(shared.call(pending::<Never>))),
                _ => assert_eq!(block_on(shared.call(|| inside.stay(Ok(7)))), Ok(7)),
            }));
        });
        let stats = throttle.stats();
        assert_eq!((stats.running, stats.waiting, clock.sleepers()), (0, 0, 0));
    });
}

#[test]
fn one_caller_of_shared_flight_calls_and_all_end() {
    explore(|| {
        let (flights, calls) = (SingleFlight::<u32, u32, ()>::new(), Arc::new(AtomicUsize::new(0)));
        let shared = (flights.clone(), Arc::clone(&calls));
        join(threads(4, move |n| {
            let (flights, calls) = &shared;
            if n == 0 {
                // Dropped in the middle: the next in line calls.
                let _ = poll_once(flights.call(1, pending::<Never>));
                return;
            }
            let inside = Inside::new(1);
            let call = flights.call(1, || {
                calls.fetch_add(1, Ordering::SeqCst);
                inside.stay(Ok(7))
            });
            assert_eq!(block_on(call), Ok(7));
        }));
        assert!((1..=3).contains(&calls.load(Ordering::SeqCst)));
        assert_eq!(flights.in_flight(), 0, "nothing is left behind");
    });
}

#[test]
fn operations_waiting_on_each_other_end() {
    explore(|| {
        let flights = SingleFlight::<u32, u32, ()>::new();
        let shared = flights.clone();
        let ended = join(threads(2, move |key| {
            block_on(shared.call(key, || async {
                yield_now().await;
                shared.call(1 - key, ok).await.map_err(|error| error.or(|OwnKey| ()))
            }))
        }));
        for ended in ended {
            assert!(matches!(ended, Ok(7) | Err(CallError::Failed(()))), "{ended:?}");
        }
        assert_eq!(flights.in_flight(), 0);
        assert_eq!(block_on(flights.call(1, || async { Ok(flights.call(2, ok).await.unwrap()) })), Ok(7));
    });
}

#[test]
fn inserted_value_survives_pending_call() {
    explore(|| {
        let users: Cache<u32, u32, ()> = Cache::options(9).clock(VirtualClock::new()).build();
        let caller = thread::spawn({
            let users = users.clone();
            move || {
                block_on(users.call(1, || async {
                    yield_now().await;
                    Ok(0)
                }))
            }
        });
        users.insert(1, 7);
        let answered = caller.join().unwrap();
        assert!(answered == Ok(0) || answered == Ok(7));
        assert_eq!(users.get(&1), Some(7));
        let began = Arc::new(AtomicBool::new(false));
        let caller = thread::spawn({
            let (users, began) = (users.clone(), Arc::clone(&began));
            move || {
                block_on(users.call(2, || async {
                    began.store(true, Ordering::SeqCst);
                    yield_now().await;
                    Ok(0)
                }))
            }
        });
        let under_way = began.load(Ordering::SeqCst);
        users.clear();
        assert_eq!(caller.join().unwrap(), Ok(0));
        assert!(users.get(&1).is_none() && !(under_way && users.get(&2).is_some()));
    });
}
