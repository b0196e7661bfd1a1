use std::ops::Range;

use crate::error::RunError;
use crate::journal::Key;
use crate::shared::{Shared, Waits};

/// The waits that concurrent steps have noted, and of which the body does not know yet.
///
/// A scope executes several steps at once: a list, or the branches of `parallel!`. A step that waits for an answer or
/// for a later time notes the wait in the run, and returns [`RunError::Waiting`] to its scope. The scope lets the other
/// steps continue. If one of them fails, the scope drops the rest, and the body receives only the failure. The body
/// then no longer waits at the dropped steps, so the run must not wait at them either. Therefore dropping a `HeldWaits`
/// forgets its waits, unless [`release`](Self::release) was called.
///
/// The step that returned [`RunError::Waiting`] does not identify the waits: one step can note several, and a nested
/// list that is still running has already noted the waits of its items. The scope therefore holds every wait that is
/// noted during its polls.
pub(super) struct HeldWaits<'r> {
    run: Option<&'r Shared>,
    /// The numbers of the held waits, one range for each poll that noted some.
    noted: Vec<Range<u64>>,
}

impl<'r> HeldWaits<'r> {
    pub(super) const fn new(run: Option<&'r Shared>) -> Self {
        Self { run, noted: Vec::new() }
    }

    /// Calls `poll`, and holds the waits that are noted during the call.
    #[inline]
    pub(super) fn during<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let Some(run) = self.run else { return poll() };
        let before = run.stopping.noted_waits();
        let polled = poll();
        let after = run.stopping.noted_waits();
        if after > before {
            self.noted.push(before..after);
        }
        polled
    }

    /// Stops holding the waits, because the scope returns to the body: from now on, the body is responsible for them.
    pub(super) fn release(&mut self) {
        self.noted.clear();
    }

    /// Removes the held waits from the run, because the body never receives them.
    pub(super) fn forget(&mut self) {
        self.forget_those(|_| true);
    }

    fn forget_those(&mut self, end: impl Fn(&Waits) -> bool) {
        let noted = std::mem::take(&mut self.noted);
        if let Some(run) = self.run.filter(|_| !noted.is_empty()) {
            let is_held = |waits: &Waits| noted.iter().any(|noted| noted.contains(&waits.number));
            run.stopping.forget_waits(|waits| is_held(waits) && end(waits));
        }
    }

    /// Returns the error that replaces the wait at `step`, if the run was cancelled or its deadline has passed in the
    /// meantime. The held waits are then removed from the run, except the waits of compensations, because neither a
    /// cancellation nor the deadline ends an undo.
    pub(super) fn ended(&mut self, step: &Key) -> Option<RunError> {
        let run = self.run?;
        let ended = run.ended(step, 0)?;
        self.forget_those(|waits| !waits.in_undo);
        run.stopping.note_pause(&ended);
        Some(ended)
    }
}

impl Drop for HeldWaits<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}
