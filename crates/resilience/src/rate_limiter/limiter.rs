use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::guard::{Admission, Guard};

use super::bucket::Bucket;
use super::{No, Options, RateLimited, Wait, cost_of};
use crate::call::GuardExt;
use crate::keyed::Idle;
use crate::name::Name;
use crate::time::Time;
use crate::turn::Turns;

/// A rate limiter. Cheap to clone; clones share the tokens.
#[doc = include_str!("../waiters.md")]
#[derive(Debug, Clone)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: Name,
    bucket: Bucket,
    refuses: bool,
    time: Time,
    turns: Turns,
}

impl RateLimiter {
    /// Creates a limiter for this many `calls` in each second, and twice as many at once; further calls wait.
    ///
    /// # Panics
    /// Panics if `calls` is 0.
    ///
    /// ```
    /// use awaitly_resilience::RateLimiter;
    ///
    /// let limiter = RateLimiter::per_second("search", 10);
    /// assert_eq!((limiter.burst(), limiter.interval().as_millis()), (20, 100));
    /// ```
    #[must_use]
    pub fn per_second(name: impl Into<Name>, calls: u32) -> Self {
        Self::options(name, calls, Duration::from_secs(1)).build()
    }

    /// Creates the options of a limiter that admits `calls` calls in each period of `per`. A refusal contains `name`.
    /// The other options have [defaults](Options).
    ///
    /// # Panics
    /// Panics if `calls` is 0.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::RateLimiter;
    ///
    /// let limiter = RateLimiter::options("geocoder", 100, Duration::from_secs(3600)).build();
    /// assert_eq!((limiter.burst(), limiter.interval()), (200, Duration::from_secs(36)));
    /// ```
    pub fn options(name: impl Into<Name>, calls: u32, per: Duration) -> Options {
        Options::new(name.into(), calls, per)
    }

    pub(super) fn from_options(options: Options) -> Self {
        let Options { name, rate, refuses, time } = options;
        let (bucket, time) = (Bucket::new(rate), time.unwrap_or_else(Time::counter));
        Self(Arc::new(Shared { name, bucket, refuses, time, turns: Turns::new() }))
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns this limiter for calls that cost `tokens` each.
    ///
    /// # Panics
    /// Panics if `tokens` is 0.
    ///
    /// ```
    /// use awaitly_resilience::{GuardExt, RateLimiter};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # async fn export(_: u32) -> Result<u32, std::fmt::Error> { Ok(7) }
    /// let limiter = RateLimiter::per_second("reports", 10);
    /// let rows = limiter.cost(5).call(|| export(1000)).await;
    /// assert!(limiter.cost(21).call(|| export(100_000)).await.unwrap_err().is_refused());
    /// # assert!(rows.is_ok());
    /// # });
    /// ```
    #[must_use]
    pub const fn cost(&self, tokens: u32) -> Costing<'_> {
        Costing { limiter: self, tokens: cost_of(tokens) }
    }

    /// Takes a token without waiting.
    ///
    /// # Errors
    /// Returns [`RateLimited`] if no token is available or a caller waits for one. The error contains the time until a
    /// token may be available.
    ///
    /// ```
    /// use awaitly_resilience::RateLimiter;
    ///
    /// let limiter = RateLimiter::per_second("search", 1);
    /// assert!(limiter.try_acquire().is_ok() && limiter.try_acquire().is_ok());
    /// assert!(limiter.try_acquire().unwrap_err().retry_after.is_some());
    /// ```
    pub fn try_acquire(&self) -> Result<(), RateLimited> {
        self.0.try_now(NonZeroU32::MIN).map_err(|no| no.of(&self.0.name))
    }

    /// Takes a token. If none is available, waits for one, unless [`Options::refuse`] is set.
    ///
    /// # Errors
    /// Returns [`RateLimited`] if no token is available and [`Options::refuse`] is set.
    ///
    /// # Panics
    /// Panics if the call has to wait for a token, and there is neither a [clock](Options::clock) nor a tokio runtime
    /// with its timer.
    ///
    /// # Cancel safety
    /// Dropping the future releases its place in the queue.
    ///
    /// ```
    /// use awaitly_resilience::RateLimiter;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::per_second("mails", 1000);
    /// limiter.acquire().await.unwrap();
    /// // The token permits one mail, wherever the program sends it.
    /// # });
    /// ```
    pub async fn acquire(&self) -> Result<(), RateLimited> {
        enter(&*self.0, NonZeroU32::MIN).answer().await
    }

