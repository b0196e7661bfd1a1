use std::ops::Range;

use crate::error::RunError;
use crate::journal::Key;
use crate::shared::{Shared, Waits};

/// The waits that concurrent steps have noted and that their scope has not returned yet.
///
/// A step notes that the run waits at it, and returns [`RunError::Waiting`] to its scope. The scope lets the other steps
/// continue. If one of them fails, the scope drops the rest, and the body sees only the failure: it no longer waits at the
/// dropped steps, and the run must not either. So dropping this forgets the waits, unless they were released.
///
/// One step can note several waits, and a list that is still running has noted those of its items. Therefore the waits are
/// not known by the step that returned: they are all those that were noted while the scope polled.
pub(super) struct HeldWaits<'r> {
    run: Option<&'r Shared>,
    noted: Vec<Range<u64>>,
}

impl<'r> HeldWaits<'r> {
    pub(super) const fn new(run: Option<&'r Shared>) -> Self {
        Self { run, noted: Vec::new() }
    }

    /// Polls, and holds the waits that are noted meanwhile.
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

    /// Leaves the waits to the body, which learns of them now.
    pub(super) fn release(&mut self) {
        self.noted.clear();
    }

    /// Forgets the waits, because the body does not learn of them.
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

    /// Returns the error that takes the place of the wait at `step` if the run was cancelled or its time is over
    /// meanwhile. The run no longer waits then, except in a compensation: neither a cancellation nor the deadline ends an undo.
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
