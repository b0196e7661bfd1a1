use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EncodeError;

/// A short hash of a value, equal for equal values on every machine and in every version.
///
/// It is taken over the value's JSON form with the entries of every object in the order of their
/// names, so that two hash maps with the same entries have the same fingerprint. The hash is FNV-1a
/// with 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv): it finds changes, and is no protection against
/// somebody who wants two values to collide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of `value`.
    ///
    /// # Errors
    /// [`EncodeError`] where the value has no JSON form.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let value = serde_json::to_value(value).map_err(EncodeError::new::<T>)?;
        let mut hash = Fnv::new();
        hash.value(&value);
        Ok(Self(hash.0))
    }

    /// The fingerprint as a number, for a store to keep.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The fingerprint that [`to_bits`](Self::to_bits) gave.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:016x})", self.0)
    }
}

/// FNV-1a over a canonical walk of a JSON value. Each part begins with a tag, and text and lists with
/// their length, so that no two values are walked alike.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn text(&mut self, tag: u8, text: &str) {
        self.length(tag, text.len());
        self.bytes(text.as_bytes());
    }

    fn length(&mut self, tag: u8, length: usize) {
        self.bytes(&[tag]);
        self.bytes(&(length as u64).to_le_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"n"),
            Value::Bool(value) => self.bytes(if *value { b"t" } else { b"f" }),
            Value::Number(number) => self.text(b'd', &number.to_string()),
            Value::String(text) => self.text(b's', text),
            Value::Array(items) => {
                self.length(b'a', items.len());
                items.iter().for_each(|item| self.value(item));
            }
            // Sorted here: the map keeps its own order when some crate in the tree asks serde_json to.
            Value::Object(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_unstable_by_key(|(name, _)| *name);
                self.length(b'o', entries.len());
                for (name, value) in entries {
                    self.text(b'k', name);
                    self.value(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_order_of_a_map_does_not_matter() {
        let forward: HashMap<_, _> = (0..50).map(|i| (format!("k{i}"), i)).collect();
        let backward: HashMap<_, _> = (0..50).rev().map(|i| (format!("k{i}"), i)).collect();
        assert_eq!(Fingerprint::of(&forward).unwrap(), Fingerprint::of(&backward).unwrap());
    }

    #[test]
    fn values_that_differ_in_structure_differ_in_fingerprint() {
        let mut seen = std::collections::HashSet::new();
        for json in
            ["null", "[]", "{}", "\"\"", "0", "[[]]", "[[],[]]", "[\"a\",\"b\"]", "[\"ab\"]", "{\"a\":\"b\"}"]
        {
            let value: Value = serde_json::from_str(json).unwrap();
            assert!(seen.insert(Fingerprint::of(&value).unwrap()), "{json}");
        }
    }

    #[test]
    fn the_fingerprint_of_a_value_never_changes() {
        // Journals hold this number: a different one would make every recorded input look changed.
        let value = serde_json::json!({"sku": "tea", "count": 2, "gift": null});
        assert_eq!(Fingerprint::of(&value).unwrap().to_bits(), 0xe994_f4d8_9f8c_668f);
    }
}
