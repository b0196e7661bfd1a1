use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::{Parent, Place};
use crate::journal::{Header, Key, Refused, Status, Timestamp};
use crate::store::{Input, RunId};

/// A run to add to a queue.
///
/// ```
/// use awaitly_core::clock::mins;
/// use awaitly_core::store::{Input, RunId, Start, Submit};
///
/// let cart = Input::of(&["tea", "mug"]).unwrap();
/// let order = Submit::new(RunId::new("order-42").unwrap(), "checkout")
///     .input(cart)
///     .queue("orders")
///     .key("customer-7")
///     .priority(10)
///     .start(Start::In(mins(5)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Submit {
    /// The run.
    pub run: RunId,
    /// The workflow of the run.
    pub workflow: Arc<str>,
    /// The input of the run.
    pub input: Option<Input>,
    /// The queue. The default queue has the empty name.
    pub queue: Arc<str>,
    /// The key, which groups runs of the queue.
    pub key: Option<Arc<str>>,
    /// The priority. One point is worth one second of waiting, or one turn in a fair queue.
    pub priority: i32,
    /// The earliest start.
    pub start: Start,
    /// The time after which the run must not start any more.
    pub start_by: Option<Timestamp>,
    /// The step of another run that waits for the end of this run.
    pub parent: Option<Parent>,
    /// The tags, by which people find the run.
    pub tags: Vec<Arc<str>>,
    /// The deduplication key.
    pub unique: Option<Unique>,
}

/// A deduplication key. At most one queued run of a queue has the key. A run that has begun does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: Arc<str>,
    /// If `true`, a submission with the key of a queued run replaces the input, the start and the deadline of that run. If
    /// `false`, it changes nothing.
    pub replaces: bool,
}

/// The earliest start of a run, by the store's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// The run may start at once.
    #[default]
    Now,
    /// The run may start when this time has passed.
    In(Duration),
    /// The run may start from this moment on.
    At(Timestamp),
}

impl Start {
    /// Returns the moment of the start for a run that is submitted at `now`.
    #[must_use]
    pub fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::In(delay) => now.after(delay),
            Self::At(moment) => moment.max(now),
        }
    }
}

/// The result of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// The store added the run.
    Queued,
    /// The run exists already, with an equal workflow and input, and has this status.
    Exists(Status),
    /// A queued run of the queue has the deduplication key. If the submission [replaces](Unique::replaces), and that run is
    /// one of its workflow, that run has the new input, start and deadline now.
    Duplicate(RunId),
}

impl Submit {
    /// Creates a submission of `run`, a run of `workflow`, to the default queue.
    pub fn new(run: RunId, workflow: impl Into<Arc<str>>) -> Self {
        Self {
            run,
            workflow: workflow.into(),
            input: None,
            queue: Arc::default(),
            key: None,
            priority: 0,
            start: Start::Now,
            start_by: None,
            parent: None,
            tags: Vec::new(),
            unique: None,
        }
    }

    /// The maximum number of tags of a run.
    pub const MOST_TAGS: usize = 10;

    /// The maximum length of a tag, in bytes.
    pub const MAX_TAG_BYTES: usize = 100;

