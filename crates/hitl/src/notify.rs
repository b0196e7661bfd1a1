use std::fmt;
use std::future::Future;

use awaitly_core::journal::{Key, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tells people that they are asked.
///
/// Each notice is a step of the run, called `notify` and the question's key, so it is sent again where that failed,
/// and not sent again where it succeeded; after a crash in between it may come twice. A notice that cannot be sent does
/// not end the run: it waits all the same, and tries again when it is run again. A panic of the notifier, or of its future,
/// counts as an error.
///
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
    message = "`{Self}` tells nobody",
    note = "implement `awaitly::hitl::Notifier` for it, or give a reference to a notifier"
)]
pub trait Notifier: Sync {
    /// Whether it tells anybody at all.
    #[doc(hidden)]
    const TELLS: bool = true;

    /// Sends `notice`.
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

/// What people are told.
#[derive(Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Notice {
    /// Whether it is the first one.
    pub kind: NoticeKind,
    /// The run that asks.
    pub run: String,
    /// The key that it waits under.
    pub key: Key,
    /// What is asked.
    pub prompt: Option<String>,
    /// What else was given with it.
    pub metadata: Option<Value>,
    /// Who may answer. Empty: anybody.
    pub answerers: Vec<String>,
    /// From when on an answer comes too late.
    pub expires: Option<Timestamp>,
    /// What lets somebody answer: it belongs to those who are asked, and into no log.
    pub token: String,
}

/// Why a notice is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The question was asked.
    Asked,
    /// It still waits, for the so manieth time; 1 is the first.
    Reminder(u64),
}

/// Why a notice could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the notice could not be sent: {reason}")]
pub struct NotifyError {
    /// Why.
    pub reason: String,
}

impl NotifyError {
    /// It could not be sent for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Notifier for Silent {
    const TELLS: bool = false;

    async fn notify(&self, _: Notice) -> Result<(), NotifyError> {
        Ok(())
    }
}

/// Writes a line into the log for each notice, without the token.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogNotifier;

impl Notifier for LogNotifier {
    async fn notify(&self, notice: Notice) -> Result<(), NotifyError> {
        let Notice { kind, run, key, prompt, answerers, .. } = &notice;
        let prompt = prompt.as_deref().unwrap_or_default();
        tracing::info!(%run, %key, ?kind, prompt, ?answerers, "somebody is asked");
        Ok(())
    }
}

// The token does not belong in logs.
impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice")
            .field("kind", &self.kind)
            .field("run", &self.run)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
