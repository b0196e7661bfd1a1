//! What a call that succeeds costs with each of awaitly's policies around it, beside the same with the crate that
//! people would use instead, in one process, turn by turn.
//!
//! Standard output carries one JSON object per line, in the form of the bench program's rows. The value is ours and
//! the floor is theirs, both in nanoseconds per call, with the call itself.

use std::future::Future;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use awaitly::resilience::{CircuitBreaker, ConcurrencyLimiter, GuardExt, Keyed, RateLimiter};
use awaitly::{Retry, RunError, run, step};
use backon::{ConstantBuilder, Retryable};
use recloser::{AsyncRecloser, Recloser};
use serde::Serialize;
use tokio::runtime::Runtime;

const CALLS: u32 = 1_000_000;
const TURNS: usize = 11;

#[derive(Serialize)]
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    floor: Option<f64>,
    ratio: Option<f64>,
    bar: Option<String>,
    holds: bool,
}

impl Row {
    /// Ours beside theirs, which it has to be at most so many times.
    fn beside(name: &str, (ours, theirs): (f64, f64), most: f64) -> Self {
        let ratio = ours / theirs;
        Self {
            name: name.to_owned(),
            value: ours,
            unit: "ns",
            floor: Some(theirs),
            ratio: Some(ratio),
            bar: Some(format!("<= {most} x")),
            holds: ratio <= most,
        }
    }

    fn alone(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, unit: "ns", floor: None, ratio: None, bar: None, holds: true }
    }
}

async fn call() -> Result<u64, RunError> {
    black_box(Ok(1))
}

