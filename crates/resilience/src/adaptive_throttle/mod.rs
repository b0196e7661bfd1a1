//! A throttle that measures how many calls a service accepts at once, and pauses if the service asks for it.
//!
//! ```
//! use std::time::Duration;
//! use awaitly_resilience::GuardExt;
//! use awaitly_resilience::adaptive_throttle::{AdaptiveThrottle, Signal, Told};
//!
//! # #[derive(Debug)]
//! enum ApiError { TooMany { wait: Option<Duration> }, NotFound, Unreachable }
//!
//! let throttle = AdaptiveThrottle::options("search")
//!     .judge(|error: &ApiError| match error {
//!         ApiError::TooMany { wait } => Signal::Overloaded { wait: *wait },
//!         ApiError::NotFound => Signal::Taken,
//!         ApiError::Unreachable => Signal::Unknown,
//!     })
//!     .build();
//!
//! # async fn send() -> (u16, [(&'static str, &'static str); 1]) { (200, [("x-ratelimit-remaining", "12")]) }
//! # async fn search(throttle: &AdaptiveThrottle<impl Sized>) -> Result<u32, ApiError> {
//! // Where the headers of an answer are at hand, also of one that is well:
//! let (status, headers) = send().await;
//! let told = Told::read(status, |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
//! throttle.learn(&told);
//! if status == 429 { Err(ApiError::TooMany { wait: told.wait() }) } else { Ok(7) }
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # assert!(throttle.call(|| search(&throttle)).await.is_ok());
//! # });
//! ```
//!
//! While the service accepts the admitted calls, the limit grows, and doubles until the first overload. An overload
//! reduces the limit by a tenth, or by the share of calls that the service did not accept. The limit returns to its
//! value before the overload within a few seconds, stays there for a while, and then grows further. Callers wait first
//! come, first served: for the end of a pause and then for a slot.

mod decide;
mod error;
mod headers;
mod judge;
mod options;
mod pass;

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::guard::{Admission, Guard};

pub use error::Paused;
pub use headers::Told;
pub use judge::{Judge, Judged, OnlyTimeouts, Signal};
pub use options::Options;
pub use pass::Admitted;

use crate::concurrency_limiter::{ConcurrencyLimiter, Slots};
use crate::keyed::Idle;
use crate::name::Name;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};
use crate::time::{Moment, Time};
use crate::turn::Turns;
use decide::{Aimd, Began, Sample};

/// A throttle that adapts to the service. Cheap to clone; clones share the limit and the pause.
///
/// `J` judges an error of the operation. In a field, plain `AdaptiveThrottle` treats no error as a sign of overload.
#[doc = include_str!("../waiters.md")]
pub struct AdaptiveThrottle<J = OnlyTimeouts>(Arc<Shared<J>>);

/// The state that the handles on a throttle share.
pub struct Shared<J> {
    name: Name,
    judge: J,
    time: Time,
    slower_than: Option<Duration>,
    longest_pause: Duration,
    slots: Arc<Slots>,
    aimd: Mutex<Aimd>,
    /// The end of the pause; 0 if there was none.
    paused_until: AtomicU64,
    turns: Turns,
}

/// The current state of a throttle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of calls that may run at once.
    pub limit: usize,
    /// The number of calls that run.
    pub running: usize,
    /// The number of calls that wait.
    pub waiting: usize,
    /// The rest of the pause, if the throttle is paused.
    pub paused: Option<Duration>,
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
        let slots = ConcurrencyLimiter::new(name.clone(), aimd.limit()).into_slots();
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

    /// Learns from the limits that the service reports. The throttle pauses if the service refused a call and asks to
    /// wait, or if no call is left.
    pub fn learn(&self, told: &Told) {
        if let Some(wait) = told.wait() {
            self.pause(wait);
        }
    }

    /// Admits no call for the duration `wait`. If a longer pause is in effect, it stays.
    pub fn pause(&self, wait: Duration) {
        self.0.pause(wait);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.0.paused_until.store(0, Ordering::Release);
        self.0.turns.sooner();
    }

    /// Returns the current state.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let slots = self.0.slots.stats();
        Stats {
            limit: slots.limit,
            running: slots.running,
            waiting: slots.waiting + self.0.turns.waiting(),
            paused: self.0.paused(),
        }
    }
}

impl<J> Shared<J> {
    fn pause(&self, wait: Duration) {
        self.paused_until.fetch_max(self.time.now().after(wait).0, Ordering::AcqRel);
        self.turns.sooner();
    }

    /// Returns the rest of the pause, if the throttle is paused.
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

type Wait<'a, H, J> = Pin<Box<dyn Future<Output = Result<Admitted<H, J>, Paused>> + Send + 'a>>;

#[inline]
fn try_now<H: Deref<Target = Shared<J>>, J>(shared: H) -> Result<Admitted<H, J>, H> {
    if shared.turns.waiting() > 0 || shared.paused().is_some() {
        return Err(shared);
    }
    match Slots::try_take(Arc::clone(&shared.slots)) {
        Ok(slot) => Ok(Admitted::new(shared, slot)),
        Err(_) => Err(shared),
    }
}

fn enter<'a, H, J>(shared: H) -> Admission<Admitted<H, J>, Paused, Wait<'a, H, J>>
where
    H: Deref<Target = Shared<J>> + Send + Sync + 'a,
    J: Send + Sync + 'a,
{
    let shared = match try_now(shared) {
        Ok(admitted) => return Admission::Admitted(admitted),
        Err(shared) => shared,
    };
    if let Some(paused) = shared.paused().and_then(|pause| shared.too_long(pause)) {
        return Admission::Refused(paused);
    }
    Admission::Wait(Box::pin(wait(shared)))
}

async fn wait<H: Deref<Target = Shared<J>>, J>(shared: H) -> Result<Admitted<H, J>, Paused> {
    let slot = {
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
                slot = Slots::enter(Arc::clone(&shared.slots)).answer() => slot.ok(),
                // A pause has begun or ended.
                () = place.sooner() => None,
            };
            if let Some(slot) = slot.filter(|_| shared.paused().is_none()) {
                break slot;
            }
        }
    };
    Ok(Admitted::new(shared, slot))
}

impl<'a, J: Judge<E> + Send + Sync, E> Guard<E> for &'a AdaptiveThrottle<J> {
    type Pass = Admitted<&'a Shared<J>, J>;
    type Refused = Paused;
    type Wait = Wait<'a, &'a Shared<J>, J>;

    fn enter(&self) -> Admission<Self::Pass, Paused, Self::Wait> {
        enter(&*self.0)
    }
}

impl<J: Judge<E> + Send + Sync + 'static, E> Guard<E> for AdaptiveThrottle<J> {
    type Pass = Admitted<Arc<Shared<J>>, J>;
    type Refused = Paused;
    type Wait = Wait<'static, Arc<Shared<J>>, J>;

    fn enter(&self) -> Admission<Self::Pass, Paused, Self::Wait> {
        enter(Arc::clone(&self.0))
    }
}

/// A throttle is idle if no call runs or waits and it is not paused. Forgetting it forgets the limit that it measured.
impl<J> Idle for AdaptiveThrottle<J> {
    fn is_idle(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some_and(|shared| shared.paused().is_none())
    }
}

impl<J> Clone for AdaptiveThrottle<J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<J> fmt::Debug for AdaptiveThrottle<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveThrottle").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl<J> fmt::Debug for Shared<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}
