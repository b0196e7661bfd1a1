use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use foldhash::fast::RandomState;

use super::{AdaptiveThrottle, OnlyTimeouts, Options, Stats};
use crate::sync::{Arc, Mutex, lock};

/// Throttles by key: a limit and pauses of its own for each. Made with [`Options::keyed`]. Cheap to clone; clones are
/// the same throttles.
///
/// Where there are more keys than it is to remember, those are forgotten that are not paused and have no calls; they
/// begin anew when they come back.
#[doc = include_str!("../waiters.md")]
pub struct KeyedAdaptiveThrottle<K, J = OnlyTimeouts>(Arc<OfKeys<K, J>>);

struct OfKeys<K, J> {
    options: Options<J>,
    throttles: Mutex<Throttles<K, J>>,
}

struct Throttles<K, J> {
    of: HashMap<K, AdaptiveThrottle<J>, RandomState>,
    capacity: usize,
    /// At how many to forget some.
    full: usize,
}

impl<K: Eq + Hash, J: Clone> KeyedAdaptiveThrottle<K, J> {
    pub(super) fn from_options(options: Options<J>, capacity: usize) -> Self {
        let of = HashMap::with_hasher(RandomState::default());
        let throttles = Mutex::new(Throttles { of, capacity, full: capacity });
        Self(Arc::new(OfKeys { options, throttles }))
    }

    /// The throttle of that key.
    pub fn key(&self, key: K) -> AdaptiveThrottle<J> {
        let mut throttles = lock(&self.0.throttles);
        if let Some(throttle) = throttles.of.get(&key) {
            return throttle.clone();
        }
        throttles.make_room();
        let throttle = self.0.options.clone().build();
        throttles.of.insert(key, throttle.clone());
        throttle
    }

    /// How many keys it remembers.
    #[must_use]
    pub fn keys(&self) -> usize {
        lock(&self.0.throttles).of.len()
    }
}

impl<K: Eq + Hash, J> Throttles<K, J> {
    fn make_room(&mut self) {
        if self.of.len() < self.full {
            return;
        }
        self.of.retain(|_, throttle| {
            let Stats { running, waiting, paused, .. } = throttle.stats();
            // Who has a handle on it may be about to call.
            Arc::strong_count(&throttle.0) > 1 || running + waiting > 0 || paused.is_some()
        });
        // Where all of them are busy, they are not looked at again before there are twice as many.
        self.full = self.capacity.max(self.of.len() * 2);
    }
}

impl<K, J> Clone for KeyedAdaptiveThrottle<K, J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, J> fmt::Debug for KeyedAdaptiveThrottle<K, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedAdaptiveThrottle").finish_non_exhaustive()
    }
}
