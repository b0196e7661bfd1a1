//! Several locks in place of one, so that few keys share a lock.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;

use crate::sync::{Mutex, MutexGuard, lock};

const OTHERS: usize = 15;

/// The number of shards.
pub(crate) const SHARDS: usize = OTHERS + 1;

pub(crate) struct Shards<S> {
    /// The first shard. A key's hash selects its shard; this one always exists.
    first: Mutex<S>,
    others: [Mutex<S>; OTHERS],
    hasher: RandomState,
}

impl<S> Shards<S> {
    /// Creates the shards. `shard` receives the hasher for its map.
    pub(crate) fn new(shard: impl Fn(RandomState) -> S) -> Self {
        let hasher = RandomState::default();
        let shard = || Mutex::new(shard(hasher.clone()));
        Self { first: shard(), others: std::array::from_fn(|_| shard()), hasher }
    }

    /// Locks the shard of `key`.
    #[inline]
    pub(crate) fn of<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, S> {
        // The map itself uses these bits less than the others.
        let number = (self.hasher.hash_one(key) >> 32) as usize % SHARDS;
        lock(self.others.get(number).unwrap_or(&self.first))
    }

    /// Returns all shards, always in one order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Mutex<S>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}