    /// Returns the number of available tokens.
    ///
    /// ```
    /// use awaitly_resilience::RateLimiter;
    ///
    /// let limiter = RateLimiter::per_second("search", 10);
    /// limiter.cost(5).try_acquire().unwrap();
    /// assert!(limiter.available() >= 15);
    /// limiter.reset();
    /// assert_eq!((limiter.available(), limiter.burst()), (20, 20));
    /// ```
    #[must_use]
    pub fn available(&self) -> u32 {
        self.0.bucket.tokens(self.0.time.now())
    }

    /// Returns the number of calls that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.turns.waiting()
    }

    /// Returns the maximum number of tokens.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.0.bucket.burst().get()
    }

    /// Returns the time in which one token comes back.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.0.bucket.interval()
    }

    /// Refills the limiter with all its tokens. Callers that already wait take theirs first.
    pub fn reset(&self) {
        self.0.bucket.fill();
        self.0.turns.sooner();
    }
}

impl Shared {
    /// Takes tokens, unless a caller waits for some.
    #[inline]
    fn try_now(&self, tokens: NonZeroU32) -> Result<(), No> {
        match self.turns.waiting() {
            0 => self.take(tokens),
            _ if tokens > self.bucket.burst() => Err(No::Ever),
            waiting => Err(self.bucket.behind(waiting, tokens)),
        }
    }

    #[inline]
    fn take(&self, tokens: NonZeroU32) -> Result<(), No> {
        self.bucket.take(tokens, self.time.now())
    }
}

#[inline]
fn enter<'a>(
    shared: impl Deref<Target = Shared> + Send + Sync + 'a,
    tokens: NonZeroU32,
) -> Admission<(), RateLimited, Wait<'a>> {
    match shared.try_now(tokens) {
        Ok(()) => Admission::Admitted(()),
        Err(no) if no == No::Ever || shared.refuses => Admission::Refused(no.of(&shared.name)),
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

/// A limiter for calls that cost several tokens each. Created by [`RateLimiter::cost`]. It refuses a call at once if
/// the call costs more than the burst.
#[derive(Debug, Clone, Copy)]
pub struct Costing<'a> {
    limiter: &'a RateLimiter,
    tokens: NonZeroU32,
}

impl Costing<'_> {
    /// Works like [`RateLimiter::try_acquire`].
    ///
    /// # Errors
    /// Returns [`RateLimited`] if the tokens are not available, a caller waits, or the cost is higher than the burst.
    pub fn try_acquire(self) -> Result<(), RateLimited> {
        let shared = &*self.limiter.0;
        shared.try_now(self.tokens).map_err(|no| no.of(&shared.name))
    }

    /// Works like [`RateLimiter::acquire`].
    ///
    /// # Errors
    /// Returns [`RateLimited`] if the cost is higher than the burst. Also returns it if the tokens are not available
    /// and [`Options::refuse`] is set.
    ///
    /// # Panics
    /// As for [`RateLimiter::acquire`].
    pub async fn acquire(self) -> Result<(), RateLimited> {
        enter(&*self.limiter.0, self.tokens).answer().await
    }
}

impl<'a, E> Guard<E> for &'a RateLimiter {
    type Pass = ();
    type Refused = RateLimited;
    type Wait = Wait<'a>;

    #[inline]
    fn enter(&self) -> Admission<(), RateLimited, Wait<'a>> {
        enter(&*self.0, NonZeroU32::MIN)
    }
}

impl<E> Guard<E> for RateLimiter {
    type Pass = ();
    type Refused = RateLimited;
    type Wait = Wait<'static>;

    fn enter(&self) -> Admission<(), RateLimited, Wait<'static>> {
        enter(Arc::clone(&self.0), NonZeroU32::MIN)
    }
}

impl<'a, E> Guard<E> for Costing<'a> {
    type Pass = ();
    type Refused = RateLimited;
    type Wait = Wait<'a>;

    fn enter(&self) -> Admission<(), RateLimited, Wait<'a>> {
        enter(&*self.limiter.0, self.tokens)
    }
}

impl<E> GuardExt<E> for Costing<'_> {}

/// A limiter is idle if it has all its tokens and no call waits.
impl Idle for RateLimiter {
    fn is_idle(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some_and(|shared| shared.bucket.is_full(shared.time.now()))
    }
}
