use super::ConcurrencyLimiter;
use crate::name::Name;

/// How many calls run at once. Made with [`ConcurrencyLimiter::options`].
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

    /// For a database: 10 calls at once, and 100 that wait.
    pub fn database(name: impl Into<Name>) -> Self {
        Self::new(name.into(), 10).max_waiting(100)
    }

    /// How many calls may wait for a slot; what is above that is refused. With 0 nobody waits.
    pub const fn max_waiting(mut self, calls: usize) -> Self {
        self.max_waiting = calls;
        self
    }

    /// The limiter.
    #[must_use]
    pub fn build(self) -> ConcurrencyLimiter {
        ConcurrencyLimiter::from_options(&self)
    }
}
