//! Recorded calls with answers from the test.
//!
//! A [`Mock`] replaces one operation of the code under test. It is a value, so the code needs no trait for it. If a
//! step's operation only has to end in a certain way, a [`script`](crate::script) is shorter.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A function whose answers come from the test, and which keeps the arguments `A` of each call.
///
/// A call first uses up the answers of [`returns_once`](Self::returns_once), in order. If none is left, the last
/// answer set with [`returns`](Self::returns) or [`answers`](Self::answers) applies. Cloning is cheap; clones share
/// their answers and calls.
///
/// ```
/// use awaitly_core::{DurableRun, Retry, RunError, Workflow, step};
/// use awaitly_core::clock::secs;
/// use awaitly_persistence::MemoryStore;
/// use awaitly_testing::mock::Mock;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let charge = Mock::<(u64, &str), Result<u64, String>>::new("charge");
/// charge.returns_once(Err("no answer".into())).answers(|(cents, _)| Ok(*cents)).takes(secs(2));
///
/// let workflow = Workflow::new("order").store(MemoryStore::new());
/// let charged = workflow.run("order-42", async |run: &DurableRun| {
///     let retry = Retry::exponential(secs(1)).attempts(3);
///     run.step("charge", || charge.call_async((4200, "order-42"))).retry(retry).await
/// });
///
/// assert_eq!(charged.await, Ok(4200));
/// charge.assert_calls(2);
/// charge.assert_called_with(&(4200, "order-42"));
/// # });
/// ```
pub struct Mock<A, R>(Arc<Shared<A, R>>);

struct Shared<A, R> {
    name: Box<str>,
    said: Mutex<Said<A, R>>,
}

type Answer<A, R> = Arc<dyn Fn(&A) -> R + Send + Sync>;

/// The configured answers and the recorded calls.
struct Said<A, R> {
    once: VecDeque<R>,
    always: Option<Answer<A, R>>,
    takes: Duration,
    calls: Vec<A>,
}

impl<A, R> Mock<A, R> {
    /// Creates a mock without answers. Panic messages contain `name`.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Shared { name: name.into(), said: Mutex::default() }))
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Answers calls with `value` once all values of [`returns_once`](Self::returns_once) are used up.
    ///
    /// ```
    /// use awaitly_testing::mock::Mock;
    ///
    /// let stock = Mock::<&str, u32>::new("stock");
    /// stock.returns(3).returns_once(0);
    /// assert_eq!((stock.call("tea"), stock.call("tea")), (0, 3));
    /// assert_eq!(stock.calls(), ["tea", "tea"]);
    /// ```
    pub fn returns(&self, value: R) -> &Self
    where
        R: Clone + Send + Sync + 'static,
    {
        self.answers(move |_| value.clone())
    }

    /// Answers one call with `value`. If `returns_once` is called several times, the calls of the mock receive the
    /// values in that order.
    pub fn returns_once(&self, value: R) -> &Self {
        self.said().once.push_back(value);
        self
    }

    /// Answers every call with the return value of `answer`, which receives the call's arguments.
    ///
    /// ```
    /// use awaitly_testing::mock::Mock;
    ///
    /// let double = Mock::<u64, u64>::new("double");
    /// double.answers(|number| number * 2);
    /// assert_eq!(double.call(21), 42);
    /// ```
    pub fn answers(&self, answer: impl Fn(&A) -> R + Send + Sync + 'static) -> &Self {
        self.said().always = Some(Arc::new(answer));
        self
    }

