//! A throttle that measures how many calls a service accepts at once, and pauses if the service asks for it.
//!
//! ```
//! use std::time::Duration;
//! use awaitly_resilience::GuardExt;
//! use awaitly_resilience::adaptive_throttle::{AdaptiveThrottle, Headers, Signal};
//!
//! # #[derive(Debug)]
//! enum ApiError { TooMany { wait: Option<Duration> }, NotFound, Unreachable }
//!
//! let throttle = AdaptiveThrottle::options("search")
//!     .judge(|error: &ApiError| match error {
//!         ApiError::TooMany { wait } => Signal::Overloaded { wait: *wait },
//!         ApiError::NotFound => Signal::Accepted,
//!         ApiError::Unreachable => Signal::Unknown,
//!     })
//!     .build();
//!
//! # async fn send() -> (u16, [(&'static str, &'static str); 1]) { (200, [("x-ratelimit-remaining", "12")]) }
//! # async fn search(throttle: &AdaptiveThrottle<impl Sized>) -> Result<u32, ApiError> {
//! // Pass on the headers of every answer, also of a successful one:
//! let (status, headers) = send().await;
//! let headers = Headers::read(status, |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
//! throttle.learn(&headers);
//! if status == 429 { Err(ApiError::TooMany { wait: headers.wait() }) } else { Ok(7) }
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # assert!(throttle.call(|| search(&throttle)).await.is_ok());
//! # });
//! ```
//!
//! The limit grows while the service accepts the calls and more than half of the limit is in use. Until the first
//! overload, each round of calls doubles it. An overload reduces the limit by a tenth. If the service then accepts a
//! smaller share of the running calls, the limit falls to this share. The limit returns to its value before the
//! overload within a few seconds, stays there for a while, and then grows further. Callers wait first come, first
//! served: for the end of a pause and then for a slot.

mod decide;
mod error;
mod headers;
mod options;
mod pass;
mod signal;

use std::borrow::Borrow;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::guard::{Admission, Guard};

pub use error::Paused;
pub use headers::Headers;
pub use options::Options;
pub use pass::Measured;
pub use signal::Signal;

use crate::concurrency_limiter::{ConcurrencyLimiter, Slot, Stats};
use crate::handle::handle;
use crate::judge::Judge;
use crate::keyed::Idle;
use crate::name::Name;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};
use crate::time::{Moment, Time};
use crate::turn::Turns;
use decide::{Aimd, Began, Sample};

/// A throttle that adapts to the service. Cheap to clone; clones share the limit and the pause.
///
/// `J` judges an error of the operation. The default, `AdaptiveThrottle<()>`, treats no error as a sign of overload.
#[doc = include_str!("../waiters.md")]
pub struct AdaptiveThrottle<J = ()>(Arc<Shared<J>>);

handle!(AdaptiveThrottle<J>, "name" = name);

struct Shared<J> {
    name: Name,
    judge: J,
    time: Time,
    slower_than: Option<Duration>,
    longest_pause: Duration,
    slots: ConcurrencyLimiter,
    aimd: Mutex<Aimd>,
    /// The end of the pause; 0 if there was none.
    paused_until: AtomicU64,
    turns: Turns,
}

impl AdaptiveThrottle {
    /// Creates a throttle with the [defaults](Options).
    pub fn new(name: impl Into<Name>) -> Self {
        Self::options(name).build()
    }

    /// Creates the options of a throttle. Refusals show `name`.
    pub fn options(name: impl Into<Name>) -> Options {
        Options::new(name.into())
    }
}

impl<J> AdaptiveThrottle<J> {
    fn from_options(options: Options<J>) -> Self {
        let Options { name, rules, start, longest_pause, slower_than, judge, time } = options;
        let aimd = Aimd::new(rules, start);
        let slots = ConcurrencyLimiter::new(name.clone(), aimd.limit());
        let time = time.unwrap_or_else(Time::counter);
        Self(Arc::new(Shared {
            name,
            judge,
            time,
            slower_than,
            longest_pause,
            slots,
            aimd: Mutex::new(aimd),
            paused_until: AtomicU64::new(0),
            turns: Turns::new(),
        }))
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Learns from the headers of an answer. The throttle pauses if the service refused a call and asks to wait, or if
    /// no call is left.
    ///
    /// ```
    /// use awaitly_resilience::adaptive_throttle::{AdaptiveThrottle, Headers};
    ///
    /// let throttle = AdaptiveThrottle::new("search");
    /// let header = |name: &str| match name {
    ///     "x-ratelimit-remaining" => Some("0"),
    ///     "x-ratelimit-reset" => Some("20"),
    ///     _ => None,
    /// };
    /// throttle.learn(&Headers::read(200, header));
    /// assert!(throttle.paused().is_some());
    /// ```
    pub fn learn(&self, headers: &Headers) {
        if let Some(wait) = headers.wait() {
            self.pause(wait);
        }
    }

    /// Admits no call for the duration `wait`. If a longer pause is in effect, it stays.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::AdaptiveThrottle;
    ///
    /// let throttle = AdaptiveThrottle::new("search");
    /// throttle.pause(Duration::from_secs(60));
    /// assert!(throttle.paused() > Some(Duration::from_secs(50)));
    /// throttle.resume();
    /// assert_eq!(throttle.paused(), None);
    /// ```
    pub fn pause(&self, wait: Duration) {
        self.0.pause(wait);
    }

    /// Ends the current pause, if there is one.
    pub fn resume(&self) {
        self.0.paused_until.store(0, Ordering::Release);
        self.0.turns.sooner();
    }

    /// Returns the rest of the pause, if the throttle is paused.
    #[must_use]
    pub fn paused(&self) -> Option<Duration> {
        self.0.paused()
    }

    /// Returns the current state: the limit, and the numbers of calls that run and wait.
    ///
    /// ```
    /// use awaitly_resilience::AdaptiveThrottle;
    ///
    /// assert_eq!(AdaptiveThrottle::new("search").stats().limit, 10);
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.0.slots.stats();
        stats.waiting += self.0.turns.waiting();
        stats
    }
}

