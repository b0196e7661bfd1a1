//! A value for each key that somebody uses, for as long as somebody does.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// The values in use. Clones are the same values.
pub(crate) struct PerKey<K, T>(Arc<Values<K, T>>);

struct Values<K, T> {
    values: Mutex<HashMap<K, Value<T>>>,
    /// How many there are, for those who only want to know whether there are any.
    len: AtomicUsize,
}

struct Value<T> {
    value: Arc<T>,
    users: usize,
}

impl<K, T> Clone for PerKey<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> Default for PerKey<K, T> {
    fn default() -> Self {
        Self(Arc::new(Values { values: Mutex::new(HashMap::new()), len: AtomicUsize::new(0) }))
    }
}

impl<K: Eq + Hash + Clone, T> PerKey<K, T> {
    /// The value of `key`, made where nobody uses one.
    pub(crate) fn of(&self, key: K, make: impl FnOnce() -> T) -> InUse<K, T> {
        let mut values = lock(&self.0.values);
        let entry = values.entry(key.clone()).or_insert_with(|| Value { value: Arc::new(make()), users: 0 });
        entry.users += 1;
        let value = Arc::clone(&entry.value);
        self.0.len.store(values.len(), Ordering::Release);
        InUse { value, key, all: self.clone() }
    }

    /// What `look` says of the value of `key`, where somebody uses one.
    #[inline]
    pub(crate) fn peek<R>(&self, key: &K, look: impl FnOnce(&T) -> R) -> Option<R> {
        if self.0.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock(&self.0.values).get(key).map(|entry| look(&entry.value))
    }

    /// Lets those who come now have another value, where `which` says so of this one.
    pub(crate) fn retire(&self, key: &K, which: impl FnOnce(&T) -> bool) {
        let mut values = lock(&self.0.values);
        if values.get(key).is_some_and(|entry| which(&entry.value)) {
            values.remove(key);
            self.0.len.store(values.len(), Ordering::Release);
        }
    }

    /// Lets those who come now have other values, and tells `each` of these.
    pub(crate) fn drain(&self, each: impl Fn(&T)) {
        let mut values = lock(&self.0.values);
        values.drain().for_each(|(_, entry)| each(&entry.value));
        self.0.len.store(0, Ordering::Release);
    }

    /// How many keys are in use.
    pub(crate) fn len(&self) -> usize {
        self.0.len.load(Ordering::Acquire)
    }
}

impl<K: Eq + Hash + Clone, T> InUse<K, T> {
    /// Lets those who come now have another value.
    pub(crate) fn retire(&self) {
        self.all.retire(&self.key, |value| std::ptr::eq(value, &*self.value));
    }
}

/// A value in use. The last one to go takes it away.
pub struct InUse<K: Eq + Hash + Clone, T> {
    value: Arc<T>,
    key: K,
    all: PerKey<K, T>,
}

impl<K: Eq + Hash + Clone, T> Deref for InUse<K, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<K: Eq + Hash + Clone, T> Drop for InUse<K, T> {
    fn drop(&mut self) {
        let mut values = lock(&self.all.0.values);
        let Some(entry) = values.get_mut(&self.key) else { return };
        if !Arc::ptr_eq(&entry.value, &self.value) {
            return;
        }
        entry.users -= 1;
        if entry.users == 0 {
            values.remove(&self.key);
            self.all.0.len.store(values.len(), Ordering::Release);
        }
    }
}

impl<K, T> fmt::Debug for PerKey<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerKey").field("len", &self.0.len).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone, T> fmt::Debug for InUse<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUse").finish_non_exhaustive()
    }
}
