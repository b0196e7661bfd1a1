use super::ConcurrencyLimiter;
use crate::name::Name;

/// The options of a concurrency limiter. Created by [`ConcurrencyLimiter::options`].
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`max_waiting`](Self::max_waiting) | no limit |
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `build`"]
pub struct Options {
    pub(super) name: Name,
    pub(super) slots: usize,
    pub(super) max_waiting: usize,
}

impl Options {
    pub(super) fn new(name: Name, slots: usize) -> Self {
        assert!(slots > 0, "a limiter lets at least one call run: a limit of 0 is refused");
        Self { name, slots, max_waiting: usize::MAX }
    }

    /// Creates options for a database: 10 calls at once, and 100 that wait.
    pub fn database(name: impl Into<Name>) -> Self {
        Self::new(name.into(), 10).max_waiting(100)
    }

    /// Sets how many calls may wait for a slot; the limiter refuses further calls. With 0, no call waits.
    pub const fn max_waiting(mut self, calls: usize) -> Self {
        self.max_waiting = calls;
        self
    }

    /// Creates the limiter.
    #[must_use]
    pub fn build(self) -> ConcurrencyLimiter {
        ConcurrencyLimiter::from_options(&self)
    }
}
