use awaitly_core::clock::secs;
use awaitly_core::{DurableRun, Error, Limit, RunError, Workflow, run};
use awaitly_resilience::{CircuitBreaker, Fallback};
use tokio_util::sync::CancellationToken;

use crate::{ApiError, fails, hangs, ok};

#[tokio::test]
async fn fallback_replaces_failure_by_value_function_or_step() {
    let ended = run(async |run| {
        let value = run.step("one", fails).or_value(1).await?;
        let function = run.step("two", fails).or_value_of(|error| error.to_string().len() as u32).await?;
        let step = run.step("three", fails).or_else(|_| run.step("four", ok)).await?;
        let none = run.step("five", ok).or_value(0).await?;
        Ok::<_, Error<ApiError>>((value, function, step, none))
    })
    .await;
    assert_eq!(ended.unwrap(), (1, 4, 7, 7));
}

#[tokio::test(start_paused = true)]
async fn timeouts_and_refusals_are_replaced_and_a_cancellation_is_not() {
    let breaker = CircuitBreaker::new("api");
    breaker.open();
    let ended = run(async |run| {
        let late = run.step("late", hangs).timeout(secs(1)).or_value(1).await?;
        let refused = run.step("refused", ok).guard(&breaker).or_value(2).await?;
        Ok::<_, Error<ApiError>>((late, refused))
    })
    .await;
    assert_eq!(ended.unwrap(), (1, 2));
    let ended = Workflow::new("late").deadline(secs(1)).run("one", one_if_late).await;
    assert!(matches!(ended, Err(RunError::Timeout { limit: Limit::Run, .. })), "{ended:?}");
    let token = CancellationToken::new();
    let workflow = Workflow::new("cancelled").cancel_on(token.clone());
    let body = async |run: &DurableRun| {
        token.cancel();
        one_if_late(run).await
    };
    let ended = workflow.run("one", body).await;
    assert!(matches!(ended, Err(RunError::Cancelled { .. })), "{ended:?}");
}

async fn one_if_late(run: &DurableRun) -> Result<u32, RunError> {
    match run.volatile().step("late", hangs).or_value(1).await {
        Ok(value) => Ok(value),
        Err(Error::Run(error)) => Err(error),
        Err(Error::Failed(error)) => panic!("{error}"),
    }
}
