//! A limit on the number of calls in a period, together with a limit on the number of calls at once.
//!
//! ```
//! use awaitly_resilience::{CombinedLimiter, ConcurrencyLimiter, GuardExt, RateLimiter};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # async fn get() -> Result<u32, std::fmt::Error> { Ok(7) }
//! let limiter = CombinedLimiter::new(RateLimiter::per_second("api-rate", 10), ConcurrencyLimiter::new("api-slots", 4));
//! let got = limiter.call(get).await;
//! # assert!(got.is_ok());
//! # });
//! ```
//!
//! A call that has to wait gets its token first and its slot second, so no slot is idle while its owner waits for a
//! token.

use std::future::Future;
use std::pin::Pin;

use awaitly_core::guard::{Admission, Guard, Refusal};

use crate::concurrency_limiter::{ConcurrencyLimiter, Full, Slot};
use crate::keyed::Idle;
use crate::rate_limiter::{RateLimited, RateLimiter};

/// A rate limiter and a concurrency limiter in one. Cheap to clone; clones share the limiters.
#[doc = include_str!("waiters.md")]
#[derive(Debug, Clone)]
pub struct CombinedLimiter {
    rate: RateLimiter,
    slots: ConcurrencyLimiter,
}

/// A refusal by a [`CombinedLimiter`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// The rate limiter refuses the call, because no token is available.
    #[error(transparent)]
    Rate(#[from] RateLimited),
    /// The concurrency limiter refuses the call, because no slot is available. If other calls took the last slot and
    /// the last place in the queue while this call waited for its token, the token is spent.
    #[error(transparent)]
    Concurrency(#[from] Full),
}

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Self {
        match limited {
            Limited::Rate(limited) => limited.into(),
            Limited::Concurrency(full) => full.into(),
        }
    }
}

impl CombinedLimiter {
    /// Combines the two limiters.
    ///
    /// ```
    /// use awaitly_resilience::combined_limiter::{CombinedLimiter, Limited};
    /// use awaitly_resilience::{CallError, ConcurrencyLimiter, GuardExt, RateLimiter};
    /// # use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # async fn get() -> Result<u32, ()> { Ok(7) }
    /// let rate = RateLimiter::options("api-rate", 1, Duration::from_secs(60)).burst(1).refuse().build();
    /// let limiter = CombinedLimiter::new(rate, ConcurrencyLimiter::new("api-slots", 4));
    /// assert_eq!(limiter.call(get).await, Ok(7));
    /// match limiter.call(get).await {
    ///     Err(CallError::Refused(Limited::Rate(limited))) => assert!(limited.retry_after.is_some()),
    ///     other => panic!("{other:?}"),
    /// }
    /// assert_eq!(limiter.concurrency().stats().running, 0);
    /// # });
    /// ```
    #[must_use]
    pub const fn new(rate: RateLimiter, slots: ConcurrencyLimiter) -> Self {
        Self { rate, slots }
    }

    /// Returns the rate limiter.
    #[must_use]
    pub const fn rate(&self) -> &RateLimiter {
        &self.rate
    }

    /// Returns the concurrency limiter.
    #[must_use]
    pub const fn concurrency(&self) -> &ConcurrencyLimiter {
        &self.slots
    }
}

type Wait<'a, S> = Pin<Box<dyn Future<Output = Result<S, Limited>> + Send + 'a>>;

/// Enters both limiters in order. `rate` and `slots` are limiters by reference or by value.
fn enter<'a, R, C>(rate: &R, slots: C) -> Admission<C::Pass, Limited, Wait<'a, C::Pass>>
where
    R: Guard<(), Pass = (), Refused = RateLimited, Wait: Send + 'a>,
    C: Guard<(), Refused = Full, Pass: Send, Wait: Send + 'a> + Send + 'a,
{
    let token = match rate.enter() {
        Admission::Refused(limited) => return Admission::Refused(limited.into()),
        Admission::Wait(token) => token,
        Admission::Admitted(()) => {
            return match slots.enter() {
                Admission::Admitted(slot) => Admission::Admitted(slot),
                Admission::Refused(full) => Admission::Refused(full.into()),
                Admission::Wait(slot) => Admission::Wait(Box::pin(async { Ok(slot.await?) })),
            };
        }
    };
    Admission::Wait(Box::pin(async move {
        token.await?;
        Ok(slots.enter().answer().await?)
    }))
}

impl<'a, E> Guard<E> for &'a CombinedLimiter {
    type Pass = Slot<&'a ConcurrencyLimiter>;
    type Refused = Limited;
    type Wait = Wait<'a, Self::Pass>;

    fn enter(&self) -> Admission<Self::Pass, Limited, Self::Wait> {
        match self.slots.refusal() {
            Some(full) => Admission::Refused(full.into()),
            None => enter(&&self.rate, &self.slots),
        }
    }
}

impl<E> Guard<E> for CombinedLimiter {
    type Pass = Slot<ConcurrencyLimiter>;
    type Refused = Limited;
    type Wait = Wait<'static, Self::Pass>;

    fn enter(&self) -> Admission<Self::Pass, Limited, Self::Wait> {
        match self.slots.refusal() {
            Some(full) => Admission::Refused(full.into()),
            None => enter(&self.rate, self.slots.clone()),
        }
    }
}

/// Idle if both limiters are idle.
impl Idle for CombinedLimiter {
    fn is_idle(&mut self) -> bool {
        self.slots.is_idle() && self.rate.is_idle()
    }
}