impl<J> Shared<J> {
    fn pause(&self, wait: Duration) {
        self.paused_until.fetch_max(self.time.now().after(wait).0, Ordering::AcqRel);
        self.turns.sooner();
    }

    #[inline]
    fn paused(&self) -> Option<Duration> {
        let until = self.paused_until.load(Ordering::Acquire);
        if until == 0 {
            return None;
        }
        Some(Moment(until).since(self.time.now())).filter(|left| !left.is_zero())
    }

    fn too_long(&self, pause: Duration) -> Option<Paused> {
        (pause > self.longest_pause).then(|| Paused { name: self.name.clone(), retry_after: pause })
    }

    fn end(&self, began: Began, sample: Sample) {
        let (running, now) = (self.slots.stats().running, self.time.now());
        let mut aimd = lock(&self.aimd);
        let before = aimd.limit();
        aimd.end(began, sample, running, now);
        let limit = aimd.limit();
        if limit != before {
            // Under the lock, so that the last change of the limit reaches the slots last.
            self.slots.resize(limit);
        }
    }
}

type Wait<'a, H, J> = Pin<Box<dyn Future<Output = Result<Measured<H, J>, Paused>> + Send + 'a>>;

#[inline]
fn shared<H: Borrow<AdaptiveThrottle<J>>, J>(throttle: &H) -> &Shared<J> {
    &throttle.borrow().0
}

fn enter<'a, H, J>(throttle: H) -> Admission<Measured<H, J>, Paused, Wait<'a, H, J>>
where
    H: Borrow<AdaptiveThrottle<J>> + Send + Sync + 'a,
    J: Send + Sync + 'a,
{
    let shared = shared(&throttle);
    let paused = shared.paused();
    if paused.is_none()
        && shared.turns.waiting() == 0
        && let Ok(slot) = Slot::try_take(shared.slots.clone())
    {
        return Admission::Admitted(Measured::new(throttle, slot));
    }
    match paused.and_then(|pause| shared.too_long(pause)) {
        Some(paused) => Admission::Refused(paused),
        None => Admission::Wait(Box::pin(wait(throttle))),
    }
}

/// Waits for the end of a pause, and then for a slot. A pause may begin or end while the caller waits for the slot, and
/// then it looks again. A slot that it gets in a pause goes back, so no call begins in a pause.
async fn wait<H: Borrow<AdaptiveThrottle<J>>, J>(throttle: H) -> Result<Measured<H, J>, Paused> {
    let slot = {
        let shared = shared(&throttle);
        let place = shared.turns.join();
        // The first caller in the queue waits for the end of the pause and for a slot, the others for their turn.
        let _first = place.turn().await;
        loop {
            if let Some(pause) = shared.paused() {
                if let Some(paused) = shared.too_long(pause) {
                    return Err(paused);
                }
                tokio::select! {
                    () = shared.time.sleep(pause) => {}
                    () = place.sooner() => {}
                }
                continue;
            }
            // The queue of the slots has no limit, so it refuses no call.
            let slot = tokio::select! {
                biased;
                slot = Slot::enter(shared.slots.clone()).answer() => slot.ok(),
                // A pause has begun or ended.
                () = place.sooner() => None,
            };
            if let Some(slot) = slot.filter(|_| shared.paused().is_none()) {
                break slot;
            }
        }
    };
    Ok(Measured::new(throttle, slot))
}

impl<'a, J: Judge<E, Signal> + Send + Sync, E> Guard<E> for &'a AdaptiveThrottle<J> {
    type Pass = Measured<&'a AdaptiveThrottle<J>, J>;
    type Refused = Paused;
    type Wait = Wait<'a, &'a AdaptiveThrottle<J>, J>;

    fn enter(&self) -> Admission<Self::Pass, Paused, Self::Wait> {
        enter(*self)
    }
}

impl<J: Judge<E, Signal> + Send + Sync + 'static, E> Guard<E> for AdaptiveThrottle<J> {
    type Pass = Measured<Self, J>;
    type Refused = Paused;
    type Wait = Wait<'static, Self, J>;

    fn enter(&self) -> Admission<Self::Pass, Paused, Self::Wait> {
        enter(self.clone())
    }
}

/// A throttle is idle if no call runs or waits, and the throttle is not paused. A new throttle for the key measures the
/// limit again.
impl<J> Idle for AdaptiveThrottle<J> {
    fn is_idle(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some_and(|shared| shared.paused().is_none())
    }
}
