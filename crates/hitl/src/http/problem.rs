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

/// What a client is told instead of an answer: a status, a code that stays the same, and a text for people.
///
/// In JSON: `{"error":{"code":"sold_out","message":"nothing is left of it"}}`, with `field` beside them where one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    field: Option<Box<str>>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem with this status. One outside of 400 to 599 would not be taken for a problem, and becomes 500.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let status = StatusCode::from_u16(status).ok().filter(|_| (400..=599).contains(&status));
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code: code.into(), message: message.into(), field: None, retry_after: None }
    }

    /// What leaks nothing: 500, `internal`, and a text that is always the same.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(500, "internal", "something went wrong here: it was noted, and trying again may help")
    }

    /// The field of what was sent that it is about.
    #[must_use]
    pub fn field(mut self, field: impl Into<Box<str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// How long to wait before it is worth trying again: the header `Retry-After`, in whole seconds.
    #[must_use]
    pub const fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn store(error: &StoreError) -> Self {
        if let StoreError::BadCursor { .. } = error {
            return Self::new(
                400,
                "bad_cursor",
                "`after` is no place in this list: begin with the first page",
            );
        }
        tracing::error!(%error, "a request could not be answered: the store failed");
        Self::new(503, "store_failed", "what is asked for cannot be looked up now: try again later")
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
            // A part of a second counts as a whole one, so that nobody comes too early.
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
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.message)
    }
}

impl From<InboxError> for Problem {
    fn from(error: InboxError) -> Self {
        let message = error.to_string();
        match error {
            InboxError::Unanswered(unanswered) => unanswered.into(),
            InboxError::UnknownToken => Self::new(404, "unknown_token", message),
            InboxError::NotAsked { .. } => Self::new(403, "not_asked", message),
            InboxError::OtherKind { .. } => Self::new(422, "other_kind", message),
            InboxError::Withdrawn { .. } => Self::new(410, "withdrawn", message),
            InboxError::NoReason => Self::new(422, "no_reason", message),
            InboxError::NoProposal => Self::new(422, "no_proposal", message),
            InboxError::Misfit(_) => Self::new(422, "misfit", message),
            // The name of a type is ours, and says nothing to who calls.
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
            // It was answered and asked again while this answer was on its way.
            Unanswered::WrongToken => (409, "asked_again"),
            Unanswered::NotExpired => (409, "not_expired"),
            _ => (409, "refused"),
        };
        Self::new(status, code, unanswered.to_string())
    }
}

/// What a client is told of a run that did not complete. Only what it can do something about; the rest is
/// [`internal`](Problem::internal), and logged.
///
/// | | status | code |
/// | --- | --- | --- |
/// | [`Busy`](RunError::Busy) | 409, to be retried after a second | `busy` |
/// | [`InputChanged`](RunError::InputChanged) of the run | 409 | `input_changed` |
/// | [`OtherWorkflow`](RunError::OtherWorkflow) | 409 | `run_id_taken` |
/// | [`NoSuchRun`](RunError::NoSuchRun) | 404 | `no_such_run` |
/// | [`Cancelled`](RunError::Cancelled) | 409 | `cancelled` |
/// | [`Rejected`](RunError::Rejected), [`Expired`](RunError::Expired) | 409 | `rejected`, `expired` |
/// | [`Refused`](RunError::Refused) because a question was taken back | 409 | `withdrawn` |
/// | [`Refused`](RunError::Refused) by a guard | 503, to be retried when the guard says | `refused` |
/// | [`Store`](RunError::Store) | 503 | `store_failed` |
/// | [`Timeout`](RunError::Timeout) | 504 | `timeout` |
/// | all others | 500 | `internal` |
///
/// [`Waiting`](RunError::Waiting) is no problem: an [`Inbound`](super::Inbound) answers 202. As one it is 409, `waiting`.
impl From<&RunError> for Problem {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Waiting { .. } => Self::new(409, "waiting", "this waits for somebody's answer"),
            RunError::Busy { .. } => {
                let message = "this is being worked on: try again in a moment";
                Self::new(409, "busy", message).retry_after(Duration::from_secs(1))
            }
            RunError::InputChanged { what } if what.starts_with("run `") => Self::new(
                409,
                "input_changed",
                "this was sent before with another content: send the same again, or use another key",
            ),
            RunError::OtherWorkflow { .. } => {
                Self::new(409, "run_id_taken", "this key is in use for something else: use another one")
            }
            RunError::NoSuchRun { .. } => Self::new(404, "no_such_run", "there is no such run"),
            RunError::Cancelled { .. } => Self::new(409, "cancelled", "this was cancelled"),
            RunError::Rejected { .. } => {
                Self::new(409, "rejected", "somebody was asked, and the answer is no")
            }
            RunError::Expired { .. } => {
                Self::new(409, "expired", "somebody was asked, and did not answer in time")
            }
            error if is_withdrawn(error) => {
                Self::new(409, "withdrawn", "somebody was asked, and the question was taken back")
            }
            RunError::Refused { retry_after, .. } => {
                let problem = Self::new(503, "refused", "this cannot be done now: try again later");
                retry_after.map_or(problem.clone(), |after| problem.retry_after(after))
            }
            RunError::Store(error) => Self::store(error),
            RunError::Timeout { .. } => Self::new(504, "timeout", "this took too long: try again later"),
            error => {
                tracing::error!(%error, "a request could not be answered");
                Self::internal()
            }
        }
    }
}

/// Awaits the answer that `make` begins. If the caller's code in it panics, the client gets [`Problem::internal`], and the
/// log the message.
pub(super) async fn unless_it_panics<F: Future<Output = Response>>(make: impl FnOnce() -> F) -> Response {
    Caught::new(make).await.unwrap_or_else(|panic| {
        tracing::error!(panic = &*panic, "a request could not be answered: what answers it panicked");
        Problem::internal().into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_no_problem_becomes_one() {
        for status in [0, 200, 302, 600, 999] {
            assert_eq!(Problem::new(status, "x", "y").status(), 500);
        }
        assert_eq!(Problem::new(409, "x", "y").to_string(), "409 x: y");
    }

    #[test]
    fn a_part_of_a_second_to_wait_is_a_whole_one() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let response = Problem::internal().retry_after(Duration::from_millis(millis)).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn what_a_program_did_wrong_is_not_told_to_clients() {
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
