//! A value for each key in use, for as long as a user keeps it.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;

use foldhash::fast::RandomState;

use crate::handle::handle;
use crate::shards::Shards;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, lock};

/// The values in use. Clones share them.
pub(crate) struct PerKey<K, T>(Arc<Values<K, T>>);

handle!(PerKey<K, T>, "len" = len);

struct Values<K, T> {
    shards: Shards<HashMap<K, Value<T>, RandomState>>,
    /// The number of values.
    len: AtomicUsize,
}

struct Value<T> {
    value: Arc<T>,
    users: usize,
}

impl<K, T> Default for PerKey<K, T> {
    fn default() -> Self {
        Self(Arc::new(Values { shards: Shards::new(HashMap::with_hasher), len: AtomicUsize::new(0) }))
    }
}

impl<K: Eq + Hash + Clone, T> PerKey<K, T> {
    /// Returns the value of `key`, and makes one if the key is not in use.
    pub(crate) fn of(&self, key: K, make: impl FnOnce() -> T) -> InUse<K, T> {
        let mut shard = self.0.shards.of(&key);
        let entry = shard.entry(key.clone()).or_insert_with(|| {
            self.0.len.fetch_add(1, Ordering::AcqRel);
            Value { value: Arc::new(make()), users: 0 }
        });
        entry.users += 1;
        let value = Arc::clone(&entry.value);
        drop(shard);
        InUse { value, key, all: self.clone() }
    }

    /// Runs `act` with the value of `key`, if the key is in use, and gives later users another value. No user can
    /// arrive while `act` runs.
    pub(crate) fn renew(&self, key: &K, act: impl FnOnce(Option<&T>)) {
        let mut shard = self.0.shards.of(key);
        act(shard.get(key).map(|entry| &*entry.value));
        if shard.remove(key).is_some() {
            self.0.len.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Does so for all keys: calls `each` with every value in use, and then `act`.
    pub(crate) fn renew_all(&self, each: impl Fn(&T), act: impl FnOnce()) {
        let mut shards: Vec<_> = self.0.shards.all().map(lock).collect();
        for (_, entry) in shards.iter_mut().flat_map(|shard| shard.drain()) {
            self.0.len.fetch_sub(1, Ordering::AcqRel);
            each(&entry.value);
        }
        act();
    }

    fn remove(&self, key: &K, which: impl FnOnce(&mut Value<T>) -> bool) {
        let mut shard = self.0.shards.of(key);
        if shard.get_mut(key).is_some_and(which) {
            shard.remove(key);
            self.0.len.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl<K, T> PerKey<K, T> {
    /// Returns the number of keys in use.
    pub(crate) fn len(&self) -> usize {
        self.0.len.load(Ordering::Acquire)
    }
}

/// A value in use. Dropping the last one removes the value.
pub(crate) struct InUse<K: Eq + Hash + Clone, T> {
    value: Arc<T>,
    key: K,
    all: PerKey<K, T>,
}

impl<K: Eq + Hash + Clone, T> InUse<K, T> {
    /// Gives later users another value.
    pub(crate) fn retire(&self) {
        self.all.remove(&self.key, |entry| Arc::ptr_eq(&entry.value, &self.value));
    }
}

impl<K: Eq + Hash + Clone, T> Deref for InUse<K, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<K: Eq + Hash + Clone, T> Drop for InUse<K, T> {
    fn drop(&mut self) {
        self.all.remove(&self.key, |entry| {
            if !Arc::ptr_eq(&entry.value, &self.value) {
                return false;
            }
            entry.users -= 1;
            entry.users == 0
        });
    }
}

impl<K: Eq + Hash + Clone, T> fmt::Debug for InUse<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUse").finish_non_exhaustive()
    }
}
