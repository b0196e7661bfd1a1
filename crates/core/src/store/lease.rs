use super::{Owner, RunId};

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

impl Owner {
    /// An owner that no other process and no other run of this process is, also where a machine was copied while it
    /// ran.
    #[must_use]
    pub fn unique() -> Self {
        // Where the system has none, what the process has drawn since it began is the next best.
        let random = getrandom::u64().unwrap_or_else(|_| fastrand::u64(..));
        Self::new(format!("{}-{random:016x}", std::process::id()))
    }
}