    /// Makes each [`call_async`](Self::call_async) take `duration` of tokio's time.
    ///
    /// ```
    /// use awaitly_core::clock::secs;
    /// use awaitly_testing::{PausedClock, mock::Mock, simulate};
    ///
    /// simulate(async || {
    ///     let charge = Mock::<u64, bool>::new("charge");
    ///     charge.returns(true).takes(secs(3));
    ///     let clock = PausedClock::new();
    ///     assert!(charge.call_async(4200).await);
    ///     assert_eq!(clock.elapsed(), secs(3));
    /// });
    /// ```
    ///
    /// # Default
    /// Zero.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn takes(&self, duration: Duration) -> &Self {
        self.said().takes = duration;
        self
    }

    /// Removes all answers, the duration and all recorded calls.
    pub fn reset(&self) {
        *self.said() = Said::default();
    }

    /// Returns the number of calls.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.said().calls.len()
    }

    /// A panic cannot leave the state half changed, so a poisoned lock is still usable.
    fn said(&self) -> MutexGuard<'_, Said<A, R>> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Clone + fmt::Debug, R> Mock<A, R> {
    /// Records the arguments and returns the next answer.
    ///
    /// # Panics
    /// Panics if the mock has no answer, or none left.
    #[track_caller]
    pub fn call(&self, arguments: A) -> R {
        self.answer(arguments, Location::caller())
    }

    /// Returns a future that records the arguments at its first poll, waits for the duration set with
    /// [`takes`](Self::takes), and returns the next answer.
    ///
    /// # Panics
    /// Panics when polled if the mock has no answer, or none left.
    ///
    /// # Cancel safety
    /// If the future is dropped after its first poll, the call stays recorded and its answer is used up.
    #[track_caller]
    pub fn call_async(&self, arguments: A) -> impl Future<Output = R> + use<A, R> {
        let (mock, caller) = (self.clone(), Location::caller());
        async move {
            let answer = mock.answer(arguments, caller);
            let takes = mock.said().takes;
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            answer
        }
    }

    /// Returns the arguments of all calls, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<A> {
        self.said().calls.clone()
    }

    /// Asserts that at least one call had these arguments.
    ///
    /// # Panics
    /// Panics if no call had them.
    #[track_caller]
    pub fn assert_called_with(&self, arguments: &A)
    where
        A: PartialEq,
    {
        let found = self.said().calls.contains(arguments);
        assert!(found, "mock `{}` was not called with {arguments:?}; {}", self.name(), self.calls_as_text());
    }

    /// Asserts the number of calls.
    ///
    /// # Panics
    /// Panics if the mock was called more or fewer times.
    #[track_caller]
    pub fn assert_calls(&self, times: usize) {
        let called = self.call_count();
        assert!(
            called == times,
            "mock `{}` was called {called} times, not {times}; {}",
            self.name(),
            self.calls_as_text()
        );
    }

    /// Asserts that calls consumed every answer of [`returns_once`](Self::returns_once).
    ///
    /// ```
    /// use awaitly_testing::mock::Mock;
    ///
    /// let charge = Mock::<u64, Result<(), &str>>::new("charge");
    /// charge.returns_once(Err("no answer")).returns_once(Ok(()));
    /// while charge.call(4200).is_err() {}
    /// charge.assert_used_up();
    /// ```
    ///
    /// # Panics
    /// Panics if an answer is left.
    #[track_caller]
    pub fn assert_used_up(&self) {
        let left = self.said().once.len();
        assert!(left == 0, "mock `{}` has {left} unused answers; {}", self.name(), self.calls_as_text());
    }

    fn answer(&self, arguments: A, caller: &Location<'_>) -> R {
        let (once, always) = {
            let mut said = self.said();
            said.calls.push(arguments.clone());
            (said.once.pop_front(), said.always.clone())
        };
        // The lock is released before the answer is computed, so the closure may inspect the mock itself.
        match (once, always) {
            (Some(answer), _) => answer,
            (None, Some(answer)) => answer(&arguments),
            (None, None) => panic!(
                "mock `{}` was called with {arguments:?} at {caller}, but it has no answer, or none left: call \
                 `.returns(..)`, `.returns_once(..)` or `.answers(|arguments| ..)` first",
                self.name()
            ),
        }
    }

    fn calls_as_text(&self) -> String {
        let calls = self.calls();
        if calls.is_empty() {
            return "there were no calls".into();
        }
        let lines = calls.iter().map(|arguments| format!("\n  {arguments:?}"));
        format!("the calls were:{}", lines.collect::<String>())
    }
}

impl<A, R> Default for Said<A, R> {
    fn default() -> Self {
        Self { once: VecDeque::new(), always: None, takes: Duration::ZERO, calls: Vec::new() }
    }
}

impl<A, R> Clone for Mock<A, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A, R> fmt::Debug for Mock<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock").field("name", &self.name()).field("calls", &self.call_count()).finish()
    }
}
