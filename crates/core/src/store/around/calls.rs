use std::fmt;
use std::ops::BitOr;

use super::super::RunId;
use super::super::table::calls;
use crate::journal::Key;

macro_rules! kinds {
    ($($trait:ident { $($Call:ident $name:ident ($($args:tt)*) -> $answer:ty;)* })*) => {
        /// The kind of a store call: a method of [`Store`](crate::store::Store), [`Operate`](crate::store::Operate),
        /// [`Dispatch`](crate::store::Dispatch) or [`Transactional`](crate::store::Transactional) that can fail, or the method
        /// [`release`](crate::store::Store::release).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is named for the call that it is")]
        pub enum Call {
            $($($Call,)*)*
            Begin,
            Commit,
            Release,
        }

        impl Call {
            const ALL: &[Self] = &[$($(Self::$Call,)*)* Self::Begin, Self::Commit, Self::Release];

            /// Returns the name of the method.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$Call => stringify!($name),)*)*
                    Self::Begin => "begin",
                    Self::Commit => "commit",
                    Self::Release => "release",
                }
            }
        }
    };
}

calls!(kinds);

impl Call {
    /// Selects the calls of this kind about one run.
    ///
    /// ```
    /// use awaitly_core::store::RunId;
    /// use awaitly_core::store::around::Call;
    ///
    /// let order = RunId::new("order-42").unwrap();
    /// let appends = Call::Append.run(order.clone());
    /// assert_eq!(appends.to_string(), "append in run `order-42`");
    /// assert!(appends.include(Call::Append, Some(&order), None));
    /// ```
    #[must_use]
    pub fn run(self, run: RunId) -> Calls {
        Calls::from(self).run(run)
    }

    /// Selects the calls of this kind about one key.
    #[must_use]
    pub fn key(self, key: impl Into<Key>) -> Calls {
        Calls::from(self).key(key)
    }

    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

impl fmt::Display for Call {
    /// Writes the name of the method.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<C: Into<Calls>> BitOr<C> for Call {
    type Output = Calls;

    fn bitor(self, other: C) -> Calls {
        Calls::from(self) | other
    }
}

/// A selection of store calls: some kinds of calls, restricted to one run or key if the selection names one.
///
/// ```
/// use awaitly_core::store::around::{Call, Calls};
///
/// let charges = Calls::WRITES.key("charge");
/// // The records of two steps, and the end of the run, which has no key.
/// let some = Call::Append.key("reserve") | Call::Append.key("charge") | Call::Finish;
/// assert_eq!(some.to_string(), "append of `reserve`, append of `charge`, finish");
/// # assert!(some != charges);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    first: Kinds,
    others: Vec<Kinds>,
}

/// Several kinds of calls with one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kinds {
    /// One bit per kind.
    bits: u64,
    run: Option<RunId>,
    key: Option<Key>,
}

const WRITES: u64 = Call::Append.bit()
    | Call::Replace.bit()
    | Call::Wait.bit()
    | Call::Settle.bit()
    | Call::Revive.bit()
    | Call::Rewrite.bit()
    | Call::Restart.bit()
    | Call::Receive.bit()
    | Call::Publish.bit()
    | Call::Commit.bit()
    | Call::Finish.bit();

impl Calls {
    /// All calls.
    pub const ALL: Self = Self::of(u64::MAX);

    /// The calls with which a run writes its journal, without the calls that take, renew or release its lease.
    pub const WRITES: Self = Self::of(WRITES);

    /// The calls that carry a lease and have an answer.
    pub const FENCED: Self = Self::of(WRITES | Call::Renew.bit());

    /// The calls that change no data.
    pub const READS: Self = Self::of(
        Call::Load.bit()
            | Call::List.bit()
            | Call::Waiting.bit()
            | Call::Due.bit()
            | Call::Now.bit()
            | Call::Queues.bit()
            | Call::Headers.bit()
            | Call::Standing.bit()
            | Call::Published.bit()
            | Call::Stream.bit()
            | Call::Schedules.bit(),
    );

    /// The calls that hand one record to the store.
    pub const RECORDS: Self =
        Self::of(Call::Append.bit() | Call::Replace.bit() | Call::Settle.bit() | Call::Commit.bit());

    const fn of(bits: u64) -> Self {
        Self { first: Kinds { bits, run: None, key: None }, others: Vec::new() }
    }

    /// Restricts the selection to one run. The result selects no calls if the selection already has another run.
    #[must_use]
    pub fn run(self, run: RunId) -> Self {
        self.narrowed(&Kinds { bits: u64::MAX, run: Some(run), key: None })
    }

