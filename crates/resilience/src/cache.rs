//! A cache that keeps answers for a while.
//!
//! ```
//! use std::time::Duration;
//! use awaitly_resilience::Cache;
//!
//! # #[derive(Debug, Clone, PartialEq)]
//! # struct ApiError;
//! # async fn fetch(_: &str) -> Result<u32, ApiError> { Ok(7) }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let users: Cache<String, u32, ApiError> = Cache::options(1000).ttl(Duration::from_secs(60)).build();
//! assert_eq!(users.call("ada".to_owned(), || fetch("ada")).await, Ok(7));
//! assert_eq!(users.get("ada"), Some(7));
//! # });
//! ```
//!
//! The entries are in a sharded cache of the crate `quick_cache`, which evicts by frequency and recency of use.
//! Concurrent callers of one key share one call ([`SingleFlight`]).

use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use awaitly_core::clock::Clock;
use quick_cache::Equivalent;

use crate::call::CallError;
use crate::handle::handle;
use crate::single_flight::{Fresh, OwnKey, SingleFlight};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{Moment, Time};

/// A cache of answers. Cheap to clone; clones share the entries.
///
/// A cache always keeps values. It keeps errors only if [`keep_errors`](Options::keep_errors) is set.
#[doc = include_str!("single_flight/callers.md")]
pub struct Cache<K, V, E>(Arc<Shared<K, V, E>>);

handle!(Cache<K, V, E>, "ttl" = ttl);

struct Shared<K, V, E> {
    entries: quick_cache::sync::Cache<K, Entry<V, E>>,
    flights: SingleFlight<K, V, E>,
    ttl: Option<Duration>,
    errors_ttl: Option<Duration>,
    time: Time,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Entry<V, E> {
    answer: Result<V, E>,
    /// The moment at which the entry expires; `None` means never.
    expires: Option<Moment>,
}

/// The options of a cache: its capacity and how long it keeps entries. Created by [`Cache::options`].
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`ttl`](Self::ttl) | forever |
/// | [`keep_errors`](Self::keep_errors) | not kept |
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::Cache;
///
/// # #[derive(Clone)]
/// # struct NotFound;
/// let minute = Duration::from_secs(60);
/// let users: Cache<u32, String, NotFound> = Cache::options(1000).ttl(10 * minute).keep_errors(minute).build();
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `build`"]
pub struct Options {
    capacity: usize,
    ttl: Option<Duration>,
    errors_ttl: Option<Duration>,
    time: Option<Time>,
}

impl Options {
    /// Sets how long the cache keeps a value, counted from the end of the call.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Keeps errors too, for this long.
    pub const fn keep_errors(mut self, ttl: Duration) -> Self {
        self.errors_ttl = Some(ttl);
        self
    }

    #[doc = include_str!("clock.md")]
    /// ```
    /// use awaitly_core::clock::{VirtualClock, secs};
    /// # use awaitly_resilience::Cache;
    ///
    /// let clock = VirtualClock::new();
    /// let users: Cache<u32, &str, ()> = Cache::options(1000).ttl(secs(60)).clock(clock.clone()).build();
    /// users.insert(7, "Ada");
    /// clock.advance(secs(60));
    /// assert_eq!(users.get(&7), None);
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::given(clock));
        self
    }

    /// Creates an empty cache.
    #[must_use]
    pub fn build<K: Eq + Hash + Clone, V: Clone, E: Clone>(self) -> Cache<K, V, E> {
        let Self { capacity, ttl, errors_ttl, time } = self;
        Cache(Arc::new(Shared {
            entries: quick_cache::sync::Cache::new(capacity),
            flights: SingleFlight::new(),
            ttl,
            errors_ttl,
            time: time.unwrap_or_else(Time::counter),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }))
    }
}

