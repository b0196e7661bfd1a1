//! Steps that are built inside of the operation of another recorded step.
//!
//! When the outer step is found in the journal its operation is not called, and the steps inside of it are
//! not built. Were their keys taken from the same names as all others, those of later steps would shift.
//! So a step that is built while an operation is polled has its key within that of the operation's step:
//! `pay/charge`, and `pay@2/charge` in the second attempt at `pay`.
//!
//! Which operation is being polled is known by the thread for as long as the poll lasts.

use std::cell::RefCell;

use crate::journal::Key;
use crate::run::Shared;

thread_local! {
    static INSIDE: RefCell<Option<Inside>> = const { RefCell::new(None) };
}

struct Inside {
    /// The run, by where it is; it outlives the poll.
    run: usize,
    key: Key,
    attempt: u32,
}

/// Puts back what was before, also where the operation panics.
pub(super) struct Entered(Option<Inside>);

/// Everything that is built on this thread is built by the operation of the step with this key, until
/// the answer is dropped.
pub(super) fn enter(run: &Shared, key: &Key, attempt: u32) -> Entered {
    let inside = Inside { run: address(run), key: key.clone(), attempt };
    Entered(INSIDE.replace(Some(inside)))
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = INSIDE.replace(self.0.take());
    }
}

/// `key`, within that of the operation that builds it.
pub(crate) fn within(run: &Shared, key: &Key) -> Key {
    INSIDE.with_borrow(|inside| match inside {
        Some(inside) if inside.run == address(run) => inside.scope(key),
        _ => key.clone(),
    })
}

impl Inside {
    fn scope(&self, key: &Key) -> Key {
        match self.attempt {
            1 => Key::from(format!("{}/{key}", self.key)),
            attempt => Key::from(format!("{}@{attempt}/{key}", self.key)),
        }
    }
}

fn address(run: &Shared) -> usize {
    std::ptr::from_ref(run).addr()
}
