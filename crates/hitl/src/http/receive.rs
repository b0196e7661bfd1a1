//! The body of a request: of the kind that is asked for, and no larger than it may be.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;

use super::problem::Problem;

/// How large the body of a request may be, unless set.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Reads a body, and gives up where it gets too large: no more than the limit is ever kept.
///
/// # Errors
/// 413 where it is too large, 400 where it does not come to its end.
pub(super) async fn body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(413, "too_large", format!("the body is too large: {limit} bytes are taken"));
    if announced(headers).is_some_and(|bytes| bytes > limit as u64) {
        return Err(too_large());
    }
    let (mut chunks, mut whole) = (body.into_data_stream(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(400, "incomplete", "the body did not come to its end"))?;
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

/// Sees that the body is said to be of this type, whatever its parameters.
///
/// # Errors
/// 415
pub(super) fn content_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Problem::new(
        415,
        "unsupported_type",
        format!("send the body as `{wanted}`, and say so in `content-type`"),
    ))
}

/// The only value of a header. `None`: it is not there.
///
/// # Errors
/// It is there twice, or is no text.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, NotOne> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| NotOne),
        (Some(_), Some(_)) => Err(NotOne),
    }
}

/// A header that is there twice, or is no text.
pub(super) struct NotOne;
