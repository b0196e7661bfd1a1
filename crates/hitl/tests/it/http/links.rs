use std::time::Duration;

use awaitly_core::clock::days;
use awaitly_core::store::{Operate, RunId, Store};
use awaitly_core::{DurableRun, RunError};
use awaitly_hitl::http::{Links, Secret};
use awaitly_hitl::{AnswerRecord, Approvals};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use super::faulty::SECRET;
use super::{Reply, Site, links, request};
use crate::world::{Decision, waits};

const ATTACK: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// Executes a run that asks ada.
async fn ask(site: &Site, run: &str) -> Result<Decision, RunError> {
    let body = async |run: &DurableRun| {
        run.approval("manager")
            .prompt("How much of it do we pay?")
            .metadata(&json!({ "trip_to": "Bonn", "nights": 2 }))
            .proposal(&Decision::of(42))
            .answerer("ada")
            .expires_in(days(3))
            .await
    };
    site.workflow.run(run.to_owned(), body).await
}

async fn link_of(site: &Site, run: &str, key: &str, by: Option<&str>) -> String {
    let question = site.inbox.at(run, key.to_owned()).show().await.unwrap();
    local(&links().to_question(&question, by))
}

/// Removes the host from a link, as a server receives it.
fn local(link: &str) -> String {
    link.strip_prefix("http://localhost").unwrap().to_owned()
}

fn get(link: &str) -> Request<Body> {
    request("GET", link).body(Body::empty()).unwrap()
}

/// Returns the request that submits the form of a page.
fn form(link: &str, inputs: &[(&str, &str)]) -> Request<Body> {
    let body: Vec<_> = inputs.iter().map(|(name, text)| format!("{name}={}", super::encoded(text))).collect();
    request("POST", link)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.join("&").into())
        .unwrap()
}

/// Checks the status, the headers and the words of a page.
fn says(page: &Reply, status: u16, words: &str) {
    assert_eq!(page.status.as_u16(), status, "{page:?}");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self'") && policy.contains("style-src 'sha256-"), "{policy}");
    assert!(page.text.contains(words), "{words}: {}", page.text);
}

async fn record(site: &Site, run: &str) -> AnswerRecord<Value> {
    let stored = site.store.memory.load(&RunId::new(run).unwrap()).await.unwrap().unwrap();
    stored.records.last().unwrap().outcome.payload().decode().unwrap()
}

#[tokio::test]
async fn opening_a_link_shows_the_question_and_changes_nothing() {
    let site = Site::new();
    assert_eq!(ask(&site, "trip-7").await, waits("manager"));
    let link = link_of(&site, "trip-7", "manager", Some("ada")).await;
    let before = site.store.memory.load(&RunId::new("trip-7").unwrap()).await.unwrap();
    for method in ["GET", "GET", "HEAD"] {
        let page = site.send(request(method, &link).body(Body::empty()).unwrap()).await;
        assert_eq!(page.status, 200);
        assert_eq!(site.store.memory.load(&RunId::new("trip-7").unwrap()).await.unwrap(), before);
    }
    let page = site.send(get(&link)).await;
    says(&page, 200, "How much of it do we pay?");
    for words in
        ["expense", "trip-7", "<bdi>ada</bdi>", "Trip to", "Bonn", "Approve as proposed", "<time datetime="]
    {
        says(&page, 200, words);
    }
    assert!(
        page.text
            .contains(r#"<input type="number" step="1" min="0" id="answer-0" name="answer-0" value="42">"#)
    );
    assert!(
        !page.text.contains("<script") && !page.text.contains("http://") && !page.text.contains("https://")
    );
    assert!(page.text.contains("<meta name=\"viewport\""));
}

#[tokio::test]
async fn proposal_is_accepted_edited_or_rejected_on_the_page() {
    let site = Site::new();
    let answered = async |run: &'static str, inputs: &[(&str, &str)]| {
        assert_eq!(ask(&site, run).await, waits("manager"));
        let link = link_of(&site, run, "manager", Some("ada")).await;
        says(&site.send(form(&link, inputs)).await, 200, "Your answer was recorded.");
        (record(&site, run).await, ask(&site, run).await)
    };
    let (answer, run) =
        answered("accepted", &[("do", "accept"), ("answer-0", "7"), ("note", " ok \r\nthen ")]).await;
    assert_eq!(run, Ok(Decision::of(42)));
    assert_eq!(
        (answer.by.as_deref(), answer.note.as_deref(), answer.via.as_deref(), answer.edited),
        (Some("ada"), Some("ok \nthen"), Some("link"), false)
    );
    let (answer, run) =
        answered("edited", &[("do", "edit"), ("answer-0", "40"), ("answer-1", "no taxi"), ("note", "")])
            .await;
    assert_eq!(run, Ok(Decision { cents: 40, condition: Some("no taxi".into()) }));
    assert_eq!((answer.note, answer.edited), (None, true));
    let (_, run) = answered("rejected", &[("do", "reject"), ("reason", "no <budget>")]).await;
    assert_eq!(run, Err(RunError::Rejected { step: "manager".into(), reason: "\"no <budget>\"".into() }));
}

