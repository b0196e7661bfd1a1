//! Where governor keeps what it knows, so that it can be looked at, too.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};

use crate::time::{Moment, Time};

/// One bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell(Arc<InMemoryState>);

impl StateStore for Cell {
    type Key = NotKeyed;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, key: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

impl Cell {
    /// When the bucket will be full, in nanoseconds since the limiter was made. `None`: it is.
    pub(super) fn full_at(&self) -> Option<u64> {
        full_at(&self.0)
    }

    pub(super) fn fill(&self) {
        fill(&self.0);
    }
}

fn full_at(state: &InMemoryState) -> Option<u64> {
    let looked: Result<(), _> = state.measure_and_replace(&NotKeyed::NonKey, Err);
    looked.err().flatten().map(Nanos::as_u64)
}

fn fill(state: &InMemoryState) {
    let filled: Result<(), ()> = state.measure_and_replace(&NotKeyed::NonKey, |_| Ok(((), Nanos::from(0))));
    debug_assert!(filled.is_ok(), "the closure never says no");
}

/// How many buckets there are before one looks for those that are full again.
const FIRST_CLEANING: usize = 1024;

/// A bucket for each key. Those that are full again are forgotten, at the latest when there are twice as many as
/// after the last cleaning.
#[derive(Debug)]
pub(super) struct Cells<K: Eq + Hash>(Arc<Buckets<K>>);

#[derive(Debug)]
struct Buckets<K: Eq + Hash> {
    states: DashMap<K, InMemoryState, RandomState>,
    new: AtomicUsize,
    clean_at: AtomicUsize,
    time: Time,
    began: Moment,
}

impl<K: Eq + Hash> Clone for Cells<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Clone> StateStore for Cells<K> {
    type Key = K;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if let Some(state) = self.0.states.get(key) {
            return state.measure_and_replace(&NotKeyed::NonKey, f);
        }
        self.clean();
        let state = self.0.states.entry(key.clone()).or_default();
        state.measure_and_replace(&NotKeyed::NonKey, f)
    }
}

impl<K: Eq + Hash> Cells<K> {
    /// No buckets, for a limiter that begins at `began`.
    pub(super) fn new(time: Time, began: Moment) -> Self {
        let (new, clean_at) = (AtomicUsize::new(0), AtomicUsize::new(FIRST_CLEANING));
        let states = DashMap::with_hasher(RandomState::default());
        Self(Arc::new(Buckets { states, new, clean_at, time, began }))
    }

    pub(super) fn full_at(&self, key: &K) -> Option<u64> {
        full_at(&*self.0.states.get(key)?)
    }

    pub(super) fn fill(&self, key: &K) {
        if let Some(state) = self.0.states.get(key) {
            fill(&state);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.states.len()
    }

    /// Before a new bucket: forgets those that are full again, where there may be many of them.
    #[cold]
    fn clean(&self) {
        let Buckets { states, new, clean_at, time, began } = &*self.0;
        if new.fetch_add(1, Ordering::Relaxed) < clean_at.load(Ordering::Relaxed) {
            return;
        }
        // Others go on meanwhile, and do not clean as well.
        new.store(0, Ordering::Relaxed);
        let now = time.now().0.saturating_sub(began.0);
        states.retain(|_, state| full_at(state).is_some_and(|at| at > now));
        clean_at.store(self.len().max(FIRST_CLEANING), Ordering::Relaxed);
    }
}
