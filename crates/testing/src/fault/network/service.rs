use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::condition::Condition;
use super::error::Unreachable;
use super::line::{Fate, Line};
use super::{Network, Shared};

/// A handle for one service of a [`Network`]. A fake sends its calls through the handle, and a test changes the
/// condition of the service with it.
///
/// Cloning is cheap; clones refer to one service.
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

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the current condition.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.with(Line::condition)
    }

    /// Restores the service from now on. The weather may still take the service down.
    pub fn up(&self) {
        self.set(Condition::Up);
    }

    /// Takes the service down from now on.
    pub fn down(&self) {
        self.set(Condition::Down);
    }

    /// Takes the service down for `duration`. Afterwards it has the condition that it would have had otherwise.
    pub fn down_for(&self, duration: Duration) {
        self.set_for(duration, Condition::Down);
    }

    /// Slows every call down from now on, by a random time in `latency`.
    ///
    /// ```
    /// use awaitly_core::clock::ms;
    /// use awaitly_testing::{PausedClock, fault::Network, simulate};
    ///
    /// simulate(async || {
    ///     let bank = Network::new(7).service("bank");
    ///     bank.slow(ms(100)..=ms(900));
    ///     let clock = PausedClock::new();
    ///     assert!(bank.pass().await.is_ok());
    ///     assert!(clock.elapsed() >= ms(100));
    /// });
    /// ```
    pub fn slow(&self, latency: RangeInclusive<Duration>) {
        let (least, most) = latency.into_inner();
        self.set(Condition::Slow { least, most });
    }

    /// Refuses a random part of the calls from now on, and loses the answers of a random part of the others. The
    /// arguments are the probabilities.
    ///
    /// ```
    /// use awaitly_testing::fault::Network;
    ///
    /// # awaitly_testing::simulate(async || {
    /// let bank = Network::new(7).service("bank");
    /// bank.flaky(0.5, 0.0);
    /// for _ in 0..100 {
    ///     let _ = bank.pass().await;
    /// }
    /// assert!((20..80).contains(&bank.failures()));
    /// # });
    /// ```
    ///
    /// # Panics
    /// Panics if a probability is not between 0 and 1.
    #[track_caller]
    pub fn flaky(&self, refuse: f64, lose_answer: f64) {
        self.set(Condition::Flaky { refuse, lose_answer });
    }

    /// Sets the condition from now on. Conditions that [`Network::at`] scheduled for later moments still apply.
    ///
    /// # Panics
    /// Panics if a chance in `condition` is not between 0 and 1.
    #[track_caller]
    pub fn set(&self, condition: Condition) {
        self.set_from(self.network.elapsed(), condition);
    }

    /// Sets the condition for `duration`. Afterwards the service has the condition that it would have had otherwise.
    ///
    /// ```
    /// use awaitly_core::clock::secs;
    /// use awaitly_testing::fault::{Condition, Network};
    ///
    /// # awaitly_testing::simulate(async || {
    /// let bank = Network::new(7).service("bank");
    /// bank.set_for(secs(30), Condition::Down);
    /// assert_eq!(bank.condition(), Condition::Down);
    /// tokio::time::sleep(secs(30)).await;
    /// assert_eq!(bank.condition(), Condition::Up);
    /// # });
    /// ```
    ///
    /// # Panics
    /// Panics if a chance in `condition` is not between 0 and 1.
    #[track_caller]
    pub fn set_for(&self, duration: Duration, condition: Condition) {
        let (from, condition) = (self.network.elapsed(), condition.check());
        self.with(|line, _| line.timeline.set_between(from, from.saturating_add(duration), condition));
    }

    /// Returns the number of calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.with(|line, _| line.calls.into())
    }

    /// Returns the number of calls that ended with [`Unreachable`].
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.with(|line, _| line.failures)
    }

    /// Waits for a call to reach the service. It is meant for fakes whose answers are never lost.
    ///
    /// # Errors
    /// Returns [`Unreachable`] if the call does not reach the service.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the call on its way.
    pub async fn pass(&self) -> Result<(), Unreachable> {
        self.go().await.map(drop)
    }

    /// Sends a call to the service, executes `op` there, and returns its answer.
    ///
    /// ```
    /// use awaitly_testing::fault::{Network, Unreachable};
    ///
    /// # awaitly_testing::simulate(async || {
    /// let bank = Network::new(7).service("bank");
    /// bank.flaky(0.0, 1.0); // every answer is lost
    /// let mut charged = 0;
    /// let answer = bank.call(|| async { charged += 4200; Ok::<_, Unreachable>(()) }).await;
    /// assert!(matches!(answer, Err(Unreachable::NoAnswer { .. })));
    /// assert_eq!(charged, 4200);
    /// # });
    /// ```
    ///
    /// # Errors
    /// Returns [`Unreachable::Refused`] if the service refuses the call; then `op` is not called. Returns
    /// [`Unreachable::NoAnswer`] if the call is lost before it reaches the service, or if the answer of `op`, a value
    /// or an error, is lost. Otherwise returns the error of `op`.
    ///
    /// # Cancel safety
    /// Dropping the future drops the future of `op`, if `op` was called.
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
    pub(super) fn set_from(&self, moment: Duration, condition: Condition) {
        let condition = condition.check();
        self.with(|line, _| line.timeline.set(moment, condition));
    }

    /// Waits for a call to reach the service, and returns whether its answer will be lost.
    async fn go(&self) -> Result<bool, Unreachable> {
        match self.with(|line, now| line.go(now, self.network.seed, &self.name)) {
            Fate::Through { delay, lose_answer } => {
                // Tokio's timer rounds up to a millisecond, so a zero sleep would take time.
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
        match self.condition() {
            Condition::Cut => Err(self.give_up().await),
            Condition::Down => Err(self.no_answer()),
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
        self.with(|line, _| line.failures += 1);
        error
    }

    /// The time is read under the lock, so successive readers see increasing times.
    fn with<T>(&self, change: impl FnOnce(&mut Line, Duration) -> T) -> T {
        self.network.with(&self.name, |line| change(line, self.network.elapsed()))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("condition", &self.condition())
            .finish_non_exhaustive()
    }
}
