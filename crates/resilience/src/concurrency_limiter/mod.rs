//! A limit on the number of calls at once: further calls wait for their turn, or are refused. Also called a bulkhead.
//!
//! ```
//! use awaitly_resilience::{ConcurrencyLimiter, GuardExt, Keyed};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # async fn query() -> Result<u32, std::fmt::Error> { Ok(7) }
//! let limiter = ConcurrencyLimiter::bounded("database", 10, 100); // 10 calls run, 100 wait
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
//! Tokio's semaphore hands out slots in the order of the requests. If a call is dropped, its slot or its place in the
//! queue becomes free. To limit the concurrent calls of one list, see [`Run::each`](awaitly_core::Run::each).

mod error;
mod pass;
mod slots;

use awaitly_core::guard::{Admission, Guard};

pub use error::Full;
pub use pass::Slot;

use crate::keyed::Idle;
use crate::name::Name;
use crate::sync::Arc;
use pass::Wait;
use slots::Slots;

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
    /// The number of calls that may wait; `usize::MAX` means no limit.
    pub max_waiting: usize,
}

/// A limit on the number of calls that run at once. Each running call holds a slot; further calls wait for a free slot,
/// or are refused. Cheap to clone; clones share the slots.
#[doc = include_str!("../waiters.md")]
#[derive(Debug, Clone)]
pub struct ConcurrencyLimiter(Arc<Slots>);

impl ConcurrencyLimiter {
    /// Creates a limiter with this many `slots`, and no limit on the number of waiting calls. Refusals show `name`.
    ///
    /// # Panics
    /// Panics if `slots` is 0.
    #[must_use]
    pub fn new(name: impl Into<Name>, slots: usize) -> Self {
        Self::bounded(name, slots, usize::MAX)
    }

    /// Creates a limiter with this many `slots` and a queue for at most `waiting` calls. The limiter refuses further
    /// calls. If `waiting` is 0, no call waits.
    ///
    /// # Panics
    /// Panics if `slots` is 0.
    ///
    /// ```
    /// use std::future::pending;
    /// use awaitly_resilience::{ConcurrencyLimiter, GuardExt};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let limiter = ConcurrencyLimiter::bounded("database", 1, 0);
    /// let mut runs = Box::pin(limiter.call(pending::<Result<u32, ()>>));
    /// assert!(futures_util::poll!(&mut runs).is_pending());
    /// assert!(limiter.call(async || Ok::<_, ()>(7)).await.unwrap_err().is_refused());
    /// # });
    /// ```
    #[must_use]
    pub fn bounded(name: impl Into<Name>, slots: usize, waiting: usize) -> Self {
        assert!(slots > 0, "a limiter lets at least one call run: a limit of 0 is refused");
        Self(Arc::new(Slots::new(name.into(), slots, waiting)))
    }

    /// Creates a limiter for a database: 10 calls run at once, and 100 wait.
    #[must_use]
    pub fn database(name: impl Into<Name>) -> Self {
        Self::bounded(name, 10, 100)
    }

    /// Returns the refusal that a call would get now, if any.
    pub(crate) fn refusal(&self) -> Option<Full> {
        self.0.refusal()
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the current state.
    ///
    /// ```
    /// use awaitly_resilience::ConcurrencyLimiter;
    ///
    /// let stats = ConcurrencyLimiter::database("orders").stats();
    /// assert_eq!((stats.running, stats.limit, stats.max_waiting), (0, 10, 100));
    /// ```
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
    ///
    /// ```
    /// use std::future::pending;
    /// use awaitly_resilience::{ConcurrencyLimiter, GuardExt};
    /// use futures_util::poll;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let limiter = ConcurrencyLimiter::new("database", 1);
    /// let call = || Box::pin(limiter.call(pending::<Result<u32, ()>>));
    /// let (mut runs, mut waits) = (call(), call());
    /// assert!(poll!(&mut runs).is_pending() && poll!(&mut waits).is_pending());
    ///
    /// limiter.turn_away();
    /// assert!(waits.await.unwrap_err().is_refused());
    /// assert_eq!(limiter.stats().running, 1);
    /// # });
    /// ```
    pub fn turn_away(&self) {
        self.0.turn_away();
    }
}

impl<'a, E> Guard<E> for &'a ConcurrencyLimiter {
    type Pass = Slot<&'a ConcurrencyLimiter>;
    type Refused = Full;
    type Wait = Wait<'a, &'a ConcurrencyLimiter>;

    #[inline]
    fn enter(&self) -> Admission<Self::Pass, Full, Self::Wait> {
        Slot::enter(self)
    }
}

impl<E> Guard<E> for ConcurrencyLimiter {
    type Pass = Slot<Self>;
    type Refused = Full;
    type Wait = Wait<'static, Self>;

    fn enter(&self) -> Admission<Self::Pass, Full, Self::Wait> {
        Slot::enter(self.clone())
    }
}

/// A limiter is idle if no call runs or waits.
impl Idle for ConcurrencyLimiter {
    fn is_idle(&mut self) -> bool {
        // A slot holds a handle, or borrows one.
        Arc::get_mut(&mut self.0).is_some()
    }
}
