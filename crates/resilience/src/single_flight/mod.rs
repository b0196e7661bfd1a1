//! Merges concurrent calls for one key into one call.
//!
//! ```
//! use awaitly_resilience::SingleFlight;
//!
//! # #[derive(Debug, Clone, PartialEq)]
//! # struct ApiError;
//! # async fn fetch(_: &str) -> Result<u32, ApiError> { Ok(7) }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let flights = SingleFlight::new();
//! let (one, other) = tokio::join!(
//!     flights.call("ada", || fetch("ada")),
//!     flights.call("ada", || fetch("ada")), // not called: it gets the answer of the first
//! );
//! # assert_eq!((one, other), (Ok(7), Ok(7)));
//! # });
//! ```

mod error;
mod waits;

use std::future::Future;
use std::hash::Hash;
use std::sync::OnceLock;

use tokio::sync::Semaphore;

pub use error::OwnKey;

use crate::call::CallError;
use crate::handle::handle;
use crate::per_key::PerKey;
use crate::sync::{Arc, Mutex, lock};
use waits::{Id, Operation};

/// Shares the answer of one call among all callers that request its key while the call is in flight. Cheap to clone;
/// clones share the flights.
///
/// An answer may be a value or an error; the callers share both. A `SingleFlight` keeps no answers: a request that
/// comes after the answer starts a new call. To keep answers, use a [`Cache`](crate::Cache).
#[doc = include_str!("callers.md")]
pub struct SingleFlight<K, T, E>(PerKey<K, Flight<T, E>>);

handle!(SingleFlight<K, T, E>);

struct Flight<T, E> {
    id: Id,
    /// The turn of the caller that runs its operation; the others wait for theirs. Closed once there is an answer.
    turn: Semaphore,
    answer: OnceLock<Result<T, E>>,
    fresh: Fresh,
}

/// Whether the cache may still keep the answer of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fresh(Arc<Mutex<bool>>);

impl Fresh {
    /// Runs `act`, unless the call is outdated. If it is, the act that outdated it is complete.
    pub(crate) fn unless_outdated(&self, act: impl FnOnce()) {
        let outdated = lock(&self.0);
        if !*outdated {
            act();
        }
    }

    fn outdate(&self, act: impl FnOnce()) {
        let mut outdated = lock(&self.0);
        *outdated = true;
        act();
    }
}

impl<K: Eq + Hash + Clone, T: Clone, E: Clone> SingleFlight<K, T, E> {
    /// Creates an empty set of flights.
    #[must_use]
    pub fn new() -> Self {
        Self(PerKey::default())
    }

    /// Returns the answer of `operation`, or the answer of a concurrent caller for the key.
    ///
    /// # Errors
    /// Returns [`CallError::Failed`] with the error of the operation that ran.
    ///
    /// Returns [`CallError::Refused`] with [`OwnKey`] if the call would wait for itself. This happens if the operation
    /// of `key` requests `key` again, or requests another key whose operation requests `key`, directly or through
    /// further keys. The refusal prevents an endless wait. It does not cover a request from a task that the operation
    /// spawns.
    ///
    /// ```
    /// # use awaitly_resilience::{CallError, SingleFlight, single_flight::OwnKey};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let flights: SingleFlight<&str, u32, OwnKey> = SingleFlight::new();
    /// let total = flights
    ///     .call("total", async || {
    ///         let part = flights.call("part", async || Ok(3)).await;
    ///         let total = flights.call("total", async || Ok(4)).await; // it would wait for itself
    ///         assert_eq!((part, &total), (Ok(3), &Err(CallError::Refused(OwnKey))));
    ///         total.map_err(|error| error.or(|own_key| own_key))
    ///     })
    ///     .await;
    /// assert_eq!(total, Err(CallError::Failed(OwnKey)));
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// If the caller whose operation runs is dropped, or its operation panics, the next caller in line calls its own
    /// operation.
    pub async fn call<F, Fut>(&self, key: K, operation: F) -> Result<T, CallError<E, OwnKey>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.lead(key, |_| operation()).await
    }

    /// Works like [`call`](Self::call), for an operation that needs to know whether it has been outdated.
    pub(crate) async fn lead<F, Fut>(&self, key: K, operation: F) -> Result<T, CallError<E, OwnKey>>
    where
        F: FnOnce(Fresh) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let flight = self.0.of(key, Flight::new);
        let _arrow = flight.id.is_asked_for().map_err(CallError::Refused)?;
        let turn = flight.turn.acquire().await;
        if let Some(answer) = flight.answer.get() {
            return answer.clone().map_err(CallError::Failed);
        }
        let answer = Operation::new(flight.id, operation(flight.fresh.clone())).await;
        // Callers that arrive from here on request a newer answer.
        flight.retire();
        let answer = flight.answer.get_or_init(|| answer).clone();
        flight.turn.close();
        drop(turn);
        answer.map_err(CallError::Failed)
    }

    /// Runs `act` and outdates a call in flight, so that later callers make a new one.
    pub(crate) fn outdate(&self, key: &K, act: impl FnOnce()) {
        self.0.renew(key, |flight| match flight {
            Some(flight) => flight.fresh.outdate(act),
            None => act(),
        });
    }

    /// Does so for all keys.
    pub(crate) fn outdate_all(&self, act: impl FnOnce()) {
        self.0.renew_all(|flight| flight.fresh.outdate(|| {}), act);
    }

    /// Returns the number of calls in flight.
    ///
    /// ```
    /// use awaitly_resilience::SingleFlight;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let flights: SingleFlight<&str, usize, ()> = SingleFlight::new();
    /// let inside = flights.call("ada", async || Ok(flights.in_flight())).await;
    /// assert_eq!((inside, flights.in_flight()), (Ok(1), 0));
    /// # });
    /// ```
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.len()
    }
}

impl<T, E> Flight<T, E> {
    fn new() -> Self {
        Self { id: Id::new(), turn: Semaphore::new(1), answer: OnceLock::new(), fresh: Fresh::default() }
    }
}

impl<K: Eq + Hash + Clone, T: Clone, E: Clone> Default for SingleFlight<K, T, E> {
    fn default() -> Self {
        Self::new()
    }
}
