use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::EncodeError;
use super::canonical::Canonical;

/// A short hash of a value. Equal values have equal fingerprints on every machine and in every version.
///
/// The hash covers the value's JSON form, with the entries of each object sorted by name and the elements of a
/// `HashSet` in a canonical order, so equal maps and equal sets have equal fingerprints. The hash is FNV-1a with 64
/// bits (Fowler, Noll, Vo; draft-eastlake-fnv): it detects changes, but does not protect against deliberate collisions.
///
/// In JSON, a fingerprint is text of 16 hexadecimal digits, because many programs read numbers as doubles, which hold
/// only 53 bits. A bare number, as older versions wrote it, is read too. Binary formats hold the number.
///
/// ```
/// use std::collections::HashMap;
///
/// use awaitly_core::journal::Fingerprint;
///
/// let cart = Fingerprint::of(&HashMap::from([("tea", 2), ("mug", 1)])).unwrap();
/// assert_eq!(cart, Fingerprint::of(&HashMap::from([("mug", 1), ("tea", 2)])).unwrap());
/// assert_ne!(cart, Fingerprint::of(&HashMap::from([("tea", 2)])).unwrap());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Returns the fingerprint of `value`.
    ///
    /// # Errors
    /// Returns [`EncodeError`] if the value has no JSON form, or holds a number that is not finite.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        Canonical::of(value).map(|value| Self(Fnv::of(&value)))
    }

    /// Returns the fingerprint as a number, for a store to keep.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the fingerprint for a number from [`to_bits`](Self::to_bits).
    ///
    /// ```
    /// use awaitly_core::journal::Fingerprint;
    ///
    /// let fingerprint = Fingerprint::of("tea").unwrap();
    /// let column = fingerprint.to_bits().cast_signed(); // for a database with signed numbers
    /// assert_eq!(Fingerprint::from_bits(column.cast_unsigned()), fingerprint);
    /// ```
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

/// FNV-1a over a canonical walk of a JSON value. Each part begins with a tag, and text and lists also with their
/// length, so different values never feed equal bytes to the hash.
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

    fn of(value: &Canonical) -> u64 {
        let mut hash = Self::new();
        hash.value(value);
        hash.0
    }

    fn value(&mut self, value: &Canonical) {
        match value {
            Canonical::Null => self.bytes(b"n"),
            Canonical::Bool(value) => self.bytes(if *value { b"t" } else { b"f" }),
            Canonical::Number(digits) => self.text(b'd', digits),
            Canonical::Text(text) => self.text(b's', text),
            Canonical::List(items) => {
                self.length(b'a', items.len());
                items.iter().for_each(|item| self.value(item));
            }
            Canonical::Set(items) => {
                self.length(b'u', items.len());
                let mut hashes: Vec<_> = items.iter().map(Self::of).collect();
                hashes.sort_unstable();
                hashes.into_iter().for_each(|hash| self.bytes(&hash.to_le_bytes()));
            }
            Canonical::Map(entries) => {
                // `serde(flatten)` can write two entries with one name; the last entry counts.
                let entries: BTreeMap<_, _> = entries.iter().map(|(name, value)| (name, value)).collect();
                self.length(b'o', entries.len());
                for (name, value) in entries {
                    self.text(b'k', name);
                    self.value(value);
                }
            }
        }
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&format_args!("{:016x}", self.0))
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Readable)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

/// Reads both forms that JSON documents use.
struct Readable;

impl<'de> Visitor<'de> for Readable {
    type Value = Fingerprint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("16 hexadecimal digits, or a number of 64 bits")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Fingerprint, E> {
        Ok(Fingerprint(number))
    }

    /// Reads a number if a crate in the program enables serde_json's `arbitrary_precision`.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fingerprint, A::Error> {
        let number = serde_json::Number::deserialize(MapAccessDeserializer::new(map))?;
        number.as_u64().map(Fingerprint).ok_or_else(|| A::Error::custom("the number has no 64 bits"))
    }

    fn visit_str<E: Error>(self, digits: &str) -> Result<Fingerprint, E> {
        u64::from_str_radix(digits, 16).map(Fingerprint).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    #[test]
    fn order_of_a_map_does_not_matter() {
        let forward: HashMap<_, _> = (0..50).map(|i| (format!("k{i}"), i)).collect();
        let backward: HashMap<_, _> = (0..50).rev().map(|i| (format!("k{i}"), i)).collect();
        assert_eq!(Fingerprint::of(&forward).unwrap(), Fingerprint::of(&backward).unwrap());
    }

    #[test]
    fn equal_sets_have_one_fingerprint() {
        let forward: HashSet<u32> = (0..50).collect();
        let backward: HashSet<u32> = (0..50).rev().collect();
        assert_eq!(Fingerprint::of(&forward).unwrap(), Fingerprint::of(&backward).unwrap());
        assert_ne!(Fingerprint::of(&vec![1, 2]).unwrap(), Fingerprint::of(&vec![2, 1]).unwrap());
    }

    #[test]
    fn fingerprint_serializes_as_hex_and_reads_older_numbers() {
        let fingerprint = Fingerprint::from_bits(u64::MAX - 1);
        assert_eq!(serde_json::to_string(&fingerprint).unwrap(), r#""fffffffffffffffe""#);
        for json in [r#""fffffffffffffffe""#, "18446744073709551614"] {
            assert_eq!(serde_json::from_str::<Fingerprint>(json).unwrap(), fingerprint);
        }
        assert!(serde_json::from_str::<Fingerprint>(r#""no digits""#).is_err());
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
    fn fingerprint_of_a_value_never_changes() {
        // Journals hold this number: another value would make every recorded input look changed.
        let value = serde_json::json!({"sku": "tea", "count": 2, "gift": null});
        assert_eq!(Fingerprint::of(&value).unwrap().to_bits(), 0xe994_f4d8_9f8c_668f);
    }
}
