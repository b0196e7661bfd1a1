//! Correct code that resembles faulty code: the crash test must not report it.

use awaitly_core::clock::{days, ms, secs};
use awaitly_core::journal::{Migration, Status};
use awaitly_core::store::{RunId, Store};
use awaitly_core::{DurableRun, Error, RunError, Workflow, parallel, step};
use awaitly_hitl::{Approvals, Inbox, LogNotifier};
use awaitly_saga::saga;
use awaitly_testing::crash::{CrashTest, World};
use serde::{Deserialize, Serialize};

use super::{Shop, crashed};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum Refused {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Run(#[from] RunError),
}

async fn survives(body: impl AsyncFn(&DurableRun, &Shop) -> Result<u64, Refused>) {
    crashed(CrashTest::new().max_cases(1_500), body).await.assert_same_outcome();
}

async fn after(delay: u64, result: Result<u64, Refused>) -> Result<u64, Refused> {
    tokio::time::sleep(ms(delay)).await;
    result
}

#[tokio::test(start_paused = true)]
async fn branch_that_fails_late_and_is_polled_first_passes() {
    survives(async |run, shop| {
        let (left, right) = parallel!(run, "load", {
            left: after(2_000, Err(Refused::Refused)),
            right: async { shop.act("right", run.idempotency_key("right")).await.map_err(Refused::Run) },
        });
        Ok(left + right)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn list_with_one_failure_passes() {
    survives(async |run, shop| {
        let all = step!(
            run.each("ship", [3_000_u64, 1, 1, 1], |delay| async move {
                if delay > 1 {
                    return after(delay, Err(Refused::Refused)).await;
                }
                Ok(shop.act("ship", run.idempotency_key("ship")).await?)
            })
            .concurrency(2)
        );
        Ok(all.iter().sum())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn settled_list_passes() {
    survives(async |run, shop| {
        let settled = run
            .each("ship", 0..3_u64, |n| async move {
                if n == 1 {
                    return Err(Refused::Refused);
                }
                Ok(shop.act("ship", run.idempotency_key(&format!("ship {n}"))).await?)
            })
            .settle()
            .await;
        for result in &settled {
            if let Err(Error::Run(error)) = result {
                return Err(error.clone().into());
            }
        }
        Ok(settled.iter().filter(|result| result.is_ok()).count() as u64)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn joined_branches_pass() {
    survives(async |run, shop| {
        let two = async |left: &'static str, right: &'static str| {
            let first = step!(run, left, shop.act(left, run.idempotency_key(left)));
            let second = step!(run, right, shop.act(right, run.idempotency_key(right)));
            Ok::<_, Refused>(first + second)
        };
        let (left, right) = tokio::join!(two("a", "b"), two("c", "d"));
        Ok(left? + right?)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn saga_with_one_failed_branch_passes() {
    survives(async |run, shop| {
        let booked = saga(run, async |saga| {
            let undo = move |_| async move { shop.act("undo seat", run.idempotency_key("undo seat")).await };
            let (seat, room) = parallel!(saga, "book", {
                seat: step!(compensate = undo, shop.act("seat", run.idempotency_key("seat"))),
                room: after(100, Err(Refused::Refused)),
            });
            Ok::<_, Refused>(seat + room)
        });
        booked.await.map_err(|_| Refused::Refused)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failed_run_that_is_retried_passes() {
    let test = CrashTest::new().max_cases(1_500);
    let report = test.everywhere(async |world| {
        let shop = Shop { ledger: world.ledger() };
        let workflow = world.workflow(Workflow::new("order"));
        let body = async |run: &DurableRun, bank_is_open: bool| {
            let hold = step!(run, "reserve", shop.act("reserve", run.idempotency_key("reserve")));
            let charge = async || match bank_is_open {
                true => Ok(shop.act("charge", run.idempotency_key("charge")).await?),
                false => Err(Refused::Refused),
            };
            match run.step("charge", charge).await {
                Ok(paid) => Ok(hold + paid),
                Err(Error::Failed(error)) => {
                    step!(run, "tell support", shop.act("tell support", run.idempotency_key("tell")));
                    Err(error)
                }
                Err(Error::Run(error)) => Err(error.into()),
            }
        };
        match workflow.run("o", async |run| body(run, false).await).await {
            Err(Refused::Refused) => workflow.retry("o", async |run| body(run, true).await).await,
            ended => ended,
        }
    });
    report.await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn saga_undone_and_retried_passes() {
    let test = CrashTest::new().max_cases(1_000);
    let report = test.everywhere(async |world| {
        let shop = Shop { ledger: world.ledger() };
        let workflow = world.workflow(Workflow::new("trip"));
        let body = async |run: &DurableRun| {
            let ended = saga(run, async |saga| {
                let key = saga.idempotency_key("seat");
                let undo_key = saga.idempotency_key("undo seat");
                let shop = &shop;
                let undo = move |_| {
                    let key = undo_key.clone();
                    async move { shop.act("undo seat", key).await }
                };
                step!(saga, "seat", compensate = undo, shop.act("seat", key));
                // The bank opens after it has refused one customer.
                let is_open = shop.ledger.effects().iter().any(|effect| effect == "undo seat");
                let charge = async || if is_open { Ok::<u64, _>(7) } else { Err(Refused::Refused) };
                Ok::<u64, Refused>(step!(saga, "charge", charge()))
            });
            ended.await.map_err(|_| Refused::Refused)
        };
        match workflow.run("t", body).await {
            Err(Refused::Refused) => workflow.retry("t", body).await,
            ended => ended,
        }
    });
    report.await.assert_same_outcome();
}

async fn expense(run: &DurableRun) -> Result<u64, Refused> {
    let approval = run.approval("manager").proposal(&7_u64).expires_in(days(3)).notify(LogNotifier);
    let cents: u64 = step!(approval);
    Ok(step!(run, "pay", async move { Ok::<_, Refused>(cents) }))
}

#[tokio::test(start_paused = true)]
async fn approval_with_notifications_passes() {
    let test = CrashTest::new().max_cases(1_500);
    let report = test.everywhere(async |world| {
        let workflow = world.workflow(Workflow::new("expense"));
        match workflow.run("e", expense).await {
            Err(Refused::Run(RunError::Waiting { .. })) => {
                let _ = Inbox::new(world.store()).at("e", "manager").approve(&7_u64).await;
                workflow.run("e", expense).await
            }
            ended => ended,
        }
    });
    report.await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn two_runs_and_a_parked_run_pass() {
    let test = CrashTest::new().max_cases(1_500);
    let report = test.everywhere(async |world: World| {
        let shop = Shop { ledger: world.ledger() };
        let workflow = world.workflow(Workflow::new("order").park_after(secs(30)));
        let body = async |run: &DurableRun| {
            let key = format!("{} charge", run.id());
            let paid = step!(run, "charge", shop.act(&key, run.idempotency_key("charge")));
            run.sleep("rest", days(30)).await?;
            Ok::<_, Refused>(paid)
        };
        let (first, second) = tokio::join!(workflow.run("a", body), workflow.run("b", body));
        let mut sum = 0;
        for (run, mut ended) in [("a", first), ("b", second)] {
            while let Err(Refused::Run(RunError::Waiting { .. })) = ended {
                world.clock().advance(days(30)).await;
                ended = workflow.run(run, body).await;
            }
            sum += ended?;
        }
        Ok::<_, Refused>(sum)
    });
    report.await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn long_sleep_with_renewed_lease_passes() {
    survives(async |run, shop| {
        run.sleep("a month", days(30)).await?;
        Ok(step!(run, "charge", shop.act("charge", run.idempotency_key("charge"))))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn migrated_journal_passes() {
    let test = CrashTest::new().max_cases(1_500);
    let report = test.everywhere(async |world| {
        let shop = Shop { ledger: world.ledger() };
        let body = async |run: &DurableRun, reserve: &'static str| {
            let hold = step!(run, reserve, shop.act("reserve", run.idempotency_key("reserve")));
            run.sleep("rest", days(1)).await?;
            Ok::<_, Refused>(hold)
        };
        let definition = Workflow::new("order").park_after(secs(30));
        let renamed = Migration::rename("reserve", "hold");
        let new = world.workflow(definition.clone().version(2).migration(1, renamed));
        // A process that starts after the old code has finished its part runs the new code.
        let stored = world.store().load(&RunId::new("o").unwrap()).await.unwrap();
        if stored.is_none_or(|run| run.header.status == Status::Running && run.header.version == 1) {
            match world.workflow(definition).run("o", async |run| body(run, "reserve").await).await {
                Err(Refused::Run(RunError::Waiting { .. })) => {}
                ended => return ended,
            }
        }
        world.clock().advance(days(1)).await;
        new.run("o", async |run| body(run, "hold").await).await
    });
    report.await.assert_same_outcome();
}
