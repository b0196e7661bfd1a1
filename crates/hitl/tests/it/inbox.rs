use std::sync::Arc;

use awaitly_core::clock::days;
use awaitly_core::journal::{Status, Unanswered};
use awaitly_core::store::{Cancelled, Operate, WaitQuery};
use awaitly_core::{DurableRun, RunError};
use awaitly_hitl::{Approvals, InboxError, QuestionKind};
use serde_json::json;

use crate::world::{Decision, Office, waits};

/// Gives a bad answer, and checks that the inbox refuses it and that the store is unchanged.
async fn refuses(
    office: &Office,
    run: &str,
    bad: impl Future<Output = Result<(), InboxError>>,
) -> InboxError {
    let before = office.stored(run).await;
    let refused = bad.await.unwrap_err();
    assert_eq!(office.stored(run).await, before, "{refused}");
    refused
}

#[tokio::test]
async fn answer_without_a_waiting_question_names_the_reason() {
    let office = Office::new();
    assert_eq!(office.ask("r").await, waits("manager"));
    let yes = Decision::of(1);
    let unknown = refuses(&office, "r", office.inbox.approve("other", "manager", &yes)).await;
    assert_eq!(unknown, Unanswered::NoSuchRun.into());
    let never = refuses(&office, "r", office.inbox.approve("r", "director", &yes)).await;
    assert_eq!(never, Unanswered::NotAsked.into());
    let no_id = refuses(&office, "r", office.inbox.approve("", "manager", &yes)).await;
    assert_eq!(no_id, Unanswered::NoSuchRun.into());

    office.inbox.approve("r", "manager", &yes).await.unwrap();
    let twice = refuses(&office, "r", office.inbox.approve("r", "manager", &Decision::of(2))).await;
    assert_eq!(twice, Unanswered::AlreadyAnswered.into());
    assert_eq!(office.ask("r").await, Ok(Decision::of(1)));
    let finished = refuses(&office, "r", office.inbox.reject("r", "manager", "no")).await;
    assert_eq!(finished, Unanswered::AlreadyAnswered.into());

    assert_eq!(office.ask("cancelled").await, waits("manager"));
    let id = office.inbox.at("cancelled", "manager").show().await.unwrap().run;
    assert_eq!(office.store.cancel_without_undo(&id).await.unwrap(), Cancelled::WithoutUndo);
    let ended = refuses(&office, "cancelled", office.inbox.approve("cancelled", "manager", &yes)).await;
    assert_eq!(ended, Unanswered::Ended { status: Status::Cancelled }.into());
}

#[tokio::test(start_paused = true)]
async fn late_answer_is_refused() {
    let office = Office::new();
    let body = async |run: &DurableRun| run.approval::<Decision>("manager").expires_in(days(3)).await;
    assert_eq!(office.workflow.run("r", body).await, waits("manager"));
    tokio::time::sleep(days(3)).await;
    let late = refuses(&office, "r", office.inbox.approve("r", "manager", &Decision::of(1))).await;
    assert_eq!(late, Unanswered::Expired.into());
    assert_eq!(office.workflow.run("r", body).await, Err(RunError::Expired { step: "manager".into() }));
    let after = refuses(&office, "r", office.inbox.approve("r", "manager", &Decision::of(1))).await;
    assert_eq!(after, Unanswered::AlreadyAnswered.into());
}

