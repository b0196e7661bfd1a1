//! Interleavings: each model runs under thousands of schedules, and a lost wake-up shows as a deadlock.
//!
//! `RUSTFLAGS="--cfg awaitly_models" cargo test -p awaitly-resilience --test models --target-dir target/models`
#![cfg(awaitly_models)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_resilience::circuit_breaker::{State, Window};
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

/// Polls once and drops: a caller that was cancelled in the middle.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

type Never = Result<u32, ()>;

async fn ok() -> Result<u32, ()> {
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
        let callers: Vec<_> = (0..4)
            .map(|n| {
                let (breaker, inside) = (breaker.clone(), inside.clone());
                thread::spawn(move || {
                    if n == 0 {
                        // A probe that is dropped in the middle.
                        let _ = poll_once(breaker.call(std::future::pending::<Never>));
                        return;
                    }
                    // Once it is closed there is no bound any more; until then there is.
                    let inside = if breaker.state() == State::Closed { Inside::new(9) } else { inside };
                    match block_on(breaker.call(|| async {
                        let ended = if breaker.state() == State::Closed {
                            ok().await
                        } else {
                            inside.stay(Ok(7)).await
                        };
                        ended
                    })) {
                        Ok(_) | Err(CallError::Refused(_)) => {}
                        Err(CallError::Failed(())) => unreachable!("none fails"),
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
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
        let callers: Vec<_> = (0..3)
            .map(|n| {
                let breaker = breaker.clone();
                thread::spawn(move || {
                    block_on(breaker.call(|| async move {
                        yield_now().await;
                        if n == 0 { Err(()) } else { Ok(7) }
                    }))
                })
            })
            .collect();
        let ended: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(ended.contains(&Err(CallError::Failed(()))));
        assert_eq!(breaker.state(), State::Open);
        assert!(block_on(breaker.call(ok)).unwrap_err().is_refused());
    });
}

#[test]
fn window_counts_every_call_that_ends() {
    explore(|| {
        let options = CircuitBreaker::options("model").window(Window::Calls(100)).failures(100);
        let breaker = options.clock(VirtualClock::new()).build();
        let callers: Vec<_> = (0..3)
            .map(|n| {
                let breaker = breaker.clone();
                thread::spawn(move || {
                    for turn in 0..3 {
                        let _ = block_on(breaker.call(|| async move {
                            yield_now().await;
                            if turn == n { Err(()) } else { Ok(7) }
                        }));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        let stats = breaker.stats();
        assert_eq!((stats.calls, stats.failures), (9, 3));
        assert_eq!((stats.all_successes, stats.all_failures), (6, 3));
    });
}

#[test]
fn call_meets_state_of_last_change() {
    explore(|| {
        let breaker = CircuitBreaker::options("model").clock(VirtualClock::new()).build();
        let changers: Vec<_> = (0..2)
            .map(|n| {
                let breaker = breaker.clone();
                thread::spawn(move || if n == 0 { breaker.open() } else { breaker.close() })
            })
            .collect();
        changers.into_iter().for_each(|changer| changer.join().unwrap());
        let refused = block_on(breaker.call(ok)).is_err();
        assert_eq!(refused, breaker.state() == State::Open);
    });
}

#[test]
fn slot_is_never_lost_and_all_callers_end() {
    explore(|| {
        let (limiter, inside) = (ConcurrencyLimiter::new("model", 2), Inside::new(2));
        let callers: Vec<_> = (0..5)
            .map(|n| {
                let (limiter, inside) = (limiter.clone(), inside.clone());
                thread::spawn(move || {
                    if n == 0 {
                        let _ = poll_once(limiter.call(std::future::pending::<Never>));
                    } else {
                        assert_eq!(block_on(limiter.call(|| inside.stay(Ok(7)))), Ok(7));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        let stats = limiter.stats();
        assert_eq!((stats.running, stats.waiting), (0, 0));
    });
}

#[test]
fn resized_limiter_ends_with_last_number_of_slots() {
    explore(|| {
        let limiter = ConcurrencyLimiter::new("model", 2);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let limiter = limiter.clone();
                thread::spawn(move || {
                    block_on(limiter.call(|| async {
                        yield_now().await;
                        ok().await
                    }))
                })
            })
            .collect();
        for limit in [1, 3, 1] {
            limiter.resize(limit);
            thread::yield_now();
        }
        callers.into_iter().for_each(|caller| assert_eq!(caller.join().unwrap(), Ok(7)));
        assert_eq!((limiter.stats().running, limiter.stats().limit), (0, 1));
        let first = Box::pin(limiter.call(std::future::pending::<Never>));
        let mut first = pin!(first);
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(poll_once(limiter.call(ok)).is_pending(), "one slot, and no more");
    });
}

/// Lets the time pass until `done`.
fn pass(clock: &VirtualClock, done: &AtomicBool) {
    while !done.load(Ordering::SeqCst) {
        clock.advance_to_next();
        thread::yield_now();
    }
}

#[test]
fn dropped_waiter_leaves_tokens_for_all_others() {
    explore(|| {
        let (clock, done) = (VirtualClock::new(), Arc::new(AtomicBool::new(false)));
        let limiter = RateLimiter::options("model", 10, secs(1)).burst(1).clock(clock.clone()).build();
        let passing = thread::spawn({
            let (clock, done) = (clock.clone(), Arc::clone(&done));
            move || pass(&clock, &done)
        });
        let callers: Vec<_> = (0..4)
            .map(|n| {
                let limiter = limiter.clone();
                thread::spawn(move || {
                    if n == 0 {
                        let _ = poll_once(limiter.acquire());
                    } else {
                        assert_eq!(block_on(limiter.acquire()), Ok(()));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        done.store(true, Ordering::SeqCst);
        passing.join().unwrap();
        assert_eq!((limiter.stats().waiting, clock.sleepers()), (0, 0));
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
        let callers: Vec<_> = (0..4_u32)
            .map(|n| {
                let (slots, tokens) = (slots.key(&(n % 2)), tokens.key(&(n % 2)));
                thread::spawn(move || {
                    let _ = poll_once(tokens.acquire());
                    let call = slots.call(|| async {
                        yield_now().await;
                        ok().await
                    });
                    assert_eq!(block_on(call), Ok(7));
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        slots.forget_idle();
        assert_eq!((slots.keys(), clock.sleepers()), (0, 0));
        assert_eq!((tokens.key(&0).stats().waiting, tokens.key(&1).stats().waiting), (0, 0));
    });
}

#[test]
fn callers_share_guard_while_idle_keys_are_forgotten() {
    explore(|| {
        let slots = Keyed::with_capacity(1, |_: &u32| ConcurrencyLimiter::new("model", 1));
        let inside = Inside::new(1);
        let callers: Vec<_> = (0..3)
            .map(|n| {
                let (slots, inside) = (slots.clone(), inside.clone());
                thread::spawn(move || {
                    if n == 0 {
                        slots.forget_idle();
                    }
                    assert_eq!(block_on(slots.key(&1).call(|| inside.stay(Ok(7)))), Ok(7));
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        slots.forget_idle();
        assert_eq!(slots.keys(), 0);
    });
}

#[test]
fn combined_limiter_loses_no_slot() {
    explore(|| {
        let (clock, done) = (VirtualClock::new(), Arc::new(AtomicBool::new(false)));
        let rate = RateLimiter::options("model", 10, secs(1)).burst(1).clock(clock.clone()).build();
        let limiter = CombinedLimiter::new(rate, ConcurrencyLimiter::new("model", 1));
        let inside = Inside::new(1);
        let passing = thread::spawn({
            let (clock, done) = (clock.clone(), Arc::clone(&done));
            move || pass(&clock, &done)
        });
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let (limiter, inside) = (limiter.clone(), inside.clone());
                spawn(async move { limiter.call(|| inside.stay(Ok(7))).await })
            })
            .collect();
        let dropped = spawn({
            let limiter = limiter.clone();
            async move { drop(poll_once(limiter.call(std::future::pending::<Never>))) }
        });
        block_on(async {
            for call in calls {
                assert_eq!(call.await.unwrap(), Ok(7));
            }
            dropped.await.unwrap();
        });
        done.store(true, Ordering::SeqCst);
        passing.join().unwrap();
        assert_eq!(limiter.concurrency().stats().running, 0);
        assert_eq!((limiter.rate().stats().waiting, clock.sleepers()), (0, 0));
    });
}

#[test]
fn throttle_that_pauses_loses_no_caller_and_no_slot() {
    explore(|| {
        let (clock, done) = (VirtualClock::new(), Arc::new(AtomicBool::new(false)));
        let throttle: AdaptiveThrottle =
            AdaptiveThrottle::options("model").start(1).bounds(1, 1).clock(clock.clone()).build();
        let inside = Inside::new(1);
        let passing = thread::spawn({
            let (clock, done) = (clock.clone(), Arc::clone(&done));
            move || pass(&clock, &done)
        });
        let callers: Vec<_> = (0..4)
            .map(|n| {
                let (throttle, inside) = (throttle.clone(), inside.clone());
                thread::spawn(move || match n {
                    0 => throttle.pause(ms(100)),
                    1 => drop(poll_once(throttle.call(std::future::pending::<Never>))),
                    _ => assert_eq!(block_on(throttle.call(|| inside.stay(Ok(7)))), Ok(7)),
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        done.store(true, Ordering::SeqCst);
        passing.join().unwrap();
        let stats = throttle.stats();
        assert_eq!((stats.running, stats.waiting, clock.sleepers()), (0, 0, 0));
    });
}

#[test]
fn one_caller_of_shared_flight_calls_and_all_end() {
    explore(|| {
        let (flights, calls) = (SingleFlight::<u32, u32, ()>::new(), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..4)
            .map(|n| {
                let (flights, calls) = (flights.clone(), Arc::clone(&calls));
                thread::spawn(move || {
                    if n == 0 {
                        // Dropped in the middle: the next in line calls.
                        let _ = poll_once(flights.call(1, std::future::pending::<Never>));
                        return;
                    }
                    let inside = Inside::new(1);
                    let call = flights.call(1, || {
                        calls.fetch_add(1, Ordering::SeqCst);
                        inside.stay(Ok(7))
                    });
                    assert_eq!(block_on(call), Ok(7));
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert!((1..=3).contains(&calls.load(Ordering::SeqCst)));
        assert_eq!(flights.in_flight(), 0, "nothing is left behind");
    });
}

#[test]
fn operations_waiting_on_each_other_end() {
    explore(|| {
        let flights = SingleFlight::<u32, u32, ()>::new();
        let callers: Vec<_> = [(1, 2), (2, 1)]
            .into_iter()
            .map(|(key, other)| {
                let flights = flights.clone();
                thread::spawn(move || {
                    let call = flights.call(key, || async {
                        yield_now().await;
                        flights.call(other, ok).await.map_err(|error| error.or(|OwnKey| ()))
                    });
                    block_on(call)
                })
            })
            .collect();
        for caller in callers {
            let ended = caller.join().unwrap();
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
