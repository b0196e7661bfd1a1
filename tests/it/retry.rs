//! `Workflow::retry`: which records it drops, and which it keeps.

use std::sync::atomic::Ordering;

use awaitly::journal::Status;
use awaitly::store::{RunId, Store};
use awaitly::{DurableRun, Error, RunError, Workflow, step};

use crate::durable::{Bank, Declined, OrderError, on_every_store, status};

#[tokio::test]
async fn failed_run_returns_recorded_error_until_retried() {
    on_every_store(async |store| {
        let bank = Bank::default();
        let workflow = Workflow::new("w").any_store(store.clone());
        let body = async |run: &DurableRun| {
            let first = step!(run, "first", bank.charge());
            bank.fail.store(u32::from(bank.calls() == 1), Ordering::Relaxed);
            let second = step!(run, "second", bank.charge());
            Ok::<_, OrderError>((first, second))
        };
        assert_eq!(workflow.run("r", body).await, Err(OrderError::Declined(2)));
        assert_eq!(status(&store, "r").await, Status::Failed);
        assert_eq!(workflow.run("r", body).await, Err(OrderError::Declined(2)));
        assert_eq!(bank.calls(), 2);
        // Only the step that the run failed on is executed again.
        assert_eq!(workflow.retry("r", body).await, Ok((1, 3)));
        assert_eq!(status(&store, "r").await, Status::Completed);
        assert_eq!(workflow.retry("r", body).await, Ok((1, 3)));
    })
    .await;
}

#[tokio::test]
async fn retry_keeps_handled_failures() {
    on_every_store(async |store| {
        let bank = Bank::default();
        let workflow = Workflow::new("w").any_store(store);
        let body = async |run: &DurableRun| {
            bank.fail.store(u32::from(bank.calls() == 0), Ordering::Relaxed);
            let dealt_with = run.step("first", || bank.charge()).await;
            assert_eq!(dealt_with, Err(Error::Failed(Declined(1))));
            bank.fail.store(u32::from(bank.calls() == 1), Ordering::Relaxed);
            Ok::<_, OrderError>(step!(run, "second", bank.charge()))
        };
        assert_eq!(workflow.run("r", body).await, Err(OrderError::Declined(2)));
        assert_eq!(workflow.retry("r", body).await, Ok(3));
    })
    .await;
}

#[tokio::test]
async fn cancelled_run_stays_cancelled_until_retried() {
    on_every_store(async |store| {
        let bank = Bank::default();
        let token = tokio_util::sync::CancellationToken::new();
        let workflow = Workflow::new("w").any_store(store.clone());
        let cancellable = workflow.clone().cancel_on(token.clone());
        let body = async |run: &DurableRun| {
            let first = step!(run, "first", bank.charge());
            token.cancel();
            let second = step!(run, "second", bank.charge());
            Ok::<_, OrderError>((first, second))
        };
        let cancelled = cancellable.run("r", body).await;
        assert_eq!(cancelled, Err(RunError::Cancelled { step: Some("second".into()) }.into()));
        assert_eq!(status(&store, "r").await, Status::Cancelled);
        assert_eq!(workflow.run("r", body).await, cancelled);
        assert_eq!(workflow.retry("r", body).await, Ok((1, 2)));
    })
    .await;
}

#[tokio::test]
async fn retry_drops_the_failed_step_despite_later_steps() {
    on_every_store(async |store| {
        let bank = Bank::default();
        bank.fail.store(1, Ordering::Relaxed);
        let workflow = Workflow::new("w").any_store(store);
        let body = async |run: &DurableRun| {
            let charged = run.step("charge", || bank.charge()).await;
            if charged.is_err() {
                step!(run.volatile(), "tell somebody", async { Ok::<_, Declined>(()) });
            }
            charged.map_err(awaitly::FromStep::from_step)
        };
        assert_eq!(workflow.run("r", body).await, Err(OrderError::Declined(1)));
        assert_eq!(workflow.retry("r", body).await, Ok(2));
    })
    .await;
}

#[tokio::test]
async fn retry_keeps_record_with_the_name_of_a_volatile_step() {
    on_every_store(async |store| {
        let (bank, check) = (Bank::default(), Bank::default());
        check.fail.store(1, Ordering::Relaxed);
        let workflow = Workflow::new("w").any_store(store);
        let body = async |run: &DurableRun| {
            let charged = step!(run, "charge", bank.charge());
            step!(run.volatile(), "charge", check.charge());
            Ok::<_, OrderError>(charged)
        };
        assert_eq!(workflow.run("r", body).await, Err(OrderError::Declined(1)));
        assert_eq!(workflow.retry("r", body).await, Ok(1));
    })
    .await;
}

