//! So many calls at once: what is above that waits its turn, or is refused. Also called a bulkhead.
//!
//! ```
//! use awaitly_resilience::{ConcurrencyLimiter, GuardExt, Keyed};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # async fn query() -> Result<u32, std::fmt::Error> { Ok(7) }
//! let limiter = ConcurrencyLimiter::options("database", 10).max_waiting(100).build();
//! let rows = limiter.call(query).await;
//! # assert!(rows.is_ok());
//!
//! // Each host has slots of its own:
//! let hosts: Keyed<String, ConcurrencyLimiter> = Keyed::new(|host: &String| ConcurrencyLimiter::new(host.clone(), 4));
//! let rows = hosts.key("db-1").call(query).await;
//! # assert!(rows.is_ok());
//! # });
//! ```
//!
//! Slots are handed out in the order in which they were asked for, by tokio's semaphore. A caller that is dropped
//! gives its slot, or its place in the queue, back. To run a list of calls with so many at once, see
//! [`Run::each`](awaitly_core::Run::each).

mod error;
mod options;
mod slots;

use awaitly_core::guard::{Admission, Guard};

pub use error::Full;
pub use options::Options;
pub use slots::{Slot, Slots};

use crate::keyed::Idle;
use crate::name::Name;
use crate::sync::Arc;
use slots::Wait;

/// What a limiter is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many calls run.
    pub running: usize,
    /// How many may.
    pub limit: usize,
    /// How many calls wait.
    pub waiting: usize,
    /// How many may.
    pub max_waiting: usize,
}

/// A concurrency limiter. Cheap to clone; clones are the same limiter.
#[doc = include_str!("../waiters.md")]
#[derive(Debug, Clone)]
pub struct ConcurrencyLimiter(Arc<Slots>);

impl ConcurrencyLimiter {
    /// So many `slots`, and as many calls as there are wait.
    ///
    /// # Panics
    /// Where `slots` is 0.
    #[must_use]
    pub fn new(name: impl Into<Name>, slots: usize) -> Self {
        Self::options(name, slots).build()
    }

    /// A limiter to be configured. It goes by `name` in refusals.
    ///
    /// # Panics
    /// Where `slots` is 0.
    pub fn options(name: impl Into<Name>, slots: usize) -> Options {
        Options::new(name.into(), slots)
    }

    fn from_options(options: &Options) -> Self {
        Self(Arc::new(Slots::new(options)))
    }

    /// Why a call that came now would be refused.
    pub(crate) fn refusal(&self) -> Option<Full> {
        self.0.refusal()
    }

    pub(crate) fn into_slots(self) -> Arc<Slots> {
        self.0
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// What it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Changes how many calls may run; at least one. Where more of them run already they go on, and as many of them as
    /// are too many have no successor.
    pub fn resize(&self, slots: usize) {
        self.0.resize(slots);
    }

    /// Refuses those who wait now. Calls that run go on, and keep their slots.
    pub fn turn_away(&self) {
        self.0.turn_away();
    }
}

impl<'a, E> Guard<E> for &'a ConcurrencyLimiter {
    type Pass = Slot<&'a Slots>;
    type Refused = Full;
    type Wait = Wait<'a, &'a Slots>;

    #[inline]
    fn enter(&self) -> Admission<Self::Pass, Full, Self::Wait> {
        Slots::enter(&*self.0)
    }
}

impl<E> Guard<E> for ConcurrencyLimiter {
    type Pass = Slot<Arc<Slots>>;
    type Refused = Full;
    type Wait = Wait<'static, Arc<Slots>>;

    fn enter(&self) -> Admission<Self::Pass, Full, Self::Wait> {
        Slots::enter(Arc::clone(&self.0))
    }
}

/// A limiter is idle if no call runs or waits.
impl Idle for ConcurrencyLimiter {
    fn is_idle(&mut self) -> bool {
        // A slot holds a handle, or borrows one.
        Arc::get_mut(&mut self.0).is_some()
    }
}
