//! What a saga knows of its steps.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::Run;
use awaitly_core::journal::Key;

/// What undoes one step, with its value.
pub(crate) type Undo<'c, E, M> = Box<dyn FnOnce(Run<M>, Key) -> Undone<'c, E> + Send + 'c>;
/// The key under which a step is undone, and how that ended.
pub(crate) type Undone<'c, E> = Pin<Box<dyn Future<Output = (Key, Result<(), E>)> + Send + 'c>>;

/// A step that succeeded, and what undoes it.
pub(crate) struct Done<'c, E, M> {
    pub(crate) step: Key,
    pub(crate) undo: Undo<'c, E, M>,
}

/// What a saga has to undo, in the order in which it was done. Shared by the handles on one saga.
pub(crate) struct Ledger<'c, E, M>(Arc<Mutex<Entries<'c, E, M>>>);

pub(crate) struct Entries<'c, E, M> {
    pub(crate) done: Vec<Done<'c, E, M>>,
    /// The steps that ended while their operation was under way.
    pub(crate) in_doubt: Vec<Key>,
    /// The keys under which something of the saga may be recorded.
    pub(crate) keys: Vec<Key>,
    /// The steps that sagas inside of this one could not undo, and the keys of their compensations.
    pub(crate) left: Vec<Key>,
    pub(crate) stuck: Vec<Key>,
}

// By hand, so that `E` and `M` need not have a default.
impl<E, M> Default for Entries<'_, E, M> {
    fn default() -> Self {
        let [in_doubt, keys, left, stuck] = [const { Vec::new() }; 4];
        Self { done: Vec::new(), in_doubt, keys, left, stuck }
    }
}

impl<E, M> Entries<'_, E, M> {
    /// Whether nothing is to be undone, by this saga or by a retry of the run.
    pub(crate) const fn is_empty(&self) -> bool {
        self.done.is_empty() && self.stuck.is_empty()
    }
}

impl<'c, E, M> Ledger<'c, E, M> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Entries<'c, E, M>> {
        // Nothing foreign is called under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn doubts(&self, step: Key) {
        self.lock().in_doubt.push(step);
    }

    /// Puts right what a body that only found its steps has entered: concurrent ones are found in another order than
    /// they were done in, and steps that were dropped are not found at all.
    pub(crate) fn put_right(&self, steps: &[Key], in_doubt: &[Key]) {
        let places: HashMap<_, usize> = steps.iter().zip(0..).collect();
        let mut entries = self.lock();
        entries.done.sort_by_key(|done| places.get(&done.step).copied());
        entries.in_doubt = in_doubt.to_vec();
    }

    /// Takes over all that another one knows.
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
