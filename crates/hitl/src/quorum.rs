use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::extend::{self, outside};
use awaitly_core::journal::Key;
use awaitly_core::{DurableRun, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{AnswerRecord, Resolution, withdrawn};
use crate::ask::Ask;
use crate::bell::Bell;
use crate::notify::Notifier;
use crate::request::{QuestionKind, Request};

/// A step that succeeds if enough people approve. Each person has one vote.
///
/// Created with [`Approvals::quorum`](crate::Approvals::quorum). All people are asked at once, each under the key
/// `name[person]`, and only that person may answer there. Once enough people have approved, awaiting the step returns the
/// approvals that decided it, in the order in which they came, and withdraws the open questions.
///
/// # Errors
/// Returns [`RunError::Waiting`] until the vote is decided. A vote that was rejected, expired or was withdrawn is not
/// an approval. If the remaining votes cannot reach the needed number of approvals, the step returns one of two
/// errors:
///
/// - [`RunError::Rejected`] if at least one person rejected, with the reasons as a JSON list.
/// - [`RunError::Expired`] if no person rejected.
///
/// For other errors, see [`Approval`](crate::Approval).
///
/// # Cancel safety
/// As for [`Approval`](crate::Approval).
///
/// # Resume
/// As for [`Approval`](crate::Approval). If a run failed because of its quorum, a retry keeps the approvals, and asks
/// all other people again.
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError, step};
/// use awaitly_hitl::Approvals;
///
/// async fn purchase(run: &DurableRun) -> Result<(), RunError> {
///     let votes = step!(run.quorum::<bool>("board", 2, ["ada", "bob", "cy"]).prompt("Do we buy it?"));
///     assert_eq!(votes.len(), 2);
///     Ok(())
/// }
/// ```
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Quorum<'r, T, N = ()> {
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
            "a quorum of {needed} is impossible with {} people",
            answerers.len()
        );
        let base = extend::base(run, name);
        let vote = |person: String| {
            let key = format!("{base}[{person}]");
            let mut ask = Ask::new(run, run.wait_for(name.clone()), QuestionKind::Approval).key(key);
            ask.request().answerers.push(person);
            ask
        };
        let votes = answerers.into_iter().map(vote).collect();
        Self { run, name: base.clone(), needed, votes, notifier: (), remind_every: None }
    }
}

impl<'r, T, N> Quorum<'r, T, N> {
    /// Sets the text of the question.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        let prompt = prompt.into();
        self.each(|request| request.prompt = Some(prompt.clone()));
        self
    }

    /// Sets further information that is shown with the question.
    ///
    /// # Errors
    /// Awaiting the step returns [`RunError::Unencodable`] if `metadata` has no JSON form.
    pub fn metadata<V: Serialize + ?Sized>(mut self, metadata: &V) -> Self {
        let metadata = self.votes.first_mut().and_then(|vote| vote.encode(metadata));
        self.each(|request| request.metadata.clone_from(&metadata));
        self
    }

    /// Sets the time for a vote. It begins when the run asks, and is measured by the store's clock.
    ///
    /// # Default
    /// The questions never expire.
    pub fn expires_in(mut self, delay: Duration) -> Self {
        self.votes = self.votes.into_iter().map(|vote| vote.expires_in(delay)).collect();
        self
    }

    /// Sends each person a notice with `notifier`.
    ///
    /// # Default
    /// The run sends no notices.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::hours;
    /// use awaitly_core::{DurableRun, RunError};
    /// use awaitly_hitl::{Approvals, LogNotifier};
    ///
    /// async fn purchase(run: &DurableRun) -> Result<usize, RunError> {
    ///     let board = run.quorum::<bool>("board", 2, ["ada", "bob", "cy"]).notify(LogNotifier).remind_every(hours(24));
    ///     Ok(board.await?.len())
    /// }
    /// ```
    pub fn notify<H: Notifier>(self, notifier: H) -> Quorum<'r, T, H> {
        let Self { run, name, needed, votes, remind_every, .. } = self;
        Quorum { run, name, needed, votes, notifier, remind_every }
    }

    /// Sends a reminder for each missing vote after each interval: see
    /// [`Approval::remind_every`](crate::Approval::remind_every).
    ///
    /// # Default
    /// The run sends no reminders.
    pub const fn remind_every(mut self, time: Duration) -> Self {
        self.remind_every = Some(time);
        self
    }

    fn each(&mut self, mut change: impl FnMut(&mut Request)) {
        self.votes.iter_mut().for_each(|vote| change(vote.request()));
    }
}

impl<'r, T: DeserializeOwned + Send + 'r, N: Notifier + Send + 'r> Quorum<'r, T, N> {
    /// Decides the vote in two passes.
    ///
    /// The first pass counts the recorded votes. If they decide, the open questions are withdrawn, and no question is asked.
    /// Otherwise the second pass asks the questions that the run has not asked yet, and sends the notices of those that wait.
    /// The step waits if one is open. If none is, votes have expired meanwhile, and the count is final.
    async fn decide(self) -> Result<Vec<AnswerRecord<T>>, RunError> {
        let Self { run, name, needed, votes, notifier, remind_every } = self;
        let mut count = Count::new(needed, votes.len());
        // Count the recorded votes first: if they decide, the run asks no further questions.
        let (answered, open): (Vec<_>, Vec<_>) = votes.into_iter().partition(Ask::is_answered);
        for vote in answered {
            let key = vote.name();
            count.add(key, vote.answer().await)?;
        }
        if let Some(decision) = count.decision(&name) {
            for vote in open {
                let key = vote.name();
                outside::withdraw(
                    run,
                    key.clone(),
                    &withdrawn(key.clone(), "quorum", "the quorum is decided"),
                )
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
                    if let Some(entry) = outside::entry(run, &key) {
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
    approvals: Vec<AnswerRecord<T>>,
    reasons: Vec<serde_json::Value>,
    /// The keys of the votes that are not approvals: rejected, expired or withdrawn.
    others: Vec<Key>,
}

impl<T> Count<T> {
    const fn new(needed: usize, people: usize) -> Self {
        Self { needed, people, approvals: Vec::new(), reasons: Vec::new(), others: Vec::new() }
    }

    fn add(&mut self, key: Key, ended: Result<AnswerRecord<T>, RunError>) -> Result<(), RunError> {
        if matches!(ended, Err(RunError::Refused { .. })) {
            // An earlier execution decided the quorum and withdrew this vote.
            self.others.push(key);
            return Ok(());
        }
        match Resolution::of(ended)? {
            Resolution::Approved(answer) => self.approvals.push(answer),
            Resolution::Rejected(answer) => {
                self.reasons.push(answer.value);
                self.others.push(key);
            }
            Resolution::Expired(_) | Resolution::Withdrawn(_) => self.others.push(key),
        }
        Ok(())
    }

    /// Returns the result of the step. If there are more approvals than needed, it contains the earliest ones, so that
    /// approvals that arrive before the run is resumed do not change the result.
    fn end(
        mut self,
        run: &DurableRun,
        decision: Result<(), RunError>,
    ) -> Result<Vec<AnswerRecord<T>>, RunError> {
        match decision {
            Ok(()) => {
                self.approvals.sort_by_key(|answer| answer.at);
                self.approvals.truncate(self.needed);
                Ok(self.approvals)
            }
            Err(error) => {
                self.others.iter().for_each(|key| outside::ask_again(run, key));
                Err(error)
            }
        }
    }

    /// Returns the decision if there are enough approvals, or if there can no longer be enough; `None` while it is open.
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
    type Output = Result<Vec<AnswerRecord<T>>, RunError>;
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
