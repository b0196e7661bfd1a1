//! A breaker that refuses calls to a failing service, and later admits a few probes to detect that the service works
//! again.
//!
//! ```text
//!            a condition holds                 its time is over
//!  Closed ─────────────────────▶ Open ─────────────────────────▶ HalfOpen
//!    ▲                            ▲                                │   │
//!    │                            └────────── a probe fails ───────┘   │
//!    └───────────────────────── all probes went well ──────────────────┘
//! ```
//!
//! ```
//! use std::time::Duration;
//! use awaitly_resilience::CircuitBreaker;
//!
//! # #[derive(Debug)]
//! enum ApiError { NotFound, Unreachable }
//!
//! let breaker = CircuitBreaker::options("search")
//!     .last_calls(100)
//!     .ignore_failures()
//!     .failure_rate(0.5, 20)
//!     .slow_calls(Duration::from_secs(2), 0.8, 20)
//!     .retry_after(Duration::from_secs(10))
//!     .failure_when(|error: &ApiError| matches!(error, ApiError::Unreachable))
//!     .build();
//! ```
//!
//! The outcome of a call counts for the state in which the call was admitted: if a call began before the breaker
//! opened, its outcome no longer affects the breaker. The terms and the design come from Michael Nygard, "Release It!".

mod decide;
mod error;
mod gate;
mod options;
mod pass;
mod snapshot;
mod window;

use std::fmt;
use std::future::Pending;
use std::time::{Duration, SystemTime};

use awaitly_core::guard::{Admission, Guard};
use serde::{Deserialize, Serialize};

pub use error::Tripped;
pub use options::Options;
pub use pass::Watched;
pub use snapshot::Snapshot;

use crate::handle::handle;
use crate::judge::Judge;
use crate::keyed::Idle;
use crate::name::Name;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use gate::Gate;
use window::Ended;

/// A circuit breaker. Cheap to clone; clones share one state.
///
/// `P` decides which errors of the operation count as failures. The default, `CircuitBreaker<()>`, counts every error.
pub struct CircuitBreaker<P = ()>(Arc<Shared<P>>);

handle!(CircuitBreaker<P>, "name" = gate.name);

struct Shared<P> {
    failure: P,
    gate: Gate,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The breaker admits every call, and counts outcomes.
    Closed,
    /// The breaker refuses every call.
    Open,
    /// The breaker admits a few probes, and refuses the other calls.
    HalfOpen,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        })
    }
}

/// A change of a breaker's state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The breaker.
    pub name: Name,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// The number of the change, which grows with each change of this breaker.
    pub number: u64,
}

/// The counters of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The current state.
    pub state: State,
    /// The counted calls in the window. If the number of failures in a window of time is the only condition, the
    /// breaker counts only failures.
    pub calls: u64,
    /// The counted calls that failed.
    pub failures: u64,
    /// The counted calls that were slow.
    pub slow: u64,
    /// The successful calls since the breaker was created or [reset](CircuitBreaker::reset).
    pub all_successes: u64,
    /// The failed calls since the breaker was created or reset.
    pub all_failures: u64,
    /// The refused calls since the breaker was created or reset.
    pub all_refused: u64,
    /// The time since the last failure. `None` if no call has failed since the breaker was created or reset.
    pub last_failure: Option<Duration>,
    /// The time until an open breaker admits probes. `None` if the breaker is not open, or if the program opened it
    /// with [`open`](CircuitBreaker::open).
    pub probes_in: Option<Duration>,
}

impl CircuitBreaker {
    /// Creates a breaker with the [defaults](Options): it opens after 5 failures within 60 seconds. It admits 3 calls
    /// as probes 30 seconds after it opened, and closes if they succeed.
    pub fn new(name: impl Into<Name>) -> Self {
        Self::options(name).build()
    }

    /// Creates the options of a breaker. Refusals, events and logs show `name`.
    pub fn options(name: impl Into<Name>) -> Options {
        Options::new(name.into())
    }
}

impl<P> CircuitBreaker<P> {
    fn from_parts(failure: P, gate: Gate) -> Self {
        Self(Arc::new(Shared { failure, gate }))
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.gate.name
    }

    /// Returns the current state.
    ///
    /// ```
    /// use awaitly_resilience::circuit_breaker::{CircuitBreaker, State};
    ///
    /// let breaker = CircuitBreaker::new("search");
    /// assert_eq!(breaker.state(), State::Closed);
    /// breaker.open();
    /// assert_eq!(breaker.state(), State::Open);
    /// ```
    #[must_use]
    pub fn state(&self) -> State {
        self.0.gate.change(|machine, now| {
            let changed = machine.look(now);
            (machine.state(), changed)
        })
    }

