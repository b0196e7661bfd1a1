use axum::body::Bytes;
use axum::http::Request;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::receive;

/// Why something that was sent does not become a run: what is wrong with it, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", field.as_ref().map(|field| format!("`{field}`: ")).unwrap_or_default())]
pub struct Invalid {
    status: u16,
    code: &'static str,
    message: Box<str>,
    field: Option<Box<str>>,
}

impl Invalid {
    /// What was sent can be read, and cannot be done: 422, `invalid`.
    pub fn new(message: impl Into<Box<str>>) -> Self {
        Self { status: 422, code: "invalid", message: message.into(), field: None }
    }

    /// The same of one field.
    pub fn field(field: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(message) }
    }

    /// What was sent cannot be read: 400, `malformed`.
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

/// Reads the body of a request as JSON. What else has to hold is checked by a function around it:
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
///         return Err(Invalid::field("cents", "an order costs something"));
///     }
///     Ok(order)
/// }
/// ```
///
/// # Errors
/// [`Invalid`]: 415 where the body is not said to be `application/json`, 400 where it is no JSON, 422 where it is no `T`.
pub fn json<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Invalid> {
    if receive::content_type(request.headers(), "application/json").is_err() {
        let message = "send the body as `application/json`, and say so in `content-type`".into();
        return Err(Invalid { status: 415, code: "unsupported_type", message, field: None });
    }
    serde_json::from_slice(request.body()).map_err(|error| {
        let message = error.to_string();
        if error.is_data() { Invalid::new(message) } else { Invalid::malformed(message) }
    })
}
