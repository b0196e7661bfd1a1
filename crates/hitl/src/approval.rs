use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::extend::outside;
use awaitly_core::journal::Key;
use awaitly_core::{DurableRun, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{AnswerRecord, Resolution, with_reason_only};
use crate::ask::Ask;
use crate::bell::Bell;
use crate::callback::Callback;
use crate::notify::Notifier;
use crate::quorum::Quorum;
use crate::request::QuestionKind;

/// Adds steps that people or other programs complete to a [`DurableRun`].
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError, step};
/// use awaitly_hitl::Approvals;
///
/// async fn invoice(run: &DurableRun, cents: u64) -> Result<u64, RunError> {
///     let agreed: bool = step!(run.approval("team lead"));
///     if agreed && cents > 100_000 {
///         step!(run.quorum::<bool>("directors", 2, ["ada", "bob", "cy"]));
///     }
///     Ok(step!(run.callback("bank")))
/// }
/// ```
pub trait Approvals {
    /// Creates a step that a person approves or rejects: see [`Approval`].
    fn approval<T: DeserializeOwned>(&self, name: impl Into<Key>) -> Approval<'_, T>;

    /// Creates a step that succeeds if `needed` of `answerers` approve: see [`Quorum`].
    ///
    /// # Panics
    /// Panics if `needed` is 0 or exceeds the number of answerers.
    fn quorum<T: DeserializeOwned>(
        &self,
        name: impl Into<Key>,
        needed: usize,
        answerers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Quorum<'_, T>;

    /// Creates a step that another program completes with a value: see [`Callback`].
    fn callback<T: DeserializeOwned>(&self, name: impl Into<Key>) -> Callback<'_, T>;
}

impl Approvals for DurableRun {
    fn approval<T: DeserializeOwned>(&self, name: impl Into<Key>) -> Approval<'_, T> {
        Approval::new(Ask::new(self, self.wait_for(name), QuestionKind::Approval))
    }

    fn quorum<T: DeserializeOwned>(
        &self,
        name: impl Into<Key>,
        needed: usize,
        answerers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Quorum<'_, T> {
        Quorum::new(self, &name.into(), needed, answerers.into_iter().map(Into::into).collect())
    }

    fn callback<T: DeserializeOwned>(&self, name: impl Into<Key>) -> Callback<'_, T> {
        Callback::new(Ask::new(self, self.wait_for(name), QuestionKind::Callback))
    }
}

/// A step that a person approves with a `T`, or rejects.
///
/// Created with [`Approvals::approval`]. Awaiting the step returns the `T`. Use [`resolution`](Self::resolution) to also
/// learn the person and the time, and to handle a rejection without an error.
///
/// # Errors
/// - [`RunError::Waiting`] until the question is answered. Return this error from the body: the run then occupies no
///   task and no memory while it waits.
/// - [`RunError::Rejected`] if a person rejected, with the reason as JSON.
/// - [`RunError::Expired`] if the time for an answer passed without an answer.
/// - [`RunError::Refused`] if the question was withdrawn.
/// - [`RunError::Undecodable`] if the answer does not decode as a `T`.
/// - [`RunError::Unencodable`] if the proposal or the metadata has no JSON form.
/// - The errors of recording a step, for example [`RunError::Store`].
///
/// # Cancel safety
/// If the future is dropped before it returns, the question may or may not have been asked, and the notice may or may
/// not have been sent.
///
/// # Resume
/// The question is asked once, and its notice is sent once. If the run is resumed before the answer, this step returns
/// [`RunError::Waiting`] again. After the answer, each execution returns the answer, like any recorded outcome. If a
/// run failed because of a rejection, a retry of the run asks again.
///
/// # Examples
/// ```
/// use awaitly_core::clock::{days, hours};
/// use awaitly_core::{DurableRun, RunError, step};
/// use awaitly_hitl::{Approvals, LogNotifier};
///
/// async fn expense(run: &DurableRun, cents: u64) -> Result<u64, RunError> {
///     let approval = run.approval("manager").prompt("Do we pay this?").proposal(&cents);
///     let approval = approval.answerer("ada").expires_in(days(3)).notify(LogNotifier).remind_every(hours(24));
///     Ok(step!(approval))
/// }
/// ```
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Approval<'r, T, N = ()> {
    ask: Ask<'r, T>,
    notifier: N,
    remind_every: Option<Duration>,
}

impl<'r, T: DeserializeOwned> Approval<'r, T> {
    const fn new(ask: Ask<'r, T>) -> Self {
        Self { ask, notifier: (), remind_every: None }
    }
}