#[tokio::test]
async fn answer_of_another_type_is_refused() {
    let office = Office::new();
    assert_eq!(office.ask("r").await, waits("manager"));
    let told = |error: InboxError| error.to_string();
    let text = refuses(&office, "r", office.inbox.approve("r", "manager", "yes")).await;
    assert_eq!(
        told(text),
        "the answer does not fit: the answer should be an object with cents, condition, and is text"
    );
    let odd = refuses(&office, "r", office.inbox.approve("r", "manager", &json!({ "cents": -0.5 }))).await;
    assert_eq!(
        told(odd),
        "the answer does not fit: `cents` should be a whole number, not below 0, and is another number"
    );
    let less = refuses(&office, "r", office.inbox.at("r", "manager").edit(&json!({}))).await;
    assert_eq!(
        told(less),
        "the answer does not fit: `cents` should be a whole number, not below 0, and is missing"
    );
    let other = refuses(&office, "r", office.inbox.at("r", "manager").answer(&1)).await;
    assert_eq!(other, InboxError::OtherKind { kind: QuestionKind::Approval });
    let nothing = refuses(&office, "r", office.inbox.at("r", "manager").accept()).await;
    assert_eq!(nothing, InboxError::NoProposal);

    // The inbox checks an answer to `wait_for` only against the type of `expects`.
    let body = async |run: &DurableRun| run.wait_for::<u64>("bank").await;
    assert_eq!(office.workflow.run("plain", body).await, waits("bank"));
    let strict = office.inbox.clone().expects::<u64>("bank");
    let wrong = refuses(&office, "plain", strict.at("plain", "bank").answer("much")).await;
    assert!(matches!(wrong, InboxError::WrongType { .. }), "{wrong}");
    let kind = refuses(&office, "plain", strict.at("plain", "bank").approve(&1)).await;
    assert_eq!(kind, InboxError::OtherKind { kind: QuestionKind::Plain });
    strict.at("plain", "bank").answer(&7_u64).await.unwrap();
    assert_eq!(office.workflow.run("plain", body).await, Ok(7));
}

#[tokio::test]
async fn forged_or_stale_token_is_refused() {
    let office = Office::new();
    assert_eq!(office.ask("r").await, waits("manager"));
    let yes = Decision::of(1);
    let token = office.inbox.at("r", "manager").show().await.unwrap().token().to_owned();
    let other = if token.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{other}", &token[..token.len() - 1]);
    for forged in [forged.as_str(), "", "x"] {
        let refused = refuses(&office, "r", office.inbox.with_token(forged).approve(&yes)).await;
        assert_eq!(refused, InboxError::UnknownToken);
    }
    // Answer the question, and retry the run, which asks under another token.
    office.inbox.with_token(token.as_str()).reject("no").await.unwrap();
    office.ask("r").await.unwrap_err();
    let retry =
        office.workflow.retry("r", async |run: &DurableRun| run.approval::<Decision>("manager").await);
    assert_eq!(retry.await, waits("manager"));
    let stale = refuses(&office, "r", office.inbox.with_token(token.as_str()).approve(&yes)).await;
    assert_eq!(stale, InboxError::UnknownToken);
    let fresh = office.inbox.at("r", "manager").show().await.unwrap().token().to_owned();
    assert_ne!(fresh, token);
    office.inbox.with_token(fresh).approve(&yes).await.unwrap();
    assert_eq!(office.ask("r").await, Ok(yes));
}

#[tokio::test]
async fn person_not_among_the_answerers_is_refused() {
    let office = Office::new();
    let body = async |run: &DurableRun| run.approval::<bool>("manager").answerer("ada").answerer("bob").await;
    assert_eq!(office.workflow.run("r", body).await, waits("manager"));
    let answerers = vec!["ada".to_owned(), "bob".to_owned()];
    let mallory = refuses(&office, "r", office.inbox.at("r", "manager").by("mallory").approve(&true)).await;
    assert_eq!(
        mallory,
        InboxError::NotAnAnswerer { by: Some("mallory".into()), answerers: answerers.clone() }
    );
    assert_eq!(mallory.to_string(), "mallory may not answer this: the question is for ada, bob");
    let nobody = refuses(&office, "r", office.inbox.approve("r", "manager", &true)).await;
    assert_eq!(nobody, InboxError::NotAnAnswerer { by: None, answerers });
    office.inbox.at("r", "manager").by("bob").approve(&true).await.unwrap();
    assert_eq!(office.workflow.run("r", body).await, Ok(true));
}

