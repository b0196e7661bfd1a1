use std::sync::Arc;

use awaitly_core::{DurableRun, Error, Run, RunError, Workflow, run, step};

use crate::world::{AppError, Service, ServiceError};

#[tokio::test]
async fn a_failing_step_returns_from_the_function_around_it() {
    let service = Service::failing([ServiceError::Declined(3)]);
    let result = run(async |run| {
        let value = step!(run, service.call());
        unreachable!("{value}");
        #[expect(unreachable_code, reason = "it gives the block its type")]
        Ok::<u32, AppError>(value)
    })
    .await;
    assert_eq!(result, Err(AppError::Service(ServiceError::Declined(3))));
}

#[tokio::test]
async fn a_step_may_move_what_it_names_and_borrow_it_mutably() {
    async fn consume(text: String) -> Result<usize, ServiceError> {
        Ok(text.len())
    }
    async fn extend(text: &mut String, with: &str) -> Result<(), ServiceError> {
        text.push_str(with);
        Ok(())
    }
    let result = run(async |run| {
        let mut text = String::from("a");
        step!(run, extend(&mut text, "b"));
        step!(run, "again", extend(&mut text, &format!("{}", 1)));
        let length = step!(run, consume(text));
        Ok::<_, AppError>(length)
    })
    .await;
    assert_eq!(result, Ok(3));
}

#[tokio::test]
async fn a_step_with_retry_may_borrow_and_use_temporaries() {
    async fn length(text: &str) -> Result<usize, ServiceError> {
        Ok(text.len())
    }
    let text = String::from("abc");
    let retry = awaitly_core::Retry::fixed(awaitly_core::clock::ms(1));
    let result = run(async |run| {
        let length = step!(run, "length", retry = retry, length(&format!("{text}!")));
        Ok::<_, AppError>(length)
    })
    .await;
    assert_eq!(result, Ok(4));
}

#[tokio::test]
async fn a_run_can_be_spawned() {
    async fn helper(run: &Run, service: &Service) -> Result<u32, AppError> {
        Ok(step!(run, service.call()))
    }
    let service = Arc::new(Service::default());
    let spawned = tokio::spawn({
        let service = Arc::clone(&service);
        async move {
            run(async |run| {
                let first = helper(run, &service).await?;
                let second = step!(run, "second", timeout = awaitly_core::clock::secs(1), service.call());
                Ok::<_, AppError>(first + second)
            })
            .await
        }
    });
    assert_eq!(spawned.await.unwrap(), Ok(3));
}

#[tokio::test]
async fn a_durable_run_can_be_spawned() {
    async fn body(run: &DurableRun, service: &Service) -> Result<u32, AppError> {
        let value = step!(run, service.call());
        let fresh = step!(run.volatile(), "fresh", service.call());
        Ok(value + fresh)
    }
    let spawned = tokio::spawn(async {
        let service = Service::default();
        Workflow::new("w").run("r", async |run| body(run, &service).await).await
    });
    assert_eq!(spawned.await.unwrap(), Ok(3));
}

#[tokio::test]
async fn the_error_of_the_function_may_be_erased_or_have_no_room_for_run_errors() {
    let service = || Service::failing([ServiceError::Down]);
    let failing = service();
    let erased = run(async |run| Ok::<_, anyhow::Error>(step!(run, failing.call()))).await;
    assert!(erased.unwrap_err().is::<ServiceError>());

    let failing = service();
    let boxed =
        run(async |run| Ok::<_, Box<dyn std::error::Error + Send + Sync>>(step!(run, failing.call()))).await;
    assert!(boxed.unwrap_err().is::<ServiceError>());

    let failing = service();
    let narrow = run(async |run| {
        step!(run.sleep("pause", std::time::Duration::ZERO));
        Ok::<_, Error<ServiceError>>(step!(run, failing.call()))
    })
    .await;
    assert_eq!(narrow, Err(Error::Failed(ServiceError::Down)));
}

#[tokio::test]
async fn awaiting_the_builder_gives_the_steps_own_result() {
    let service = Service::failing([ServiceError::Declined(1)]);
    let result = run(async |run| {
        let looked_at = run.step("look", || service.call()).await;
        assert_eq!(looked_at, Err(Error::Failed(ServiceError::Declined(1))));
        Ok::<_, RunError>("went on")
    })
    .await;
    assert_eq!(result, Ok("went on"));
}

#[tokio::test]
async fn nothing_happens_before_a_step_is_awaited() {
    let service = Service::default();
    run(async |run| {
        let step = run.step("call", || service.call());
        assert_eq!(service.calls(), 0);
        drop(step);
        assert_eq!(service.calls(), 0);
        Ok::<_, RunError>(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_skipped_step_calls_nothing() {
    let service = Service::default();
    let result = run(async |run| {
        let skipped = step!(run, "call", when = false, service.call());
        let taken = step!(run, "call", unless = false, service.call());
        let default = step!(run.step("call", || service.call()).when(false).or(9));
        Ok::<_, AppError>((skipped, taken, default))
    })
    .await;
    assert_eq!(result, Ok((None, Some(1), 9)));
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn options_are_evaluated_before_the_operation_takes_what_it_names() {
    async fn ship(sku: String) -> Result<usize, ServiceError> {
        Ok(sku.len())
    }
    let result = run(async |run| {
        let mut total = 0;
        for sku in ["tea".to_owned(), "mugs".to_owned()] {
            total += step!(run, "ship", key = format!("ship:{sku}"), input = &sku, ship(sku));
        }
        Ok::<_, AppError>(total)
    })
    .await;
    assert_eq!(result, Ok(7));
}

#[tokio::test]
async fn a_policy_for_an_error_that_cannot_be_cloned_can_be() {
    #[derive(Debug, thiserror::Error)]
    #[error("io")]
    struct NotClone(#[from] std::io::Error);
    let policy = awaitly_core::Retry::fixed(awaitly_core::clock::ms(1)).when(|_: &NotClone| false);
    let failing = async || Err::<u32, _>(NotClone(std::io::ErrorKind::NotFound.into()));
    let result = run(async |run| run.step("io", failing).retry(policy.clone()).await).await;
    assert!(matches!(result, Err(Error::Failed(NotClone(_)))));
}
