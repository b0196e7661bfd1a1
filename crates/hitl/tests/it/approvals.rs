use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{days, secs};
use awaitly_core::journal::Status;
use awaitly_core::{DurableRun, RunError, step};
use awaitly_hitl::{AnswerRecord, Approvals, Resolution};
use serde_json::json;

use crate::world::{Decision, Office, waits};

#[tokio::test]
async fn approval_waits_and_records_the_person_who_answers() {
    let office = Office::new();
    assert_eq!(office.ask("r").await, waits("manager"));
    assert_eq!(office.status("r").await, Status::Waiting);
    assert!(office.stored("r").await.records.is_empty(), "without a notifier, no notice is recorded");
    office
        .inbox
        .at("r", "manager")
        .by("ada")
        .note("once")
        .via("mail")
        .approve(&Decision::of(40))
        .await
        .unwrap();
    assert_eq!(office.ask("r").await, Ok(Decision::of(40)));

    let record = office.stored("r").await.records.pop().unwrap();
    let answer: AnswerRecord<Decision> = record.outcome.payload().decode().unwrap();
    assert_eq!(
        (answer.by.as_deref(), answer.note.as_deref(), answer.via.as_deref()),
        (Some("ada"), Some("once"), Some("mail"))
    );
    assert_eq!(answer.value, Decision::of(40));
    assert!(answer.at >= office.stored("r").await.header.created);
}

#[tokio::test]
async fn rejection_fails_the_run_and_retry_asks_again() {
    let office = Office::new();
    assert_eq!(office.ask("r").await, waits("manager"));
    office.inbox.at("r", "manager").by("bob").reject("no budget").await.unwrap();
    let rejected = Err(RunError::Rejected { step: "manager".into(), reason: "\"no budget\"".into() });
    for _ in 0..2 {
        assert_eq!(office.ask("r").await, rejected);
    }
    assert_eq!(office.status("r").await, Status::Failed);
    let retry =
        office.workflow.retry("r", async |run: &DurableRun| run.approval::<Decision>("manager").await);
    assert_eq!(retry.await, waits("manager"));
    office.inbox.approve("r", "manager", &Decision::of(1)).await.unwrap();
    assert_eq!(office.ask("r").await, Ok(Decision::of(1)));
}

#[tokio::test(start_paused = true)]
async fn resolution_returns_each_kind_of_answer() {
    let office = Office::new();
    let ask = async |name: &'static str| {
        let body = async |run: &DurableRun| {
            let resolution = run.approval::<Decision>("manager").expires_in(days(3)).resolution().await?;
            Ok::<_, RunError>(match resolution {
                Resolution::Approved(answer) => format!("{} by {:?}", answer.value.cents, answer.by),
                Resolution::Rejected(answer) => format!("no: {} by {:?}", answer.value, answer.by),
                Resolution::Expired(said) => format!("expired by {:?}", said.and_then(|said| said.by)),
                Resolution::Withdrawn(said) => format!("withdrawn by {:?}: {}", said.by, said.value),
            })
        };
        office.workflow.run(name, body).await
    };
    for name in ["yes", "no", "withdrawn", "expired", "late"] {
        assert_eq!(ask(name).await, waits("manager"));
    }
    let at = |name: &'static str| office.inbox.at(name, "manager");
    at("yes").by("ada").approve(&Decision::of(7)).await.unwrap();
    at("no").by("ada").reject(&json!({ "code": 3 })).await.unwrap();
    at("withdrawn").by("ops").withdraw("the trip is off").await.unwrap();
    at("expired").by("ops").expire().await.unwrap();
    tokio::time::sleep(days(3)).await;
    assert_eq!(ask("yes").await.unwrap(), "7 by Some(\"ada\")");
    assert_eq!(ask("no").await.unwrap(), "no: {\"code\":3} by Some(\"ada\")");
    assert_eq!(ask("withdrawn").await.unwrap(), "withdrawn by Some(\"ops\"): \"the trip is off\"");
    assert_eq!(ask("expired").await.unwrap(), "expired by Some(\"ops\")");
    assert_eq!(ask("late").await.unwrap(), "expired by None");
}

#[tokio::test]
async fn proposal_is_accepted_unchanged_or_edited() {
    let office = Office::new();
    let ask = async |name: &'static str| {
        let body = async |run: &DurableRun| {
            run.approval("editor").prompt("As it is?").proposal(&Decision::of(42)).await
        };
        office.workflow.run(name, body).await
    };
    for name in ["accepted", "edited"] {
        assert_eq!(ask(name).await, waits("editor"));
    }
    let question = office.inbox.at("accepted", "editor").show().await.unwrap();
    assert_eq!(question.proposal, Some(json!({ "cents": 42 })));
    assert_eq!(question.prompt.as_deref(), Some("As it is?"));
    office.inbox.at("accepted", "editor").accept().await.unwrap();
    office.inbox.at("edited", "editor").edit(&Decision::of(41)).await.unwrap();
    assert_eq!(ask("accepted").await, Ok(Decision::of(42)));
    assert_eq!(ask("edited").await, Ok(Decision::of(41)));
    let edited = office.stored("edited").await.records.pop().unwrap();
    assert!(edited.outcome.payload().decode::<AnswerRecord<Decision>>().unwrap().edited);
}

