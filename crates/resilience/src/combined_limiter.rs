//! A rate and a number of calls at once, together.
//!
//! ```
//! use awaitly_resilience::{CombinedLimiter, ConcurrencyLimiter, RateLimiter};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # async fn get() -> Result<u32, std::fmt::Error> { Ok(7) }
//! let limiter = CombinedLimiter::new(RateLimiter::per_second("api-rate", 10), ConcurrencyLimiter::new("api-slots", 4));
//! let got = limiter.call(get).await;
//! # assert!(got.is_ok());
//! # });
//! ```
//!
//! A call that has to wait gets its token first and its slot after that: no slot stands idle while somebody who has
//! it waits for the time to pass.

use std::future::Future;
use std::pin::Pin;

use awaitly_core::guard::Refusal;

use crate::call::{Admission, Admit, Call, guards};
use crate::concurrency_limiter::{ConcurrencyLimiter, Full, Slot, Slots};
use crate::rate_limiter::{RateLimited, RateLimiter};
use crate::sync::Arc;

/// A rate limiter and a concurrency limiter in one. Cheap to clone; clones are the same limiters.
#[doc = include_str!("waiters.md")]
#[derive(Debug, Clone)]
pub struct CombinedLimiter {
    rate: RateLimiter,
    slots: ConcurrencyLimiter,
}

/// Why a [`CombinedLimiter`] refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// There is no token. The refusal says when there may be one.
    #[error(transparent)]
    Rate(#[from] RateLimited),
    /// There is no slot, and no time at which there is one is known. If the last slot was taken while the call waited
    /// for its token, the token is spent.
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
    /// Both limits.
    #[must_use]
    pub const fn new(rate: RateLimiter, slots: ConcurrencyLimiter) -> Self {
        Self { rate, slots }
    }

    /// The rate limiter.
    #[must_use]
    pub const fn rate(&self) -> &RateLimiter {
        &self.rate
    }

    /// The concurrency limiter.
    #[must_use]
    pub const fn concurrency(&self) -> &ConcurrencyLimiter {
        &self.slots
    }

    /// Calls `operation` once there is a token for it and a slot is free.
    ///
    /// # Errors
    /// [`CallError::Failed`](crate::CallError::Failed) with the operation's own error;
    /// [`CallError::Refused`](crate::CallError::Refused) where one of the limiters refused.
    ///
    /// # Panics
    /// As [`RateLimiter::call`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue back, or drops the operation and gives the slot back. A
    /// token that was taken stays taken.
    #[inline]
    pub fn call<T, E, F, Fut>(&self, operation: F) -> Call<&Self, F, Fut, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Call::new(self, operation)
    }
}

type Waiting<'a, S> = Pin<Box<dyn Future<Output = Result<S, Limited>> + Send + 'a>>;

/// Both, in their order. `rate` and `slots` are the limiters by reference, or by value.
fn admit<'a, R, C>(rate: &R, slots: C) -> Admission<C::Pass, Limited, Waiting<'a, C::Pass>>
where
    R: Admit<(), Pass = (), Refused = RateLimited, Waiting: Send + 'a>,
    C: Admit<(), Refused = Full, Pass: Send, Waiting: Send + 'a> + Send + 'a,
{
    let token = match rate.admit() {
        Admission::Refused(limited) => return Admission::Refused(limited.into()),
        Admission::Wait(token) => token,
        Admission::Now(()) => {
            return match slots.admit() {
                Admission::Now(slot) => Admission::Now(slot),
                Admission::Refused(full) => Admission::Refused(full.into()),
                Admission::Wait(slot) => Admission::Wait(Box::pin(async { Ok(slot.await?) })),
            };
        }
    };
    Admission::Wait(Box::pin(async move {
        token.await?;
        Ok(slots.admit().answer().await?)
    }))
}

impl<'a, E> Admit<E> for &'a CombinedLimiter {
    type Pass = Slot<&'a Slots>;
    type Refused = Limited;
    type Waiting = Waiting<'a, Self::Pass>;

    fn admit(&self) -> Admission<Self::Pass, Limited, Self::Waiting> {
        match self.slots.refusal() {
            Some(full) => Admission::Refused(full.into()),
            None => admit(&&self.rate, &self.slots),
        }
    }
}

impl<E> Admit<E> for CombinedLimiter {
    type Pass = Slot<Arc<Slots>>;
    type Refused = Limited;
    type Waiting = Waiting<'static, Self::Pass>;

    fn admit(&self) -> Admission<Self::Pass, Limited, Self::Waiting> {
        match self.slots.refusal() {
            Some(full) => Admission::Refused(full.into()),
            None => admit(&self.rate, self.slots.clone()),
        }
    }
}

guards! {
    impl['a,] &'a CombinedLimiter;
    impl[] CombinedLimiter;
}
