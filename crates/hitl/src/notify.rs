use std::fmt;
use std::future::Future;

use awaitly_core::journal::{Key, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Notifies people that a run asks them a question.
///
/// Each notice is a step of the run. Its name is `notify` followed by the question's key, for example `notify manager`. A
/// notice that succeeded is not sent again; one that failed is sent again when the run is resumed. After a crash between
/// sending and recording, a notice may arrive twice.
///
/// A failed notice does not end the run, which waits for an answer either way. A panic of the notifier, or of its future,
/// counts as an error.
///
/// # Examples
/// ```
/// use awaitly_hitl::{Notice, Notifier, NotifyError};
///
/// struct Mail;
///
/// impl Notifier for Mail {
///     async fn notify(&self, notice: Notice) -> Result<(), NotifyError> {
///         // Send `notice.prompt` to `notice.answerers`, with a link made from `notice.token`.
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a notifier",
    note = "implement `awaitly::hitl::Notifier` for it, or pass a reference to a notifier"
)]
pub trait Notifier: Sync {
    /// Whether the notifier sends anything. If `false`, the run records no steps for notices.
    #[doc(hidden)]
    const TELLS: bool = true;

    /// Sends `notice`.
    ///
    /// # Errors
    /// Returns [`NotifyError`] if the notice could not be sent. The step tries again: up to 4 attempts, of at most 10 seconds
    /// each.
    fn notify(&self, notice: Notice) -> impl Future<Output = Result<(), NotifyError>> + Send;
}

impl<N: Notifier> Notifier for &N {
    const TELLS: bool = N::TELLS;

    fn notify(&self, notice: Notice) -> impl Future<Output = Result<(), NotifyError>> + Send {
        (**self).notify(notice)
    }
}

impl<N: Notifier + Send> Notifier for std::sync::Arc<N> {
    const TELLS: bool = N::TELLS;

    fn notify(&self, notice: Notice) -> impl Future<Output = Result<(), NotifyError>> + Send {
        (**self).notify(notice)
    }
}

/// A message to people about a question that waits for them.
#[derive(Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Notice {
    /// Whether the notice is the first one or a reminder.
    pub kind: NoticeKind,
    /// The id of the run that asks.
    pub run: String,
    /// The key of the question within the run.
    pub key: Key,
    /// The text of the question.
    pub prompt: Option<String>,
    /// Further information about the question.
    pub metadata: Option<Value>,
    /// The names of the answerers; if empty, everyone may answer.
    pub answerers: Vec<String>,
    /// The time after which an answer is refused.
    pub expires: Option<Timestamp>,
    /// The token of the question. Any program that has it can answer: send it only to the people asked, and never log it.
    pub token: String,
}

/// The reason for a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The run asked the question.
    Asked,
    /// The question still waits. The number counts the reminder intervals that have passed; the first reminder is 1.
    Reminder(u64),
}

/// A notice that could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the notice could not be sent: {reason}")]
pub struct NotifyError {
    /// The reason.
    pub reason: String,
}

impl NotifyError {
    /// Creates an error with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// A notifier that sends nothing. Approvals use it if [`notify`](crate::Approval::notify) is not called.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Notifier for Silent {
    const TELLS: bool = false;

    async fn notify(&self, _: Notice) -> Result<(), NotifyError> {
        Ok(())
    }
}

/// A notifier that logs each notice at level `INFO`, without the token.
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError};
/// use awaitly_hitl::{Approvals, LogNotifier};
///
/// async fn expense(run: &DurableRun) -> Result<bool, RunError> {
///     run.approval("manager").answerer("ada").notify(LogNotifier).await
/// }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct LogNotifier;

impl Notifier for LogNotifier {
    async fn notify(&self, notice: Notice) -> Result<(), NotifyError> {
        let Notice { kind, run, key, prompt, answerers, .. } = &notice;
        let prompt = prompt.as_deref().unwrap_or_default();
        tracing::info!(%run, %key, ?kind, prompt, ?answerers, "a question waits for an answer");
        Ok(())
    }
}

// The token must not appear in logs.
impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice")
            .field("kind", &self.kind)
            .field("run", &self.run)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
