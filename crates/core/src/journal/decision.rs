//! The keys that a saga records when it decides to undo.
//!
//! The saga finds its steps again by these keys, so they change with the keys of the steps. The saga's own crate knows the
//! rest of the record.

use serde_json::Value;

use super::{Key, Payload};

/// The record of a saga that is being undone: its key is `undo`, maybe with a name, and it lists steps.
pub(super) struct Decision(serde_json::Map<String, Value>);

/// The fields that hold keys of steps.
const LISTS: [&str; 2] = ["steps", "in_doubt"];

impl Decision {
    /// Reads a record. `None`: it is no such decision.
    pub(super) fn read(key: &Key, payload: &Payload) -> Option<Self> {
        let last = key.rsplit('/').next().unwrap_or_default();
        if last != "undo" && !last.starts_with("undo ") && !last.starts_with("undo#") {
            return None;
        }
        let Ok(Value::Object(fields)) = payload.decode::<Value>() else { return None };
        let has_lists = LISTS.iter().all(|name| fields.get(*name).is_some_and(Value::is_array));
        (has_lists && fields.contains_key("cause")).then_some(Self(fields))
    }

    /// The decision, with each key of a step changed.
    pub(super) fn changed(mut self, mut change: impl FnMut(&mut Key)) -> Payload {
        for name in LISTS {
            let Some(Value::Array(texts)) = self.0.get_mut(name) else { continue };
            for text in texts {
                if let Value::String(text) = text {
                    let mut key = Key::from(std::mem::take(text));
                    change(&mut key);
                    *text = key.to_string();
                }
            }
        }
        // What was read from JSON has a JSON form.
        Payload::encode(&self.0).unwrap_or_else(|_| Payload::from_stored("null"))
    }
}