#[tokio::test]
async fn questions_of_all_runs_are_answered_by_key() {
    let office = Office::new();
    for number in 0..250 {
        assert_eq!(office.ask(&format!("r{number}")).await, waits("manager"));
    }
    let (mut listed, mut query) = (0, WaitQuery::new().key("manager"));
    loop {
        let page = office.inbox.list(query.clone()).await.unwrap();
        listed += page.items.len();
        match page.next {
            Some(next) => query = query.after(next),
            None => break,
        }
    }
    assert_eq!(listed, 250);
    let shown = serde_json::to_string(&office.inbox.at("r1", "manager").show().await.unwrap()).unwrap();
    let token = office.inbox.at("r1", "manager").show().await.unwrap().token().to_owned();
    assert!(!shown.contains(&token), "JSON does not contain the token");
    assert!(!format!("{:?}", office.inbox.at("r1", "manager").show().await).contains(&token));

    let decision = Decision::of(1);
    let each = office.inbox.everywhere("manager", |reply| reply.by("ada").approve(&decision)).await.unwrap();
    assert_eq!(each.len(), 250);
    assert!(each.iter().all(|(_, given)| given.is_ok()));
    assert!(office.inbox.everywhere("manager", |reply| reply.reject("no")).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_answers_record_exactly_one() {
    let office = Arc::new(Office::new());
    for number in 0..1000 {
        let run = format!("r{number}");
        assert_eq!(office.ask(&run).await, waits("manager"));
        let answers = [1, 2].map(|cents| {
            let (office, run) = (Arc::clone(&office), run.clone());
            tokio::spawn(async move { office.inbox.approve(run, "manager", &Decision::of(cents)).await })
        });
        let [first, second] = answers;
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_ne!(first.is_ok(), second.is_ok());
        let refused = first.clone().and(second).unwrap_err();
        assert_eq!(refused, Unanswered::AlreadyAnswered.into());
        assert_eq!(office.ask(&run).await, Ok(Decision::of(if first.is_ok() { 1 } else { 2 })));
    }
}

#[tokio::test]
async fn rejection_without_a_reason_is_refused() {
    let office = Office::new();
    assert_eq!(office.ask("r").await, waits("manager"));
    let callback = async |run: &DurableRun| run.callback::<bool>("bank").await;
    assert_eq!(office.workflow.run("c", callback).await, waits("bank"));
    let plain = async |run: &DurableRun| run.wait_for::<bool>("bank").await;
    assert_eq!(office.workflow.run("p", plain).await, waits("bank"));
    for (run, key) in [("r", "manager"), ("c", "bank"), ("p", "bank")] {
        for none in
            [json!(null), json!(""), json!(" \n"), json!("\u{200b}"), json!([""]), json!({ "why": null })]
        {
            let refused = refuses(&office, run, office.inbox.reject(run, key, &none)).await;
            assert_eq!(refused, InboxError::NoReason, "{none}");
        }
        let refused = refuses(&office, run, office.inbox.at(run, key).withdraw(" ")).await;
        assert_eq!(refused, InboxError::NoReason);
    }
    let each = office.inbox.everywhere("manager", |reply| reply.reject("")).await.unwrap();
    assert!(matches!(&each[..], [(_, Err(InboxError::NoReason))]), "{each:?}");
    for (run, reason) in [("r", json!({ "code": 0 })), ("c", json!(0))] {
        let key = if run == "r" { "manager" } else { "bank" };
        office.inbox.reject(run, key, &reason).await.unwrap();
    }
}

#[tokio::test]
async fn answer_to_withdrawn_question_names_the_operator() {
    let office = Office::new();
    assert_eq!(office.ask("r").await, waits("manager"));
    let plain = async |run: &DurableRun| run.wait_for::<Decision>("manager").await;
    assert_eq!(office.workflow.run("p", plain).await, waits("manager"));
    for run in ["r", "p"] {
        office.inbox.at(run, "manager").by("ops").withdraw("the trip is off").await.unwrap();
        for _ in 0..2 {
            let refused = refuses(&office, run, office.inbox.approve(run, "manager", &Decision::of(1))).await;
            let InboxError::Withdrawn { by, reason } = &refused else { panic!("{refused}") };
            assert_eq!((by.as_str(), reason.as_str()), ("ops", "the trip is off"));
            assert!(office.workflow.run(run, plain).await.is_err(), "the record stays");
        }
    }
}