    /// Adds a tag, by which people find the run. A repeated tag counts once.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        let tag = tag.into();
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
        self
    }

    /// Sets a deduplication key. If a queued run of the queue has the key, the store adds no run, and returns the id of
    /// that run.
    pub fn deduplicate(mut self, key: impl Into<Arc<str>>) -> Self {
        self.unique = Some(Unique { key: key.into(), replaces: false });
        self
    }

    /// Sets a deduplication key like [`deduplicate`](Self::deduplicate), but the submission replaces the input, the start
    /// and the deadline of the queued run, if that is a run of the workflow.
    pub fn debounce(mut self, key: impl Into<Arc<str>>) -> Self {
        self.unique = Some(Unique { key: key.into(), replaces: true });
        self
    }

    /// Makes the run a child: at its end, the store answers the entry that waits under `key` in `parent` with its
    /// outcome, if the entry [asks for](crate::dispatch::ChildQuestion) this run.
    pub fn child_of(mut self, parent: RunId, key: impl Into<Key>) -> Self {
        self.parent = Some(Parent { run: parent, key: key.into() });
        self
    }

    /// Sets the input.
    pub fn input(mut self, input: Input) -> Self {
        self.input = Some(input);
        self
    }

    /// Sets the queue.
    pub fn queue(mut self, queue: impl Into<Arc<str>>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Sets the key, which groups runs of the queue.
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the priority.
    ///
    /// # Default
    /// 0.
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the earliest start.
    ///
    /// # Default
    /// [`Start::Now`].
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets the time after which the run must not start any more.
    pub const fn start_by(mut self, moment: Timestamp) -> Self {
        self.start_by = Some(moment);
        self
    }

    /// Returns the place of the run if it is submitted at `now` to a queue that is not fair.
    #[must_use]
    pub fn place(&self, now: Timestamp) -> Place {
        let start = self.start.moment(now);
        let place = Place::new(Arc::clone(&self.queue), self.key.clone(), self.priority, start);
        let unique = self.unique.as_ref().map(|unique| Arc::clone(&unique.key));
        Place { start_by: self.start_by, unique, ..place }
    }

    /// Returns the header of the run, as a store adds it at `now`.
    ///
    /// ```
    /// use awaitly_core::journal::{Status, Timestamp};
    /// use awaitly_core::store::{RunId, Submit};
    ///
    /// let now = Timestamp::from_millis(7);
    /// let order = Submit::new(RunId::new("order-42").unwrap(), "checkout");
    /// let header = order.header(order.place(now), now);
    /// assert_eq!((header.status, header.wake), (Status::Queued, Some(now)));
    /// ```
    #[must_use]
    pub fn header(&self, place: Place, now: Timestamp) -> Header {
        let mut header = Header::new(Arc::clone(&self.workflow), 0, Status::Queued, now);
        header.input = self.input.as_ref().map(|input| input.fingerprint);
        header.wake = Some(self.start.moment(now));
        header.place = place;
        header.parent = self.parent.clone().map(Box::new);
        header.tags.clone_from(&self.tags);
        header
    }

    /// Gives a queued run with the deduplication key the input, the start and the deadline of this submission at `now`. In a
    /// [fair](crate::dispatch::Queue::fair) queue, the run keeps its rank, so that it does not lose its turn.
    ///
    /// ```
    /// use awaitly_core::clock::mins;
    /// use awaitly_core::journal::Timestamp;
    /// use awaitly_core::store::{RunId, Start, Submit};
    ///
    /// let now = Timestamp::from_millis(0);
    /// let digest = |run: &str| Submit::new(RunId::new(run).unwrap(), "digest").debounce("ann").start(Start::In(mins(1)));
    /// let (first, second) = (digest("digest-1"), digest("digest-2"));
    /// let mut header = first.header(first.place(now), now);
    /// second.replace(&mut header, false, now.after(mins(1)));
    /// assert_eq!((header.place.rank, header.wake), (120_000, Some(now.after(mins(2)))));
    /// ```
    pub fn replace(&self, header: &mut Header, is_fair: bool, now: Timestamp) {
        let start = self.start.moment(now);
        let Place { queue, key, priority, rank, unique, .. } = header.place.clone();
        let place = Place::new(queue, key, priority, start);
        let rank = if is_fair { rank } else { place.rank };
        header.place = Place { rank, start_by: self.start_by, unique, ..place };
        header.input = self.input.as_ref().map(|input| input.fingerprint);
        header.wake = Some(start);
    }

    /// Decides about a submission whose run exists already, with the header `stored`.
    ///
    /// # Errors
    /// Returns [`Refused::OtherWorkflow`] or [`Refused::InputChanged`] if the run has another workflow or input.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::Timestamp;
    /// use awaitly_core::journal::{Refused, Status};
    /// use awaitly_core::store::{Input, RunId, Submit, Submitted};
    ///
    /// let now = Timestamp::from_millis(0);
    /// let order = Submit::new(RunId::new("order-42").unwrap(), "checkout");
    /// let stored = order.header(order.place(now), now);
    /// assert_eq!(order.matches(&stored), Ok(Submitted::Exists(Status::Queued)));
    /// let other = order.input(Input::of(&7).unwrap());
    /// assert_eq!(other.matches(&stored), Err(Refused::InputChanged));
    /// ```
    pub fn matches(&self, stored: &Header) -> Result<Submitted, Refused> {
        if stored.workflow != self.workflow {
            return Err(Refused::OtherWorkflow { workflow: Arc::clone(&stored.workflow) });
        }
        if stored.input != self.input.as_ref().map(|input| input.fingerprint) {
            return Err(Refused::InputChanged);
        }
        Ok(Submitted::Exists(stored.status))
    }
}