#[tokio::test]
async fn retry_after_a_hook_refusal_uses_the_record() {
    on_every_store(async |store| {
        let bank = Bank::default();
        let plain = Workflow::new("w").any_store(store);
        let hooked = plain
            .clone()
            .after_step(|_| async { Err(awaitly::guard::Refusal::new("checkpoint", "disk full")) });
        let body = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, bank.charge()));
        let refused = hooked.run("r", body).await;
        assert!(matches!(refused, Err(OrderError::Run(RunError::Refused { .. }))), "{refused:?}");
        assert_eq!(plain.retry("r", body).await, Ok(1));
        assert_eq!(bank.calls(), 1);
    })
    .await;
}

#[tokio::test]
async fn panic_after_a_failed_step_can_be_retried() {
    on_every_store(async |store| {
        let bank = Bank::default();
        bank.fail.store(1, Ordering::Relaxed);
        let workflow = Workflow::new("w").any_store(store);
        let body = async |run: &DurableRun| {
            let charged = run.step("charge", || bank.charge()).await;
            Ok::<_, OrderError>(charged.expect("paid"))
        };
        let panicked = workflow.run("r", body).await;
        assert!(matches!(panicked, Err(OrderError::Run(RunError::Panicked { .. }))), "{panicked:?}");
        assert_eq!(workflow.retry("r", body).await, Ok(2));
    })
    .await;
}

#[tokio::test]
async fn refused_retry_does_not_change_the_failed_run() {
    on_every_store(async |store| {
        let bank = Bank::default();
        bank.fail.store(1, Ordering::Relaxed);
        let workflow = Workflow::new("w").any_store(store.clone());
        let body = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, bank.charge()));
        workflow.run("r", body).await.unwrap_err();
        let id = RunId::new("r").unwrap();
        let before = store.load(&id).await.unwrap();

        let unmigrated = workflow.clone().version(2).retry("r", body).await;
        assert!(matches!(unmigrated, Err(OrderError::Run(RunError::Migration { .. }))), "{unmigrated:?}");
        assert_eq!(store.load(&id).await.unwrap(), before);

        let closed =
            workflow.clone().before_run(|_| async { Err(awaitly::guard::Refusal::new("hours", "closed")) });
        let refused = closed.retry("r", body).await;
        assert!(matches!(refused, Err(OrderError::Run(RunError::Refused { .. }))), "{refused:?}");
        assert_eq!(store.load(&id).await.unwrap(), before);

        let broken = workflow.clone().before_run(|_| async { panic!("bad hook") });
        let panicked = broken.retry("r", body).await;
        assert!(matches!(panicked, Err(OrderError::Run(RunError::Panicked { .. }))), "{panicked:?}");
        assert_eq!(store.load(&id).await.unwrap(), before);

        assert_eq!(workflow.run("r", body).await, Err(OrderError::Declined(1)));
        assert_eq!(workflow.retry("r", body).await, Ok(2));
    })
    .await;
}

#[tokio::test]
async fn retry_keeps_handled_failure_before_a_volatile_one() {
    on_every_store(async |store| {
        let (bank, network) = (Bank::default(), Bank::default());
        bank.fail.store(1, Ordering::Relaxed);
        network.fail.store(1, Ordering::Relaxed);
        let workflow = Workflow::new("w").any_store(store);
        let body = async |run: &DurableRun| {
            // The first card is declined, the second one is charged.
            let paid = match run.step("first card", || bank.charge()).await {
                Ok(paid) => paid,
                Err(_) => step!(run, "second card", bank.charge()),
            };
            step!(run.volatile(), "connect", network.charge());
            Ok::<_, OrderError>(paid)
        };
        assert_eq!(workflow.run("r", body).await, Err(OrderError::Declined(1)));
        assert_eq!(workflow.retry("r", body).await, Ok(2));
        assert_eq!(bank.calls(), 2, "neither card is charged again");
    })
    .await;
}

#[tokio::test]
async fn retry_drops_every_failure_of_a_settled_list() {
    on_every_store(async |store| {
        let bank = Bank::default();
        bank.fail.store(3, Ordering::Relaxed);
        let workflow = Workflow::new("w").any_store(store);
        let body = async |run: &DurableRun| {
            let results = run.each("charge", 0..3, async |_: u32| bank.charge().await).settle().await;
            awaitly::collect::all(results).map_err(awaitly::FromStep::from_step)
        };
        assert!(matches!(workflow.run("r", body).await, Err(OrderError::Declined(1))));
        assert_eq!(workflow.retry("r", body).await, Ok(vec![4, 5, 6]));
    })
    .await;
}
