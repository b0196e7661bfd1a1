use std::future::Future;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::cells::Cells;
use super::quota::Rate;
use super::{Exhausted, No, Options, RateLimited, Stats, Waiting, cost_of};
use crate::call::{Admission, Admit, Call, guards};
use crate::name::Name;
use crate::per_key::PerKey;
use crate::time::{Moment, Time};
use crate::turn::Turns;

/// A rate limiter with tokens of its own for each key, and a queue of its own: who waits for one key does not hold
/// up another one. Cheap to clone; clones are the same limiter. Made with [`Options::keyed`].
///
/// It remembers the keys whose tokens are not all there, and up to twice as many; at least 1024.
#[doc = include_str!("../waiters.md")]
#[derive(Debug)]
pub struct KeyedRateLimiter<K: Eq + Hash + Clone>(Arc<Shared<K>>);

type Governor<K> =
    governor::RateLimiter<K, Cells<K>, Time, governor::middleware::NoOpMiddleware<governor::nanos::Nanos>>;

#[derive(Debug)]
struct Shared<K: Eq + Hash + Clone> {
    name: Name,
    rate: Rate,
    exhausted: Exhausted,
    began: Moment,
    time: Time,
    governor: Governor<K>,
    cells: Cells<K>,
    queues: PerKey<K, Turns>,
}

impl<K: Eq + Hash + Clone> Clone for KeyedRateLimiter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> KeyedRateLimiter<K> {
    pub(super) fn from_options(options: Options) -> Self {
        let Options { name, rate, exhausted, time } = options;
        let quota = rate.quota_or_panic();
        let time = time.unwrap_or_else(Time::counter);
        let began = time.now();
        let cells = Cells::new(time.clone(), began);
        let governor = governor::RateLimiter::new(quota, cells.clone(), time.clone());
        let queues = PerKey::default();
        Self(Arc::new(Shared { name, rate, exhausted, began, time, governor, cells, queues }))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The limiter of that key.
    pub fn key(&self, key: K) -> OfKey<K> {
        OfKey { limiter: self.clone(), key, tokens: NonZeroU32::MIN }
    }

    /// How many keys it remembers.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.cells.len()
    }
}

/// The limiter of one key. Made by [`KeyedRateLimiter::key`]; cheap to clone where the key is.
#[derive(Debug, Clone)]
pub struct OfKey<K: Eq + Hash + Clone> {
    limiter: KeyedRateLimiter<K>,
    key: K,
    tokens: NonZeroU32,
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> OfKey<K> {
    /// The same for calls that take `tokens` each.
    ///
    /// # Panics
    /// Where `tokens` is 0.
    #[must_use]
    pub fn cost(self, tokens: u32) -> Self {
        Self { tokens: cost_of(tokens), ..self }
    }

    /// As [`RateLimiter::call`](super::RateLimiter::call), with the tokens of this key.
    #[inline]
    pub fn call<T, E, F, Fut>(&self, operation: F) -> Call<&Self, F, Fut, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Call::new(self, operation)
    }

    /// As [`RateLimiter::try_acquire`](super::RateLimiter::try_acquire).
    ///
    /// # Errors
    /// [`RateLimited`], with the time until there may be a token.
    pub fn try_acquire(&self) -> Result<(), RateLimited> {
        let shared = &*self.limiter.0;
        shared.try_now(&self.key, self.tokens).map_err(|no| no.of(&shared.name))
    }

    /// As [`RateLimiter::acquire`](super::RateLimiter::acquire).
    ///
    /// # Errors
    /// [`RateLimited`] where there is no token and the limiter does not wait.
    pub async fn acquire(&self) -> Result<(), RateLimited> {
        admit(self).answer().await
    }

    /// What the limiter has for this key.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Shared { rate, cells, time, began, queues, .. } = &*self.limiter.0;
        let full = cells.full_at(&self.key).map_or(*began, |at| began.after(Duration::from_nanos(at)));
        rate.stats(full, time.now(), queues.peek(&self.key, Turns::waiting).unwrap_or(0))
    }

    /// Gives this key all its tokens. Those who wait go on waiting, and take theirs first.
    pub fn reset(&self) {
        let Shared { cells, queues, .. } = &*self.limiter.0;
        cells.fill(&self.key);
        queues.peek(&self.key, Turns::sooner);
    }
}

impl<K: Eq + Hash + Clone> Shared<K> {
    #[inline]
    fn try_now(&self, key: &K, tokens: NonZeroU32) -> Result<(), No> {
        match self.queues.peek(key, Turns::waiting).unwrap_or(0) {
            0 => self.take(key, tokens),
            _ if tokens > self.rate.burst() => Err(No::Ever),
            waiting => Err(self.rate.behind(waiting, tokens)),
        }
    }

    #[inline]
    fn take(&self, key: &K, tokens: NonZeroU32) -> Result<(), No> {
        let taken = if tokens == NonZeroU32::MIN {
            self.governor.check_key(key)
        } else if tokens > self.rate.burst() {
            // Governor multiplies before it compares.
            return Err(No::Ever);
        } else {
            self.governor.check_key_n(key, tokens).map_err(|_| No::Ever)?
        };
        taken.map_err(|until| No::until(&until, &self.time))
    }
}

#[inline]
fn admit<'a, K: Eq + Hash + Clone + Send + Sync + 'static>(
    of: &OfKey<K>,
) -> Admission<(), RateLimited, Waiting<'a>> {
    let shared = &*of.limiter.0;
    match shared.try_now(&of.key, of.tokens) {
        Ok(()) => Admission::Now(()),
        Err(no) if no == No::Ever || shared.exhausted == Exhausted::Refuse => {
            Admission::Refused(no.of(&shared.name))
        }
        Err(_) => Admission::Wait(Box::pin(wait(of.clone()))),
    }
}

async fn wait<K: Eq + Hash + Clone>(of: OfKey<K>) -> Result<(), RateLimited> {
    let OfKey { limiter: KeyedRateLimiter(shared), key, tokens } = of;
    let queue = shared.queues.of(key.clone(), Turns::new);
    let place = queue.join();
    place
        .first(|| match shared.take(&key, tokens) {
            Ok(()) => Ok(Ok(())),
            Err(no @ No::Ever) => Ok(Err(no.of(&shared.name))),
            Err(No::For(delay)) => Err(shared.time.sleep(delay)),
        })
        .await
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static, E> Admit<E> for &OfKey<K> {
    type Pass = ();
    type Refused = RateLimited;
    type Waiting = Waiting<'static>;

    #[inline]
    fn admit(&self) -> Admission<(), RateLimited, Waiting<'static>> {
        admit(self)
    }
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static, E> Admit<E> for OfKey<K> {
    type Pass = ();
    type Refused = RateLimited;
    type Waiting = Waiting<'static>;

    fn admit(&self) -> Admission<(), RateLimited, Waiting<'static>> {
        admit(self)
    }
}

guards! {
    impl['a, K: Eq + Hash + Clone + Send + Sync + 'static,] &'a OfKey<K>;
    impl[K: Eq + Hash + Clone + Send + Sync + 'static,] OfKey<K>;
}
