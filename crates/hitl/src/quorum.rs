use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::journal::Key;
use awaitly_core::{__outside, DurableRun, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, Ruling, withdrawn};
use crate::ask::Ask;
use crate::bell::Bell;
use crate::notify::{Notifier, Silent};
use crate::request::{Asks, Request};

/// A step that several people vote on, each once.
///
/// Made with [`Approvals::quorum`](crate::Approvals::quorum). Everybody is asked at the same time, under `name[person]`,
/// and only that person may answer there. Awaiting it gives the approvals that decided it, in the order in which they
/// came, once there are enough of them. The questions that are still open then are taken back.
///
/// # Errors
/// [`RunError::Waiting`] until it is decided. [`RunError::Rejected`], with the reasons as a JSON list, once so many have
/// rejected that there cannot be enough approvals any more; [`RunError::Expired`] where the time was over for that.
///
/// # Cancel safety and resuming
/// As for [`Approval`](crate::Approval). A retry of a run that failed on it asks those again who did not approve.
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Quorum<'r, T, N = Silent> {
    run: &'r DurableRun,
    name: Key,
    needed: usize,
    votes: Vec<Ask<'r, T>>,
    notifier: N,
    remind_every: Option<Duration>,
}

impl<'r, T: DeserializeOwned> Quorum<'r, T> {
    pub(crate) fn new(run: &'r DurableRun, name: &Key, needed: usize, answerers: Vec<String>) -> Self {
        assert!(
            (1..=answerers.len()).contains(&needed),
            "a quorum of {needed} cannot be had from {} people",
            answerers.len()
        );
        let base = __outside::base(run, name);
        let vote = |person: String| {
            let key = format!("{base}[{person}]");
            let mut ask = Ask::new(run, run.wait_for(name.clone()), Asks::Approval).key(key);
            ask.request().answerers.push(person);
            ask
        };
        let votes = answerers.into_iter().map(vote).collect();
        Self { run, name: base.clone(), needed, votes, notifier: Silent, remind_every: None }
    }
}

impl<'r, T, N> Quorum<'r, T, N> {
    /// What is asked, for people to read.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        let prompt = prompt.into();
        self.each(|request| request.prompt = Some(prompt.clone()));
        self
    }

    /// What else people have to know, shown with the question.
    ///
    /// # Errors
    /// Awaiting the step gives [`RunError::Unencodable`] where the value has no JSON form.
    pub fn metadata<V: Serialize + ?Sized>(mut self, metadata: &V) -> Self {
        let metadata = self.votes.first_mut().and_then(|vote| vote.encode(metadata));
        self.each(|request| request.metadata.clone_from(&metadata));
        self
    }

    /// How long there is for a vote, from the moment of asking and by the store's clock. For ever unless set.
    pub fn expires_in(mut self, delay: Duration) -> Self {
        self.votes = self.votes.into_iter().map(|vote| vote.expires_in(delay)).collect();
        self
    }

    /// Tells each of them by `notifier`. Nobody is told unless set.
    pub fn notify<H: Notifier>(self, notifier: H) -> Quorum<'r, T, H> {
        let Self { run, name, needed, votes, remind_every, .. } = self;
        Quorum { run, name, needed, votes, notifier, remind_every }
    }

    /// Tells those who have not voted again after each such time: see
    /// [`Approval::remind_every`](crate::Approval::remind_every). Never unless set.
    pub const fn remind_every(mut self, time: Duration) -> Self {
        self.remind_every = Some(time);
        self
    }

    fn each(&mut self, mut change: impl FnMut(&mut Request)) {
        self.votes.iter_mut().for_each(|vote| change(vote.request()));
    }
}

