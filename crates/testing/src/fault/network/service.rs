use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::error::Unreachable;
use super::line::{Fate, Line};
use super::state::State;
use super::{Network, Shared};

/// A service on a [`Network`]: what a fake of it sends its calls through, and what a test takes it down by.
///
/// Cheap to clone; clones are the same service.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use awaitly_testing::fault::{Service, Unreachable};
///
/// struct FakeBank { line: Service, charged: AtomicU64 }
///
/// impl FakeBank {
///     async fn charge(&self, cents: u64) -> Result<u64, Unreachable> {
///         self.line.call(|| async { Ok(self.charged.fetch_add(cents, Ordering::Relaxed) + cents) }).await
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Service {
    network: Arc<Shared>,
    name: Arc<str>,
}

impl Service {
    pub(super) fn new(network: Arc<Shared>, name: Arc<str>) -> Self {
        network.with(&name, |_| ());
        Self { network, name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it does now.
    #[must_use]
    pub fn state(&self) -> State {
        self.with(Line::state)
    }

    /// Lets it be up from now on, as far as the weather lets it.
    pub fn up(&self) {
        self.set(State::Up);
    }

    /// Lets it be down from now on.
    pub fn down(&self) {
        self.set(State::Down);
    }

    /// Lets it be down for a while, and then be as it would have been.
    pub fn down_for(&self, duration: Duration) {
        self.set_for(duration, State::Down);
    }

    /// Lets every call take longer from now on, by a time in that range.
    pub fn slow(&self, latency: RangeInclusive<Duration>) {
        let (least, most) = latency.into_inner();
        self.set(State::Slow { least, most });
    }

    /// Lets calls be refused by chance from now on, and the answers of others be lost.
    ///
    /// # Panics
    /// Where one of them is not between 0 and 1.
    #[track_caller]
    pub fn flaky(&self, refuse: f64, lose_answer: f64) {
        self.set(State::Flaky { refuse, lose_answer });
    }

    /// Lets it be in that state from now on. What [`Network::at`] said of later moments still holds.
    ///
    /// # Panics
    /// Where a chance in `state` is none.
    #[track_caller]
    pub fn set(&self, state: State) {
        self.set_from(self.network.elapsed(), state);
    }

    /// Lets it be in that state for a while, and then be as it would have been.
    ///
    /// # Panics
    /// Where a chance in `state` is none.
    #[track_caller]
    pub fn set_for(&self, duration: Duration, state: State) {
        let (from, state) = (self.network.elapsed(), state.check());
        self.with(|line, _| line.set_between(from, from.saturating_add(duration), state));
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.with(|line, _| line.calls())
    }

    /// How many of those calls ended in [`Unreachable`].
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.with(|line, _| line.failures())
    }

    /// A call's way to the service, for a fake whose answers are never lost.
    ///
    /// # Errors
    /// [`Unreachable`] where it does not get there.
    ///
    /// # Cancel safety
    /// Dropping the future gives the call up on its way.
    pub async fn pass(&self) -> Result<(), Unreachable> {
        self.go().await.map(drop)
    }

    /// A call: its way to the service, what the service does, and the way of the answer back.
    ///
    /// # Errors
    /// [`Unreachable`] where the call does not get there and `op` is not called, or where the answer, be it an error,
    /// does not come back; else what `op` fails with.
    ///
    /// # Cancel safety
    /// Dropping the future drops what `op` does, if it was called.
    pub async fn call<F, Fut, T, E>(&self, op: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Unreachable>,
    {
        let lose_answer = self.go().await?;
        let answer = op().await;
        self.come_back(lose_answer).await?;
        answer
    }

    #[track_caller]
    pub(super) fn set_from(&self, moment: Duration, state: State) {
        let state = state.check();
        self.with(|line, _| line.set(moment, state));
    }

    /// Whether the answer will be lost.
    async fn go(&self) -> Result<bool, Unreachable> {
        match self.with(|line, now| line.go(now, self.network.seed, &self.name)) {
            Fate::Through { delay, lose_answer } => {
                // Tokio's timer knows no time shorter than a millisecond.
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                Ok(lose_answer)
            }
            Fate::Refused => Err(self.failed(Unreachable::Refused { service: (*self.name).into() })),
            Fate::Vanished => Err(self.give_up().await),
        }
    }

    async fn come_back(&self, lose_answer: bool) -> Result<(), Unreachable> {
        match self.state() {
            State::Cut => Err(self.give_up().await),
            State::Down => Err(self.no_answer()),
            _ if lose_answer => Err(self.no_answer()),
            _ => Ok(()),
        }
    }

    async fn give_up(&self) -> Unreachable {
        tokio::time::sleep(Network::PATIENCE).await;
        self.no_answer()
    }

    fn no_answer(&self) -> Unreachable {
        self.failed(Unreachable::NoAnswer { service: (*self.name).into() })
    }

    fn failed(&self, error: Unreachable) -> Unreachable {
        self.with(|line, _| line.failed());
        error
    }

    /// The moment is read under the lock, so that it never goes back from one reader to the next.
    fn with<T>(&self, change: impl FnOnce(&mut Line, Duration) -> T) -> T {
        self.network.with(&self.name, |line| change(line, self.network.elapsed()))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