    /// Returns the counters.
    ///
    /// ```
    /// use awaitly_resilience::CircuitBreaker;
    ///
    /// let breaker = CircuitBreaker::new("search");
    /// breaker.record_success();
    /// breaker.record_failure();
    /// let stats = breaker.stats();
    /// assert_eq!((stats.all_successes, stats.failures), (1, 1));
    /// assert!(stats.last_failure.is_some() && stats.probes_in.is_none());
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let gate = &self.0.gate;
        gate.change(|machine, now| {
            let changed = machine.look(now);
            let (counts, tally) = (machine.counts(now), machine.tally());
            let stats = Stats {
                state: machine.state(),
                calls: counts.calls,
                failures: counts.failures,
                slow: counts.slow,
                all_successes: tally.successes + gate.successes.load(Ordering::Relaxed),
                all_failures: tally.failures,
                all_refused: gate.refused.load(Ordering::Relaxed),
                last_failure: tally.last_failure.map(|at| now.since(at)),
                probes_in: machine.reopens().map(|at| at.since(now)),
            };
            (stats, changed)
        })
    }

    /// Opens the breaker until the program closes it with [`close`](Self::close) or [`reset`](Self::reset). Until then,
    /// the breaker admits no probes.
    pub fn open(&self) {
        self.0.gate.change(|machine, _| ((), machine.open_for_good()));
    }

    /// Closes the breaker, with an empty window.
    ///
    /// ```
    /// use awaitly_resilience::circuit_breaker::{CircuitBreaker, State};
    ///
    /// let breaker = CircuitBreaker::new("search");
    /// breaker.open();
    /// breaker.close();
    /// assert_eq!(breaker.state(), State::Closed);
    /// ```
    pub fn close(&self) {
        self.0.gate.change(|machine, _| ((), machine.close()));
    }

    /// Returns the breaker to its initial state: closed, with an empty window and all counters at zero.
    pub fn reset(&self) {
        self.0.gate.change(|machine, _| ((), machine.reset()));
        self.0.gate.successes.store(0, Ordering::Relaxed);
        self.0.gate.refused.store(0, Ordering::Relaxed);
    }

    /// Counts a success of a call that did not pass through the breaker. It does not close a half-open breaker.
    pub fn record_success(&self) {
        self.record(false);
    }

    /// Counts a failure of a call that did not pass through the breaker. It opens a half-open breaker again.
    ///
    /// ```
    /// use awaitly_resilience::circuit_breaker::{CircuitBreaker, State};
    ///
    /// // A health check found the service down.
    /// let breaker = CircuitBreaker::options("search").failures(1).build();
    /// breaker.record_failure();
    /// assert_eq!(breaker.state(), State::Open);
    /// ```
    pub fn record_failure(&self) {
        self.record(true);
    }

    fn record(&self, failed: bool) {
        let ended = Ended { failed, slow: false };
        self.0.gate.change_at(|machine, now| ((), machine.record(ended, now)));
    }

    /// Returns the state and the window, for [`import`](Self::import) into another breaker. The snapshot does not
    /// contain the total counts of [`stats`](Self::stats).
    ///
    /// ```
    /// use awaitly_resilience::circuit_breaker::{CircuitBreaker, Snapshot, State};
    ///
    /// let breaker = CircuitBreaker::new("search");
    /// breaker.open();
    /// let json = serde_json::to_string(&breaker.export()).unwrap();
    ///
    /// // After a restart:
    /// let snapshot: Snapshot = serde_json::from_str(&json).unwrap();
    /// let breaker = CircuitBreaker::new("search");
    /// breaker.import(&snapshot);
    /// assert_eq!(breaker.state(), State::Open);
    /// ```
    #[must_use]
    pub fn export(&self) -> Snapshot {
        let taken_at = self.0.gate.time.wall();
        self.0.gate.change(|machine, now| {
            let changed = machine.look(now);
            let probes_at = machine.reopens().and_then(|at| taken_at.checked_add(at.since(now)));
            let calls = machine.contents(now);
            (Snapshot { state: machine.state(), probes_at, taken_at, calls }, changed)
        })
    }

    /// Replaces the state and the window of this breaker with the ones in `snapshot`. Calls that this breaker's own
    /// window cannot hold are left out. The outcomes of calls that are in flight now do not count.
    pub fn import(&self, snapshot: &Snapshot) {
        let wall: SystemTime = self.0.gate.time.wall();
        let (calls, probes_in) = (snapshot.calls_at(wall), snapshot.probes_in(wall));
        self.0.gate.change(|machine, now| ((), machine.take_over(snapshot.state, probes_in, &calls, now)));
    }
}

impl<'a, P: Judge<E, bool>, E> Guard<E> for &'a CircuitBreaker<P> {
    type Pass = Watched<&'a CircuitBreaker<P>, P>;
    type Refused = Tripped;
    type Wait = Pending<Result<Self::Pass, Tripped>>;

    #[inline]
    fn enter(&self) -> Admission<Self::Pass, Tripped> {
        Watched::enter(*self)
    }
}

impl<P: Judge<E, bool>, E> Guard<E> for CircuitBreaker<P> {
    type Pass = Watched<Self, P>;
    type Refused = Tripped;
    type Wait = Pending<Result<Self::Pass, Tripped>>;

    fn enter(&self) -> Admission<Self::Pass, Tripped> {
        Watched::enter(self.clone())
    }
}

/// The conditions depend on the state and the window; `T` stands for [`retry_after`](Options::retry_after):
///
/// - A closed breaker with a window of time is idle if the window contains no failed and no slow call.
/// - A closed breaker with a window of calls is idle if no call has failed for `T`.
/// - An open breaker is idle if it could have admitted probes for `T`, and no call came.
/// - A half-open breaker is idle if its latest probe began at least `T` ago.
impl<P> Idle for CircuitBreaker<P> {
    fn is_idle(&mut self) -> bool {
        let shared = Arc::get_mut(&mut self.0);
        shared.is_some_and(|shared| shared.gate.change(|machine, now| (machine.is_idle(now), None)))
    }
}
