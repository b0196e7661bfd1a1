//! The state of governor's limiter, in a form that can be read and reset.

use std::sync::Arc;

use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};

/// The state of one bucket.
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
    /// Returns the moment at which the bucket is full, in nanoseconds since the limiter was created; `None` if no call
    /// took a token.
    pub(super) fn full_at(&self) -> Option<u64> {
        let looked: Result<(), _> = self.0.measure_and_replace(&NotKeyed::NonKey, Err);
        looked.err().flatten().map(Nanos::as_u64)
    }

    pub(super) fn fill(&self) {
        let filled: Result<(), ()> =
            self.0.measure_and_replace(&NotKeyed::NonKey, |_| Ok(((), Nanos::from(0))));
        debug_assert!(filled.is_ok(), "the closure never says no");
    }
}