#[tokio::test]
async fn steps_run_once_over_several_pauses_and_restarts() {
    let office = Office::new();
    let calls = [const { AtomicU32::new(0) }; 4];
    let call = async |number: usize| {
        calls[number].fetch_add(1, Ordering::Relaxed);
        Ok::<_, RunError>(number)
    };
    let body = async |run: &DurableRun| {
        step!(run, "reserve", call(0));
        let team: bool = step!(run.approval("team lead"));
        step!(run, "book", call(1));
        let director: bool = step!(run.approval("director"));
        step!(run, "pay", call(2));
        let paid: u64 = step!(run.wait_for("bank"));
        step!(run, "file", call(3));
        Ok::<_, RunError>((team, director, paid))
    };
    let run = async || office.workflow.run("r", body).await;
    assert_eq!(run().await, waits("team lead"));
    assert_eq!(run().await, waits("team lead"), "the run still waits after a restart");
    office.inbox.approve("r", "team lead", &true).await.unwrap();
    assert_eq!(run().await, waits("director"));
    assert_eq!(run().await, waits("director"));
    office.inbox.approve("r", "director", &false).await.unwrap();
    assert_eq!(run().await, waits("bank"));
    office.inbox.at("r", "bank").answer(&4200_u64).await.unwrap();
    assert_eq!(run().await, Ok((true, false, 4200)));
    assert_eq!(calls.map(AtomicU32::into_inner), [1; 4]);
}

#[tokio::test]
async fn callback_returns_the_value_and_its_sender() {
    let office = Office::new();
    let body = async |run: &DurableRun| run.callback::<u64>("payment").metadata("order-42").answer().await;
    assert_eq!(office.workflow.run("r", body).await.unwrap_err(), waits::<()>("payment").unwrap_err());
    office.inbox.at("r", "payment").by("bank").answer(&4200_u64).await.unwrap();
    let answer = office.workflow.run("r", body).await.unwrap();
    assert_eq!((answer.value, answer.by.as_deref()), (4200, Some("bank")));
}

#[tokio::test]
async fn metadata_without_json_form_asks_no_question() {
    let office = Office::new();
    let body = async |run: &DurableRun| {
        let odd: std::collections::HashMap<(u8, u8), u8> = [((1, 2), 3)].into();
        run.approval::<bool>("manager").metadata(&odd).await
    };
    let error = office.workflow.run("r", body).await.unwrap_err();
    assert!(matches!(error, RunError::Unencodable { .. }), "{error}");
    assert!(office.stored("r").await.waits.is_empty());
}

#[tokio::test(start_paused = true)]
async fn question_expires_exactly_at_its_time() {
    let office = Office::new();
    let body = async |run: &DurableRun| run.approval::<bool>("manager").expires_in(days(3)).await;
    assert_eq!(office.workflow.run("r", body).await, waits("manager"));
    tokio::time::sleep(days(3) - secs(1)).await;
    assert_eq!(office.workflow.run("r", body).await, waits("manager"));
    tokio::time::sleep(secs(1)).await;
    assert_eq!(office.workflow.run("r", body).await, Err(RunError::Expired { step: "manager".into() }));
}

#[tokio::test]
async fn edited_approval_keeps_the_proposal_beside_the_value() {
    let office = Office::new();
    let resolution = async |run: &'static str| {
        let body = async |run: &DurableRun| {
            let asked = run.approval("editor").proposal(&Decision::of(42)).resolution().await?;
            let Resolution::Approved(answer) = asked else { panic!("{asked:?}") };
            Ok::<_, RunError>(answer)
        };
        office.workflow.run(run, body).await
    };
    for run in ["edited", "accepted", "approved"] {
        assert_eq!(resolution(run).await.unwrap_err(), waits::<()>("editor").unwrap_err());
    }
    office.inbox.at("edited", "editor").by("ada").edit(&Decision::of(41)).await.unwrap();
    office.inbox.at("accepted", "editor").by("ada").accept().await.unwrap();
    office.inbox.at("approved", "editor").by("ada").approve(&Decision::of(42)).await.unwrap();
    let edited = resolution("edited").await.unwrap();
    assert_eq!((edited.value.cents, edited.edited), (41, true));
    assert_eq!(edited.proposed, Some(json!({ "cents": 42 })));
    for run in ["accepted", "approved"] {
        let same = resolution(run).await.unwrap();
        assert_eq!((same.value.cents, same.edited, same.proposed), (42, false, None));
    }
    let record = office.stored("edited").await.records.pop().unwrap().outcome;
    assert_eq!(
        record.payload().decode::<AnswerRecord<Decision>>().unwrap().proposed,
        Some(json!({ "cents": 42 }))
    );
    // An answer that was recorded before the journal kept proposals.
    let old = r#"{"value":{"cents":41},"by":"ada","edited":true,"at":1790000000000}"#;
    let old: AnswerRecord<Decision> = serde_json::from_str(old).unwrap();
    assert_eq!((old.value, old.proposed), (Decision::of(41), None));
}

#[tokio::test]
async fn accepted_proposal_is_recorded_to_the_last_digit() {
    let office = Office::new();
    let body = async |run: &DurableRun| run.approval::<u128>("editor").proposal(&(u128::MAX - 1)).await;
    assert_eq!(office.workflow.run("r", body).await, waits("editor"));
    office.inbox.at("r", "editor").accept().await.unwrap();
    assert_eq!(office.workflow.run("r", body).await, Ok(u128::MAX - 1));
}
