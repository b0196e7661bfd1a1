//! A guard for each key: a breaker for each host, a limiter for each tenant.
//!
//! ```
//! use awaitly_resilience::{CircuitBreaker, GuardExt, Keyed};
//!
//! # async fn get(_: &str) -> Result<u32, std::fmt::Error> { Ok(7) }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let hosts = Keyed::new(|host: &String| CircuitBreaker::new(format!("host {host}")));
//! assert_eq!(hosts.key("a.example").call(|| get("a.example")).await, Ok(7));
//!
//! hosts.key("b.example").open();
//! let refused = hosts.key("b.example").call(|| get("b.example")).await.unwrap_err();
//! assert_eq!(refused.to_string(), "circuit breaker `host b.example` is open: ask again later");
//! # });
//! ```

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

use crate::handle::handle;
use crate::shards::{SHARDS, Shards};
use crate::sync::{Arc, lock};

/// A guard for each key, created by the first request for the key. Cheap to clone; clones share the guards.
///
/// If the number of keys exceeds the capacity, `Keyed` forgets [idle](Idle) guards, but never a guard in use. It
/// therefore remembers about as many keys as its capacity. If more than half as many keys are in use, it can remember
/// up to twice the number of keys in use. A request for a forgotten key creates a new guard.
pub struct Keyed<K, G>(Arc<Guards<K, G>>);

handle!(Keyed<K, G>);

struct Guards<K, G> {
    shards: Shards<Shard<K, G>>,
    /// The number of guards up to which a shard keeps idle ones.
    capacity: usize,
    make: Box<dyn Fn(&K) -> G + Send + Sync>,
}

struct Shard<K, G> {
    guards: HashMap<K, G, RandomState>,
    /// The number of guards at which the shard next forgets the idle ones.
    full: usize,
}

/// A guard that [`Keyed`] can keep for each key.
///
/// It must be a handle: clones share one guard.
pub trait Idle {
    /// Returns `true` if this is the last handle of the guard, and a new guard could replace it.
    ///
    /// [`Keyed`] calls it under a lock, so it must not use the `Keyed` that holds the guard. The exclusive reference
    /// allows for [`Arc::get_mut`](std::sync::Arc::get_mut), which proves that there is no other handle.
    fn is_idle(&mut self) -> bool;
}

impl<K: Eq + Hash, G: Idle + Clone> Keyed<K, G> {
    /// Creates an empty set with a capacity of 1024 keys; `make` creates the guard of a key.
    pub fn new(make: impl Fn(&K) -> G + Send + Sync + 'static) -> Self {
        Self::with_capacity(1024, make)
    }

    /// Creates an empty set that remembers about `capacity` keys before it forgets idle ones.
    ///
    /// # Panics
    /// Panics if `capacity` is 0: the set would forget each guard after its call.
    ///
    /// ```
    /// use awaitly_resilience::{Keyed, RateLimiter};
    ///
    /// let tenants = Keyed::with_capacity(10_000, |_: &u32| RateLimiter::per_second("tenant", 10));
    /// assert!(tenants.key(&7).try_acquire().is_ok());
    /// ```
    pub fn with_capacity(capacity: usize, make: impl Fn(&K) -> G + Send + Sync + 'static) -> Self {
        assert!(capacity > 0, "at least one key is remembered: a capacity of 0 is refused");
        let capacity = capacity.div_ceil(SHARDS);
        let shards = Shards::new(|hasher| Shard { guards: HashMap::with_hasher(hasher), full: capacity });
        Self(Arc::new(Guards { shards, capacity, make: Box::new(make) }))
    }

    /// Returns the guard of `key`. The key stays in use while the caller keeps the guard.
    pub fn key<Q>(&self, key: &Q) -> G
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let Guards { shards, capacity, make } = &*self.0;
        if let Some(guard) = shards.of(key).guards.get(key) {
            return guard.clone();
        }
        // `make` runs without the lock, because it may ask for another key. If two callers make a guard, the first
        // guard that arrives here stays.
        let owned = key.to_owned();
        let made = make(&owned);
        let mut shard = shards.of(key);
        shard.make_room(*capacity);
        shard.guards.entry(owned).or_insert(made).clone()
    }

    /// Returns the number of remembered keys.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.shards.all().map(|shard| lock(shard).guards.len()).sum()
    }

    /// Forgets every idle guard now.
    ///
    /// ```
    /// use awaitly_resilience::{ConcurrencyLimiter, Keyed};
    ///
    /// let hosts = Keyed::new(|host: &String| ConcurrencyLimiter::new(host.clone(), 4));
    /// let in_use = hosts.key("a.example");
    /// hosts.key("b.example");
    /// hosts.forget_idle();
    /// assert_eq!(hosts.keys(), 1);
    /// # drop(in_use);
    /// ```
    pub fn forget_idle(&self) {
        for shard in self.0.shards.all() {
            lock(shard).forget_idle();
        }
    }
}

impl<K: Eq + Hash, G: Idle> Shard<K, G> {
    fn make_room(&mut self, capacity: usize) {
        if self.guards.len() >= self.full {
            self.forget_idle();
            // If all of them are in use, the next look is at twice their number.
            self.full = capacity.max(self.guards.len() * 2);
        }
    }

    fn forget_idle(&mut self) {
        self.guards.retain(|_, guard| !guard.is_idle());
    }
}
