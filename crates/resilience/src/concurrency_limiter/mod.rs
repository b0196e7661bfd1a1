//! So many calls at once: what is above that waits its turn, or is refused. Also called a bulkhead.
//!
//! ```
//! use awaitly_resilience::concurrency_limiter::{ConcurrencyLimiter, KeyedConcurrencyLimiter};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # async fn query() -> Result<u32, std::fmt::Error> { Ok(7) }
//! let limiter = ConcurrencyLimiter::options("database", 10).max_waiting(100).build();
//! let rows = limiter.call(query).await;
//! # assert!(rows.is_ok());
//!
//! // Each host has slots of its own:
//! let hosts: KeyedConcurrencyLimiter<String> = ConcurrencyLimiter::options("host", 4).keyed();
//! let rows = hosts.key("db-1".to_owned()).call(query).await;
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

use std::fmt;
use std::future::Future;
use std::hash::Hash;

pub use error::Full;
pub use options::Options;
pub use slots::{Slot, Slots};

use crate::call::{Admission, Admit, Call, guards};
use crate::name::Name;
use crate::per_key::{InUse, PerKey};
use crate::sync::Arc;
use slots::Waiting;

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

    /// Calls `operation` once a slot is free.
    ///
    /// # Errors
    /// [`CallError::Failed`](crate::CallError::Failed) with the operation's own error;
    /// [`CallError::Refused`](crate::CallError::Refused) where no slot was free and the queue was full.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue back, or drops the operation and gives the slot back.
    #[inline]
    pub fn call<T, E, F, Fut>(&self, operation: F) -> Call<&Self, F, Fut, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Call::new(self, operation)
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

impl<'a, E> Admit<E> for &'a ConcurrencyLimiter {
    type Pass = Slot<&'a Slots>;
    type Refused = Full;
    type Waiting = Waiting<'a, &'a Slots>;

    #[inline]
    fn admit(&self) -> Admission<Self::Pass, Full, Self::Waiting> {
        Slots::admit(&*self.0)
    }
}

impl<E> Admit<E> for ConcurrencyLimiter {
    type Pass = Slot<Arc<Slots>>;
    type Refused = Full;
    type Waiting = Waiting<'static, Arc<Slots>>;

    fn admit(&self) -> Admission<Self::Pass, Full, Self::Waiting> {
        Slots::admit(Arc::clone(&self.0))
    }
}

/// A concurrency limiter with slots and a queue of its own for each key: who waits for one key does not hold up
/// another one. Cheap to clone; clones are the same limiter. Made with [`Options::keyed`].
///
/// It remembers the keys of the calls that run or wait, and no others.
#[doc = include_str!("../waiters.md")]
pub struct KeyedConcurrencyLimiter<K>(Arc<OfKeys<K>>);

struct OfKeys<K> {
    options: Options,
    slots: PerKey<K, Slots>,
}

impl<K: Eq + Hash + Clone> KeyedConcurrencyLimiter<K> {
    fn from_options(options: Options) -> Self {
        Self(Arc::new(OfKeys { options, slots: PerKey::default() }))
    }

    /// The limiter of that key.
    pub fn key(&self, key: K) -> OfKey<K> {
        OfKey { limiter: self.clone(), key }
    }

    /// How many keys have calls that run or wait.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.slots.len()
    }
}

impl<K> Clone for KeyedConcurrencyLimiter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> fmt::Debug for KeyedConcurrencyLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedConcurrencyLimiter").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// The limiter of one key. Made by [`KeyedConcurrencyLimiter::key`]; cheap to clone where the key is.
#[derive(Debug, Clone)]
pub struct OfKey<K> {
    limiter: KeyedConcurrencyLimiter<K>,
    key: K,
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> OfKey<K> {
    /// As [`ConcurrencyLimiter::call`], with the slots of this key.
    pub fn call<T, E, F, Fut>(&self, operation: F) -> Call<&Self, F, Fut, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Call::new(self, operation)
    }

    /// What the limiter is doing for this key.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.slots().stats()
    }

    /// As [`ConcurrencyLimiter::turn_away`], for those who wait for this key.
    pub fn turn_away(&self) {
        self.limiter.0.slots.peek(&self.key, Slots::turn_away);
    }

    fn slots(&self) -> InUse<K, Slots> {
        let OfKeys { options, slots } = &*self.limiter.0;
        slots.of(self.key.clone(), || Slots::new(options))
    }
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static, E> Admit<E> for &OfKey<K> {
    type Pass = Slot<InUse<K, Slots>>;
    type Refused = Full;
    type Waiting = Waiting<'static, InUse<K, Slots>>;

    fn admit(&self) -> Admission<Self::Pass, Full, Self::Waiting> {
        Slots::admit(self.slots())
    }
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static, E> Admit<E> for OfKey<K> {
    type Pass = Slot<InUse<K, Slots>>;
    type Refused = Full;
    type Waiting = Waiting<'static, InUse<K, Slots>>;

    fn admit(&self) -> Admission<Self::Pass, Full, Self::Waiting> {
        Slots::admit(self.slots())
    }
}

guards! {
    impl['a,] &'a ConcurrencyLimiter;
    impl[] ConcurrencyLimiter;
    impl['a, K: Eq + Hash + Clone + Send + Sync + 'static,] &'a OfKey<K>;
    impl[K: Eq + Hash + Clone + Send + Sync + 'static,] OfKey<K>;
}
