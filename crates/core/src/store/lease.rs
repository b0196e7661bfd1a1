use std::fmt;
use std::sync::Arc;

use super::RunId;

/// The right to write one run's journal, held by one owner at a time.
///
/// Cheap to clone. It says nothing about whether it is still held: the store refuses a write with a
/// token that is not the run's newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    run: RunId,
    token: u64,
    slot: i64,
}

impl Lease {
    /// A lease of `run`. Tokens grow with every new lease of a run; `slot` is the store's own, to find
    /// the run by.
    #[must_use]
    pub const fn new(run: RunId, token: u64, slot: i64) -> Self {
        Self { run, token, slot }
    }

    /// The run that it is for.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// The fencing token.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    /// What the store gave when it made the lease.
    #[must_use]
    pub const fn slot(&self) -> i64 {
        self.slot
    }
}

/// Who holds a lease: one execution of one run in one process.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// An owner of that name. Names of different owners must differ.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// An owner that no other process and no other run of this process is, also where a machine was copied while it
    /// ran.
    #[must_use]
    pub fn unique() -> Self {
        // Where the system has none, what the process has drawn since it began is the next best.
        let random = getrandom::u64().unwrap_or_else(|_| fastrand::u64(..));
        Self(format!("{}-{random:016x}", std::process::id()).into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({})", self.0)
    }
}
