use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::journal::Timestamp;

/// The place of a run in its queue.
///
/// Runs of a queue start in the order of their ranks, the smallest first, and runs of one rank in the order of their
/// submission.
///
/// ```
/// use awaitly_core::dispatch::Place;
/// use awaitly_core::journal::Timestamp;
///
/// let noon = Timestamp::from_millis(43_200_000);
/// let usual = Place::new("orders", None, 0, noon);
/// let urgent = Place::new("orders", None, 60, noon.after(std::time::Duration::from_secs(59)));
/// assert!(urgent.rank < usual.rank, "60 points are worth 60 seconds of waiting");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Place {
    /// The name of the queue. The default queue has the empty name.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub queue: Arc<str>,
    /// The key, which groups runs of the queue: a customer, a tenant, a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Arc<str>>,
    /// The priority. One point is worth one second of waiting, or one turn in a fair queue.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// The rank.
    #[serde(default, skip_serializing_if = "is_zero_rank")]
    pub rank: i64,
    /// The time after which the run must not start any more. `None`: it may always start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Timestamp>,
    /// The deduplication key: the queue contains at most one queued run with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<Arc<str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero_rank(number: &i64) -> bool {
    *number == 0
}

impl Place {
    /// Creates the place of a run that may start from `start` on, in a queue that is not
    /// [fair](super::Queue::fair). Its rank is `start` in milliseconds, minus a second for each point of `priority`.
    #[must_use]
    pub fn new(queue: impl Into<Arc<str>>, key: Option<Arc<str>>, priority: i32, start: Timestamp) -> Self {
        let rank = start.as_millis().cast_signed().saturating_sub(i64::from(priority) * 1000);
        Self { queue: queue.into(), key, priority, rank, start_by: None, unique: None }
    }

    /// Returns the place of a run that restarts at `now`. The place has no deadline and no deduplication key any more.
    #[must_use]
    pub fn again(&self, now: Timestamp) -> Self {
        Self::new(Arc::clone(&self.queue), self.key.clone(), self.priority, now)
    }

    /// Returns whether it is too late to start the run at `now`.
    #[must_use]
    pub fn is_too_late(&self, now: Timestamp) -> bool {
        self.start_by.is_some_and(|by| by < now)
    }

    /// Returns whether all fields have their default.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