#[tokio::test]
async fn edit_without_a_change_is_not_marked_edited() {
    let site = Site::new();
    let body = async |run: &DurableRun| run.approval("n").proposal(&42_u64).await;
    assert_eq!(site.workflow.run("r", body).await, waits("n"));
    let link = link_of(&site, "r", "n", None).await;
    says(&site.send(form(&link, &[("do", "edit"), ("answer", "42")])).await, 200, "Approved");
    let answer = record(&site, "r").await;
    assert_eq!((answer.value, answer.by, answer.edited), (json!(42), None, false));
}

#[tokio::test]
async fn invalid_form_is_shown_again_with_its_input() {
    let site = Site::new();
    assert_eq!(ask(&site, "r").await, waits("manager"));
    let link = link_of(&site, "r", "manager", Some("ada")).await;
    let again = async |inputs: &[(&str, &str)]| site.refuses(form(&link, inputs)).await;
    says(&again(&[]).await, 422, "Choose an answer.");
    says(&again(&[("do", "delete")]).await, 422, "Choose an answer.");
    says(&again(&[("do", "reject"), ("reason", " \n ")]).await, 422, "Give a reason.");
    let page = again(&[("do", "edit"), ("answer-0", "many"), ("note", "<b>")]).await;
    says(&page, 422, "Enter a whole number, not below 0.");
    says(&page, 422, "value=\"many\"");
    says(&page, 422, "&lt;b&gt;</textarea>");
    says(&page, 422, "value=\"edit\" required checked");
    // An input of another option is checked too.
    says(&again(&[("do", "approve"), ("answer-0", "")]).await, 422, "Enter a whole number, not below 0.");

    let free = async |run: &DurableRun| run.approval::<std::collections::BTreeMap<String, u32>>("free").await;
    assert!(site.workflow.run("free", free).await.is_err());
    let link = link_of(&site, "free", "free", None).await;
    says(&site.send(get(&link)).await, 200, "as JSON");
    let post = async |json: &str| site.refuses(form(&link, &[("do", "approve"), ("answer", json)])).await;
    says(&post("{").await, 422, "This is not valid JSON");
    says(&post("[1]").await, 422, "the answer should be an object");
    says(&post("").await, 422, "This is not valid JSON");
    says(&site.send(form(&link, &[("do", "approve"), ("answer", r#"{"a":1}"#)])).await, 200, "Approved");
    let nothing = async |run: &DurableRun| run.approval::<()>("go").await;
    assert!(site.workflow.run("unit", nothing).await.is_err());
    let link = link_of(&site, "unit", "go", None).await;
    says(&site.refuses(form(&link, &[("do", "accept")])).await, 422, "the run proposed no value");
    says(&site.send(form(&link, &[("do", "approve")])).await, 200, "Approved");
    assert_eq!(site.workflow.run("unit", nothing).await, Ok(()));
}

#[tokio::test]
async fn used_link_is_refused() {
    let site = Site::new();
    assert_eq!(ask(&site, "r").await, waits("manager"));
    let link = link_of(&site, "r", "manager", Some("ada")).await;
    says(&site.send(form(&link, &[("do", "accept")])).await, 200, "Approved");
    for later in
        [form(&link, &[("do", "accept")]), form(&link, &[("do", "reject"), ("reason", "no")]), get(&link)]
    {
        says(&site.refuses(later).await, 409, "Already answered");
    }
    assert_eq!(ask(&site, "r").await, Ok(Decision::of(42)));
    says(&site.refuses(form(&link, &[("do", "accept")])).await, 409, "Already answered");

    // The retried run asks under another token.
    assert_eq!(ask(&site, "again").await, waits("manager"));
    let old = link_of(&site, "again", "manager", Some("ada")).await;
    says(&site.send(form(&old, &[("do", "reject"), ("reason", "no")])).await, 200, "Rejected");
    ask(&site, "again").await.unwrap_err();
    let body = async |run: &DurableRun| run.approval::<Decision>("manager").await;
    assert_eq!(site.workflow.retry("again", body).await, waits("manager"));
    says(&site.refuses(form(&old, &[("do", "accept")])).await, 409, "Already answered");

    // The run was cancelled, or the question was withdrawn.
    for run in ["ended", "withdrawn"] {
        assert_eq!(ask(&site, run).await, waits("manager"));
    }
    let links = [
        link_of(&site, "ended", "manager", Some("ada")).await,
        link_of(&site, "withdrawn", "manager", Some("ada")).await,
    ];
    let _ = site.store.memory.cancel_without_undo(&RunId::new("ended").unwrap()).await.unwrap();
    site.inbox.at("withdrawn", "manager").withdraw("off").await.unwrap();
    for link in links {
        says(&site.refuses(form(&link, &[("do", "accept")])).await, 409, "Already answered");
    }
}

#[tokio::test]
async fn changed_link_is_refused() {
    let site = Site::new();
    for run in ["r", "other"] {
        assert_eq!(ask(&site, run).await, waits("manager"));
    }
    let link = link_of(&site, "r", "manager", Some("ada")).await;
    let other = link_of(&site, "other", "manager", Some("ada")).await;
    let token = |link: &str| link["/link/".len()..link.find('?').unwrap()].to_owned();
    let until = link.split("until=").nth(1).unwrap().split('&').next().unwrap();
    let foreign = Links::new(Secret::new("a secret of another server").unwrap(), "http://localhost").unwrap();
    let foreign = local(&foreign.to_question(&site.inbox.at("r", "manager").show().await.unwrap(), "ada"));
    let forged = [
        link.replace("by=ada", "by=bob"),
        link.replace("by=ada&", ""),
        link.replace(until, &format!("{until}0")),
        link.replace(&token(&link), &token(&other)),
        link.replace("signature=", "signature=AAAA"),
        link[..link.len() - 1].to_owned(),
        format!("{link}&by=bob"),
        format!("/link/{}", token(&link)),
        "/link/x?by=ada&until=99999999999999&signature=".to_owned(),
        foreign,
    ];
    for forged in &forged {
        says(&site.refuses(get(forged)).await, 401, "This link is not valid");
        says(&site.refuses(form(forged, &[("do", "accept")])).await, 401, "This link is not valid");
    }
    says(&site.refuses(get("/link/%ff?until=1&signature=a")).await, 401, "This link is not valid");
    // A server with a new secret still accepts links of the older one.
    let rotated = Links::new(
        Secret::new("a newer secret of ours").unwrap().or_older(super::KEY).unwrap(),
        "http://localhost",
    )
    .unwrap();
    let router = awaitly_hitl::http::Api::new(site.inbox.clone()).links(rotated).router();
    says(&super::send(&router, get(&link)).await, 200, "How much");
}

#[tokio::test(start_paused = true)]
async fn link_expires_with_its_question_or_earlier() {
    let site = Site::new();
    assert_eq!(ask(&site, "r").await, waits("manager"));
    let question = site.inbox.at("r", "manager").show().await.unwrap();
    let short = local(&links().valid_for(Duration::from_secs(60)).to_question(&question, "ada"));
    let long = local(&links().to_question(&question, "ada"));
    says(&site.send(get(&short)).await, 200, "How much");
    tokio::time::sleep(Duration::from_secs(61)).await;
    for late in [get(&short), form(&short, &[("do", "accept")])] {
        says(&site.refuses(late).await, 410, "Too late");
    }
    says(&site.send(get(&long)).await, 200, "How much");
    tokio::time::sleep(days(3)).await;
    for late in [get(&long), form(&long, &[("do", "accept")])] {
        says(&site.refuses(late).await, 410, "Too late");
    }
}

#[tokio::test]
async fn link_for_another_person_is_refused() {
    let site = Site::new();
    assert_eq!(ask(&site, "r").await, waits("manager"));
    for by in [Some("bob"), Some(""), None] {
        let link = link_of(&site, "r", "manager", by).await;
        for request in [get(&link), form(&link, &[("do", "accept")])] {
            let page = site.refuses(request).await;
            says(&page, 403, "Not for you");
            assert!(!page.text.contains("ada"), "the page does not name the answerers");
        }
    }
}

#[tokio::test]
async fn question_to_a_program_has_no_page() {
    let site = Site::new();
    let callback = async |run: &DurableRun| run.callback::<u64>("bank").await;
    assert_eq!(site.workflow.run("c", callback).await, waits("bank"));
    let plain = async |run: &DurableRun| run.wait_for::<u64>("bank").await;
    assert_eq!(site.workflow.run("w", plain).await, waits("bank"));
    for run in ["c", "w"] {
        let link = link_of(&site, run, "bank", None).await;
        for request in [get(&link), form(&link, &[("do", "approve"), ("answer", "1")])] {
            says(&site.refuses(request).await, 404, "there is no page for it");
        }
    }
}

#[tokio::test]
async fn text_of_a_question_is_escaped_on_the_page() {
    let site = Site::new();
    let workflow = awaitly_core::Workflow::new(ATTACK).store(site.store.memory.clone());
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Odd {
        #[serde(rename = "<script>alert(3)</script>")]
        name: String,
        way: Way,
        any: Value,
    }
    #[derive(serde::Serialize, serde::Deserialize)]
    enum Way {
        #[serde(rename = "<b>\"x")]
        Bold,
    }
    let body = async |run: &DurableRun| {
        run.approval(ATTACK.to_owned())
            .prompt(ATTACK)
            .metadata(&json!({ ATTACK: [ATTACK, { ATTACK: ATTACK }] }))
            .proposal(&Odd { name: format!("</textarea>{ATTACK}"), way: Way::Bold, any: json!(ATTACK) })
            .answerer(ATTACK)
            .await
            .map(drop)
    };
    assert!(workflow.run(ATTACK, body).await.is_err());
    let link = link_of(&site, ATTACK, ATTACK, Some(ATTACK)).await;
    let inputs =
        [("do", "edit"), ("answer-1", ATTACK), ("answer-2", ATTACK), ("note", ATTACK), ("reason", ATTACK)];
    for request in [get(&link), form(&link, &inputs)] {
        let page = site.send(request).await;
        for tag in ["<script", "<img", "<b>", "onerror=alert(2)>"] {
            assert!(!page.text.to_lowercase().contains(tag), "{tag}: {}", page.text);
        }
        assert_eq!(page.text.matches("<textarea").count(), page.text.matches("</textarea>").count());
        assert!(page.text.contains("&lt;script&gt;") && page.text.contains(r#"value="&lt;b&gt;&quot;x""#));
    }
}

#[tokio::test]
async fn form_of_another_type_or_size_is_refused() {
    let site = Site::new();
    assert_eq!(ask(&site, "r").await, waits("manager"));
    let link = link_of(&site, "r", "manager", Some("ada")).await;
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let request = request("POST", &link).header(header::CONTENT_TYPE, kind);
        says(&site.refuses(request.body("do=accept".into()).unwrap()).await, 415, "Nothing was changed");
    }
    let large = "x".repeat(100_000);
    says(&site.refuses(form(&link, &[("do", "accept"), ("note", &large)])).await, 413, "Too long");
    says(&site.send(form(&link, &[("do", "accept")])).await, 200, "Approved");
}

#[tokio::test]
async fn store_failure_leaks_no_details_on_a_page() {
    let site = Site::new();
    assert_eq!(ask(&site, "r").await, waits("manager"));
    let link = link_of(&site, "r", "manager", Some("ada")).await;
    site.store.fail(true);
    for request in [get(&link), form(&link, &[("do", "accept")])] {
        let page = site.refuses(request).await;
        says(&page, 503, "Not now");
        assert!(!page.text.contains(SECRET) && !page.text.contains("hunter2"));
    }
}
