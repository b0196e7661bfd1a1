use std::future::Future;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use governor::state::NotKeyed;

use super::cells::Cell;
use super::quota::Rate;
use super::{Exhausted, No, Options, RateLimited, Stats, Waiting, cost_of};
use crate::call::{Admission, Admit, Call, guards};
use crate::name::Name;
use crate::time::{Moment, Time};
use crate::turn::Turns;

/// A rate limiter. Cheap to clone; clones are the same limiter.
#[doc = include_str!("../waiters.md")]
#[derive(Debug, Clone)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: Name,
    rate: Rate,
    exhausted: Exhausted,
    began: Moment,
    time: Time,
    governor: governor::RateLimiter<
        NotKeyed,
        Cell,
        Time,
        governor::middleware::NoOpMiddleware<governor::nanos::Nanos>,
    >,
    cell: Cell,
    turns: Turns,
}

impl RateLimiter {
    /// `calls` in each second, twice as many at once; what is above that waits.
    ///
    /// # Panics
    /// Where `calls` is 0.
    #[must_use]
    pub fn per_second(name: impl Into<Name>, calls: u32) -> Self {
        Self::options(name, calls, Duration::from_secs(1)).build()
    }

    /// A limiter to be configured: `calls` in each `per`. It goes by `name` in refusals.
    ///
    /// # Panics
    /// Where `calls` is 0.
    pub fn options(name: impl Into<Name>, calls: u32, per: Duration) -> Options {
        Options::new(name.into(), calls, per)
    }

    pub(super) fn from_options(options: Options) -> Self {
        let Options { name, rate, exhausted, time } = options;
        let quota = rate.quota_or_panic();
        let (time, cell) = (time.unwrap_or_else(Time::counter), Cell::default());
        let began = time.now();
        let governor = governor::RateLimiter::new(quota, cell.clone(), time.clone());
        let turns = Turns::new();
        Self(Arc::new(Shared { name, rate, exhausted, began, time, governor, cell, turns }))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Calls `operation` once there is a token for it.
    ///
    /// # Errors
    /// [`CallError::Failed`](crate::CallError::Failed) with the operation's own error;
    /// [`CallError::Refused`](crate::CallError::Refused) where there was no token and the limiter does not wait.
    ///
    /// # Panics
    /// Where it has to wait, and there is neither a [clock](Options::clock) nor a tokio runtime with its timer.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue back, or drops the operation. A token that was taken stays
    /// taken.
    #[inline]
    pub fn call<T, E, F, Fut>(&self, operation: F) -> Call<&Self, F, Fut, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Call::new(self, operation)
    }

    /// The same limiter for calls that take `tokens` each.
    ///
    /// # Panics
    /// Where `tokens` is 0.
    #[must_use]
    pub const fn cost(&self, tokens: u32) -> Costing<'_> {
        Costing { limiter: self, tokens: cost_of(tokens) }
    }

    /// Takes a token, where one is there and nobody waits for one.
    ///
    /// # Errors
    /// [`RateLimited`], with the time until there may be one.
    pub fn try_acquire(&self) -> Result<(), RateLimited> {
        self.0.try_now(NonZeroU32::MIN).map_err(|no| no.of(&self.0.name))
    }

    /// Takes a token, and waits for one where that is what the limiter does.
    ///
    /// # Errors
    /// [`RateLimited`] where there is none and the limiter does not wait.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue back.
    pub async fn acquire(&self) -> Result<(), RateLimited> {
        admit(&*self.0, NonZeroU32::MIN).answer().await
    }

    /// What it has.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Shared { rate, cell, time, began, turns, .. } = &*self.0;
        let full = cell.full_at().map_or(*began, |at| began.after(Duration::from_nanos(at)));
        rate.stats(full, time.now(), turns.waiting())
    }

    /// Gives it all its tokens. Those who wait go on waiting, and take theirs first.
    pub fn reset(&self) {
        self.0.cell.fill();
        self.0.turns.sooner();
    }
}

impl Shared {
    /// Takes tokens, unless somebody waits for some.
    #[inline]
    fn try_now(&self, tokens: NonZeroU32) -> Result<(), No> {
        match self.turns.waiting() {
            0 => self.take(tokens),
            _ if tokens > self.rate.burst() => Err(No::Ever),
            waiting => Err(self.rate.behind(waiting, tokens)),
        }
    }

    #[inline]
    fn take(&self, tokens: NonZeroU32) -> Result<(), No> {
        let taken = if tokens == NonZeroU32::MIN {
            self.governor.check()
        } else if tokens > self.rate.burst() {
            // Governor multiplies before it compares.
            return Err(No::Ever);
        } else {
            self.governor.check_n(tokens).map_err(|_| No::Ever)?
        };
        taken.map_err(|until| No::until(&until, &self.time))
    }
}

#[inline]
fn admit<'a>(
    shared: impl Deref<Target = Shared> + Send + Sync + 'a,
    tokens: NonZeroU32,
) -> Admission<(), RateLimited, Waiting<'a>> {
    match shared.try_now(tokens) {
        Ok(()) => Admission::Now(()),
        Err(no) if no == No::Ever || shared.exhausted == Exhausted::Refuse => {
            Admission::Refused(no.of(&shared.name))
        }
        Err(_) => Admission::Wait(Box::pin(wait(shared, tokens))),
    }
}

async fn wait(shared: impl Deref<Target = Shared>, tokens: NonZeroU32) -> Result<(), RateLimited> {
    let place = shared.turns.join();
    place
        .first(|| match shared.take(tokens) {
            Ok(()) => Ok(Ok(())),
            Err(no @ No::Ever) => Ok(Err(no.of(&shared.name))),
            Err(No::For(delay)) => Err(shared.time.sleep(delay)),
        })
        .await
}

/// A limiter for calls that take several tokens each. Made by [`RateLimiter::cost`].
#[derive(Debug, Clone, Copy)]
pub struct Costing<'a> {
    limiter: &'a RateLimiter,
    tokens: NonZeroU32,
}

impl<'a> Costing<'a> {
    /// As [`RateLimiter::call`]. A call that costs more than the burst is refused at once.
    #[inline]
    pub fn call<T, E, F, Fut>(self, operation: F) -> Call<Self, F, Fut, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Call::new(self, operation)
    }

    /// As [`RateLimiter::acquire`].
    ///
    /// # Errors
    /// [`RateLimited`] where the tokens are not there and the limiter does not wait, or could never be.
    pub async fn acquire(self) -> Result<(), RateLimited> {
        admit(&*self.limiter.0, self.tokens).answer().await
    }
}

impl<'a, E> Admit<E> for &'a RateLimiter {
    type Pass = ();
    type Refused = RateLimited;
    type Waiting = Waiting<'a>;

    #[inline]
    fn admit(&self) -> Admission<(), RateLimited, Waiting<'a>> {
        admit(&*self.0, NonZeroU32::MIN)
    }
}

impl<E> Admit<E> for RateLimiter {
    type Pass = ();
    type Refused = RateLimited;
    type Waiting = Waiting<'static>;

    fn admit(&self) -> Admission<(), RateLimited, Waiting<'static>> {
        admit(Arc::clone(&self.0), NonZeroU32::MIN)
    }
}

impl<'a, E> Admit<E> for Costing<'a> {
    type Pass = ();
    type Refused = RateLimited;
    type Waiting = Waiting<'a>;

    fn admit(&self) -> Admission<(), RateLimited, Waiting<'a>> {
        admit(&*self.limiter.0, self.tokens)
    }
}

guards! {
    impl['a,] &'a RateLimiter;
    impl[] RateLimiter;
    impl['a,] Costing<'a>;
}
