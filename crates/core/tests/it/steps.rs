use std::sync::Arc;

use awaitly_core::{DurableRun, Error, FromStep, Run, RunError, Workflow, parallel, race, run, step};

use crate::world::{AppError, Service, ServiceError};

#[tokio::test]
async fn failing_step_returns_from_the_function_around_it() {
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
async fn step_may_move_or_mutably_borrow_arguments() {
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
async fn step_with_retry_may_borrow_and_use_temporaries() {
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
async fn run_can_be_spawned() {
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
async fn durable_run_can_be_spawned() {
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
async fn function_error_may_be_erased_or_step_error() {
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
async fn step_without_await_makes_no_call() {
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
async fn skipped_step_makes_no_call() {
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
async fn options_are_evaluated_before_operation_moves_arguments() {
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
async fn retry_for_non_clone_error_can_be_cloned() {
    #[derive(Debug, thiserror::Error)]
    #[error("io")]
    struct NotClone(#[from] std::io::Error);
    let policy = awaitly_core::Retry::fixed(awaitly_core::clock::ms(1)).when(|_: &NotClone| false);
    let failing = async || Err::<u32, _>(NotClone(std::io::ErrorKind::NotFound.into()));
    let result = run(async |run| run.step("io", failing).retry(policy.clone()).await).await;
    assert!(matches!(result, Err(Error::Failed(NotClone(_)))));
}

#[tokio::test]
async fn borrowed_text_names_steps_in_macros() {
    async fn ship(run: &Run, sku: &str, skus: &[&str]) -> Result<Vec<String>, RunError> {
        step!(run, sku, async { Ok::<_, RunError>(1) });
        step!(run, &format!("{sku}!"), key = &*sku.to_uppercase(), async { Ok::<_, RunError>(1) });
        for sku in skus {
            step!(run, sku, async { Ok::<_, RunError>(1) });
        }
        parallel!(run, sku, { a: async { Ok::<_, RunError>(1) } });
        race!(run, sku, { async { Ok::<_, RunError>(1) } });
        Ok(Vec::new())
    }
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keys = Arc::clone(&seen);
    let observe = move |event: &awaitly_core::event::Event| {
        if let awaitly_core::event::EventKind::StepStarted { step, .. } = &event.kind {
            keys.lock().unwrap().push((step.name.to_string(), step.key.to_string()));
        }
    };
    let workflow = Workflow::new("ship").observe(observe);
    let body = async |run: &DurableRun| ship(&run.volatile(), &String::from("tea"), &["milk"]).await;
    assert_eq!(workflow.run("order-42", body).await, Ok(Vec::new()));
    let seen: Vec<_> = seen.lock().unwrap().iter().map(|(name, key)| format!("{name} {key}")).collect();
    assert_eq!(seen, ["tea ~tea", "tea! ~TEA", "milk ~milk", "tea.a ~tea.a", "tea ~tea#2"]);
}

#[tokio::test]
async fn macro_gives_skipped_step_the_value_of_or() {
    async fn wrap(run: &Run, gift: bool) -> Result<u32, RunError> {
        Ok(step!(run, "wrap", when = gift, because = "no gift", or = 9, async { Ok::<_, RunError>(1) }))
    }
    let both = run(async |run| Ok::<_, RunError>((wrap(run, true).await?, wrap(run, false).await?))).await;
    assert_eq!(both, Ok((1, 9)));
}

#[tokio::test]
async fn question_mark_returns_any_failure_with_one_conversion() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    enum OrderError {
        #[error(transparent)]
        Service(#[from] ServiceError),
        #[error(transparent)]
        Amount(#[from] std::num::ParseIntError),
        #[error(transparent)]
        Run(#[from] RunError),
    }
    impl<E> From<Error<E>> for OrderError
    where
        Self: FromStep<Error<E>>,
    {
        fn from(failure: Error<E>) -> Self {
            Self::from_step(failure)
        }
    }
    async fn order(run: &Run, amount: &str, service: &Service) -> Result<u32, OrderError> {
        let amount = run.step("parse", || async { amount.parse::<u32>() }).await?;
        let receipt = step!(run, service.call());
        let never = std::future::pending::<Result<u32, RunError>>;
        let limited = run.step("limited", never).timeout(std::time::Duration::ZERO).await?;
        Ok(amount + receipt + limited)
    }
    let down = Service::failing([ServiceError::Down]);
    let of = async |amount, service| run(async |run| order(run, amount, service).await).await;
    assert!(matches!(of("x", &down).await, Err(OrderError::Amount(_))));
    assert_eq!(of("1", &down).await, Err(OrderError::Service(ServiceError::Down)));
    assert!(matches!(of("1", &down).await, Err(OrderError::Run(RunError::Timeout { .. }))));
}
