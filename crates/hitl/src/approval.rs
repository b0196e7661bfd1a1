use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::clock::secs;
use awaitly_core::extend::outside;
use awaitly_core::journal::{EncodeError, Key, Payload, Timestamp, WaitEntry};
use awaitly_core::{DurableRun, Retry, RunError, WaitFor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, Ruling, answered, with_reason_only};
use crate::callback::Callback;
use crate::caught::Caught;
use crate::notify::{Notice, NoticeKind, Notifier, NotifyError, Silent};
use crate::quorum::Quorum;
use crate::request::{Asks, Request};
use crate::shape::Shape;

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

/// A question on its way: what every step that somebody outside completes is made of.
pub(crate) struct Ask<'r, T> {
    run: &'r DurableRun,
    question: WaitFor<'r, Answer<T>>,
    pub(crate) request: Request,
    unencodable: Option<EncodeError>,
}

impl<'r, T> Ask<'r, T> {
    pub(crate) const fn new(run: &'r DurableRun, question: WaitFor<'r, Answer<T>>, asks: Asks) -> Self {
        let question = outside::wrapped(question, answered);
        Self { run, question, request: Request::new(asks), unencodable: None }
    }

    pub(crate) const fn request(&mut self) -> &mut Request {
        &mut self.request
    }

    pub(crate) fn encode<V: Serialize + ?Sized>(&mut self, value: &V) -> Option<Payload> {
        Payload::encode(value).map_err(|error| self.unencodable = Some(error)).ok()
    }

    pub(crate) fn expires_in(mut self, delay: Duration) -> Self {
        self.question = self.question.expires_in(delay);
        self
    }

    pub(crate) fn key(mut self, key: impl Into<Key>) -> Self {
        self.question = self.question.key(key);
        self
    }

    pub(crate) fn is_answered(&self) -> bool {
        outside::is_answered(&self.question)
    }

    pub(crate) fn name(&self) -> Key {
        outside::key_of(&self.question)
    }
}

impl<T: DeserializeOwned> Ask<'_, T> {
    /// What was answered. Asks, where that was not done before.
    pub(crate) async fn answer(mut self) -> Result<Answer<T>, RunError> {
        if let Some(EncodeError { type_name, reason, .. }) = self.unencodable {
            let what = format!("what `{}` asks", outside::key_of(&self.question)).into();
            return Err(RunError::Unencodable { what, type_name, reason });
        }
        let is_asked = outside::entry(self.run, &self.name()).is_some();
        if !is_asked && !self.is_answered() {
            self.request.shape = Shape::of::<T>();
        }
        self.question.request(&self.request).await
    }
}

/// Tells people that they are asked, and that they still are.
pub(crate) struct Bell<'a, N> {
    pub(crate) run: &'a DurableRun,
    pub(crate) request: Request,
    pub(crate) entry: WaitEntry,
    pub(crate) notifier: &'a N,
    pub(crate) remind_every: Option<Duration>,
}

impl<N: Notifier> Bell<'_, N> {
    pub(crate) async fn ring(self) {
        if !N::TELLS {
            return;
        }
        let key = &self.entry.key;
        self.send(format!("notify {key}"), NoticeKind::Asked).await;
        let Some(every) = self.remind_every.filter(|every| *every > Duration::ZERO) else { return };
        let waited = self.entry.since.until(outside::time(self.run));
        let reminders = u64::try_from(waited.as_nanos() / every.as_nanos()).unwrap_or(u64::MAX);
        if reminders > 0 {
            // Those that nobody was there to send are not made up for.
            self.send(format!("remind {key} {reminders}"), NoticeKind::Reminder(reminders)).await;
        }
        outside::wake_at(self.run, key, self.next(every, reminders));
    }

    fn next(&self, every: Duration, reminders: u64) -> Timestamp {
        let passed = u32::try_from(reminders.saturating_add(1)).unwrap_or(u32::MAX);
        self.entry.since.after(every.saturating_mul(passed))
    }

    async fn send(&self, step: String, kind: NoticeKind) {
        let Request { prompt, metadata, answerers, .. } = &self.request;
        let notice = Notice {
            kind,
            run: self.run.id().to_owned(),
            key: self.entry.key.clone(),
            prompt: prompt.clone(),
            metadata: metadata.as_ref().and_then(|metadata| metadata.decode().ok()),
            answerers: answerers.clone(),
            expires: self.entry.expires,
            token: self.entry.token.to_string(),
        };
        // A notice that was not sent is tried anew when the run is run again. A question that is asked anew has another
        // token, and is told anew.
        let fresh = self.run.step(step.clone(), || async {
            let sent = Caught::new(|| self.notifier.notify(notice.clone())).await;
            sent.unwrap_or_else(|panic| Err(NotifyError::new(format!("the notifier panicked: {panic}"))))
        });
        let sent = fresh
            .key(format!("{step} #{:08x}", short(&self.entry.token)))
            .rerun_errors()
            .retry(DELIVERY)
            .timeout(SLOWEST);
        if let Err(error) = sent.await {
            tracing::warn!(run = self.run.id(), key = %self.entry.key, %error, "nobody was told of the question");
        }
    }
}

/// A number that tells one token from another, and does not tell the token (FNV-1a, 32 bits).
fn short(token: &str) -> u32 {
    token.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// How often a notice is tried before the run is left to wait without it.
const DELIVERY: Retry = Retry::exponential(Duration::from_millis(200)).attempts(4);
/// How long one try may take.
const SLOWEST: Duration = secs(10);

impl<T, N> fmt::Debug for Approval<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval").field("step", &self.ask.name()).finish_non_exhaustive()
    }
}
