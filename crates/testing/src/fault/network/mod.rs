mod condition;
mod error;
mod line;
mod service;
mod weather;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use condition::Condition;
pub use error::Unreachable;
use line::Line;
pub use service::Service;
use weather::Climate;

/// A simulated network of services that a test can take down, slow down and restore.
///
/// A service is identified by its name. Its handle, a [`Service`], is used in a fake of the service and decides the
/// course of each call. All times are tokio's. Random decisions are drawn from the seed, the name of the service and
/// the number of the call, so calls to other services do not change them. Cloning is cheap; clones share one network.
///
/// ```
/// use awaitly_core::clock::{ms, secs};
/// use awaitly_testing::fault::{Condition, Network};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let network = Network::new(7);
/// let (bank, post) = (network.service("bank"), network.service("post"));
/// bank.down_for(secs(30));
/// post.slow(ms(100)..=ms(900));
/// network.at(secs(60), "post", Condition::Down);
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
    /// The time that a call to a [cut off](Condition::Cut) service waits for an answer: 120 seconds.
    pub const PATIENCE: Duration = Duration::from_secs(120);

    /// Creates a network on which every service is up.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared { seed, made: Instant::now(), services: Mutex::default() }))
    }

    /// Returns the service with this name.
    #[must_use]
    pub fn service(&self, name: impl Into<Arc<str>>) -> Service {
        Service::new(Arc::clone(&self.0), name.into())
    }

    /// Schedules a condition for a service: it begins `moment` after the creation of the network.
    ///
    /// ```
    /// use awaitly_core::clock::secs;
    /// use awaitly_testing::fault::{Condition, Network};
    ///
    /// # awaitly_testing::simulate(async || {
    /// let network = Network::new(7);
    /// network.at(secs(60), "bank", Condition::Down).at(secs(90), "bank", Condition::Up);
    /// let bank = network.service("bank");
    /// tokio::time::sleep(secs(75)).await;
    /// assert_eq!(bank.condition(), Condition::Down);
    /// tokio::time::sleep(secs(75)).await;
    /// assert_eq!(bank.condition(), Condition::Up);
    /// # });
    /// ```
    ///
    /// # Panics
    /// Panics if a chance in `condition` is not between 0 and 1.
    #[track_caller]
    pub fn at(&self, moment: Duration, name: impl Into<Arc<str>>, condition: Condition) -> &Self {
        self.service(name).set_from(moment, condition);
        self
    }

    /// Makes all services fail and recover at random moments: up for ten seconds to two minutes, then down for one to
    /// twenty seconds.
    ///
    /// ```
    /// use awaitly_core::clock::{hours, secs};
    /// use awaitly_testing::{fault::Network, simulate};
    ///
    /// simulate(async || {
    ///     let network = Network::new(7);
    ///     network.unsettled();
    ///     let bank = network.service("bank");
    ///     for _ in 0..360 {
    ///         let _ = bank.pass().await;
    ///         tokio::time::sleep(secs(10)).await;
    ///     }
    ///     assert!((1..180).contains(&bank.failures()));
    /// });
    /// ```
    pub fn unsettled(&self) {
        let secs = Duration::from_secs;
        self.weather(secs(10)..=secs(120), secs(1)..=secs(20));
    }

    /// Makes all services fail and recover in turns: up for a random time in `fair`, then down for a random time in
    /// `foul`. A condition other than [`Condition::Up`] that the test set has precedence.
    pub fn weather(&self, fair: RangeInclusive<Duration>, foul: RangeInclusive<Duration>) {
        let climate = Climate { since: self.0.elapsed(), fair, foul };
        let mut services = self.0.lock();
        for (name, line) in &mut services.lines {
            line.weather = Some(climate.weather(self.0.seed, name));
        }
        services.climate = Some(climate);
    }

    /// Restores all services, discards scheduled conditions and ends the weather. Call counts stay.
    pub fn heal(&self) {
        let mut services = self.0.lock();
        services.climate = None;
        services.lines.values_mut().for_each(Line::heal);
    }
}

impl Shared {
    /// A panic cannot leave a service half changed, so a poisoned lock is still usable.
    fn lock(&self) -> MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.made.elapsed()
    }

    fn with<T>(&self, name: &Arc<str>, change: impl FnOnce(&mut Line) -> T) -> T {
        let mut services = self.lock();
        let Services { lines, climate } = &mut *services;
        change(lines.entry(Arc::clone(name)).or_insert_with(|| {
            let weather = climate.as_ref().map(|climate| climate.weather(self.seed, name));
            Line { weather, ..Line::default() }
        }))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.0.lock().lines.keys().cloned().collect();
        f.debug_struct("Network").field("seed", &self.0.seed).field("services", &services).finish()
    }
}
