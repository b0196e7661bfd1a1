use std::convert::Infallible;
use std::fmt;
use std::future::Future;

use awaitly_core::journal::{Key, Timestamp};
use serde::Serialize;
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
/// use awaitly_hitl::{Notice, Notifier};
///
/// struct Mail;
///
/// impl Notifier for Mail {
///     type Error = std::io::Error;
///
///     async fn notify(&self, notice: Notice) -> Result<(), std::io::Error> {
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

    /// The reason for which a notice could not be sent. The run logs its text.
    type Error: fmt::Display + Send;

    /// Sends `notice`.
    ///
    /// # Errors
    /// Returns [`Error`](Self::Error) if the notice could not be sent. The step tries again: up to 4 attempts, of at most 10
    /// seconds each.
    fn notify(&self, notice: Notice) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl<N: Notifier> Notifier for &N {
    const TELLS: bool = N::TELLS;
    type Error = N::Error;

    fn notify(&self, notice: Notice) -> impl Future<Output = Result<(), N::Error>> + Send {
        (**self).notify(notice)
    }
}

impl<N: Notifier + Send> Notifier for std::sync::Arc<N> {
    const TELLS: bool = N::TELLS;
    type Error = N::Error;

    fn notify(&self, notice: Notice) -> impl Future<Output = Result<(), N::Error>> + Send {
        (**self).notify(notice)
    }
}

/// A message to people about a question that waits for them.
#[derive(Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Notice {
    pub(crate) kind: NoticeKind,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoticeKind {
    Asked,
    /// The question still waits. The number counts the intervals that have passed.
    Reminder(u64),
}

impl Notice {
    /// Returns the number of reminder intervals that have passed since the run asked; `None` if this is the first notice.
    ///
    /// # Examples
    /// ```
    /// use awaitly_hitl::Notice;
    ///
    /// fn subject(notice: &Notice) -> String {
    ///     let prompt = notice.prompt.as_deref().unwrap_or("A question for you");
    ///     notice.reminder().map_or_else(|| prompt.to_owned(), |number| format!("{prompt} (reminder {number})"))
    /// }
    /// ```
    #[must_use]
    pub const fn reminder(&self) -> Option<u64> {
        match self.kind {
            NoticeKind::Asked => None,
            NoticeKind::Reminder(number) => Some(number),
        }
    }
}

/// Sends nothing. Approvals use this notifier if [`notify`](crate::Approval::notify) is not called.
impl Notifier for () {
    const TELLS: bool = false;
    type Error = Infallible;

    async fn notify(&self, _: Notice) -> Result<(), Infallible> {
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
    type Error = Infallible;

    async fn notify(&self, notice: Notice) -> Result<(), Infallible> {
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
            .field("reminder", &self.reminder())
            .field("run", &self.run)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
