use std::sync::Arc;
use std::time::Duration;

use crate::journal::Timestamp;
use crate::store::{Lease, Open, Owner, StoredRun};

/// A request for due runs.
///
/// ```
/// use awaitly_core::store::{Claim, Owner};
///
/// let claim = Claim::new(Owner::unique()).serve("checkout", 3).serve("refund", 1).limit(64);
/// assert_eq!(claim.workflows.len(), 2);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use]
pub struct Claim {
    /// The workflows that the worker serves. An empty list claims no run.
    pub workflows: Vec<Served>,
    /// The maximum number of runs.
    pub limit: usize,
    /// The owner that asks for the leases. Several claims may name one owner.
    pub owner: Owner,
    /// The time that each lease lasts unless it is renewed.
    pub ttl: Duration,
}

/// A workflow that a worker serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The name.
    pub workflow: Arc<str>,
    /// The version. A claim takes no run that began with a newer version.
    pub version: u32,
}

impl Claim {
    /// The maximum number of runs, unless the request sets another.
    pub const DEFAULT_LIMIT: usize = 100;

    /// Creates a request by `owner` that serves no workflow.
    pub const fn new(owner: Owner) -> Self {
        Self { workflows: Vec::new(), limit: Self::DEFAULT_LIMIT, owner, ttl: Open::DEFAULT_TTL }
    }

    /// Adds a workflow that the worker serves, with its version. A further call with an equal name replaces the
    /// version.
    pub fn serve(mut self, workflow: impl Into<Arc<str>>, version: u32) -> Self {
        let workflow = workflow.into();
        self.workflows.retain(|served| served.workflow != workflow);
        self.workflows.push(Served { workflow, version });
        self
    }

    /// Sets the maximum number of runs. A limit of 0 takes no run, and returns the time of the next due run.
    ///
    /// # Default
    /// [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT): 100 runs.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Sets the time that each lease lasts unless it is renewed.
    ///
    /// # Default
    /// [`Open::DEFAULT_TTL`]: 30 seconds.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }
}

/// The result of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The claimed runs.
    pub runs: Vec<Held>,
    /// The current time, by the store's clock.
    pub now: Timestamp,
    /// The time at which another claim may find more runs. If the limit of this claim left due runs behind, it is
    /// `now`. Otherwise, it is not later than the time at which the next run becomes due or a rate permits the next
    /// start. `None`: only a change in the store can make another run due, and [`wakes`](crate::store::Operate::wakes)
    /// reports such a change.
    pub next: Option<Timestamp>,
    /// The earliest time at which a schedule is due. It may have passed. `None`: no schedule has a next time.
    pub schedule: Option<Timestamp>,
}

/// A run whose lease was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The right to write the run's journal.
    pub lease: Lease,
    /// The stored run.
    pub run: StoredRun,
}
