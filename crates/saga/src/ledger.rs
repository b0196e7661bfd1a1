//! The list of steps that a saga has to undo.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::Run;
use awaitly_core::journal::Key;

/// The compensation of one step, together with the step's value.
pub(crate) type UndoFn<'c, E, M> = Box<dyn FnOnce(Run<M>, Key) -> UndoFuture<'c, E> + Send + 'c>;
/// The key of a compensation, and its result.
pub(crate) type UndoFuture<'c, E> = Pin<Box<dyn Future<Output = (Key, Result<(), E>)> + Send + 'c>>;

/// A successful step, and its compensation.
pub(crate) struct Done<'c, E, M> {
    pub(crate) step: Key,
    pub(crate) undo: UndoFn<'c, E, M>,
}

/// The steps that a saga has to undo, in the order in which they succeeded. All handles on one saga share a ledger.
pub(crate) struct Ledger<'c, E, M>(Arc<Mutex<Entries<'c, E, M>>>);

pub(crate) struct Entries<'c, E, M> {
    pub(crate) done: Vec<Done<'c, E, M>>,
    /// The steps that ended while their operation was in flight.
    pub(crate) in_doubt: Vec<Key>,
    /// The keys under which the journal may hold outcomes of the saga.
    pub(crate) keys: Vec<Key>,
    /// The steps that nested sagas could not undo, and the keys of their compensations.
    pub(crate) left: Vec<Key>,
    pub(crate) stuck: Vec<Key>,
}

// Implemented without a derive, so that `E` and `M` need no default.
impl<E, M> Default for Entries<'_, E, M> {
    fn default() -> Self {
        let [in_doubt, keys, left, stuck] = [const { Vec::new() }; 4];
        Self { done: Vec::new(), in_doubt, keys, left, stuck }
    }
}

impl<E, M> Entries<'_, E, M> {
    /// Whether neither this saga nor a retry of the run has a step to undo.
    pub(crate) const fn is_empty(&self) -> bool {
        self.done.is_empty() && self.stuck.is_empty()
    }
}

impl<'c, E, M> Ledger<'c, E, M> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Entries<'c, E, M>> {
        // No code from outside runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Corrects the entries of a body that only looked up its recorded steps: concurrent steps may be found in another
    /// order than they succeeded in, and dropped steps are not found.
    pub(crate) fn put_right(&self, steps: &[Key], in_doubt: &[Key]) {
        let places: HashMap<_, usize> = steps.iter().zip(0..).collect();
        let mut entries = self.lock();
        entries.done.sort_by_key(|done| places.get(&done.step).copied());
        entries.in_doubt = in_doubt.to_vec();
    }

    /// Moves all entries of another ledger into this one.
    pub(crate) fn absorb(&self, other: &Self) {
        let Entries { done, in_doubt, keys, left, stuck } = &mut *other.lock();
        let mut entries = self.lock();
        entries.left.append(left);
        entries.stuck.append(stuck);
        entries.done.append(done);
        entries.in_doubt.append(in_doubt);
        entries.keys.append(keys);
    }
}

impl<E, M> Clone for Ledger<'_, E, M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E, M> fmt::Debug for Ledger<'_, E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.lock();
        f.debug_list().entries(entries.done.iter().map(|done| &done.step)).finish()
    }
}
