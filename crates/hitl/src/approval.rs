use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::journal::Key;
use awaitly_core::{__outside, DurableRun, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, Ruling, with_reason_only};
use crate::ask::Ask;
use crate::bell::Bell;
use crate::callback::Callback;
use crate::notify::{Notifier, Silent};
use crate::quorum::Quorum;
use crate::request::Asks;

/// The steps that somebody outside completes, on a durable run.
pub trait Approvals {
    /// A step that a person approves or rejects: see [`Approval`].
    fn approval<T: DeserializeOwned>(&self, name: impl Into<Key>) -> Approval<'_, T>;

    /// A step that `needed` of `answerers` have to approve: see [`Quorum`].
    ///
    /// # Panics
    /// Where `needed` is 0, or more than there are.
    fn quorum<T: DeserializeOwned>(
        &self,
        name: impl Into<Key>,
        needed: usize,
        answerers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Quorum<'_, T>;

    /// A step that another program completes, with a value: see [`Callback`].
    fn callback<T: DeserializeOwned>(&self, name: impl Into<Key>) -> Callback<'_, T>;
}

impl Approvals for DurableRun {
    fn approval<T: DeserializeOwned>(&self, name: impl Into<Key>) -> Approval<'_, T> {
        Approval::new(Ask::new(self, self.wait_for(name), Asks::Approval))
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
        Callback::new(Ask::new(self, self.wait_for(name), Asks::Callback))
    }
}

/// A step that a person completes: by approving, with a `T`, or by rejecting.
///
/// Made with [`Approvals::approval`]. Awaiting it gives the `T`; [`ruling`](Self::ruling) gives the answer with who gave
/// it, and is no error where it is no.
///
/// # Errors
/// [`RunError::Waiting`] until somebody has answered: return it, and the run waits, which costs no task and no memory.
/// Then [`RunError::Rejected`] with the reason as JSON, [`RunError::Expired`], [`RunError::Refused`] where the question
/// was taken back, [`RunError::Undecodable`] where the answer is not a `T` after all, and what recording a step can end in.
///
/// # Cancel safety
/// Dropping the future leaves the question asked, or not, and a notice sent, or not.
///
/// # Resume
/// The question is asked once, and a notice of it is sent once. A run that is resumed before somebody has answered ends
/// in [`RunError::Waiting`] again, at this step; after that it finds the answer, as any recorded outcome. A retry of a
/// run that failed on a no asks again.
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Approval<'r, T, N = Silent> {
    ask: Ask<'r, T>,
    notifier: N,
    remind_every: Option<Duration>,
}

impl<'r, T: DeserializeOwned> Approval<'r, T> {
    const fn new(ask: Ask<'r, T>) -> Self {
        Self { ask, notifier: Silent, remind_every: None }
    }
}

impl<'r, T, N> Approval<'r, T, N> {
    /// What is asked, for people to read.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.ask.request().prompt = Some(prompt.into());
        self
    }

    /// What else people have to know, shown with the question.
    ///
    /// # Errors
    /// Awaiting the step gives [`RunError::Unencodable`] where the value has no JSON form.
    pub fn metadata<V: Serialize + ?Sized>(mut self, metadata: &V) -> Self {
        let metadata = self.ask.encode(metadata);
        self.ask.request().metadata = metadata;
        self
    }

    /// What is to be approved: it can be accepted as it stands, or edited.
    ///
    /// # Errors
    /// Awaiting the step gives [`RunError::Unencodable`] where the value has no JSON form.
    pub fn proposal(mut self, proposal: &T) -> Self
    where
        T: Serialize,
    {
        let proposal = self.ask.encode(proposal);
        self.ask.request().proposal = proposal;
        self
    }

    /// Lets `name` answer, and nobody else but those that this is said of too.
    ///
    /// # Default
    /// Whoever has come to the inbox may answer.
    pub fn answerer(mut self, name: impl Into<String>) -> Self {
        self.ask.request().answerers.push(name.into());
        self
    }

    /// How long there is for an answer, from the moment of asking and by the store's clock.
    ///
    /// # Default
    /// For ever.
    pub fn expires_in(mut self, delay: Duration) -> Self {
        self.ask = self.ask.expires_in(delay);
        self
    }

    /// Waits under `key` instead of the step's name: see [`Step::key`](awaitly_core::step::Step::key).
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.ask = self.ask.key(key);
        self
    }

    /// Tells people by `notifier`, when the question is asked and at every reminder.
    ///
    /// # Default
    /// Nobody is told.
    pub fn notify<H: Notifier>(self, notifier: H) -> Approval<'r, T, H> {
        let Self { ask, remind_every, .. } = self;
        Approval { ask, notifier, remind_every }
    }

    /// Tells them again after each such time, as long as nobody has answered. The run becomes due for it, and somebody
    /// has to run it: see [`AutoResume`](crate::AutoResume).
    ///
    /// # Default
    /// Never.
    pub const fn remind_every(mut self, time: Duration) -> Self {
        self.remind_every = Some(time);
        self
    }
}

impl<'r, T: DeserializeOwned + Send + 'r, N: Notifier + Send + 'r> Approval<'r, T, N> {
    /// What became of it, for those who go on whatever it is.
    ///
    /// # Errors
    /// [`RunError::Waiting`] until somebody has answered, and what recording a step can end in.
    pub async fn ruling(self) -> Result<Ruling<T>, RunError> {
        Ruling::of(self.answer().await)
    }

    async fn answer(self) -> Result<Answer<T>, RunError> {
        let Self { ask, notifier, remind_every } = self;
        let (run, request, key) = (ask.run, ask.request.clone(), ask.name());
        let ended = ask.answer().await;
        if let Err(RunError::Waiting { .. }) = &ended
            && let Some(entry) = __outside::entry(run, &key)
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
