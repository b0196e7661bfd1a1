//! Answers that are kept for a while.
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
//! The entries rest in a cache of the crate `quick_cache`, which is sharded and evicts by how often and how lately
//! they were used. Callers who ask for the same key at the same time share one call ([`SingleFlight`]).

use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use awaitly_core::clock::Clock;
use quick_cache::Equivalent;

use crate::call::CallError;
use crate::single_flight::{Fresh, OwnKey, SingleFlight};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{Moment, Time};

/// A cache of answers. Cheap to clone; clones are the same cache.
///
/// Values are kept; errors are not, unless [asked for](Options::keep_errors).
#[doc = include_str!("single_flight/callers.md")]
pub struct Cache<K, V, E>(Arc<Shared<K, V, E>>);

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
    /// `None`: never.
    expires: Option<Moment>,
}

/// How much is kept, and for how long. Made with [`Cache::options`].
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`ttl`](Self::ttl) | for ever |
/// | [`keep_errors`](Self::keep_errors) | not kept |
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `build`"]
pub struct Options {
    capacity: usize,
    ttl: Option<Duration>,
    errors_ttl: Option<Duration>,
    time: Option<Time>,
}

/// What a cache has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many entries it has, those included whose time is over.
    pub len: usize,
    /// How many calls it answered.
    pub hits: u64,
    /// How many it did not.
    pub misses: u64,
}

impl Options {
    /// How long a value is kept, from the moment when the call ended.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Keeps errors, too, for so long.
    pub const fn keep_errors(mut self, ttl: Duration) -> Self {
        self.errors_ttl = Some(ttl);
        self
    }

    /// Reads the time off this clock.
    ///
    /// # Default
    /// The processor's counter. The first policy of a process that uses it calibrates it, which takes some
    /// milliseconds.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::given(clock));
        self
    }

    /// The cache, empty.
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
    /// A cache to be configured, for up to `capacity` entries.
    pub const fn options(capacity: usize) -> Options {
        Options { capacity, ttl: None, errors_ttl: None, time: None }
    }
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Cache<K, V, E> {
    /// Returns the kept answer, or the answer of `operation`, which is kept.
    ///
    /// # Errors
    /// Returns [`CallError::Failed`] with the error of the operation, from this call or, if errors are kept, from an
    /// earlier one; and [`CallError::Refused`] with [`OwnKey`] if no answer is kept and the caller is inside of an
    /// operation for which this key waits, as [`SingleFlight::call`] explains.
    ///
    /// # Cancel safety
    /// As [`SingleFlight::call`]. Dropping the future keeps nothing.
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
            // Somebody else may have filled it between the look and the flight.
            if let Some(answer) = shared.find(&key) {
                return answer;
            }
            let answer = operation().await;
            fresh.unless_outdated(|| shared.keep(key.clone(), answer.clone()));
            answer
        };
        shared.flights.lead(key.clone(), fill).await
    }

    /// The kept value.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.find(key)?.ok()
    }

    /// Keeps `value`. What a call that is under way answers is not kept then, and who asks from now on does not wait
    /// for it.
    #[expect(clippy::needless_pass_by_value, reason = "as into every map")]
    pub fn insert(&self, key: K, value: V) {
        let shared = &*self.0;
        shared.flights.outdate(&key, || shared.keep(key.clone(), Ok(value)));
    }

    /// Forgets what is kept under `key`, and what a call that is under way will answer.
    pub fn remove(&self, key: &K) {
        self.0.flights.outdate(key, || drop(self.0.entries.remove(key)));
    }

    /// Forgets everything, and what calls that are under way will answer.
    pub fn clear(&self) {
        self.0.flights.outdate_all(|| self.0.entries.clear());
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Shared { entries, hits, misses, .. } = &*self.0;
        Stats {
            len: entries.len(),
            hits: hits.load(Ordering::Relaxed),
            misses: misses.load(Ordering::Relaxed),
        }
    }
}

impl<K: Eq + Hash, V: Clone, E: Clone> Shared<K, V, E> {
    fn find<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<Result<V, E>> {
        let Entry { answer, expires } = self.entries.get(key)?;
        if expires.is_none_or(|expires| self.time.now() < expires) {
            return Some(answer);
        }
        // It would only take the place of others.
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

impl<K, V, E> Clone for Cache<K, V, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V, E> fmt::Debug for Cache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("ttl", &self.0.ttl).finish_non_exhaustive()
    }
}
