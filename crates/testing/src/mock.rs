//! Calls that are recorded, with answers that the test gives.
//!
//! A [`Mock`] stands where an operation of the code under test would be; it is a value, so no trait has to be made for
//! it. For an operation of a step that only has to end in some way, [`script`](crate::script) is shorter.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A function that a test plays: it keeps the arguments `A` of each call, and answers with an `R` as it is told.
///
/// What [`returns_once`](Self::returns_once) says is answered first, in that order; then what [`returns`](Self::returns)
/// or [`answers`](Self::answers) said last. Cheap to clone; clones are the same mock.
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

/// What the mock was told, and what it was called with.
struct Said<A, R> {
    once: VecDeque<R>,
    always: Option<Answer<A, R>>,
    takes: Duration,
    calls: Vec<A>,
}

impl<A, R> Mock<A, R> {
    /// A mock that nothing is said about yet. The name is for messages.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Shared { name: name.into(), said: Mutex::default() }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Answers every call with `value`.
    pub fn returns(&self, value: R) -> &Self
    where
        R: Clone + Send + Sync + 'static,
    {
        self.answers(move |_| value.clone())
    }

    /// Answers one call with `value`: the next one for which nothing was said in this way yet.
    pub fn returns_once(&self, value: R) -> &Self {
        self.said().once.push_back(value);
        self
    }

    /// Answers every call with what `answer` makes of its arguments.
    pub fn answers(&self, answer: impl Fn(&A) -> R + Send + Sync + 'static) -> &Self {
        self.said().always = Some(Arc::new(answer));
        self
    }

    /// Lets every call of [`call_async`](Self::call_async) take this long, by tokio's time.
    ///
    /// # Default
    /// No time.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn takes(&self, duration: Duration) -> &Self {
        self.said().takes = duration;
        self
    }

    /// Forgets what was said and all calls.
    pub fn reset(&self) {
        *self.said() = Said::default();
    }

    /// How often it was called.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.said().calls.len()
    }

    /// What was done under the lock before a panic is whole.
    fn said(&self) -> MutexGuard<'_, Said<A, R>> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Clone + fmt::Debug, R> Mock<A, R> {
    /// A call.
    ///
    /// # Panics
    /// Where nothing was said about what it answers, or no more.
    #[track_caller]
    pub fn call(&self, arguments: A) -> R {
        self.answer(arguments, Location::caller())
    }

    /// A call that is made when the future is first polled, and takes as long as [`takes`](Self::takes) says.
    ///
    /// # Panics
    /// When polled, where nothing was said about what it answers, or no more.
    ///
    /// # Cancel safety
    /// A call whose future is dropped stays recorded, and has used up its answer.
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

    /// What it was called with, in this order.
    #[must_use]
    pub fn calls(&self) -> Vec<A> {
        self.said().calls.clone()
    }

    /// # Panics
    /// Where no call had these arguments.
    #[track_caller]
    pub fn assert_called_with(&self, arguments: &A)
    where
        A: PartialEq,
    {
        let found = self.said().calls.contains(arguments);
        assert!(found, "mock `{}` was not called with {arguments:?}; {}", self.name(), self.calls_as_text());
    }

    /// # Panics
    /// Where it was not called so often.
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

    /// # Panics
    /// Where an answer of [`returns_once`](Self::returns_once) was not asked for.
    #[track_caller]
    pub fn assert_used_up(&self) {
        let left = self.said().once.len();
        assert!(
            left == 0,
            "mock `{}` was not asked for {left} of its answers; {}",
            self.name(),
            self.calls_as_text()
        );
    }

    fn answer(&self, arguments: A, caller: &Location<'_>) -> R {
        let (once, always) = {
            let mut said = self.said();
            said.calls.push(arguments.clone());
            (said.once.pop_front(), said.always.clone())
        };
        // The answer is made without the lock, so that it may look at the mock itself.
        match (once, always) {
            (Some(answer), _) => answer,
            (None, Some(answer)) => answer(&arguments),
            (None, None) => panic!(
                "mock `{}` was called with {arguments:?} at {caller}, and nothing is said, or no more, about what it \
                 answers: write `.returns(..)`, `.returns_once(..)` or `.answers(|arguments| ..)` before",
                self.name()
            ),
        }
    }

    fn calls_as_text(&self) -> String {
        let calls = self.calls();
        if calls.is_empty() {
            return "there was no call".into();
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
