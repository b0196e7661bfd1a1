//! Builds JSON and HTML responses with the headers that all responses have.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

/// Creates a JSON response.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // The values here are decoded JSON or text, so they have a JSON form.
    let body = serde_json::to_vec(value).unwrap_or_default();
    raw_json(status, body)
}

/// Creates a response from encoded JSON.
pub(super) fn raw_json(status: StatusCode, body: Vec<u8>) -> Response {
    sent(status, HeaderValue::from_static("application/json"), Body::from(body))
}

/// Creates an HTML response.
pub(super) fn html(status: StatusCode, page: String) -> Response {
    sent(status, HeaderValue::from_static("text/html; charset=utf-8"), Body::from(page))
}

fn sent(status: StatusCode, content_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    guarded(response)
}

/// The headers that forbid caching, content sniffing, framing, and sending the URL to other sites.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Adds the common headers, except those that the response already has.
pub(super) fn guarded(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