impl<'r, T, N> Approval<'r, T, N> {
    /// Sets the text of the question.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.ask.request().prompt = Some(prompt.into());
        self
    }

    /// Sets further information that is shown with the question.
    ///
    /// # Errors
    /// Awaiting the step returns [`RunError::Unencodable`] if `metadata` has no JSON form.
    pub fn metadata<V: Serialize + ?Sized>(mut self, metadata: &V) -> Self {
        let metadata = self.ask.encode(metadata);
        self.ask.request().metadata = metadata;
        self
    }

    /// Sets the value that the run proposes. A person can accept it unchanged or edit it.
    ///
    /// # Errors
    /// Awaiting the step returns [`RunError::Unencodable`] if `proposal` has no JSON form.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// let body = async |run: &DurableRun| run.approval("manager").proposal(&4200_u64).await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// inbox.at("trip-7", "manager").accept().await?;
    /// assert_eq!(expenses.run("trip-7", body).await, Ok(4200));
    /// # Ok(())
    /// # }
    /// ```
    pub fn proposal(mut self, proposal: &T) -> Self
    where
        T: Serialize,
    {
        let proposal = self.ask.encode(proposal);
        self.ask.request().proposal = proposal;
        self
    }

    /// Adds an answerer, identified by name. Once this is called, only the added answerers may answer.
    ///
    /// # Default
    /// Everyone with access to the inbox may answer.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox, InboxError};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// let body = async |run: &DurableRun| run.approval::<bool>("manager").answerer("ada").await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// let refused = inbox.at("trip-7", "manager").by("mallory").approve(&true).await;
    /// assert!(matches!(refused, Err(InboxError::NotAnAnswerer { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn answerer(mut self, name: impl Into<String>) -> Self {
        self.ask.request().answerers.push(name.into());
        self
    }

    /// Sets the time for an answer. It begins when the run asks, and is measured by the store's clock.
    ///
    /// # Default
    /// The question never expires.
    pub fn expires_in(mut self, delay: Duration) -> Self {
        self.ask = self.ask.expires_in(delay);
        self
    }

    /// Waits under `key` instead of the step's name: see [`Step::key`](awaitly_core::step::Step::key).
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.ask = self.ask.key(key);
        self
    }

    /// Sends a notice with `notifier` when the question is asked, and for every reminder.
    ///
    /// # Default
    /// The run sends no notices.
    pub fn notify<H: Notifier>(self, notifier: H) -> Approval<'r, T, H> {
        let Self { ask, remind_every, .. } = self;
        Approval { ask, notifier, remind_every }
    }

    /// Sends a reminder after each interval while the question is open, with the notifier of [`notify`](Self::notify).
    ///
    /// The run becomes due for each reminder, and a worker of `awaitly-engine` resumes it. A run that is resumed late
    /// sends only the newest reminder. Without a notifier or with an interval of zero, the run sends no reminders.
    ///
    /// # Default
    /// The run sends no reminders.
    pub const fn remind_every(mut self, time: Duration) -> Self {
        self.remind_every = Some(time);
        self
    }
}

impl<'r, T: DeserializeOwned + Send + 'r, N: Notifier + Send + 'r> Approval<'r, T, N> {
    /// Returns the result with the person and the time, and returns a rejection, an expiry or a withdrawal as a value.
    ///
    /// # Errors
    /// Returns [`RunError::Waiting`] until the question is answered. Returns the other errors of the step, except those
    /// that a [`Resolution`] represents: a rejection, an expiry or a withdrawal.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{DurableRun, RunError};
    /// use awaitly_hitl::{Approvals, Resolution};
    ///
    /// async fn expense(run: &DurableRun) -> Result<u64, RunError> {
    ///     match run.approval::<u64>("manager").resolution().await? {
    ///         Resolution::Approved(answer) => Ok(answer.value),
    ///         Resolution::Rejected(_) | Resolution::Expired(_) | Resolution::Withdrawn(_) => Ok(0),
    ///     }
    /// }
    /// ```
    pub async fn resolution(self) -> Result<Resolution<T>, RunError> {
        Resolution::of(self.answer().await)
    }

    async fn answer(self) -> Result<AnswerRecord<T>, RunError> {
        let Self { ask, notifier, remind_every } = self;
        let (run, request, key) = (ask.run, ask.request.clone(), ask.name());
        let ended = ask.answer().await;
        if let Err(RunError::Waiting { .. }) = &ended
            && let Some(entry) = outside::entry(run, &key)
        {
            Bell { run, request, entry, notifier: &notifier, remind_every }.ring().await;
        }
        ended
    }
}

impl<'r, T: DeserializeOwned + Send + 'r, N: Notifier + Send + 'r> IntoFuture for Approval<'r, T, N> {
    type Output = Result<T, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'r>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.answer().await.map(|answer| answer.value).map_err(with_reason_only) })
    }
}

impl<T, N> fmt::Debug for Approval<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval").field("step", &self.ask.name()).finish_non_exhaustive()
    }
}
