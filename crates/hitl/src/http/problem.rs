use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use awaitly_core::RunError;
use awaitly_core::journal::Unanswered;
use awaitly_core::store::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::reply::json;
use crate::answer::is_withdrawn;
use crate::caught::Caught;
use crate::inbox::InboxError;

/// An error response: a status, a stable code for programs, and a message for people.
///
/// The response body is JSON, for example `{"error":{"code":"sold_out","message":"this product is sold out"}}`, with `field`
/// if the problem names one.
///
/// # Examples
/// ```
/// use awaitly_hitl::http::Problem;
///
/// let problem = Problem::new(409, "sold_out", "this product is sold out").field("sku");
/// assert_eq!(problem.to_string(), "409 sold_out: `sku`: this product is sold out");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    field: Option<Box<str>>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// Creates a problem. A `status` outside of 400 to 599 does not denote an error, and is replaced by 500.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let status = StatusCode::from_u16(status).ok().filter(|_| (400..=599).contains(&status));
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code: code.into(), message: message.into(), field: None, retry_after: None }
    }

    /// Creates a problem without details: status 500, code `internal`, and a fixed message.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            500,
            "internal",
            "the server failed to process the request, and logged the error: try again later",
        )
    }

    /// Creates a problem for content that was read but is not acceptable: status 422, code `invalid`.
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::http::Problem;
    ///
    /// let problem = Problem::invalid("must not be zero").field("cents");
    /// assert_eq!(problem.to_string(), "422 invalid: `cents`: must not be zero");
    /// ```
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(422, "invalid", message)
    }

    /// Creates a problem for content that cannot be parsed: status 400, code `malformed`.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "malformed", message)
    }

    /// Sets the field of the request to which the problem applies.
    #[must_use]
    pub fn field(mut self, field: impl Into<Box<str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Sets the time after which the client may retry: the header `Retry-After`, in seconds, rounded up, at least 1.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::ms;
    /// use awaitly_hitl::http::Problem;
    /// use axum::response::IntoResponse;
    ///
    /// let problem = Problem::new(503, "closed", "the shop opens soon: try again then").retry_after(ms(2500));
    /// assert_eq!(problem.into_response().headers()["retry-after"], "3");
    /// ```
    #[must_use]
    pub const fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn store(error: &StoreError) -> Self {
        if let StoreError::BadCursor { .. } = error {
            return Self::new(
                400,
                "bad_cursor",
                "`after` is not a position in this list: begin with the first page",
            );
        }
        tracing::error!(%error, "a request failed: the store failed");
        Self::new(503, "store_failed", "the store is not available: try again later")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, message, field, retry_after } = self;
        let mut error = json!({ "code": code, "message": message });
        if let (Some(error), Some(field)) = (error.as_object_mut(), field) {
            error.insert("field".to_owned(), String::from(field).into());
        }
        let mut response = json(status, &json!({ "error": error }));
        if let Some(time) = retry_after {
            // Round up, so that clients do not retry too early.
            let seconds = time.as_millis().div_ceil(1000).max(1);
            if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
        }
        response
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.status.as_u16(), self.code)?;
        if let Some(field) = &self.field {
            write!(f, "`{field}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl From<InboxError> for Problem {
    fn from(error: InboxError) -> Self {
        let message = error.to_string();
        match error {
            InboxError::Unanswered(unanswered) => unanswered.into(),
            InboxError::UnknownToken => Self::new(404, "unknown_token", message),
            InboxError::NotAnAnswerer { .. } => Self::new(403, "not_asked", message),
            InboxError::OtherKind { .. } => Self::new(422, "other_kind", message),
            InboxError::Withdrawn { .. } => Self::new(410, "withdrawn", message),
            InboxError::NoReason => Self::new(422, "no_reason", message),
            InboxError::NoProposal => Self::new(422, "no_proposal", message),
            InboxError::WrongShape(_) => Self::new(422, "misfit", message),
            // The name of a Rust type means nothing to clients, so it is left out.
            InboxError::WrongType { reason, .. } => {
                Self::new(422, "misfit", format!("the answer does not fit: {reason}"))
            }
            InboxError::Unencodable(_) => Self::new(422, "unencodable", message),
            InboxError::TooLarge { .. } => Self::new(413, "too_large", message),
            InboxError::Store(error) => Self::store(&error),
        }
    }
}

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Self {
        let (status, code) = match unanswered {
            Unanswered::NoSuchRun => (404, "no_such_run"),
            Unanswered::NotAsked => (404, "never_asked"),
            Unanswered::Expired => (410, "expired"),
            Unanswered::AlreadyAnswered => (409, "already_answered"),
            Unanswered::Ended { .. } => (409, "run_ended"),
            // The question was answered and asked again while this answer was in flight.
            Unanswered::WrongToken => (409, "asked_again"),
            Unanswered::NotExpired => (409, "not_expired"),
            _ => (409, "refused"),
        };
        Self::new(status, code, unanswered.to_string())
    }
}

