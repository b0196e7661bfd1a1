use super::{Owner, RunId};

/// The right to write one run's journal. One owner at a time holds it.
///
/// A clone is cheap. A `Lease` does not know whether it is still valid: the store refuses a write with a token that is
/// not the run's newest.
///
/// The check that a store makes before each write:
///
/// ```
/// use awaitly_core::store::{Lease, RunId, StoreError};
///
/// fn check(lease: &Lease, newest: u64) -> Result<(), StoreError> {
///     if lease.token() == newest { Ok(()) } else { Err(StoreError::LeaseLost { run: (**lease.run()).into() }) }
/// }
///
/// let lease = Lease::new(RunId::new("order-42").unwrap(), 7, 0);
/// assert!(check(&lease, 7).is_ok());
/// assert!(check(&lease, 8).is_err()); // another owner has taken the run since
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    run: RunId,
    token: u64,
    slot: i64,
}

impl Lease {
    /// Creates a lease of `run`. Each new lease of a run has a greater token. `slot` is a number that the store chooses
    /// and by which it finds the run.
    #[must_use]
    pub const fn new(run: RunId, token: u64, slot: i64) -> Self {
        Self { run, token, slot }
    }

    /// Returns the run of the lease.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// Returns the fencing token.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    /// Returns the slot that the store chose.
    #[must_use]
    pub const fn slot(&self) -> i64 {
        self.slot
    }
}

impl Owner {
    /// Creates an owner that differs from all others, in this process and in other processes, even if a running machine
    /// was copied.
    #[must_use]
    pub fn unique() -> Self {
        // If the system has no source of randomness, fall back to the process's own generator.
        let random = getrandom::u64().unwrap_or_else(|_| fastrand::u64(..));
        Self::new(format!("{}-{random:016x}", std::process::id()))
    }
}
