//! The [`Inbox`], which lists, shows and answers questions.

mod error;
mod reply;

use std::any::type_name;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use awaitly_core::journal::{Asked, Key, Payload, Settling, Unanswered, settle};
use awaitly_core::store::{Operate, Page, RunId, WaitQuery, Waiting};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::InboxError;
pub use reply::Reply;

use crate::answer::who_withdrew;
use crate::request::Question;

/// Lists and answers the questions of the runs in a store.
///
/// An inbox is a handle on a store: it is cheap to clone, and many processes can each have one. If several answers to one
/// question arrive, the store accepts the first and refuses the others.
///
/// An inbox does not authenticate its caller. It trusts the name that the caller passes to [`Reply::by`]. The inbox over HTTP
/// (feature `http`) checks the name with a signed link or a bearer token.
///
/// # Examples
/// ```
/// # async fn answers(store: awaitly_persistence::MemoryStore) -> Result<(), awaitly_hitl::InboxError> {
/// use awaitly_core::store::WaitQuery;
/// use awaitly_hitl::Inbox;
///
/// let inbox = Inbox::new(store);
/// for question in inbox.list(WaitQuery::new().key("manager")).await?.items {
///     println!("{} asks: {}", question.run, question.prompt.unwrap_or_default());
/// }
/// inbox.approve("trip-7", "manager", &4000_u64).await?;
/// inbox.at("trip-8", "manager").by("ada").note("ask me in May").reject("no budget").await?;
/// # Ok(())
/// # }
/// ```
pub struct Inbox<S> {
    store: S,
    checks: Arc<HashMap<Key, Check>>,
}

/// Checks an answer against the type that is expected under a key.
type Check = Arc<dyn Fn(&Payload) -> Result<(), InboxError> + Send + Sync>;

/// Identifies a question.
#[derive(Clone)]
pub(crate) enum Target {
    At {
        run: String,
        key: Key,
    },
    Token(Box<str>),
    /// A question that was listed.
    Listed(Box<Question>),
}

impl<S: Operate> Inbox<S> {
    /// Creates an inbox for the questions of the runs in `store`.
    pub fn new(store: S) -> Self {
        Self { store, checks: Arc::default() }
    }