/// Converts the error of a run. Errors that a client cannot act on are logged, and become
/// [`internal`](Problem::internal).
///
/// | | status | code |
/// | --- | --- | --- |
/// | [`Busy`](RunError::Busy) | 409, with `Retry-After: 1` | `busy` |
/// | [`InputChanged`](RunError::InputChanged) of the run | 409 | `input_changed` |
/// | [`OtherWorkflow`](RunError::OtherWorkflow) | 409 | `run_id_taken` |
/// | [`NoSuchRun`](RunError::NoSuchRun) | 404 | `no_such_run` |
/// | [`Cancelled`](RunError::Cancelled) | 409 | `cancelled` |
/// | [`Rejected`](RunError::Rejected), [`Expired`](RunError::Expired) | 409 | `rejected`, `expired` |
/// | [`Refused`](RunError::Refused) because a question was withdrawn | 409 | `withdrawn` |
/// | [`Refused`](RunError::Refused) by a guard | 503, with the guard's `Retry-After` if it gives one | `refused` |
/// | [`Store`](RunError::Store) | 503 | `store_failed` |
/// | [`Timeout`](RunError::Timeout) | 504 | `timeout` |
/// | all others | 500 | `internal` |
///
/// An [`Inbound`](super::Inbound) responds to [`Waiting`](RunError::Waiting) with 202. If `Waiting` is converted to a problem,
/// the status is 409 and the code `waiting`.
///
/// # Examples
/// ```
/// use awaitly_core::RunError;
/// use awaitly_hitl::http::Problem;
///
/// let problem = Problem::from(&RunError::Expired { step: "manager".into() });
/// assert_eq!((problem.status(), problem.code()), (409, "expired"));
/// ```
impl From<&RunError> for Problem {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Waiting { .. } => Self::new(409, "waiting", "the run waits for an answer"),
            RunError::Busy { .. } => {
                let message = "the run is being executed: try again in a moment";
                Self::new(409, "busy", message).retry_after(Duration::from_secs(1))
            }
            RunError::InputChanged { what } if what.starts_with("run `") => Self::new(
                409,
                "input_changed",
                "this key was used with other content: repeat that content, or use another key",
            ),
            RunError::OtherWorkflow { .. } => {
                Self::new(409, "run_id_taken", "this key belongs to another workflow: use another key")
            }
            RunError::NoSuchRun { .. } => Self::new(404, "no_such_run", "there is no such run"),
            RunError::Cancelled { .. } => Self::new(409, "cancelled", "the run was cancelled"),
            RunError::Rejected { .. } => Self::new(409, "rejected", "a person rejected the request"),
            RunError::Expired { .. } => Self::new(409, "expired", "the question was not answered in time"),
            error if is_withdrawn(error) => Self::new(409, "withdrawn", "an operator withdrew the question"),
            RunError::Refused { retry_after, .. } => {
                let problem =
                    Self::new(503, "refused", "the request is refused at the moment: try again later");
                retry_after.map_or(problem.clone(), |after| problem.retry_after(after))
            }
            RunError::Store(error) => Self::store(error),
            RunError::Timeout { .. } => {
                Self::new(504, "timeout", "the request took too long: try again later")
            }
            error => {
                tracing::error!(%error, "a request failed");
                Self::internal()
            }
        }
    }
}

/// Awaits the response of `make`. If the caller's code panics there, the panic is logged, and the response is
/// [`Problem::internal`].
pub(super) async fn unless_it_panics<F: Future<Output = Response>>(make: impl FnOnce() -> F) -> Response {
    Caught::new(make).await.unwrap_or_else(|panic| {
        tracing::error!(panic = &*panic, "a request failed: its handler panicked");
        Problem::internal().into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_outside_400_to_599_becomes_500() {
        for status in [0, 200, 302, 600, 999] {
            assert_eq!(Problem::new(status, "x", "y").status(), 500);
        }
        assert_eq!(Problem::new(409, "x", "y").to_string(), "409 x: y");
    }

    #[test]
    fn retry_after_rounds_up_to_whole_seconds() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let response = Problem::internal().retry_after(Duration::from_millis(millis)).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn internal_errors_hide_their_details() {
        let secret = "postgres://me:secret@db";
        let errors = [
            RunError::Panicked { step: None, message: secret.into() },
            RunError::Failed { run: "r".into(), text: secret.into() },
            RunError::InputChanged { what: "step `charge`".into() },
            RunError::Undecodable { what: secret.into(), type_name: secret.into(), reason: secret.into() },
        ];
        for error in errors {
            assert_eq!(Problem::from(&error), Problem::internal());
        }
        let store = RunError::Store(StoreError::Unavailable { detail: secret.into() });
        assert!(!Problem::from(&store).to_string().contains("secret"));
        let refused = RunError::Refused {
            step: "charge".into(),
            by: secret.into(),
            reason: secret.into(),
            retry_after: Some(Duration::from_secs(7)),
        };
        let problem = Problem::from(&refused);
        assert!(!problem.to_string().contains("secret"));
        assert_eq!(problem.retry_after, Some(Duration::from_secs(7)));
    }
}
