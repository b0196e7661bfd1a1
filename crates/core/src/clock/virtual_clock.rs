use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use super::{Clock, Sleep, later};

/// A clock that moves only if a test moves it.
///
/// Clones share one clock. It begins at midnight, 1 January 2000, UTC.
///
/// ```
/// use std::time::Duration;
/// use awaitly_core::clock::{Clock, VirtualClock, days};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let clock = VirtualClock::new();
/// let sleeper = tokio::spawn(clock.sleep_until(clock.now() + days(30)));
/// tokio::task::yield_now().await;
/// clock.advance(days(30));
/// sleeper.await.unwrap();
/// assert_eq!(clock.elapsed(), days(30));
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct VirtualClock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begin: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next_sleeper: u64,
}

impl VirtualClock {
    /// Creates a clock.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared { begin: Instant::now(), state: Mutex::default() }))
    }

    /// Returns how far the clock has moved since its creation.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.lock().elapsed
    }

    /// Moves the clock forward, and wakes the sleepers whose moment has come, the earliest first.
    pub fn advance(&self, by: Duration) {
        let to = self.elapsed().saturating_add(by);
        self.advance_to(to);
    }

    /// Moves the clock to the moment at which the next sleeper wakes, and returns the distance. Returns `None` if there
    /// is no sleeper.
    ///
    /// ```
    /// use awaitly_core::clock::{Clock, VirtualClock, days};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let clock = VirtualClock::new();
    /// for day in [30, 1] {
    ///     tokio::spawn(clock.sleep_until(clock.now() + days(day)));
    /// }
    /// tokio::task::yield_now().await;
    /// assert_eq!(clock.advance_to_next(), Some(days(1)));
    /// assert_eq!(clock.advance_to_next(), Some(days(29)));
    /// assert_eq!(clock.advance_to_next(), None);
    /// # }
    /// ```
    #[expect(clippy::must_use_candidate, reason = "callers may need the effect alone")]
    pub fn advance_to_next(&self) -> Option<Duration> {
        let (next, elapsed) = {
            let state = self.0.lock();
            let (next, _) = *state.sleepers.keys().next()?;
            (next, state.elapsed)
        };
        self.advance_to(next);
        Some(next.saturating_sub(elapsed))
    }

    /// Returns the number of sleepers: the futures of [`sleep_until`](Clock::sleep_until) that were polled and still
    /// wait.
    ///
    /// ```
    /// use awaitly_core::clock::{Clock, VirtualClock, days};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let clock = VirtualClock::new();
    /// let reminder = tokio::spawn(clock.sleep_until(clock.now() + days(3)));
    /// while clock.sleepers() < 1 {
    ///     tokio::task::yield_now().await; // until the reminder waits
    /// }
    /// clock.advance(days(3));
    /// reminder.await.unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.0.lock().sleepers.len()
    }

    fn advance_to(&self, to: Duration) {
        let due = {
            let mut state = self.0.lock();
            state.elapsed = state.elapsed.max(to);
            let now = state.elapsed;
            let later = state.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        later(self.0.begin, self.elapsed())
    }

    fn wall(&self) -> SystemTime {
        const YEAR_2000: Duration = Duration::from_secs(946_684_800);
        let begin = SystemTime::UNIX_EPOCH + YEAR_2000;
        begin.checked_add(self.elapsed()).unwrap_or(begin)
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        let until = at.saturating_duration_since(self.0.begin);
        Box::pin(Sleeper { clock: Arc::clone(&self.0), until, id: None })
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sleeper {
    clock: Arc<Shared>,
    until: Duration,
    id: Option<u64>,
}

impl Future for Sleeper {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = Arc::clone(&self.clock);
        let mut state = clock.lock();
        if state.elapsed >= self.until {
            return Poll::Ready(());
        }
        let id = *self.id.get_or_insert_with(|| {
            state.next_sleeper += 1;
            state.next_sleeper
        });
        state.sleepers.insert((self.until, id), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.clock.lock().sleepers.remove(&(self.until, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::secs;

    #[tokio::test]
    async fn sleepers_wake_in_the_order_of_their_moments() {
        let clock = VirtualClock::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for second in [3, 1, 2] {
            let (sleep, order) = (clock.sleep_until(clock.now() + secs(second)), Arc::clone(&order));
            tokio::spawn(async move {
                sleep.await;
                order.lock().unwrap().push(second);
            });
        }
        tokio::task::yield_now().await;
        assert_eq!(clock.sleepers(), 3);
        assert_eq!(clock.advance_to_next(), Some(secs(1)));
        clock.advance(secs(10));
        tokio::task::yield_now().await;
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
        assert_eq!(clock.advance_to_next(), None);
    }

    #[tokio::test]
    async fn dropped_sleeper_is_forgotten() {
        let clock = VirtualClock::new();
        let mut sleep = clock.sleep_until(clock.now() + secs(1));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(clock.sleepers(), 1);
        drop(sleep);
        assert_eq!(clock.sleepers(), 0);
    }
}
