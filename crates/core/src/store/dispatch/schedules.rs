use std::sync::Arc;

use crate::journal::{Payload, Timestamp};

/// A schedule, as a store keeps it. The store does not interpret the `rule`: `awaitly-engine` reads it, and computes
/// the times.
///
/// ```
/// use awaitly_core::journal::{Payload, Timestamp};
/// use awaitly_core::store::StoredSchedule;
///
/// let nightly = StoredSchedule {
///     name: "nightly".into(),
///     version: 0,
///     due: Some(Timestamp::from_millis(1_000)),
///     rule: Payload::from_stored("{}"),
/// };
/// assert!(nightly.is_due(Timestamp::from_millis(1_000)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchedule {
    /// The name.
    pub name: Arc<str>,
    /// The version: the time of the creation in milliseconds, and one more for each change. So a schedule that was deleted
    /// and created again has another version. A change succeeds only if the stored version is the version on which it is
    /// based.
    pub version: u64,
    /// The next time. `None`: the schedule is paused or has no further time.
    pub due: Option<Timestamp>,
    /// The rule, in the form of `awaitly-engine`.
    pub rule: Payload,
}

impl StoredSchedule {
    /// Returns whether the schedule is due at `now`.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

/// A query for schedules, in the order of their names. A new query matches all schedules.
///
/// ```
/// use awaitly_core::journal::Timestamp;
/// use awaitly_core::store::ScheduleQuery;
///
/// let due = ScheduleQuery::new().due_at(Timestamp::from_millis(1_000)).limit(10);
/// assert_eq!(due.page_limit(), 10);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct ScheduleQuery {
    /// Only the schedule with this name.
    pub name: Option<Arc<str>>,
    /// Only schedules that are due at this time.
    pub due_at: Option<Timestamp>,
    /// Only schedules whose names come after this one.
    pub after: Option<Arc<str>>,
    limit: Option<usize>,
}

impl ScheduleQuery {
    /// Creates a query for all schedules, with 100 schedules per page.
    pub const fn new() -> Self {
        Self { name: None, due_at: None, after: None, limit: None }
    }

    /// Restricts the query to the schedule with this name.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Restricts the query to schedules that are due at `moment`. If more of them are due than the limit permits, and the
    /// query does not begin [after](Self::after) a name, the store chooses which ones it returns.
    pub const fn due_at(mut self, moment: Timestamp) -> Self {
        self.due_at = Some(moment);
        self
    }

    /// Restricts the query to schedules after the schedule with this name.
    pub fn after(mut self, name: impl Into<Arc<str>>) -> Self {
        self.after = Some(name.into());
        self
    }

    /// Sets the maximum number of schedules, from 1 to 1000. Values outside of this range are clamped.
    ///
    /// # Default
    /// 100 schedules.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit.clamp(1, 1000));
        self
    }

    /// Returns the maximum number of schedules.
    #[must_use]
    pub fn page_limit(&self) -> usize {
        self.limit.unwrap_or(100)
    }

    /// Returns whether the query matches this schedule. The check ignores the limit.
    #[must_use]
    pub fn asks_for(&self, schedule: &StoredSchedule) -> bool {
        self.name.as_ref().is_none_or(|name| *name == schedule.name)
            && self.due_at.is_none_or(|moment| schedule.is_due(moment))
            && self.after.as_ref().is_none_or(|after| schedule.name > *after)
    }
}

/// A change of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSchedule {
    /// The name.
    pub name: Arc<str>,
    /// The version on which the change is based. `None`: the schedule must not exist.
    pub version: Option<u64>,
    /// The new time and rule. `None` deletes the schedule.
    pub put: Option<(Option<Timestamp>, Payload)>,
}
