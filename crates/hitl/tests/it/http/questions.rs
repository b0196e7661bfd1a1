use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use awaitly_core::clock::days;
use awaitly_core::journal::Status;
use awaitly_core::store::{Operate, RunId, Store};
use awaitly_core::{DurableRun, RunError};
use awaitly_hitl::http::{Api, SecretError};
use awaitly_hitl::{AnswerRecord, Approvals, Inbox};
use awaitly_persistence::MemoryStore;
use axum::body::{Body, Bytes};
use axum::http::header;
use futures_util::stream;
use serde_json::{Value, json};

use super::faulty::SECRET;
use super::{ADA, BOB, Reply, Site, encoded, is, request, send};
use crate::world::{Decision, waits};

/// A site with a run that asks ada and bob about 42 cents.
async fn site() -> Site {
    let site = Site::new();
    assert_eq!(ask(&site, "r").await, waits("manager"));
    site
}

async fn ask(site: &Site, run: &str) -> Result<Decision, RunError> {
    let body = async |run: &DurableRun| {
        run.approval("manager")
            .prompt("May I?")
            .proposal(&Decision::of(42))
            .answerer("ada")
            .answerer("bob")
            .expires_in(days(3))
            .await
    };
    site.workflow.run(run.to_owned(), body).await
}

