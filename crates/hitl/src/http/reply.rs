//! What all answers over HTTP have in common: their headers, and how JSON and pages are sent.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // What is sent here was JSON before, or is made of text.
    let body = serde_json::to_vec(value).unwrap_or_default();
    raw_json(status, body)
}

/// The same of what is JSON already.
pub(super) fn raw_json(status: StatusCode, body: Vec<u8>) -> Response {
    sent(status, HeaderValue::from_static("application/json"), Body::from(body))
}

/// A page.
pub(super) fn html(status: StatusCode, page: String) -> Response {
    sent(status, HeaderValue::from_static("text/html; charset=utf-8"), Body::from(page))
}

fn sent(status: StatusCode, content_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    guarded(response)
}

/// What every answer says: nobody keeps it, guesses at it, frames it, or tells others where it was found.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// The answer with those headers; one that has one of them keeps its own.
pub(super) fn guarded(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
