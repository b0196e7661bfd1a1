use axum::body::Bytes;
use axum::http::Request;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::receive;

/// The reason for which a request or message does not become a run: its content is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", field.as_ref().map(|field| format!("`{field}`: ")).unwrap_or_default())]
pub struct Invalid {
    status: u16,
    code: &'static str,
    message: Box<str>,
    field: Option<Box<str>>,
}

impl Invalid {
    /// Creates an error for content that was read but is not acceptable: status 422, code `invalid`.
    pub fn new(message: impl Into<Box<str>>) -> Self {
        Self { status: 422, code: "invalid", message: message.into(), field: None }
    }

    /// Creates an error for one field: status 422, code `invalid`.
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::http::{Invalid, Problem};
    ///
    /// let invalid = Invalid::field("cents", "must not be zero");
    /// assert_eq!(invalid.to_string(), "`cents`: must not be zero");
    /// assert_eq!(Problem::from(invalid).status(), 422);
    /// ```
    pub fn field(field: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(message) }
    }

    /// Creates an error for content that cannot be parsed: status 400, code `malformed`.
    pub fn malformed(message: impl Into<Box<str>>) -> Self {
        Self { status: 400, code: "malformed", ..Self::new(message) }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let Invalid { status, code, message, field } = invalid;
        let problem = Self::new(status, code, String::from(message));
        match field {
            Some(field) => problem.field(field),
            None => problem,
        }
    }
}

/// Parses the body of a request as JSON.
///
/// # Examples
/// A function around `json` checks further conditions:
///
/// ```
/// use awaitly_hitl::http::{Invalid, json};
/// use axum::{body::Bytes, http::Request};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Order {
///     cents: u64,
/// }
///
/// fn order(request: &Request<Bytes>) -> Result<Order, Invalid> {
///     let order: Order = json(request)?;
///     if order.cents == 0 {
///         return Err(Invalid::field("cents", "must not be zero"));
///     }
///     Ok(order)
/// }
/// ```
///
/// # Errors
/// Returns [`Invalid`] with status 415 if the `content-type` is not `application/json`, with 400 if the body is not JSON,
/// or with 422 if it does not decode as a `T`.
pub fn json<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Invalid> {
    if receive::content_type(request.headers(), "application/json").is_err() {
        let message = "send the body as `application/json`, and declare it in `content-type`".into();
        return Err(Invalid { status: 415, code: "unsupported_type", message, field: None });
    }
    serde_json::from_slice(request.body()).map_err(|error| {
        let message = error.to_string();
        if error.is_data() { Invalid::new(message) } else { Invalid::malformed(message) }
    })
}
