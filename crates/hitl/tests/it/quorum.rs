use awaitly_core::clock::{days, secs};
use awaitly_core::{DurableRun, RunError};
use awaitly_hitl::{Approvals, InboxError};

use crate::world::{Office, waits};

async fn board(office: &Office) -> Result<Vec<Option<String>>, RunError> {
    let body = async |run: &DurableRun| {
        let votes = run
            .quorum::<bool>("board", 2, ["ada", "bob", "cy"])
            .prompt("Buy it?")
            .expires_in(days(3))
            .await?;
        Ok(votes.into_iter().map(|vote| vote.by).collect())
    };
    office.workflow.run("r", body).await
}

fn vote(person: &str) -> String {
    format!("board[{person}]")
}

#[tokio::test(start_paused = true)]
async fn two_approvals_of_three_decide_and_withdraw_the_third() {
    let office = Office::new();
    assert_eq!(board(&office).await, waits(vote("ada")));
    assert_eq!(office.stored("r").await.waits.len(), 3);
    let stranger = office.inbox.at("r", vote("ada")).by("bob").approve(&true).await.unwrap_err();
    assert!(matches!(stranger, InboxError::NotAnAnswerer { .. }), "{stranger}");
    office.inbox.at("r", vote("cy")).by("cy").approve(&true).await.unwrap();
    assert_eq!(board(&office).await, waits(vote("ada")));
    tokio::time::sleep(secs(1)).await;
    office.inbox.at("r", vote("bob")).by("bob").approve(&true).await.unwrap();
    let by = |names: [&str; 2]| Ok(names.map(|name| Some(name.to_owned())).to_vec());
    assert_eq!(board(&office).await, by(["cy", "bob"]));
    assert!(office.stored("r").await.waits.is_empty());
    let late = office.inbox.at("r", vote("ada")).by("ada").reject("no").await.unwrap_err();
    assert_eq!(late, InboxError::Withdrawn { by: "quorum".into(), reason: "the quorum is decided".into() });
    assert_eq!(board(&office).await, by(["cy", "bob"]));
}

#[tokio::test]
async fn two_rejections_of_three_fail_and_retry_asks_again() {
    let office = Office::new();
    assert_eq!(board(&office).await, waits(vote("ada")));
    office.inbox.at("r", vote("ada")).by("ada").reject("too dear").await.unwrap();
    assert_eq!(board(&office).await, waits(vote("bob")), "one rejection of three leaves the quorum open");
    office.inbox.at("r", vote("cy")).by("cy").reject("too late").await.unwrap();
    let reason = r#"["too dear","too late"]"#.into();
    assert_eq!(board(&office).await, Err(RunError::Rejected { step: "board".into(), reason }));
    let body = async |run: &DurableRun| run.quorum::<bool>("board", 2, ["ada", "bob", "cy"]).await.map(drop);
    let again = office.workflow.retry("r", body).await;
    assert_eq!(again, waits(vote("ada")));
    let asked: Vec<_> =
        office.stored("r").await.waits.into_iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(asked, [vote("ada"), vote("bob"), vote("cy")]);
}

#[tokio::test(start_paused = true)]
async fn quorum_without_enough_votes_in_time_expires() {
    let office = Office::new();
    assert_eq!(board(&office).await, waits(vote("ada")));
    office.inbox.at("r", vote("ada")).by("ada").approve(&true).await.unwrap();
    tokio::time::sleep(days(3)).await;
    assert_eq!(board(&office).await, Err(RunError::Expired { step: "board".into() }));
}

#[test]
#[should_panic(expected = "a quorum of 3 is impossible with 2 people")]
fn impossible_quorum_panics_when_built() {
    let office = Office::new();
    let body = async |run: &DurableRun| {
        let quorum = run.quorum::<bool>("board", 3, ["ada", "bob"]);
        drop(quorum);
        Ok::<_, RunError>(())
    };
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(office.workflow.run("r", body));
    // The run catches the panic of its body.
    panic!("{}", ended.unwrap_err());
}
