//! The keys in the record of a saga that has decided to undo.
//!
//! The saga finds its steps again by these keys, so a migration changes them together with the keys of the steps. Only
//! the saga's own crate knows the rest of the record, which stays unchanged.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use super::{Key, Payload};

/// The record of a saga that undoes its steps: its key is `undo`, possibly with a name, and it lists steps.
pub(super) struct Decision(BTreeMap<String, Box<RawValue>>);

/// The fields that hold the keys of steps.
const LISTS: [&str; 2] = ["steps", "in_doubt"];

impl Decision {
    /// Reads a record. Returns `None` if it is not such a decision.
    pub(super) fn read(key: &Key, payload: &Payload) -> Option<Self> {
        let last = key.rsplit('/').next().unwrap_or_default();
        if last != "undo" && !last.starts_with("undo ") && !last.starts_with("undo#") {
            return None;
        }
        let fields: BTreeMap<String, Box<RawValue>> = payload.decode().ok()?;
        let has_all = LISTS.iter().chain(&["cause"]).all(|name| fields.contains_key(*name));
        has_all.then_some(Self(fields))
    }

    /// Returns the decision with `change` applied to each key of a step.
    pub(super) fn changed(mut self, mut change: impl FnMut(&mut Key)) -> Payload {
        for name in LISTS {
            let Some(list) = self.0.get_mut(name) else { continue };
            let Ok(mut keys) = serde_json::from_str::<Vec<Key>>(list.get()) else { continue };
            keys.iter_mut().for_each(&mut change);
            if let Ok(changed) = to_raw_value(&keys) {
                *list = changed;
            }
        }
        // Fields that were read from JSON always have a JSON form.
        Payload::encode(&self.0).unwrap_or_else(|_| Payload::from_stored("null"))
    }
}