/// Returns a request with a bearer token and a JSON body.
fn with_json(token: &str, path: &str, body: impl Into<Body>) -> axum::http::Request<Body> {
    request("POST", path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(body.into())
        .unwrap()
}

#[tokio::test]
async fn request_without_a_known_token_is_refused() {
    let site = site().await;
    let paths = [("GET", "/questions"), ("GET", "/questions/r/manager"), ("POST", "/questions/r/manager")];
    let wrong = format!("Bearer {ADA}x");
    let empty = "Bearer ";
    let headers = [
        None,
        Some(&*wrong),
        Some(empty),
        Some("Bearer"),
        Some(ADA),
        Some("Basic YWRhOmFkYQ=="),
        Some("bearer"),
    ];
    for (method, path) in paths {
        for shown in headers {
            let mut request = request(method, path).header(header::CONTENT_TYPE, "application/json");
            if let Some(shown) = shown {
                request = request.header(header::AUTHORIZATION, shown);
            }
            let refused = site.refuses(request.body(r#"{"accept":true}"#.into()).unwrap()).await;
            assert_eq!(refused.problem(), is(401, "unauthorized"), "{method} {path} {shown:?}");
            assert!(refused.header("www-authenticate").starts_with("Bearer"), "{refused:?}");
        }
        let twice = request(method, path)
            .header(header::AUTHORIZATION, format!("Bearer {ADA}"))
            .header(header::AUTHORIZATION, format!("Bearer {ADA}"))
            .body(Body::empty())
            .unwrap();
        assert_eq!(site.refuses(twice).await.problem(), is(401, "unauthorized"));
    }
    let lower = request("GET", "/questions").header(header::AUTHORIZATION, format!("bearer {ADA}"));
    assert_eq!(site.send(lower.body(Body::empty()).unwrap()).await.status, 200);
}

#[tokio::test]
async fn api_without_tokens_refuses_requests_until_one_is_generated() {
    let store = MemoryStore::new();
    let closed = Api::new(Inbox::new(store.clone())).router();
    for shown in [None, Some("Bearer "), Some("Bearer x")] {
        let mut request = request("GET", "/questions");
        if let Some(shown) = shown {
            request = request.header(header::AUTHORIZATION, shown);
        }
        assert_eq!(send(&closed, request.body(Body::empty()).unwrap()).await.status, 401);
    }
    // Without links, the API serves no page.
    assert_eq!(
        send(&closed, request("GET", "/link/x").body(Body::empty()).unwrap()).await.problem(),
        is(404, "not_found")
    );

    let (api, token) = Api::new(Inbox::new(store.clone())).generate_bearer("operator").unwrap();
    let (_, other) = Api::new(Inbox::new(store.clone())).generate_bearer("operator").unwrap();
    assert!(token.len() >= 32 && token != other);
    assert!(!format!("{api:?}").contains(&token));
    let open = request("GET", "/questions").header(header::AUTHORIZATION, format!("Bearer {token}"));
    assert_eq!(send(&api.router(), open.body(Body::empty()).unwrap()).await.status, 200);

    let refused = |token: &str| Api::new(Inbox::new(store.clone())).bearer(token, "ada").map(drop);
    assert_eq!(refused(""), Err(SecretError::TooShort { bytes: 0 }));
    assert_eq!(refused("short"), Err(SecretError::TooShort { bytes: 5 }));
    assert_eq!(refused("with spaces in between"), Err(SecretError::Unsendable));
}

#[tokio::test]
async fn questions_are_listed_in_pages_without_tokens() {
    let site = site().await;
    for number in 0..4 {
        assert_eq!(ask(&site, &format!("r{number}")).await, waits("manager"));
    }
    let token = site.inbox.at("r", "manager").show().await.unwrap().token().to_owned();
    let (mut runs, mut path) = (Vec::new(), "/questions?limit=2&key=manager".to_owned());
    for _ in 0..10 {
        let page = site.ada("GET", &path, "").await;
        assert!(!page.text.contains(&token) && !page.text.contains("token"), "{page:?}");
        let page = page.json();
        for question in page["questions"].as_array().unwrap() {
            runs.push(question["run"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/questions?limit=2&key=manager&after={}", encoded(next)),
            None => break,
        }
    }
    assert_eq!(runs, ["r3", "r2", "r1", "r0", "r"]);
    let one = site.ada("GET", "/questions?run=r1", "").await.json();
    assert_eq!(one["questions"].as_array().unwrap().len(), 1);
    assert_eq!(site.ada("GET", "/questions?key=other", "").await.json()["questions"], json!([]));

    for bad in ["limit=many", "runs=r", "run=", "limit=-1"] {
        assert_eq!(
            site.ada("GET", &format!("/questions?{bad}"), "").await.problem(),
            is(400, "bad_query"),
            "{bad}"
        );
    }
    assert_eq!(site.ada("GET", "/questions?after=nowhere", "").await.problem(), is(400, "bad_cursor"));
}

#[tokio::test]
async fn question_shows_prompt_proposal_answerers_and_shape() {
    let site = site().await;
    let shown = site.ada("GET", "/questions/r/manager", "").await;
    let token = site.inbox.at("r", "manager").show().await.unwrap().token().to_owned();
    assert!(!shown.text.contains(&token));
    let shown = shown.json();
    assert_eq!(shown["workflow"], "expense");
    assert_eq!(shown["prompt"], "May I?");
    assert_eq!(shown["proposal"], json!({ "cents": 42 }));
    assert_eq!(shown["answerers"], json!(["ada", "bob"]));
    assert_eq!(shown["shape"]["struct"][0], json!({ "name": "cents", "shape": "natural", "required": true }));
}

#[tokio::test]
async fn each_verb_answers_in_the_name_of_the_token() {
    let site = Site::new();
    let answered = async |run: &'static str, body: Value| {
        assert_eq!(ask(&site, run).await, waits("manager"));
        let given = site.send(with_json(BOB, &format!("/questions/{run}/manager"), body.to_string())).await;
        assert_eq!(
            (given.status.as_u16(), given.json()),
            (200, json!({ "run": run, "key": "manager", "by": "bob" }))
        );
        let stored = site.store.memory.load(&RunId::new(run).unwrap()).await.unwrap().unwrap();
        (ask(&site, run).await, stored.records.into_iter().next_back().unwrap().outcome)
    };
    let (approved, outcome) =
        answered("approved", json!({ "approve": { "cents": 7 }, "note": "once" })).await;
    assert_eq!(approved, Ok(Decision::of(7)));
    let answer: AnswerRecord<Decision> = outcome.payload().decode().unwrap();
    assert_eq!(
        (answer.by.as_deref(), answer.note.as_deref(), answer.via.as_deref(), answer.edited),
        (Some("bob"), Some("once"), Some("http"), true)
    );
    assert_eq!(answered("accepted", json!({ "accept": true })).await.0, Ok(Decision::of(42)));
    let (edited, outcome) = answered("edited", json!({ "edit": { "cents": 1 } })).await;
    assert_eq!(edited, Ok(Decision::of(1)));
    assert!(outcome.payload().decode::<AnswerRecord<Decision>>().unwrap().edited);
    let rejected = answered("rejected", json!({ "reject": { "code": 3 } })).await.0;
    assert_eq!(rejected, Err(RunError::Rejected { step: "manager".into(), reason: r#"{"code":3}"#.into() }));
    let withdrawn = answered("withdrawn", json!({ "withdraw": "the trip is off" })).await.0;
    assert!(matches!(&withdrawn, Err(RunError::Refused { by, .. }) if &**by == "bob"), "{withdrawn:?}");
    let expired = answered("expired", json!({ "expire": true })).await.0;
    assert_eq!(expired, Err(RunError::Expired { step: "manager".into() }));

    // `null` is a valid answer.
    let callback = async |run: &DurableRun| run.callback::<Option<u64>>("bank").await;
    assert_eq!(site.workflow.run("c", callback).await, waits("bank"));
    assert_eq!(site.ada("POST", "/questions/c/bank", r#"{"answer":null}"#).await.status, 200);
    assert_eq!(site.workflow.run("c", callback).await, Ok(None));
}

#[tokio::test]
async fn invalid_answer_is_refused_without_a_change() {
    let site = site().await;
    let post = async |body: &str| site.refuses(with_json(ADA, "/questions/r/manager", body.to_owned())).await;
    for malformed in
        ["", "{", "[]", "null", "\"accept\"", r#"{"accept":true"#, "\u{0}", r#"{"accept":true}{}"#]
    {
        assert_eq!(post(malformed).await.problem(), is(400, "malformed"), "{malformed}");
    }
    for unknown in [
        r#"{"aprove":1}"#,
        r#"{"accept":true,"by":"bob"}"#,
        r#"{"accept":true,"via":"mail"}"#,
        r#"{"accept":false}"#,
        r#"{"accept":1}"#,
        r#"{"accept":null}"#,
        r#"{"expire":false}"#,
        r#"{"withdraw":null}"#,
        r#"{"approve":1,"approve":2}"#,
        r#"{"accept":true,"note":7}"#,
    ] {
        assert_eq!(post(unknown).await.problem(), is(400, "malformed"), "{unknown}");
    }
    let nested = format!(r#"{{"approve":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(post(&nested).await.problem(), is(400, "malformed"));
    let binary = site.refuses(with_json(ADA, "/questions/r/manager", vec![0xff, 0xfe])).await;
    assert_eq!(binary.problem(), is(400, "malformed"));
    for none in ["{}", r#"{"note":"x"}"#] {
        assert_eq!(post(none).await.problem(), is(400, "no_verb"));
    }
    for two in [r#"{"accept":true,"reject":"no"}"#, r#"{"approve":null,"edit":null}"#] {
        assert_eq!(post(two).await.problem(), is(400, "several_verbs"), "{two}");
    }
    for misfit in
        [r#"{"approve":"yes"}"#, r#"{"approve":null}"#, r#"{"edit":{"cents":"many"}}"#, r#"{"approve":{}}"#]
    {
        assert_eq!(post(misfit).await.problem(), is(422, "misfit"), "{misfit}");
    }
    assert!(
        post(r#"{"edit":{"cents":"many"}}"#).await.message().contains("`cents` should be a whole number")
    );
    assert_eq!(post(r#"{"answer":1}"#).await.problem(), is(422, "other_kind"));

    let no_proposal = async |run: &DurableRun| run.approval::<bool>("plain").await;
    assert_eq!(site.workflow.run("p", no_proposal).await, waits("plain"));
    let accept = with_json(ADA, "/questions/p/plain", r#"{"accept":true}"#);
    assert_eq!(site.refuses(accept).await.problem(), is(422, "no_proposal"));

    for kind in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx")]
    {
        let mut request =
            request("POST", "/questions/r/manager").header(header::AUTHORIZATION, format!("Bearer {ADA}"));
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let refused = site.refuses(request.body(r#"{"accept":true}"#.into()).unwrap()).await;
        assert_eq!(refused.problem(), is(415, "unsupported_type"), "{kind:?}");
    }
}

#[tokio::test]
async fn rejection_without_a_reason_is_a_typed_problem() {
    let site = site().await;
    for none in [r#"{"reject":null}"#, r#"{"reject":""}"#, r#"{"reject":" "}"#, r#"{"withdraw":""}"#] {
        let refused = site.refuses(with_json(ADA, "/questions/r/manager", none)).await;
        assert_eq!(refused.problem(), is(422, "no_reason"), "{none}");
        assert!(refused.message().contains("needs a reason"), "{refused:?}");
    }
}

#[tokio::test]
async fn answer_to_withdrawn_question_returns_410() {
    let site = site().await;
    assert_eq!(
        site.ada("POST", "/questions/r/manager", r#"{"withdraw":"the trip is off"}"#).await.status,
        200
    );
    for resumed in [false, true] {
        if resumed {
            assert!(matches!(ask(&site, "r").await, Err(RunError::Refused { .. })));
        }
        let accept = with_json(BOB, "/questions/r/manager", r#"{"accept":true}"#);
        let gone = site.refuses(accept).await;
        assert_eq!(gone.problem(), is(410, "withdrawn"));
        assert_eq!(gone.message(), "ada withdrew this question (the trip is off): it takes no answer");
        assert_eq!(site.ada("GET", "/questions/r/manager", "").await.problem(), is(410, "withdrawn"));
    }
}

#[tokio::test]
async fn error_of_expected_type_hides_the_type_name() {
    let site = Site::new();
    let inbox = site.inbox.clone().expects::<std::num::NonZeroU32>("bank");
    let router = super::api(inbox).router();
    let body = async |run: &DurableRun| run.wait_for::<std::num::NonZeroU32>("bank").await;
    assert!(site.workflow.run("w", body).await.is_err());
    let refused = send(&router, with_json(ADA, "/questions/w/bank", r#"{"answer":0}"#)).await;
    assert_eq!(refused.problem(), is(422, "misfit"));
    assert!(!refused.text.contains("core::num"), "{refused:?}");
}

/// A type whose `Deserialize` implementation panics.
#[derive(Debug)]
struct Fussy;

impl<'de> serde::Deserialize<'de> for Fussy {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("{SECRET}");
    }
}

#[tokio::test]
async fn panic_of_expected_type_hides_the_message() {
    let site = Site::new();
    let router = super::api(site.inbox.clone().expects::<Fussy>("bank")).router();
    let body = async |run: &DurableRun| run.wait_for::<u32>("bank").await;
    assert!(site.workflow.run("w", body).await.is_err());
    let refused = send(&router, with_json(ADA, "/questions/w/bank", r#"{"answer":0}"#)).await;
    assert_eq!(refused.problem(), is(500, "internal"));
    assert!(!refused.text.contains("hunter2"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn question_that_does_not_wait_names_the_reason() {
    let site = site().await;
    let accept =
        async |token: &str, path: &str| site.refuses(with_json(token, path, r#"{"accept":true}"#)).await;
    assert_eq!(accept(ADA, "/questions/other/manager").await.problem(), is(404, "no_such_run"));
    assert_eq!(accept(ADA, "/questions/r/director").await.problem(), is(404, "never_asked"));
    let shown = site.ada("GET", "/questions/other/manager", "").await;
    assert_eq!(shown.problem(), is(404, "no_such_run"));
    let long = "x".repeat(600);
    assert_eq!(accept(ADA, &format!("/questions/{long}/manager")).await.problem(), is(404, "no_such_run"));

    // The first answer is kept.
    assert_eq!(site.ada("POST", "/questions/r/manager", r#"{"accept":true}"#).await.status, 200);
    assert_eq!(accept(BOB, "/questions/r/manager").await.problem(), is(409, "already_answered"));
    assert_eq!(site.ada("GET", "/questions/r/manager", "").await.problem(), is(409, "already_answered"));
    assert_eq!(ask(&site, "r").await, Ok(Decision::of(42)));
    assert_eq!(accept(ADA, "/questions/r/manager").await.problem(), is(409, "already_answered"));

    assert_eq!(ask(&site, "ended").await, waits("manager"));
    let _ = site.store.memory.cancel_without_undo(&RunId::new("ended").unwrap()).await.unwrap();
    assert_eq!(accept(ADA, "/questions/ended/manager").await.problem(), is(409, "run_ended"));

    assert_eq!(ask(&site, "late").await, waits("manager"));
    tokio::time::sleep(days(3)).await;
    assert_eq!(accept(ADA, "/questions/late/manager").await.problem(), is(410, "expired"));
}

#[tokio::test]
async fn person_not_among_the_answerers_gets_403() {
    let site = Site::new();
    let body = async |run: &DurableRun| run.approval::<bool>("manager").answerer("bob").await;
    assert_eq!(site.workflow.run("r", body).await, waits("manager"));
    for verb in [r#"{"approve":true}"#, r#"{"reject":"no"}"#] {
        let refused = site.refuses(with_json(ADA, "/questions/r/manager", verb)).await;
        assert_eq!(refused.problem(), is(403, "not_asked"));
    }
    assert_eq!(site.send(with_json(BOB, "/questions/r/manager", r#"{"approve":true}"#)).await.status, 200);
}

#[tokio::test]
async fn run_ids_and_keys_may_contain_any_character() {
    let site = Site::new();
    let hostile = [
        "a/b",
        "a%2Fb",
        "a\"b'c",
        "nul\0nul",
        "../../etc/passwd",
        "?x=1#y",
        " ",
        "日本語🦀",
        "{run}",
        "*",
        "a\r\nb: c",
        "%",
    ];
    for text in hostile {
        let body = async |run: &DurableRun| run.approval::<u64>(text.to_owned()).await;
        assert_eq!(site.workflow.run(text.to_owned(), body).await, waits(text.to_owned()));
        let path = format!("/questions/{}/{}", encoded(text), encoded(text));
        let shown = site.ada("GET", &path, "").await.json();
        assert_eq!((&shown["run"], &shown["key"]), (&json!(text), &json!(text)));
        let never = site.refuses(with_json(ADA, &format!("{path}x"), r#"{"approve":1}"#)).await;
        assert_eq!(never.problem(), is(404, "never_asked"), "{text}");
        let listed = site.ada("GET", &format!("/questions?run={}", encoded(text)), "").await.json();
        assert_eq!(listed["questions"][0]["run"], text);
        let given = site.ada("POST", &path, r#"{"approve":1}"#).await;
        assert_eq!((given.status.as_u16(), &given.json()["run"]), (200, &json!(text)));
        assert_eq!(site.workflow.run(text.to_owned(), body).await, Ok(1));
    }
    for bad in ["/questions/%ff/manager", "/questions/r/%c3%28"] {
        assert_eq!(site.ada("GET", bad, "").await.problem(), is(400, "bad_path"), "{bad}");
    }
}

#[tokio::test]
async fn too_large_body_is_refused_before_it_is_read() {
    let site = site().await;
    let read = Arc::new(AtomicUsize::new(0));
    // Ten megabytes; the stream counts the bytes that the server reads.
    let flood = || {
        let read = Arc::clone(&read);
        let chunks = (0..10_240).map(move |_| {
            read.fetch_add(1024, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1024]))
        });
        Body::from_stream(stream::iter(chunks))
    };
    let refused = site.refuses(with_json(ADA, "/questions/r/manager", flood())).await;
    assert_eq!(refused.problem(), is(413, "too_large"));
    let taken = read.swap(0, Ordering::Relaxed);
    assert!((64 * 1024..=66 * 1024).contains(&taken), "{taken} bytes were read");

    let mut announced = with_json(ADA, "/questions/r/manager", flood());
    announced.headers_mut().insert(header::CONTENT_LENGTH, "10485760".parse().unwrap());
    assert_eq!(site.refuses(announced).await.problem(), is(413, "too_large"));
    let anonymous = request("POST", "/questions/r/manager").body(flood()).unwrap();
    assert_eq!(site.refuses(anonymous).await.problem(), is(401, "unauthorized"));
    assert_eq!(read.load(Ordering::Relaxed), 0);

    // Pad the body with spaces to the limit.
    let most = format!(r#"{{"accept":true}}{}"#, " ".repeat(65_536 - 15));
    let more = with_json(ADA, "/questions/r/manager", format!("{most} "));
    assert_eq!(site.refuses(more).await.problem(), is(413, "too_large"));
    let small = super::api(site.inbox.clone()).body_limit(10).router();
    let refused = send(&small, with_json(ADA, "/questions/r/manager", r#"{"accept":true}"#)).await;
    assert_eq!(refused.problem(), is(413, "too_large"));
    assert_eq!(site.send(with_json(ADA, "/questions/r/manager", most)).await.status, 200);
}

#[tokio::test]
async fn interrupted_body_is_refused() {
    let site = site().await;
    let chunks = [Ok(Bytes::from_static(br#"{"accept":true}"#)), Err(std::io::Error::other("gone"))];
    let broken = with_json(ADA, "/questions/r/manager", Body::from_stream(stream::iter(chunks)));
    assert_eq!(site.refuses(broken).await.problem(), is(400, "incomplete"));
}

#[tokio::test]
async fn store_failure_leaks_no_details() {
    let site = site().await;
    site.store.fail(true);
    let failed: [Reply; 3] = [
        site.ada("GET", "/questions", "").await,
        site.ada("GET", "/questions/r/manager", "").await,
        site.refuses(with_json(ADA, "/questions/r/manager", r#"{"accept":true}"#)).await,
    ];
    for failed in failed {
        assert_eq!(failed.problem(), is(503, "store_failed"));
        assert!(!failed.text.contains(SECRET) && !failed.text.contains("hunter2"), "{failed:?}");
    }
    site.store.fail(false);
    assert_eq!(site.ada("GET", "/questions", "").await.status, 200);
}

#[tokio::test]
async fn unknown_path_or_method_returns_a_json_problem() {
    let site = site().await;
    for path in ["/", "/question", "/questions/", "/questions/r", "/questions/r/manager/more"] {
        assert_eq!(site.ada("GET", path, "").await.problem(), is(404, "not_found"), "{path}");
    }
    for (method, path) in [
        ("DELETE", "/questions"),
        ("PUT", "/questions/r/manager"),
        ("POST", "/questions"),
        ("PUT", "/link/x"),
    ] {
        let refused = site.ada(method, path, "{}").await;
        assert_eq!(refused.problem(), is(405, "method_not_allowed"), "{method} {path}");
        assert!(refused.header("allow").contains("GET"), "{refused:?}");
    }
    assert_eq!(
        site.store.memory.load(&RunId::new("r").unwrap()).await.unwrap().unwrap().header.status,
        Status::Waiting
    );
}

#[tokio::test]
async fn routes_can_be_nested_below_a_path() {
    let site = site().await;
    let app = axum::Router::new().nest("/approvals", super::api(site.inbox.clone()).router());
    let shown = request("GET", "/approvals/questions/r/manager")
        .header(header::AUTHORIZATION, format!("Bearer {ADA}"));
    assert_eq!(send(&app, shown.body(Body::empty()).unwrap()).await.json()["run"], "r");
    let unknown = request("GET", "/approvals/nothing").body(Body::empty()).unwrap();
    assert_eq!(send(&app, unknown).await.problem(), is(404, "not_found"));
}
