use std::fmt;
use std::ops::BitOr;

use awaitly_core::journal::Key;
use awaitly_core::store::RunId;

/// What a store is asked: the calls of [`Store`](awaitly_core::store::Store),
/// [`Operate`](awaitly_core::store::Operate) and [`Transactional`](awaitly_core::store::Transactional) that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is named for the call that it is")]
pub enum Call {
    Open,
    Append,
    Replace,
    Wait,
    Settle,
    Revive,
    Rewrite,
    Finish,
    Renew,
    Release,
    Load,
    List,
    Waiting,
    Due,
    Answer,
    Cancel,
    Delete,
    Import,
    Now,
    Begin,
    Commit,
}

impl Call {
    /// Those of them that are about this run.
    #[must_use]
    pub fn run(self, run: RunId) -> Calls {
        Calls::from(self).run(run)
    }

    /// Those of them that are about this key.
    #[must_use]
    pub fn key(self, key: impl Into<Key>) -> Calls {
        Calls::from(self).key(key)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Call {
    /// The name of the method.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

impl<C: Into<Calls>> BitOr<C> for Call {
    type Output = Calls;

    fn bitor(self, other: C) -> Calls {
        Calls::from(self) | other
    }
}

/// Which calls of a store: some kinds of them, of one run or key only where that is said.
///
/// ```
/// use awaitly_testing::fault::{Call, Calls};
///
/// let ends = Call::Append | Call::Finish;
/// let charges = Calls::WRITES.key("charge");
/// # assert!(ends != charges);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    kinds: u32,
    run: Option<RunId>,
    key: Option<Key>,
}

const WRITES: u32 = Call::Append.bit()
    | Call::Replace.bit()
    | Call::Wait.bit()
    | Call::Settle.bit()
    | Call::Revive.bit()
    | Call::Rewrite.bit()
    | Call::Commit.bit()
    | Call::Finish.bit();

impl Calls {
    /// Every call.
    pub const ALL: Self = Self::of(u32::MAX);

    /// The calls with which a run writes its journal: not those that take, renew or give back its lease.
    pub const WRITES: Self = Self::of(WRITES);

    /// The calls that carry a lease, and are answered.
    pub(super) const FENCED: Self = Self::of(WRITES | Call::Renew.bit());

    /// The calls that change nothing.
    pub const READS: Self = Self::of(
        Call::Load.bit() | Call::List.bit() | Call::Waiting.bit() | Call::Due.bit() | Call::Now.bit(),
    );

    /// The calls that hand over one record.
    pub(super) const RECORDS: Self =
        Self::of(Call::Append.bit() | Call::Replace.bit() | Call::Settle.bit() | Call::Commit.bit());

    const fn of(kinds: u32) -> Self {
        Self { kinds, run: None, key: None }
    }

    /// Those of them that are about this run.
    #[must_use]
    pub fn run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// Those of them that are about this key: a record, an entry that waits, an answer.
    #[must_use]
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) const fn has(&self, call: Call) -> bool {
        self.kinds & call.bit() != 0
    }

    pub(super) const fn overlap(&self, others: &Self) -> bool {
        self.kinds & others.kinds != 0
    }

    /// All kinds but these.
    pub(super) const fn all_but(others: &Self) -> Self {
        Self::of(!others.kinds)
    }

    pub(super) fn are_about(&self, run: Option<&RunId>, key: Option<&Key>) -> bool {
        self.run.as_ref().is_none_or(|asked| Some(asked) == run)
            && self.key.as_ref().is_none_or(|asked| Some(asked) == key)
    }
}

impl From<Call> for Calls {
    fn from(call: Call) -> Self {
        Self::of(call.bit())
    }
}

impl<C: Into<Self>> BitOr<C> for Calls {
    type Output = Self;

    /// Calls of either kind. A run or key that one side names counts for all of them.
    fn bitor(self, other: C) -> Self {
        let Self { kinds, run, key } = other.into();
        Self { kinds: self.kinds | kinds, run: self.run.or(run), key: self.key.or(key) }
    }
}