    /// Restricts the selection to calls about one key: a record, a waiting entry or an answer. The result selects no
    /// calls if the selection already has another key.
    ///
    /// ```
    /// use awaitly_core::store::around::Calls;
    ///
    /// let charges = Calls::RECORDS.key("charge");
    /// assert_eq!(charges.to_string(), "append or replace or settle or commit of `charge`");
    /// // A second key would select no calls: use `|` for one key or the other.
    /// assert_eq!(charges.key("ship").to_string(), "none of `charge`");
    /// ```
    #[must_use]
    pub fn key(self, key: impl Into<Key>) -> Self {
        self.narrowed(&Kinds { bits: u64::MAX, run: None, key: Some(key.into()) })
    }

    fn narrowed(mut self, asked: &Kinds) -> Self {
        self.each_mut().for_each(|kinds| kinds.narrow(asked));
        self
    }

    fn each(&self) -> impl Iterator<Item = &Kinds> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut Kinds> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    fn bits(&self) -> u64 {
        self.each().fold(0, |bits, kinds| bits | kinds.bits)
    }

    /// Returns whether the two selections share a kind of call. The runs and keys of the selections do not count.
    ///
    /// ```
    /// use awaitly_core::store::around::{Call, Calls};
    ///
    /// assert!(Calls::WRITES.overlap(&Call::Append.into()));
    /// assert!(!Calls::WRITES.overlap(&Calls::READS));
    /// ```
    #[must_use]
    pub fn overlap(&self, others: &Self) -> bool {
        self.bits() & others.bits() != 0
    }

    /// Selects all calls whose kind is not in `others`. The runs and keys of `others` do not count.
    ///
    /// ```
    /// use awaitly_core::store::around::{Call, Calls};
    ///
    /// let counted = Calls::all_but(&Calls::from(Call::Renew));
    /// assert!(counted.include(Call::Append, None, None));
    /// assert!(!counted.include(Call::Renew, None, None));
    /// ```
    #[must_use]
    pub fn all_but(others: &Self) -> Self {
        Self::of(!others.bits())
    }

    /// Returns whether the selection contains a call of this kind about this run and this key. `None` stands for a call
    /// that is not about exactly one run or key, so a selection with a run or a key does not contain it.
    ///
    /// ```
    /// use awaitly_core::journal::Key;
    /// use awaitly_core::store::around::{Call, Calls};
    ///
    /// let charges = Calls::WRITES.key("charge");
    /// assert!(charges.include(Call::Append, None, Some(&Key::from("charge"))));
    /// assert!(!charges.include(Call::Finish, None, None)); // this call is not about one key
    /// ```
    #[must_use]
    pub fn include(&self, call: Call, run: Option<&RunId>, key: Option<&Key>) -> bool {
        self.each().any(|kinds| kinds.include(call, run, key))
    }
}

impl Kinds {
    /// Keeps only the kinds that `asked` contains too, and adds its condition.
    fn narrow(&mut self, asked: &Self) {
        let bits = self.bits & asked.bits;
        self.bits = if differ(&self.run, &asked.run) || differ(&self.key, &asked.key) { 0 } else { bits };
        self.run = self.run.take().or_else(|| asked.run.clone());
        self.key = self.key.take().or_else(|| asked.key.clone());
    }

    const fn condition(&self) -> (Option<&RunId>, Option<&Key>) {
        (self.run.as_ref(), self.key.as_ref())
    }

    fn include(&self, call: Call, run: Option<&RunId>, key: Option<&Key>) -> bool {
        self.bits & call.bit() != 0
            && self.run.as_ref().is_none_or(|asked| Some(asked) == run)
            && self.key.as_ref().is_none_or(|asked| Some(asked) == key)
    }

    fn name(&self) -> String {
        let kinds: Vec<_> =
            Call::ALL.iter().filter(|call| self.bits & call.bit() != 0).map(Call::to_string).collect();
        match kinds.len() {
            0 => "none".to_owned(),
            all if all == Call::ALL.len() => "any call".to_owned(),
            _ => kinds.join(" or "),
        }
    }
}

/// Returns whether two conditions exclude each other.
fn differ<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
    one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| one != other)
}

impl From<Call> for Calls {
    fn from(call: Call) -> Self {
        Self::of(call.bit())
    }
}

impl<C: Into<Self>> BitOr<C> for Calls {
    type Output = Self;

    /// Selects the calls of both sides, each under its own condition.
    fn bitor(mut self, other: C) -> Self {
        let Self { first, others } = other.into();
        for kinds in std::iter::once(first).chain(others) {
            if let Some(known) = self.each_mut().find(|known| known.condition() == kinds.condition()) {
                known.bits |= kinds.bits;
                continue;
            }
            self.others.push(kinds);
        }
        self
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, kinds) in self.each().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{kinds}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, " of `{key}`"))?;
        self.run.as_ref().map_or(Ok(()), |run| write!(f, " in run `{run}`"))
    }
}
