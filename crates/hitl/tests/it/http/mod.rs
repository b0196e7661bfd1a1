//! Tests over HTTP: the response to each request, and that a refused request changes no state.

mod browser;
mod faulty;
mod inbound;
mod links;
mod message;
mod page;
mod pauses;
mod questions;
mod serve;
#[cfg(feature = "webhook")]
mod webhook;

use awaitly_core::Workflow;
use awaitly_core::store::Operate;
use awaitly_hitl::Inbox;
use awaitly_hitl::http::{Api, Links, Secret};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt;

use self::faulty::{Everything, Faulty};

/// Bearer tokens of two people, and the secret of the links.
const ADA: &str = "a-token-that-ada-has";
const BOB: &str = "a-token-that-bob-has";
const KEY: &[u8] = b"a key for signing links";

/// A store that can fail, with its inbox and API.
struct Site {
    store: Faulty,
    inbox: Inbox<Faulty>,
    workflow: Workflow,
    router: Router,
}

impl Site {
    fn new() -> Self {
        let store = Faulty::default();
        let inbox = Inbox::new(store.clone());
        let router = api(inbox.clone()).router();
        let workflow = Workflow::new("expense").store(store.memory.clone());
        Self { inbox, router, workflow, store }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        send(&self.router, request).await
    }

    /// Sends a request in ada's name, with a JSON body.
    async fn ada(&self, method: &str, path: &str, body: &str) -> Reply {
        let request = request(method, path).header(header::AUTHORIZATION, format!("Bearer {ADA}"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.to_owned().into()).unwrap()).await
    }

    /// Sends a bad request, and checks that it is refused and that the store is unchanged.
    async fn refuses(&self, request: Request<Body>) -> Reply {
        let before = self.store.memory.everything().await;
        let refused = self.send(request).await;
        assert!(refused.status.as_u16() >= 400, "{refused:?}");
        assert_eq!(self.store.memory.everything().await, before, "{refused:?}");
        refused
    }
}

fn api<S: Operate>(inbox: Inbox<S>) -> Api<S> {
    Api::new(inbox).bearer(ADA, "ada").unwrap().bearer(BOB, "bob").unwrap().links(links())
}

fn links() -> Links {
    Links::new(Secret::new(KEY).unwrap(), "http://localhost").unwrap()
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path)
}

/// A response, whose common headers `send` has checked.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json", "{self:?}");
        serde_json::from_str(&self.text).unwrap()
    }

    /// Returns the status and the code of a problem.
    fn problem(&self) -> (u16, String) {
        let error = self.json()["error"].clone();
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        (self.status.as_u16(), error["code"].as_str().unwrap().to_owned())
    }

    fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

async fn send(router: &Router, request: Request<Body>) -> Reply {
    let answer = router.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let reply =
        Reply { status: head.status, headers: head.headers, text: String::from_utf8(body.into()).unwrap() };
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"));
    reply
}

/// Returns a status and a code in the form of [`Reply::problem`].
fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Percent-encodes text for a path.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
