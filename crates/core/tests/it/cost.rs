//! What a step costs, as far as that is a fact and not a measurement: allocations and sizes.

use std::future::IntoFuture;

use allocation_counter::measure;
use awaitly_core::clock::{ms, secs};
use awaitly_core::journal::Key;
use awaitly_core::{Retry, RunError, run, step};

async fn call(n: u64) -> Result<u64, RunError> {
    Ok(n + 1)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// How many allocations a hundred more steps cost.
fn allocations(hundred: &impl AsyncFn(&awaitly_core::Run) -> Result<u64, RunError>) -> u64 {
    block_on(async {
        run(async |run| {
            hundred(run).await?;
            let mut counted = 0;
            // The future is made and polled inside of the measurement; it never has to wait.
            let info = measure(|| {
                let mut steps = std::pin::pin!(hundred(run));
                let waker = std::task::Waker::noop();
                let polled = steps.as_mut().poll(&mut std::task::Context::from_waker(waker));
                assert!(polled.is_ready());
            });
            counted += info.count_total;
            Ok::<_, RunError>(counted)
        })
        .await
        .unwrap()
    })
}

#[test]
fn plain_step_does_not_allocate() {
    let count = allocations(&async |run| {
        let mut sum = 0;
        for n in 0..100 {
            sum += step!(run, call(n));
        }
        Ok(sum)
    });
    assert_eq!(count, 0);
}

#[test]
fn literal_name_and_key_do_not_allocate() {
    const NAME: Key = Key::from_static("a name in a constant");
    let count = allocations(&async |run| {
        let mut sum = 0;
        for n in 0..100 {
            sum += step!(run, "a rather long name in the source", key = "and its key", call(n));
            sum += step!(run, NAME, call(n));
            sum += run.step("built", || call(n)).await.unwrap();
        }
        Ok(sum)
    });
    assert_eq!(count, 0);
}

#[test]
fn first_attempt_with_retry_and_timeout_does_not_allocate() {
    let count = allocations(&async |run| {
        let mut sum = 0;
        for n in 0..100 {
            sum += step!(run, "call", retry = Retry::exponential(ms(100)), timeout = secs(1), call(n));
        }
        Ok(sum)
    });
    assert_eq!(count, 0);
}

#[test]
fn step_future_with_retry_and_timeout_is_small() {
    async fn large(_: [u8; 1000]) -> Result<u64, RunError> {
        let buffer = [1_u8; 2000];
        tokio::task::yield_now().await;
        Ok(u64::from(buffer[7]))
    }
    block_on(run(async |run| {
        let callers = size_of_val(&large([0; 1000]));
        let retry = Retry::exponential(ms(100)).when(|_: &RunError| true);
        let step = run.step("large", || large([0; 1000])).retry(retry).timeout(secs(1));
        let ours = size_of_val(&step.into_future());
        println!("the caller's future {callers} bytes, the step's {ours}: {} above", ours - callers);
        assert!(ours - callers <= 256, "{ours} bytes, {} above the caller's {callers}", ours - callers);
        Ok::<_, RunError>(())
    }))
    .unwrap();
}