impl Cache<(), (), ()> {
    /// Creates the options of a cache for up to `capacity` entries.
    pub const fn options(capacity: usize) -> Options {
        Options { capacity, ttl: None, errors_ttl: None, time: None }
    }
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Cache<K, V, E> {
    /// Returns the kept answer for `key`. If there is none, calls `operation`, keeps its answer and returns it. An
    /// error is kept only if [`keep_errors`](Options::keep_errors) is set.
    ///
    /// # Errors
    /// Returns [`CallError::Failed`] with the error of the operation, from this call or, if errors are kept, from an
    /// earlier one. Returns [`CallError::Refused`] with [`OwnKey`] if no answer is kept and the call would wait for
    /// itself, for example because the operation of `key` asks for `key` again: see [`SingleFlight::call`].
    ///
    /// # Cancel safety
    /// If the future is dropped while its operation runs, the cache keeps no answer, and the next caller in line calls
    /// its own operation.
    pub async fn call<F, Fut>(&self, key: K, operation: F) -> Result<V, CallError<E, OwnKey>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        let shared = &*self.0;
        if let Some(answer) = shared.find(&key) {
            shared.hits.fetch_add(1, Ordering::Relaxed);
            return answer.map_err(CallError::Failed);
        }
        shared.misses.fetch_add(1, Ordering::Relaxed);
        let fill = async |fresh: Fresh| {
            // Another caller may have filled the entry between the look and the flight.
            if let Some(answer) = shared.find(&key) {
                return answer;
            }
            let answer = operation().await;
            fresh.unless_outdated(|| shared.keep(key.clone(), answer.clone()));
            answer
        };
        shared.flights.lead(key.clone(), fill).await
    }

    /// Returns the kept value of `key`. Returns `None` if the cache has no entry for `key`, or if the entry has expired
    /// or is an error. The result does not count as a hit or a miss.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.find(key)?.ok()
    }

    /// Keeps `value` for `key` until the [`ttl`](Options::ttl) passes or the cache needs the space. The value replaces
    /// an earlier entry. If a call for `key` is in flight, the cache does not keep the answer of that call, and later
    /// callers do not wait for it.
    ///
    /// ```
    /// # use awaitly_resilience::Cache;
    /// let users: Cache<String, u32, ()> = Cache::options(1000).build();
    /// users.insert("ada".to_owned(), 7);
    /// assert_eq!(users.get("ada"), Some(7));
    /// users.remove(&"ada".to_owned());
    /// assert!(users.is_empty());
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "as into every map")]
    pub fn insert(&self, key: K, value: V) {
        let shared = &*self.0;
        shared.flights.outdate(&key, || shared.keep(key.clone(), Ok(value)));
    }

    /// Removes the entry of `key`. If a call for `key` is in flight, the cache does not keep the answer of that call,
    /// and later callers do not wait for it.
    pub fn remove(&self, key: &K) {
        self.0.flights.outdate(key, || drop(self.0.entries.remove(key)));
    }

    /// Forgets all entries, and does not keep the answers of calls in flight.
    ///
    /// ```
    /// # use awaitly_resilience::Cache;
    /// let users: Cache<u32, &str, ()> = Cache::options(1000).build();
    /// users.insert(7, "Ada");
    /// users.clear();
    /// assert_eq!(users.get(&7), None);
    /// ```
    pub fn clear(&self) {
        self.0.flights.outdate_all(|| self.0.entries.clear());
    }

    /// Returns the number of entries, including expired ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Returns whether the cache has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Returns the number of calls of [`call`](Self::call) that found an entry.
    ///
    /// ```
    /// # use awaitly_resilience::Cache;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let squares: Cache<u32, u32, ()> = Cache::options(1000).build();
    /// for n in [3, 3, 4] {
    ///     squares.call(n, async || Ok(n * n)).await.unwrap();
    /// }
    /// assert_eq!((squares.hits(), squares.misses(), squares.len()), (1, 2, 2));
    /// # });
    /// ```
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::Relaxed)
    }

    /// Returns the number of calls of [`call`](Self::call) that found no entry.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.0.misses.load(Ordering::Relaxed)
    }
}

impl<K: Eq + Hash, V: Clone, E: Clone> Shared<K, V, E> {
    fn find<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<Result<V, E>> {
        let Entry { answer, expires } = self.entries.get(key)?;
        if expires.is_none_or(|expires| self.time.now() < expires) {
            return Some(answer);
        }
        // The expired entry would only take space from others.
        let is_over = |entry: &Entry<V, E>| entry.expires == expires;
        self.entries.remove_if(key, is_over);
        None
    }

    fn keep(&self, key: K, answer: Result<V, E>) {
        let ttl = match (&answer, self.errors_ttl) {
            (Ok(_), _) => self.ttl,
            (Err(_), Some(ttl)) => Some(ttl),
            (Err(_), None) => return,
        };
        let expires = ttl.map(|ttl| self.time.now().after(ttl));
        self.entries.insert(key, Entry { answer, expires });
    }
}
