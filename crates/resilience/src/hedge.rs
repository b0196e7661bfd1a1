//! Starts another call if the first one is slow, and returns the first success.
//!
//! ```
//! use std::time::Duration;
//! use awaitly_resilience::Hedge;
//!
//! # #[derive(Debug, PartialEq)]
//! # struct ApiError;
//! # async fn search() -> Result<u32, ApiError> { Ok(7) }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let hedge = Hedge::after(Duration::from_millis(50)).at_most(3);
//! assert_eq!(hedge.call(search).await, Ok(7));
//! # });
//! ```
//!
//! Use a hedge only for operations that may run twice, because each call has its own effects.
//!
//! Sources: Jeffrey Dean and Luiz André Barroso, "The Tail at Scale". As in the hedging policy of gRPC (proposal A6), a
//! failed call starts the next one at once.

use std::fmt;
use std::future::{Future, pending};
use std::time::Duration;

use awaitly_core::clock::Clock;
use awaitly_core::retry::Budget;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::judge::Judge;
use crate::time::Time;

/// A hedge: it starts another call of an operation if the calls in flight are slow, up to a maximum number of calls.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`at_most`](Self::at_most) | 2 calls |
/// | [`budget`](Self::budget) | none |
/// | [`failure_when`](Self::failure_when) | every error |
/// | [`clock`](Self::clock) | tokio's timer |
#[derive(Clone)]
#[must_use = "a hedge does nothing until `call`"]
pub struct Hedge<P = ()> {
    delay: Duration,
    calls: u32,
    budget: Option<Budget>,
    time: Option<Time>,
    failure: P,
}

impl Hedge {
    /// Creates a hedge that starts another call whenever `delay` passes without an answer.
    pub const fn after(delay: Duration) -> Self {
        Self { delay, calls: 2, budget: None, time: None, failure: () }
    }
}

impl<P> Hedge<P> {
    /// Sets the maximum number of calls, including the first one.
    ///
    /// # Panics
    /// Panics if `calls` is 0.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::Hedge;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let hedge = Hedge::after(Duration::from_millis(50)).at_most(3);
    /// let mut calls = 0;
    /// let answer = hedge.call(|| { calls += 1; async { Err::<u32, _>("down") } }).await;
    /// assert_eq!((answer, calls), (Err("down"), 3)); // each failure starts the next call at once
    /// # });
    /// ```
    pub const fn at_most(mut self, calls: u32) -> Self {
        assert!(calls > 0, "there is at least one call: `at_most(0)` is refused");
        self.calls = calls;
        self
    }

    /// Shares a budget: each extra call takes a token, and each success gives a part of one back. If the budget has no
    /// room, the hedge starts no extra call. So a service that is down, or slow for all callers, gets little extra
    /// load.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_core::retry::Budget;
    /// use awaitly_resilience::Hedge;
    ///
    /// let budget = Budget::new(100, 0.1); // about one extra call for ten successes
    /// let hedge = Hedge::after(Duration::from_millis(50)).at_most(3).budget(&budget);
    /// ```
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Counts only the errors for which `failure` returns `true` as failures, which start another call.
    /// [`call`](Self::call) returns any other error at once: for example, if a card is declined, another call would not
    /// help.
    ///
    /// # Default
    /// Every error.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::Hedge;
    /// # #[derive(Debug, PartialEq)]
    /// # enum SearchError { NoSuchWord, Down }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let hedge = Hedge::after(Duration::from_millis(50))
    ///     .failure_when(|error: &SearchError| matches!(error, SearchError::Down));
    /// let answer = hedge.call(async || Err::<u32, _>(SearchError::NoSuchWord)).await; // one call
    /// assert_eq!(answer, Err(SearchError::NoSuchWord));
    /// # });
    /// ```
    pub fn failure_when<F>(self, failure: F) -> Hedge<F> {
        let Self { delay, calls, budget, time, .. } = self;
        Hedge { delay, calls, budget, time, failure }
    }

    /// Sets the clock for the delay.
    ///
    /// # Default
    /// tokio's timer.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::given(clock));
        self
    }

    /// Returns the first success of the calls of `operation`. A call that fails starts the next one at once.
    ///
    /// # Errors
    /// Returns the last failure if all calls fail, or the first error that does not count as a failure.
    ///
    /// # Panics
    /// Panics if the hedge has to wait for its delay, and there is neither a [clock](Self::clock) nor a tokio runtime
    /// with its timer.
    ///
    /// # Cancel safety
    /// Dropping the future drops all calls. The first success drops the other calls too.
    pub async fn call<T, E, F, Fut>(&self, mut operation: F) -> Result<T, E>
    where
        P: Judge<E, bool>,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut running = FuturesUnordered::new();
        let mut left = self.calls;
        let mut start = |running: &mut FuturesUnordered<Fut>| {
            left -= 1;
            running.push(operation());
            left > 0
        };
        let mut more = start(&mut running);
        loop {
            let wait = async {
                match more && self.has_room() {
                    true => self.sleep().await,
                    false => pending().await,
                }
            };
            tokio::select! {
                biased;
                ended = running.next() => match ended {
                    Some(Ok(value)) => {
                        if let Some(budget) = &self.budget {
                            budget.succeeded();
                        }
                        return Ok(value);
                    }
                    Some(Err(error)) if !self.failure.judge(&error, true) => return Err(error),
                    Some(Err(_)) if more && self.takes_room() => more = start(&mut running),
                    Some(Err(error)) if running.is_empty() => return Err(error),
                    Some(Err(_)) => {}
                    // The list holds at least one call until this function returns.
                    None => pending().await,
                },
                () = wait => more = if self.takes_room() { start(&mut running) } else { false },
            }
        }
    }

    fn has_room(&self) -> bool {
        self.budget.as_ref().is_none_or(Budget::has_room)
    }

    /// Takes a token for another call, if the budget has room for it.
    fn takes_room(&self) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.has_room() && budget.failed())
    }

    async fn sleep(&self) {
        match &self.time {
            Some(time) => time.sleep(self.delay).await,
            None => tokio::time::sleep(self.delay).await,
        }
    }
}

impl<P> fmt::Debug for Hedge<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("delay", &self.delay)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}
