//! Reads and checks the body and the headers of a request.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The default limit of a request body in bytes.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Reads a body up to `limit` bytes. No more than `limit` bytes are kept in memory.
///
/// # Errors
/// Returns status 413 if the body is larger, or 400 if it ends early.
pub(super) async fn body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(413, "too_large", format!("the body is too large: send at most {limit} bytes"));
    if announced(headers).is_some_and(|bytes| bytes > limit as u64) {
        return Err(too_large());
    }
    let (mut chunks, mut whole) = (body.into_data_stream(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk
            .map_err(|_| Problem::new(400, "incomplete", "the body ended early: send the request again"))?;
        if whole.len() + chunk.len() > limit {
            return Err(too_large());
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Checks that a body is declared with the type `wanted`, regardless of parameters.
///
/// # Errors
/// Returns status 415 if it is not.
pub(super) fn content_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Problem::new(
        415,
        "unsupported_type",
        format!("send the body as `{wanted}`, and declare it in `content-type`"),
    ))
}

/// Parses the body of a request as JSON.
///
/// # Examples
/// A function around `json` checks further conditions:
///
/// ```
/// use awaitly_hitl::http::{Problem, json};
/// use axum::{body::Bytes, http::Request};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Order {
///     cents: u64,
/// }
///
/// fn order(request: &Request<Bytes>) -> Result<Order, Problem> {
///     let order: Order = json(request)?;
///     if order.cents == 0 {
///         return Err(Problem::invalid("must not be zero").field("cents"));
///     }
///     Ok(order)
/// }
/// ```
///
/// # Errors
/// Returns a [`Problem`] with status 415 if the `content-type` is not `application/json`, with 400 if the body is not JSON, or
/// with 422 if it does not decode as a `T`.
pub fn json<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Problem> {
    content_type(request.headers(), "application/json")?;
    serde_json::from_slice(request.body()).map_err(|error| {
        let message = error.to_string();
        if error.is_data() { Problem::invalid(message) } else { Problem::malformed(message) }
    })
}

/// Returns the only value of a header; `None` if the header is missing.
///
/// # Errors
/// Returns [`NotOne`] if the header is repeated, or if its value is not ASCII text.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, NotOne> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| NotOne),
        (Some(_), Some(_)) => Err(NotOne),
    }
}

/// A header that is repeated, or whose value is not ASCII text.
pub(super) struct NotOne;
