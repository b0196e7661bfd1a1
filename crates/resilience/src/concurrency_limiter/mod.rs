//! A limit of calls at once: further calls wait for their turn, or are refused. Also called a bulkhead.
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
//! Tokio's semaphore hands out slots in the order of the requests. A caller that is dropped gives its slot, or its
//! place in the queue, back. To run a list of calls with a limit at once, see [`Run::each`](awaitly_core::Run::each).

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

/// The current state of a limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of calls that run.
    pub running: usize,
    /// The number of calls that may run.
    pub limit: usize,
    /// The number of calls that wait.
    pub waiting: usize,
    /// The number of calls that may wait.
    pub max_waiting: usize,
}

/// A concurrency limiter. Cheap to clone; clones share the slots.
#[doc = include_str!("../waiters.md")]
#[derive(Debug, Clone)]
pub struct ConcurrencyLimiter(Arc<Slots>);

impl ConcurrencyLimiter {
    /// Creates a limiter with this many `slots`, and no limit of waiting calls.
    ///
    /// # Panics
    /// Panics if `slots` is 0.
    #[must_use]
    pub fn new(name: impl Into<Name>, slots: usize) -> Self {
        Self::options(name, slots).build()
    }

    /// Creates the options of a limiter. Refusals show `name`.
    ///
    /// # Panics
    /// Panics if `slots` is 0.
    pub fn options(name: impl Into<Name>, slots: usize) -> Options {
        Options::new(name.into(), slots)
    }

    fn from_options(options: &Options) -> Self {
        Self(Arc::new(Slots::new(options)))
    }

    /// Returns the refusal that a call would get now, if any.
    pub(crate) fn refusal(&self) -> Option<Full> {
        self.0.refusal()
    }

    pub(crate) fn into_slots(self) -> Arc<Slots> {
        self.0
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Returns the current state.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Changes the number of calls that may run, to at least one. If more calls already run, they continue, and no
    /// further call starts until their number is below the limit.
    pub fn resize(&self, slots: usize) {
        self.0.resize(slots);
    }

    /// Refuses the calls that wait now. Running calls continue and keep their slots.
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
