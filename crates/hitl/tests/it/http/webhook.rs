use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use awaitly_core::clock::{Clock, Sleep};
use awaitly_core::{DurableRun, RunError, Workflow};
use awaitly_hitl::http::{Inbound, Secret, SignatureCheck, json};
use awaitly_hitl::{Approvals, Notifier, WebhookNotifier};
use awaitly_persistence::MemoryStore;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{KEY, links, send};
use crate::world::{Office, waits};

/// A server that keeps its requests and responds with given statuses.
#[derive(Clone, Default)]
struct Receiver {
    came: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    /// Starts to listen, and returns the URL.
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a-secret-path", listener.local_addr().unwrap());
        let router = Router::new().fallback(routing::any(receive)).with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        url
    }

    fn count(&self) -> usize {
        self.came.lock().unwrap().len()
    }

    /// Returns the id and the notice of the request at `place`, after checking its headers and signatures.
    fn notice(&self, place: usize) -> (String, Value) {
        let (headers, body) = self.came.lock().unwrap()[place].clone();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let (seconds, id) = (header("webhook-timestamp").parse().unwrap(), header("webhook-id"));
        let secret = Secret::new(KEY).unwrap();
        let standard = secret.sign_webhook(&id, seconds, &body);
        let of_route = secret.sign_route("POST", "/a-secret-path", &id, seconds, &body);
        assert_eq!(header("webhook-signature"), format!("{standard} {of_route}"));
        assert_eq!(header("idempotency-key"), id);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(seconds) < 60);
        assert_eq!(header("content-type"), "application/json");
        (id, serde_json::from_slice(&body).unwrap())
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    receiver.came.lock().unwrap().push((headers, body));
    let answer = receiver.answers.lock().unwrap().pop().unwrap_or(200);
    let status = StatusCode::from_u16(answer).unwrap();
    (status, [(header::LOCATION, "/elsewhere")], "x".repeat(1_000_000)).into_response()
}

fn hook(url: &str) -> WebhookNotifier {
    WebhookNotifier::new(url, Secret::new(KEY).unwrap()).unwrap()
}

async fn ask(office: &Office, hook: &WebhookNotifier) -> Result<bool, RunError> {
    let body = async |run: &DurableRun| {
        run.approval("manager")
            .prompt("May I?")
            .metadata(&serde_json::json!({ "cents": 42 }))
            .answerer("ada")
            .notify(hook)
            .await
    };
    office.workflow.run("r", body).await
}

#[tokio::test]
async fn notice_is_signed_and_sent_once() {
    let (office, receiver) = (Office::new(), Receiver::default());
    let hook = hook(&receiver.listen().await);
    for _ in 0..2 {
        assert_eq!(ask(&office, &hook).await, waits("manager"));
    }
    assert_eq!(receiver.count(), 1);
    let token = office.inbox.at("r", "manager").show().await.unwrap().token().to_owned();
    let (_, notice) = receiver.notice(0);
    assert_eq!(
        notice,
        serde_json::json!({
            "kind": "asked", "run": "r", "key": "manager", "prompt": "May I?", "metadata": { "cents": 42 },
            "answerers": ["ada"], "expires": null, "token": token,
        })
    );
}

#[tokio::test]
async fn notice_with_links_contains_no_token() {
    let (office, receiver) = (Office::new(), Receiver::default());
    let hook = hook(&receiver.listen().await).links(links());
    assert_eq!(ask(&office, &hook).await, waits("manager"));
    let (_, notice) = receiver.notice(0);
    assert_eq!(notice.get("token"), None);
    assert_eq!(notice["links"][0]["by"], "ada");
    let link = notice["links"][0]["url"].as_str().unwrap();
    let (token, query) = link.strip_prefix("http://localhost/link/").unwrap().split_once('?').unwrap();
    assert_eq!(links().verify(token, query, SystemTime::now().into()), Ok(Some("ada".to_owned())));
    office.inbox.with_token(token).by("ada").approve(&true).await.unwrap();
    assert_eq!(ask(&office, &hook).await, Ok(true));
}

/// A clock on which a back-off ends immediately, and a timeout never.
#[derive(Debug)]
struct Hasty;

impl Clock for Hasty {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        if at < Instant::now() + Duration::from_secs(5) {
            Box::pin(std::future::ready(()))
        } else {
            Box::pin(std::future::pending())
        }
    }
}