/// The fastest of all turns, per call, of two loops that take turns: what disturbs makes a turn slower, never
/// faster.
fn fastest(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (f64, f64) {
    let (mut least_ours, mut least_theirs) = (f64::MAX, f64::MAX);
    for _ in 0..TURNS {
        least_ours = least_ours.min(timed(&mut ours));
        least_theirs = least_theirs.min(timed(&mut theirs));
    }
    (least_ours, least_theirs)
}

fn timed(work: &mut impl FnMut()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// Awaits as many futures as there are calls, one after the other.
fn awaiting<F: Future>(runtime: &Runtime, make: impl Fn() -> F) -> impl FnMut() {
    move || {
        runtime.block_on(async {
            for _ in 0..CALLS {
                black_box(make().await);
            }
        });
    }
}

fn repeating<T>(act: impl Fn(u32) -> T) -> impl FnMut() {
    move || {
        for turn in 0..CALLS {
            black_box(act(turn));
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = &runtime.expect("a runtime on this thread");
    let rows = [retries(runtime), breakers(runtime), limiters(runtime), together(runtime)];
    for row in rows.iter().flatten() {
        println!("{}", serde_json::to_string(row).expect("a row has a JSON form"));
    }
}

// The same for all three: two more attempts, a fixed delay.
fn retries(runtime: &Runtime) -> Vec<Row> {
    let delay = Duration::from_millis(100);
    let retry = Retry::fixed(delay);
    let ours = || awaiting(runtime, || retry.call(call));
    let tokio_retry2 = awaiting(runtime, || {
        let delays = tokio_retry2::strategy::FixedInterval::new(delay).take(2);
        tokio_retry2::Retry::spawn(delays, async || call().await.map_err(tokio_retry2::RetryError::transient))
    });
    let backon = awaiting(runtime, || call.retry(ConstantBuilder::new().with_delay(delay).with_max_times(2)));
    let (bare, _) = fastest(awaiting(runtime, call), || {});
    vec![
        Row::alone("a bare call", bare),
        Row::beside("retry alone, beside tokio-retry2 0.9.1", fastest(ours(), tokio_retry2), 1.0),
        Row::beside("retry alone, beside backon 1.6.0", fastest(ours(), backon), 1.0),
    ]
}

fn breakers(runtime: &Runtime) -> Vec<Row> {
    let theirs = AsyncRecloser::from(Recloser::default());
    let recloser = || awaiting(runtime, || theirs.call(call()));
    let counts = CircuitBreaker::new("counts");
    // What recloser does: the rate of the last hundred calls.
    let rate = CircuitBreaker::options("rate").last_calls(100).failure_rate(0.5, 100).build();
    let (ours, open) =
        (CircuitBreaker::new("open"), Recloser::custom().open_wait(Duration::from_secs(3600)).build());
    ours.open();
    for _ in 0..1000 {
        let _ = open.call(|| Err::<(), _>(()));
    }
    let open = AsyncRecloser::from(open);
    vec![
        Row::beside(
            "breaker closed, beside recloser 1.4.0",
            fastest(awaiting(runtime, || counts.call(call)), recloser()),
            1.0,
        ),
        Row::beside(
            "breaker closed, by rate, beside recloser 1.4.0",
            fastest(awaiting(runtime, || rate.call(call)), recloser()),
            1.0,
        ),
        Row::beside(
            "breaker open, beside recloser 1.4.0",
            fastest(awaiting(runtime, || ours.call(call)), awaiting(runtime, || open.call(call()))),
            0.5,
        ),
    ]
}

fn limiters(runtime: &Runtime) -> Vec<Row> {
    let plenty = NonZeroU32::MAX;
    let quota = governor::Quota::per_second(plenty);
    let (ours, theirs) = (limiter(), governor::RateLimiter::direct(quota));
    let keys = Keyed::new(|_: &u32| limiter());
    let their_keys = governor::RateLimiter::keyed(quota);
    let slots = ConcurrencyLimiter::new("slots", 10);
    let (slots, bare) = fastest(awaiting(runtime, || slots.call(call)), awaiting(runtime, call));
    vec![
        Row::beside(
            "limiter, beside governor 0.10.4's check",
            fastest(repeating(|_| ours.try_acquire()), repeating(|_| theirs.check())),
            1.3,
        ),
        Row {
            bar: None,
            holds: true,
            ..Row::beside(
                "limiter of 64 keys, beside governor's check_key",
                fastest(
                    repeating(|turn| keys.key(&(turn % 64)).try_acquire()),
                    repeating(|turn| their_keys.check_key(&(turn % 64))),
                ),
                1.3,
            )
        },
        Row::alone("concurrency limiter, above the bare call", slots - bare),
    ]
}

fn limiter() -> RateLimiter {
    RateLimiter::options("plenty", u32::MAX, Duration::from_secs(1)).build()
}

/// All of them around one step, beside the sum of what each of them costs.
fn together(runtime: &Runtime) -> Vec<Row> {
    let (breaker, limiter) = (&CircuitBreaker::new("together"), &limiter());
    let (retry, second) = (|| Retry::exponential(Duration::from_millis(100)), Duration::from_secs(1));
    macro_rules! steps {
        ($($option:tt)*) => {
            || {
                let sum = runtime.block_on(run(async |run| {
                    for _ in 0..CALLS {
                        black_box(step!(run, "call", $($option)* call()));
                    }
                    Ok::<_, RunError>(())
                }));
                let _ = black_box(sum);
            }
        };
    }
    let all = steps!(retry = retry(), timeout = second, guard = breaker, guard = limiter,);
    let (all, bare) = fastest(all, awaiting(runtime, call));
    let (retried, timed) = fastest(steps!(retry = retry(),), steps!(timeout = second,));
    let (broken, limited) =
        fastest(awaiting(runtime, || breaker.call(call)), awaiting(runtime, || limiter.call(call)));
    let (step, _) = fastest(steps!(), || {});
    let sum = (retried - bare) + (timed - step) + (broken - bare) + (limited - bare);
    vec![Row::beside("retry, timeout, breaker, limiter, above bare", (all - bare, sum), 1.0)]
}