impl<'r, T: DeserializeOwned + Send + 'r, N: Notifier + Send + 'r> Quorum<'r, T, N> {
    async fn decide(self) -> Result<Vec<Answer<T>>, RunError> {
        let Self { run, name, needed, votes, notifier, remind_every } = self;
        let mut count = Count::new(needed, votes.len());
        // What is recorded first: it may be enough, and then nobody else is asked.
        let (answered, open): (Vec<_>, Vec<_>) = votes.into_iter().partition(Ask::is_answered);
        for vote in answered {
            let key = vote.name();
            count.add(key, vote.answer().await)?;
        }
        if let Some(decision) = count.decision(&name) {
            for vote in open {
                let key = vote.name();
                __outside::withdraw(run, key.clone(), &withdrawn(key.clone(), "quorum", "it is decided"))
                    .await?;
                count.others.push(key);
            }
            return count.end(run, decision);
        }
        let mut waits = None;
        for vote in open {
            let (key, request) = (vote.name(), vote.request.clone());
            match vote.answer().await {
                Err(error @ RunError::Waiting { .. }) => {
                    waits.get_or_insert(error);
                    if let Some(entry) = __outside::entry(run, &key) {
                        Bell { run, request, entry, notifier: &notifier, remind_every }.ring().await;
                    }
                }
                ended => count.add(key, ended)?,
            }
        }
        match (waits, count.decision(&name)) {
            (Some(waits), _) => Err(waits),
            (None, Some(decision)) => count.end(run, decision),
            (None, None) => Err(RunError::Expired { step: name }),
        }
    }
}

/// The votes so far.
struct Count<T> {
    needed: usize,
    people: usize,
    approvals: Vec<Answer<T>>,
    reasons: Vec<serde_json::Value>,
    /// The keys of the votes that are no approvals: a no, none in time, or not wanted any more.
    others: Vec<Key>,
}

impl<T> Count<T> {
    const fn new(needed: usize, people: usize) -> Self {
        Self { needed, people, approvals: Vec::new(), reasons: Vec::new(), others: Vec::new() }
    }

    fn add(&mut self, key: Key, ended: Result<Answer<T>, RunError>) -> Result<(), RunError> {
        if matches!(ended, Err(RunError::Refused { .. })) {
            // It was decided before.
            self.others.push(key);
            return Ok(());
        }
        match Ruling::of(ended)? {
            Ruling::Approved(answer) => self.approvals.push(answer),
            Ruling::Rejected(answer) => {
                self.reasons.push(answer.value);
                self.others.push(key);
            }
            Ruling::Expired(_) | Ruling::Withdrawn(_) => self.others.push(key),
        }
        Ok(())
    }

    /// What the step gives. Of more approvals than are needed, those that came first: so it is the same whoever else
    /// has approved by the time that the run is run again.
    fn end(mut self, run: &DurableRun, decision: Result<(), RunError>) -> Result<Vec<Answer<T>>, RunError> {
        match decision {
            Ok(()) => {
                self.approvals.sort_by_key(|answer| answer.at);
                self.approvals.truncate(self.needed);
                Ok(self.approvals)
            }
            Err(error) => {
                self.others.iter().for_each(|key| __outside::ask_again(run, key));
                Err(error)
            }
        }
    }

    /// Whether there are enough approvals, or cannot be any more. `None`: it is open.
    fn decision(&self, step: &Key) -> Option<Result<(), RunError>> {
        if self.approvals.len() >= self.needed {
            return Some(Ok(()));
        }
        if self.people - self.others.len() >= self.needed {
            return None;
        }
        let step = step.clone();
        Some(Err(if self.reasons.is_empty() {
            RunError::Expired { step }
        } else {
            let reason = serde_json::Value::from(self.reasons.clone()).to_string().into();
            RunError::Rejected { step, reason }
        }))
    }
}

impl<'r, T: DeserializeOwned + Send + 'r, N: Notifier + Send + 'r> IntoFuture for Quorum<'r, T, N> {
    type Output = Result<Vec<Answer<T>>, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'r>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.decide())
    }
}

impl<T, N> fmt::Debug for Quorum<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorum")
            .field("step", &self.name)
            .field("needed", &self.needed)
            .finish_non_exhaustive()
    }
}
