mod error;
mod line;
mod service;
mod state;
mod weather;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use error::Unreachable;
use line::Line;
pub use service::Service;
pub use state::State;
use weather::Climate;

/// Services that a test can take down, slow down and bring back.
///
/// A service is a name; its handle, a [`Service`], stands in a fake of it and says how each call fares. All is by
/// tokio's time. What befalls a call is drawn from the seed, the name of the service and the number of the call, so the
/// same calls fare the same each time, whatever happens to other services. Cheap to clone; clones are the same network.
///
/// ```
/// use awaitly_core::clock::{ms, secs};
/// use awaitly_testing::fault::{Network, State};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let network = Network::new(7);
/// let (bank, post) = (network.service("bank"), network.service("post"));
/// bank.down_for(secs(30));
/// post.slow(ms(100)..=ms(900));
/// network.at(secs(60), "post", State::Down);
///
/// assert!(bank.pass().await.is_err());
/// tokio::time::sleep(secs(30)).await;
/// assert!(bank.pass().await.is_ok());
/// assert_eq!((bank.calls(), bank.failures()), (2, 1));
/// # });
/// ```
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    seed: u64,
    made: Instant,
    services: Mutex<Services>,
}

#[derive(Default)]
struct Services {
    lines: BTreeMap<Arc<str>, Line>,
    climate: Option<Climate>,
}

impl Network {
    /// How long a call to a service that is [cut off](State::Cut) waits for an answer.
    pub const PATIENCE: Duration = Duration::from_secs(120);

    /// A network on which all is well.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared { seed, made: Instant::now(), services: Mutex::default() }))
    }

    /// The service of that name.
    #[must_use]
    pub fn service(&self, name: impl Into<Arc<str>>) -> Service {
        Service::new(Arc::clone(&self.0), name.into())
    }

    /// Lets a service be in that state from a moment on: so long after the network was made.
    ///
    /// # Panics
    /// Where a chance in `state` is none.
    #[track_caller]
    pub fn at(&self, moment: Duration, name: impl Into<Arc<str>>, state: State) -> &Self {
        self.service(name).set_from(moment, state);
        self
    }

    /// Cuts a service off, until it is [up](Service::up) again.
    pub fn cut(&self, name: impl Into<Arc<str>>) {
        self.service(name).set(State::Cut);
    }

    /// Lets all services go down and come back, each at moments of its own: up for ten seconds to two minutes, then
    /// down for one to twenty seconds.
    pub fn unsettled(&self) {
        let secs = Duration::from_secs;
        self.weather(secs(10)..=secs(120), secs(1)..=secs(20));
    }

    /// Lets all services go down and come back: up for as long as `fair` says, then down for as long as `foul` says,
    /// and so on. A service that was told to be in another state than up is in that.
    pub fn weather(&self, fair: RangeInclusive<Duration>, foul: RangeInclusive<Duration>) {
        let climate = Climate { since: self.0.elapsed(), fair, foul };
        let mut services = self.0.lock();
        for (name, line) in &mut services.lines {
            line.under(climate.weather(self.0.seed, name));
        }
        services.climate = Some(climate);
    }

    /// Lets all services be up, whatever was said before, and the weather be fair. Calls stay counted.
    pub fn heal(&self) {
        let mut services = self.0.lock();
        services.climate = None;
        services.lines.values_mut().for_each(Line::heal);
    }
}

impl Shared {
    /// Nothing that is done under the lock can fail half way.
    fn lock(&self) -> MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.made.elapsed()
    }

    fn with<T>(&self, name: &Arc<str>, change: impl FnOnce(&mut Line) -> T) -> T {
        let mut services = self.lock();
        let Services { lines, climate } = &mut *services;
        let line = lines
            .entry(Arc::clone(name))
            .or_insert_with(|| Line::new(climate.as_ref().map(|climate| climate.weather(self.seed, name))));
        change(line)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.0.lock().lines.keys().cloned().collect();
        f.debug_struct("Network").field("seed", &self.0.seed).field("services", &services).finish()
    }
}
