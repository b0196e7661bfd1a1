//! Values that no store keeps.

use std::time::Duration;

use awaitly_core::clock::mins;
use awaitly_core::store::StoreError;
use awaitly_core::{DurableRun, Error, RunError, step};
use awaitly_engine::{Contract, RunExt, Worker};

use crate::world::{SUM, memory, sum, work};

const LONG: Duration = mins(10);

const fn is_refused(error: &RunError) -> bool {
    matches!(error, RunError::Store(StoreError::Unstorable { .. }))
}

#[tokio::test(start_paused = true)]
async fn refused_item_of_a_stream_is_an_error_that_the_body_handles() {
    const LOG: Contract<usize, bool, RunError> = Contract::new("log");
    let (store, client) = memory();
    let log = async |run: DurableRun, bytes: usize| {
        let appended = run.stream("log").append(&"x".repeat(bytes)).await;
        run.publish("progress", &1).await?;
        Ok(appended.is_err_and(|error| is_refused(&error)))
    };
    let worker = Worker::new(store).serve(LOG, log);
    let run = client.start(LOG, "a", &2_000_000).await.unwrap();
    let result = tokio::time::timeout(LONG, work(&worker, run.result())).await;
    assert_eq!(result.expect("the run ends"), Ok(true));
}

#[tokio::test(start_paused = true)]
async fn refused_child_fails_its_step() {
    const PARENT: Contract<usize, u64, Error<RunError>> = Contract::new("parent");
    let (store, client) = memory();
    let parent = async |run: DurableRun, bytes: usize| {
        Ok(step!(run.child(SUM, "sum", &vec![1]).queue_key("k".repeat(bytes))))
    };
    let worker = Worker::new(store).serve(PARENT, parent).serve(SUM, sum);
    let run = client.start(PARENT, "a", &600).await.unwrap();
    let result = tokio::time::timeout(LONG, work(&worker, run.result())).await.expect("the run ends");
    assert!(matches!(&result, Err(Error::Run(error)) if is_refused(error)), "{result:?}");
}
