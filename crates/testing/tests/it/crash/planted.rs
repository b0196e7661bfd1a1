//! Typical mistakes in workflows, and the crash test's finding for each.

use awaitly_core::{DurableRun, Error, RunError, Workflow, step};
use awaitly_persistence::MemoryStore;
use awaitly_testing::crash::{Accident, Cause, CrashReport, CrashTest, Finding, World, crash_everywhere};
use awaitly_testing::fault::{Call, Fault, FaultyStore};

use super::{Shop, crashed, order};

fn shop(world: &World) -> Shop {
    Shop { ledger: world.ledger() }
}

/// Returns the first finding and the text of the failure.
fn found(report: &CrashReport) -> (Finding, String) {
    let finding = report.findings().first().expect("the fault is found");
    (finding.clone(), report.to_string())
}

#[tokio::test(start_paused = true)]
async fn charge_outside_of_a_step_is_found() {
    let report = crashed(CrashTest::new(), async |run, shop| {
        let hold = step!(run, "reserve", shop.act("reserve", run.idempotency_key("reserve")));
        let paid = shop.act_blindly("charge").await?;
        let sent = step!(run, "ship", shop.act("ship", run.idempotency_key("ship")));
        Ok::<_, RunError>(hold + paid + sent)
    })
    .await;
    let (finding, told) = found(&report);
    let cause = Cause::Outside(Some("reserve".into()));
    let expected = Finding::EffectRepeated { effect: "charge".into(), calm: 1, crashed: 2, cause };
    assert_eq!(finding, expected, "{told}");
    assert!(told.contains("outside of any recorded step causes it, after step `reserve` began"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn step_key_that_depends_on_time_is_found() {
    let report = crashed(CrashTest::new(), async |run, shop| {
        let now = run.clock().wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let key = format!("charge:{now}");
        let charge = shop.act("charge", run.idempotency_key("charge"));
        let paid = step!(run, "charge", key = key, charge);
        let sent = step!(run, "ship", shop.act("ship", run.idempotency_key("ship")));
        Ok::<_, RunError>(paid + sent)
    })
    .await;
    let (finding, told) = found(&report);
    assert!(
        matches!(&finding, Finding::NotRequested { key, name, .. } if key.starts_with("charge:") && name.as_str() == "charge"),
        "{told}"
    );
    assert!(told.contains("step `charge:946684800`"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn missing_idempotency_key_is_found() {
    let report = crashed(CrashTest::new(), async |run, shop| {
        let hold = step!(run, "reserve", shop.act("reserve", run.idempotency_key("reserve")));
        let paid = step!(run, "charge", shop.act_blindly("charge 4200"));
        Ok::<_, RunError>(hold + paid)
    })
    .await;
    let (finding, told) = found(&report);
    let cause = Cause::StepWithoutKey("charge".into());
    assert_eq!(
        finding,
        Finding::EffectRepeated { effect: "charge 4200".into(), calm: 1, crashed: 2, cause },
        "{told}"
    );
    assert!(told.contains("run.idempotency_key(\"charge\")"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn body_that_continues_after_a_run_error_is_found() {
    let report = crashed(CrashTest::new(), async |run, shop| {
        let charge = || shop.act("charge", run.idempotency_key("charge"));
        // Every error, even of the store, counts as a charge of zero.
        let paid = run.step("charge", charge).await.unwrap_or(0);
        let sent = step!(run, "ship", shop.act("ship", run.idempotency_key("ship")));
        Ok::<_, RunError>(paid + sent)
    })
    .await;
    let (finding, told) = found(&report);
    assert_eq!(
        finding,
        Finding::ContinuedAfterFailure { step: "charge".into(), to: Some("ship".into()) },
        "{told}"
    );
    assert!(told.contains("it catches `RunError`"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn run_error_turned_into_a_value_is_found() {
    let report = crashed(CrashTest::new(), async |run, shop| {
        let charge = || shop.act("charge", run.idempotency_key("charge"));
        match run.step("charge", charge).await {
            Ok(paid) => Ok::<_, RunError>(paid),
            Err(Error::Run(_)) => Ok(0),
            Err(Error::Failed(error)) => Err(error),
        }
    })
    .await;
    let (finding, told) = found(&report);
    assert_eq!(finding, Finding::ContinuedAfterFailure { step: "charge".into(), to: None }, "{told}");
}

#[tokio::test(start_paused = true)]
async fn detached_task_is_found() {
    let report = crashed(CrashTest::new(), async |run, shop| {
        let shop = shop.clone();
        let paid = step!(run, "charge", {
            let key = run.idempotency_key("charge");
            let mail = shop.clone();
            async move {
                let mail_key = format!("{key} mail");
                tokio::spawn(async move { mail.act("mail", mail_key).await });
                shop.act("charge", key).await
            }
        });
        Ok::<_, RunError>(paid)
    })
    .await;
    let (finding, told) = found(&report);
    let last_step = Some("charge".into());
    assert_eq!(finding, Finding::EffectAfterEnd { effect: "mail".into(), last_step }, "{told}");
}

#[tokio::test(start_paused = true)]
async fn detached_task_lost_in_a_crash_is_found() {
    let report = crashed(CrashTest::new(), async |run, shop| {
        let paid = step!(run, "charge", {
            let key = run.idempotency_key("charge");
            let (mail, shop) = (shop.clone(), shop);
            async move {
                let mail_key = format!("{key} mail");
                tokio::spawn(async move { mail.act("mail", mail_key).await });
                shop.act("charge", key).await
            }
        });
        // Without a crash the sleep leaves enough time for the mail.
        run.sleep("rest", std::time::Duration::from_secs(5)).await?;
        Ok::<_, RunError>(paid)
    })
    .await;
    let (finding, told) = found(&report);
    let cause = Cause::Outside(Some("rest".into()));
    assert_eq!(
        finding,
        Finding::EffectMissing { effect: "mail".into(), calm: 1, crashed: 0, cause },
        "{told}"
    );
}

/// Executes five steps on a store in memory that always applies this fault to the step `charge`.
async fn on_broken_store(call: Call, fault: Fault) -> CrashReport {
    let broken = move || {
        let store = FaultyStore::new(MemoryStore::new());
        store.always(call.key("charge"), fault);
        store
    };
    let test = CrashTest::new().store(broken);
    crashed(test, order).await
}

#[tokio::test(start_paused = true)]
async fn store_that_drops_a_record_is_found() {
    let report = on_broken_store(Call::Append, Fault::DropRecord).await;
    let (finding, told) = found(&report);
    assert!(matches!(&finding, Finding::RecordLost { key, .. } if key.as_str() == "charge"), "{told}");
    assert!(told.contains("has lost the record of step `charge`"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn store_that_ignores_fencing_is_found() {
    let report = on_broken_store(Call::Append, Fault::IgnoreFencing).await;
    let (finding, told) = found(&report);
    assert!(matches!(&finding, Finding::FencingIgnored { key, .. } if key.as_str() == "charge"), "{told}");
    assert!(
        told.contains("took the record of step `charge` from an owner that had lost the lease"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn question_key_that_depends_on_time_is_found() {
    let body = async |run: &DurableRun| {
        let now = run.clock().wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        Ok::<_, RunError>(step!(run.wait_for::<u64>("manager").key(format!("manager:{now}"))))
    };
    let report = crash_everywhere(async |world| {
        let ended = world.workflow(Workflow::new("order")).run("o", body).await;
        ended.map_err(|_| "waits")
    })
    .await;
    let (finding, told) = found(&report);
    assert!(
        matches!(&finding, Finding::NotRequested { key, .. } if key.as_str() == "manager:946684800"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn process_that_waits_forever_is_found() {
    let report = crashed(CrashTest::new(), async |run, shop| {
        let charge = async {
            // The service hangs if it is called twice.
            if !shop.ledger.note_once(&run.idempotency_key("charge"), "charge") {
                std::future::pending::<()>().await;
            }
            Ok::<_, RunError>(7)
        };
        Ok::<_, RunError>(step!(run, "charge", charge))
    })
    .await;
    let (finding, told) = found(&report);
    assert_eq!(finding, Finding::NeverEnds { last_step: Some("charge".into()) }, "{told}");
}

#[tokio::test(start_paused = true)]
async fn store_that_is_not_new_is_found() {
    let store = MemoryStore::new();
    let test = CrashTest::new().store(move || store.clone());
    let report = crashed(test, order).await;
    assert!(report.findings().iter().any(|finding| matches!(finding, Finding::NotFresh { .. })), "{report}");
}

#[tokio::test(start_paused = true)]
async fn irreproducible_result_fails_without_an_accident() {
    let number = std::sync::atomic::AtomicU32::new(0);
    let report = crash_everywhere(async |world| {
        let shop = shop(&world);
        let ended =
            world.workflow(Workflow::new("order")).run("o", async |run| order(run, &shop).await).await;
        ended.map(|_| number.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    })
    .await;
    assert!(report.to_string().starts_with("the test fails without an accident"), "{report}");
    assert_eq!(found(&report).0, Finding::Result { calm: "Ok(0)".into(), crashed: "Ok(1)".into() });
}

#[tokio::test(start_paused = true)]
async fn accident_that_does_not_happen_is_found() {
    let test = CrashTest::new().only([Accident::Death(999)]);
    let (finding, told) = found(&crashed(test, order).await);
    assert!(matches!(finding, Finding::NoAccident { .. }), "{told}");
    assert!(told.starts_with("an accident changes the outcome\n"), "it is found each time: {told}");
}

async fn blind(world: World) -> Result<u64, RunError> {
    let shop = shop(&world);
    let body = async |run: &DurableRun| {
        let hold = step!(run, "reserve", shop.act("reserve", run.idempotency_key("reserve")));
        let paid = step!(run, "charge", shop.act_blindly("charge"));
        Ok::<_, RunError>(hold + paid)
    };
    world.workflow(Workflow::new("order")).run("o", body).await
}

#[tokio::test(start_paused = true)]
async fn random_deaths_find_a_fault_and_are_reduced() {
    let report = CrashTest::new().seed(3).runs(4).randomly(blind).await;
    assert_eq!((report.findings().len(), report.accidents().len()), (1, 1), "{report}");
    let told = report.to_string();
    assert!(told.contains(".runs(4).only([Accident::Death("), "{told}");
    assert!(told.contains(".randomly(..)"), "{told}");

    let seed = told.split("seed(").nth(1).unwrap().split(')').next().unwrap().parse().unwrap();
    let again = CrashTest::new().seed(seed).runs(4).only(report.accidents()).randomly(blind).await;
    assert_eq!(again.findings(), report.findings());
}