#[tokio::test]
async fn retried_notice_keeps_its_id() {
    let (mut office, receiver) = (Office::new(), Receiver::default());
    office.workflow = office.workflow.clock(Hasty);
    receiver.answers.lock().unwrap().extend([200, 503, 500]);
    let hook = hook(&receiver.listen().await);
    assert_eq!(ask(&office, &hook).await, waits("manager"));
    assert_eq!(receiver.count(), 3);
    let ids = [0, 1, 2].map(|place| receiver.notice(place).0);
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() >= 32), "{ids:?}");
}

/// Returns a notice as a run passes it to its notifier.
async fn notice() -> awaitly_hitl::Notice {
    #[derive(Clone, Default)]
    struct Catch(Arc<Mutex<Option<awaitly_hitl::Notice>>>);
    impl Notifier for Catch {
        type Error = std::convert::Infallible;

        async fn notify(&self, notice: awaitly_hitl::Notice) -> Result<(), Self::Error> {
            *self.0.lock().unwrap() = Some(notice);
            Ok(())
        }
    }
    let (office, caught) = (Office::new(), Catch::default());
    let body = async |run: &DurableRun| run.approval::<bool>("manager").notify(&caught).await;
    assert_eq!(office.workflow.run("r", body).await, waits("manager"));
    caught.0.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn redirects_are_refused_and_errors_hide_the_url() {
    let receiver = Receiver::default();
    let hook = hook(&receiver.listen().await);
    let notice = notice().await;
    for (status, words) in [
        (302, "302 Found: configure the URL that it leads to"),
        (307, "307 Temporary Redirect: configure the URL"),
        (404, "the receiver responded with 404 Not Found"),
        (500, "the receiver responded with 500 Internal Server Error"),
    ] {
        receiver.answers.lock().unwrap().push(status);
        let error = hook.notify(notice.clone()).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("a-secret-path") && !error.contains(&notice.token), "{error}");
    }
    assert_eq!(receiver.count(), 4, "no redirect was followed");
}

#[tokio::test]
async fn unreachable_receiver_gives_an_error_without_secrets() {
    let notice = notice().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a-secret-path", listener.local_addr().unwrap());
    // The listener accepts no connection.
    let silent = hook(&url).timeout(Duration::from_millis(1));
    let error = silent.notify(notice.clone()).await.unwrap_err().to_string();
    assert!(error.contains("did not respond within 1ms"), "{error}");
    drop(listener);
    let error = hook(&url).notify(notice.clone()).await.unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
    // The TLS handshake with a plain HTTP server fails.
    let receiver = Receiver::default();
    let plain = receiver.listen().await.replace("http://", "https://");
    let error = hook(&plain).notify(notice.clone()).await.unwrap_err().to_string();
    assert!(!error.contains("a-secret-path") && !error.contains(&notice.token), "{error}");
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn notice_replayed_to_another_route_is_refused() {
    let store = MemoryStore::new();
    let came = Arc::new(Mutex::new(Vec::new()));
    let route = |name: &'static str| {
        let check = SignatureCheck::new(Secret::new(KEY).unwrap()).without_old_form();
        let read = |request: &Request<Bytes>| json::<Value>(request);
        let workflow = Workflow::new(name).store(store.clone());
        let came = Arc::clone(&came);
        let note = move |run: DurableRun| {
            came.lock().unwrap().push(run.id().to_owned());
            async { Ok::<_, RunError>(()) }
        };
        Inbound::new(workflow, read, note).signed(check).post()
    };
    let caught = Arc::new(Mutex::new(None));
    let eavesdropper = Arc::clone(&caught);
    let routes = Router::new().route("/mail", route("mail")).route("/pay", route("pay"));
    let routes =
        Router::new().nest("/hooks", routes).layer(from_fn(move |request: Request<Body>, next: Next| {
            let eavesdropper = Arc::clone(&eavesdropper);
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                *eavesdropper.lock().unwrap() = Some((head.headers.clone(), body.clone()));
                next.run(Request::from_parts(head, body.into())).await
            }
        }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let router = routes.clone();
    tokio::spawn(async { axum::serve(listener, router).await });

    hook(&format!("{url}/mail?team=a%20b")).notify(notice().await).await.unwrap();
    assert_eq!(came.lock().unwrap().len(), 1);
    let (headers, body) = caught.lock().unwrap().clone().unwrap();
    let replay = async |path: &str| {
        let mut request = Request::post(path).body(Body::from(body.clone())).unwrap();
        *request.headers_mut() = headers.clone();
        send(&routes, request).await.status.as_u16()
    };
    assert_eq!(replay("/hooks/pay?team=a%20b").await, 401);
    assert_eq!(replay("/hooks/mail?team=c").await, 401);
    assert_eq!(replay("/hooks/mail?team=a%20b").await, 200);
    assert_eq!(came.lock().unwrap().len(), 1, "the replay returned the outcome of the run");
}
