//! Several locks in place of one, so that few keys share a lock.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;

use crate::sync::{Mutex, MutexGuard, lock};

const OTHERS: usize = 15;

/// How many shards there are.
pub(crate) const SHARDS: usize = OTHERS + 1;

pub(crate) struct Shards<S> {
    /// A key's hash says which shard it is in. There is at least this one.
    first: Mutex<S>,
    others: [Mutex<S>; OTHERS],
    hasher: RandomState,
}

impl<S> Shards<S> {
    /// Creates shards; their maps hash with the hasher that `shard` gets.
    pub(crate) fn new(shard: impl Fn(RandomState) -> S) -> Self {
        let hasher = RandomState::default();
        let shard = || Mutex::new(shard(hasher.clone()));
        Self { first: shard(), others: std::array::from_fn(|_| shard()), hasher }
    }

    /// Locks the shard of `key`.
    #[inline]
    pub(crate) fn of<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, S> {
        // Bits that the map itself makes less of.
        let number = (self.hasher.hash_one(key) >> 32) as usize % SHARDS;
        lock(self.others.get(number).unwrap_or(&self.first))
    }

    /// All shards, always in the same order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Mutex<S>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}
