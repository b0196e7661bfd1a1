//! A step in memory, above the bare call.

use std::hint::black_box;

use awaitly::clock::{ms, secs};
use awaitly::{Retry, RunError, run, step};

use crate::measure::{block_on, ns_each};
use crate::row::Row;

const CALLS: u64 = 2_000_000;
const TURNS: usize = 11;

async fn call(n: u64) -> Result<u64, RunError> {
    black_box(Ok(n + 1))
}

/// The floor: the same body without steps.
fn bare(n: u64) {
    let sum = block_on(run(async |_| {
        let mut sum = 0_u64;
        for i in 0..n {
            sum = sum.wrapping_add(black_box(call(black_box(i))).await?);
        }
        Ok::<_, RunError>(sum)
    }));
    let _ = black_box(sum);
}

fn plain(n: u64) {
    let sum = block_on(run(async |run| {
        let mut sum = 0_u64;
        for i in 0..n {
            sum = sum.wrapping_add(step!(run, call(black_box(i))));
        }
        Ok::<_, RunError>(sum)
    }));
    let _ = black_box(sum);
}

fn with_retry(n: u64) {
    let sum = block_on(run(async |run| {
        let mut sum = 0_u64;
        for i in 0..n {
            sum =
                sum.wrapping_add(step!(run, "call", retry = Retry::exponential(ms(100)), call(black_box(i))));
        }
        Ok::<_, RunError>(sum)
    }));
    let _ = black_box(sum);
}

fn with_retry_and_timeout(n: u64) {
    let sum = block_on(run(async |run| {
        let mut sum = 0_u64;
        for i in 0..n {
            let value = step!(
                run,
                "call",
                retry = Retry::exponential(ms(100)),
                timeout = secs(1),
                call(black_box(i))
            );
            sum = sum.wrapping_add(value);
        }
        Ok::<_, RunError>(sum)
    }));
    let _ = black_box(sum);
}

pub(crate) fn measure() -> Vec<Row> {
    let above = |name: &str, ours: fn(u64), bar: Option<f64>| {
        let (floor, ours) = ns_each(CALLS, TURNS, bare, ours);
        let row = Row::plain(name, (ours - floor).max(0.0), "ns");
        let row = Row { floor: Some(floor), ..row };
        bar.map_or(row.clone(), |bar| row.at_most(bar))
    };
    vec![
        above("step, above the bare call", plain, Some(20.0)),
        above("step with retry, above the bare call", with_retry, None),
        above("step with retry and timeout, above", with_retry_and_timeout, None),
    ]
}