    /// Accepts an answer under `key` only if it decodes as a `T`.
    ///
    /// The inbox checks approvals and callbacks against their [`Shape`](crate::Shape) without this. Call it for
    /// [`Run::wait_for`](awaitly_core::Run::wait_for), and for types that check more than their shape, for example a range.
    ///
    /// # Examples
    /// ```
    /// # async fn demo(store: awaitly_persistence::MemoryStore) {
    /// use awaitly_hitl::Inbox;
    ///
    /// let inbox = Inbox::new(store).expects::<std::net::IpAddr>("server");
    /// let refused = inbox.at("deploy-7", "server").answer("not an address").await;
    /// # assert!(refused.is_err());
    /// # }
    /// ```
    #[must_use]
    pub fn expects<T: DeserializeOwned>(mut self, key: impl Into<Key>) -> Self {
        let check: Check = Arc::new(|answer| match answer.decode::<T>() {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(InboxError::WrongType { expected: type_name::<T>().into(), reason: error.reason.into() })
            }
        });
        Arc::make_mut(&mut self.checks).insert(key.into(), check);
        self
    }

    /// Returns a page of the questions that match `query`, newest first.
    ///
    /// Questions of ended runs are not listed. An expired question is listed until its run is resumed.
    ///
    /// # Errors
    /// Returns [`InboxError::Store`] if the store fails.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::WaitQuery;
    ///
    /// # async fn all(inbox: awaitly_hitl::Inbox<awaitly_persistence::MemoryStore>) -> Result<(), awaitly_hitl::InboxError> {
    /// let mut query = WaitQuery::new().limit(50);
    /// loop {
    ///     let page = inbox.list(query.clone()).await?;
    ///     for question in page.items {
    ///         println!("{} {}", question.run, question.key);
    ///     }
    ///     let Some(next) = page.next else { break };
    ///     query = query.after(next);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list(&self, query: WaitQuery) -> Result<Page<Question>, InboxError> {
        let Page { items, next } = self.store.waiting(query).await?;
        Ok(Page { items: items.into_iter().map(Question::of).collect(), next })
    }

    /// Creates a [`Reply`] to the question that the run asks under `key`. The inbox looks up the question only when the
    /// reply is used.
    pub fn at(&self, run: impl Into<String>, key: impl Into<Key>) -> Reply<'_, S> {
        Reply::new(self, Target::At { run: run.into(), key: key.into() })
    }

    /// Creates a [`Reply`] to the question that has `token`. The inbox looks up the question only when the reply is
    /// used.
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
    /// let body = async |run: &DurableRun| run.approval::<bool>("manager").await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// let token = inbox.at("trip-7", "manager").show().await?.token().to_owned();
    /// inbox.with_token(token).approve(&true).await?;
    /// assert_eq!(expenses.run("trip-7", body).await, Ok(true));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_token(&self, token: impl Into<Box<str>>) -> Reply<'_, S> {
        Reply::new(self, Target::Token(token.into()))
    }

    /// Calls `answer` for each question that waits under `key`, in all runs. Returns the result for each run. A refused
    /// answer to one run does not affect the others.
    ///
    /// # Errors
    /// Returns [`InboxError::Store`] if the store fails to list the questions. Answers that the store has recorded by then
    /// remain.
    ///
    /// # Cancel safety
    /// Dropping the future keeps the answers that the store has recorded, and leaves the other questions open.
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
    /// let body = async |run: &DurableRun| run.approval::<bool>("manager").await;
    /// for run in ["trip-7", "trip-8"] {
    ///     assert!(expenses.run(run, body).await.is_err(), "the run waits");
    /// }
    ///
    /// let answered = inbox.everywhere("manager", |reply| reply.by("ada").approve(&true)).await?;
    /// assert!(answered.iter().all(|(_, result)| result.is_ok()));
    /// assert_eq!(expenses.run("trip-8", body).await, Ok(true));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn everywhere<'i, Fut>(
        &'i self,
        key: impl Into<Key>,
        answer: impl Fn(Reply<'i, S>) -> Fut,
    ) -> Result<Vec<(RunId, Result<(), InboxError>)>, InboxError>
    where
        Fut: Future<Output = Result<(), InboxError>>,
    {
        let (mut each, mut query) = (Vec::new(), WaitQuery::new().key(key));
        loop {
            let page = self.list(query.clone()).await?;
            for question in page.items {
                let run = question.run.clone();
                each.push((run, answer(Reply::new(self, Target::Listed(Box::new(question)))).await));
            }
            match page.next {
                Some(next) => query = query.after(next),
                None => return Ok(each),
            }
        }
    }

    /// Approves with `value`, without a name. Short for [`at`](Self::at) and [`Reply::approve`].
    ///
    /// # Errors
    /// Returns [`InboxError`] if the answer is refused; no state is changed then.
    pub async fn approve<T: Serialize + ?Sized>(
        &self,
        run: impl Into<String>,
        key: impl Into<Key>,
        value: &T,
    ) -> Result<(), InboxError> {
        self.at(run, key).approve(value).await
    }

    /// Rejects with `reason`, without a name. Short for [`at`](Self::at) and [`Reply::reject`].
    ///
    /// # Errors
    /// Returns [`InboxError`] if the answer is refused; no state is changed then.
    pub async fn reject<R: Serialize + ?Sized>(
        &self,
        run: impl Into<String>,
        key: impl Into<Key>,
        reason: &R,
    ) -> Result<(), InboxError> {
        self.at(run, key).reject(reason).await
    }

    pub(crate) const fn store(&self) -> &S {
        &self.store
    }

    pub(crate) fn check(&self, key: &Key, answer: &Payload) -> Result<(), InboxError> {
        self.checks.get(key).map_or(Ok(()), |check| check(answer))
    }

    /// Finds a question, or the reason why it does not wait.
    pub(crate) async fn find(&self, target: &Target) -> Result<Question, InboxError> {
        match target {
            Target::Listed(question) => Ok((**question).clone()),
            Target::Token(token) => {
                let query = WaitQuery::new().token(token.clone()).limit(1);
                self.first(query).await?.ok_or(InboxError::UnknownToken)
            }
            Target::At { run, key } => {
                let run = RunId::new(run.as_str()).map_err(|_| Unanswered::NoSuchRun)?;
                let query = WaitQuery::new().run(run.clone()).key(key.clone()).limit(1);
                match self.first(query).await? {
                    Some(question) => Ok(question),
                    None => Err(self.why_not(&run, key).await?),
                }
            }
        }
    }

    async fn first(&self, query: WaitQuery) -> Result<Option<Question>, InboxError> {
        let found: Page<Waiting> = self.store.waiting(query).await?;
        Ok(found.items.into_iter().next().map(Question::of))
    }

    /// Returns the reason why no question waits under `key`.
    async fn why_not(&self, run: &RunId, key: &Key) -> Result<InboxError, InboxError> {
        let stored = self.store.load(run).await?;
        let asked = stored.as_ref().map(|stored| Asked {
            status: stored.header.status,
            entry: stored.waits.iter().find(|entry| entry.key == *key),
            recorded: stored.records.iter().any(|record| record.key == *key),
        });
        let record = stored.iter().flat_map(|stored| &stored.records).find(|record| record.key == *key);
        if let Some((by, reason)) = record.and_then(|record| who_withdrew(&record.outcome)) {
            return Ok(InboxError::Withdrawn { by, reason });
        }
        let now = self.store.now().await?;
        Ok(settle(asked, Settling::Answer, None, now).err().unwrap_or(Unanswered::NotAsked).into())
    }
}

impl<S: Clone> Clone for Inbox<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), checks: Arc::clone(&self.checks) }
    }
}

impl<S> fmt::Debug for Inbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("expects", &self.checks.len()).finish_non_exhaustive()
    }
}
