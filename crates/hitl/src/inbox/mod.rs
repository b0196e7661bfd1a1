//! Where questions are listed, shown and answered: [`Inbox`].

mod error;
mod everywhere;
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
pub use everywhere::Everywhere;
pub use reply::Reply;

use crate::answer::who_withdrew;
use crate::request::Question;

/// The questions that the runs of a store wait with, and the answers to them.
///
/// It is a handle on a store: cheap to clone, and there can be many, in many processes. Of several answers to one
/// question, the store takes one; the others are told so. An inbox does not know who its caller is: whoever can call it
/// is trusted to say in whose name. The inbox over HTTP, with the feature `http`, checks that.
///
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

/// Says why a value is not of the type that is expected under a key.
type Check = Arc<dyn Fn(&Payload) -> Result<(), InboxError> + Send + Sync>;

/// Which question is meant.
#[derive(Clone)]
pub(crate) enum Target {
    At { run: String, key: Key },
    Token(Box<str>),
}

impl<S: Operate> Inbox<S> {
    /// The questions of the runs in `store`.
    pub fn new(store: S) -> Self {
        Self { store, checks: Arc::default() }
    }

    /// Takes only what decodes as a `T` for an answer under `key`. Approvals and callbacks are checked without it, as
    /// far as their type tells; this is for [`Run::wait_for`](awaitly_core::Run::wait_for), and for types that check more
    /// than their form.
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

    /// The questions that `query` asks for, of runs that have not ended; the newest first. Those whose time is over are
    /// among them, until their run is run again.
    ///
    /// # Errors
    /// [`InboxError::Store`]
    pub async fn list(&self, query: WaitQuery) -> Result<Page<Question>, InboxError> {
        let Page { items, next } = self.store.waiting(query).await?;
        Ok(Page { items: items.into_iter().map(Question::of).collect(), next })
    }

    /// The question of a run under a key.
    pub fn at(&self, run: impl Into<String>, key: impl Into<Key>) -> Reply<'_, S> {
        Reply::new(self, Target::At { run: run.into(), key: key.into() })
    }

    /// The question that came with `token`.
    pub fn with_token(&self, token: impl Into<Box<str>>) -> Reply<'_, S> {
        Reply::new(self, Target::Token(token.into()))
    }

    /// The questions of all runs under a key.
    pub fn everywhere(&self, key: impl Into<Key>) -> Everywhere<'_, S> {
        Everywhere::new(self, key.into())
    }

    /// Approves, in nobody's name: short for [`at`](Self::at) and [`approve`](Reply::approve).
    ///
    /// # Errors
    /// [`InboxError`]; nothing is changed then.
    pub async fn approve<T: Serialize + ?Sized>(
        &self,
        run: impl Into<String>,
        key: impl Into<Key>,
        value: &T,
    ) -> Result<(), InboxError> {
        self.at(run, key).approve(value).await
    }

    /// Rejects, in nobody's name: short for [`at`](Self::at) and [`reject`](Reply::reject).
    ///
    /// # Errors
    /// [`InboxError`]; nothing is changed then.
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

    /// The question that is meant, or why there is none.
    pub(crate) async fn find(&self, target: &Target) -> Result<Question, InboxError> {
        match target {
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

    /// Why nothing waits there.
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
