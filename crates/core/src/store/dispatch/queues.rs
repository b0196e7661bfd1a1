use std::sync::Arc;

use serde::Serialize;

use super::Start;
use crate::dispatch::{Place, Queue};
use crate::journal::{Header, Timestamp};

/// The origin of a queue's new settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configure {
    /// The settings in the code of a worker. They apply if they differ from the settings that a worker declared last.
    /// Otherwise, the settings that an operator has set since then stay.
    Declare,
    /// The settings of an operator. They apply until an operator or a changed declaration sets others.
    Set,
}

/// Whether a call pauses or resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pausing {
    /// Pauses.
    Pause,
    /// Resumes.
    Resume,
}

/// A queue, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueState {
    /// The settings that apply now.
    pub settings: Queue,
    /// Whether the queue is paused.
    pub paused: bool,
}

impl QueueState {
    /// Creates the state of a queue.
    #[must_use]
    pub const fn new(settings: Queue, paused: bool) -> Self {
        Self { settings, paused }
    }
}

/// A change of queued runs. A new `Reschedule` changes nothing.
///
/// ```
/// use awaitly_core::store::{Dispatch, Reschedule, RunId, Start, StoreError};
///
/// /// Lets an order start at once, before all others. Returns whether it was still queued.
/// async fn hurry(store: &impl Dispatch, order: RunId) -> Result<bool, StoreError> {
///     let change = Reschedule::new().priority(1_000_000).start(Start::Now);
///     Ok(!store.reschedule(vec![order], change).await?.is_empty())
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Reschedule {
    /// The new queue.
    pub queue: Option<Arc<str>>,
    /// The new priority.
    pub priority: Option<i32>,
    /// The new earliest start.
    pub start: Option<Start>,
}

impl Reschedule {
    /// Creates a `Reschedule` that changes nothing.
    pub const fn new() -> Self {
        Self { queue: None, priority: None, start: None }
    }

    /// Moves the runs to another queue. They lose their deduplication keys.
    pub fn queue(mut self, queue: impl Into<Arc<str>>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Sets the priority.
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the earliest start.
    pub const fn start(mut self, start: Start) -> Self {
        self.start = Some(start);
        self
    }

    /// Changes the start of a queued run at `now`, and returns its new place in a queue that is not fair.
    ///
    /// ```
    /// use awaitly_core::clock::mins;
    /// use awaitly_core::journal::Timestamp;
    /// use awaitly_core::store::{Reschedule, RunId, Start, Submit};
    ///
    /// let now = Timestamp::from_millis(0);
    /// let order = Submit::new(RunId::new("order-42").unwrap(), "checkout");
    /// let mut header = order.header(order.place(now), now);
    /// header.place = Reschedule::new().start(Start::In(mins(1))).apply(&mut header, now);
    /// assert_eq!((header.place.rank, header.wake), (60_000, Some(now.after(mins(1)))));
    /// ```
    pub fn apply(&self, header: &mut Header, now: Timestamp) -> Place {
        let start = self.start.map_or(header.wake.unwrap_or(now), |start| start.moment(now));
        header.wake = Some(start);
        let Place { queue, key, priority, start_by, unique, .. } = header.place.clone();
        // Another run may have the deduplication key in the other queue.
        let unique = unique.filter(|_| self.queue.as_ref().is_none_or(|other| *other == queue));
        let (queue, priority) = (self.queue.clone().unwrap_or(queue), self.priority.unwrap_or(priority));
        let place = Place::new(queue, key, priority, start);
        Place { start_by, unique, ..place }
    }
}
