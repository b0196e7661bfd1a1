//! Values of awkward types, and whether a journal can keep them.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The value of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Number(u64),
    Unit,
    Wide(u128),
    Float(f64),
    MaybeFloat(Option<f64>),
    Floats(f64),
    Nested(Option<u8>),
    Text(&'static str),
    /// Text above the limit of a journal.
    Huge,
    /// A map whose keys are pairs.
    Pairs(u8),
    Tagged(u128),
    Untagged(u128),
    /// A map with numbers as keys, flattened.
    Flattened(u8),
    /// `Serialize` works and `Deserialize` fails.
    OneWay,
    /// A field that is not serialised and has no default.
    Skipped(u8),
    /// Nested so many times.
    Deep(u8),
}

/// Whether a journal can keep a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

impl Value {
    /// Some values take longer than others, so they are drawn seldom.
    pub(crate) const AWKWARD: &[Self] = &[
        Self::Unit,
        Self::Wide(u128::MAX),
        Self::Float(0.1),
        Self::Float(f64::NAN),
        Self::MaybeFloat(None),
        Self::MaybeFloat(Some(1.5)),
        Self::MaybeFloat(Some(f64::NAN)),
        Self::Floats(f64::INFINITY),
        Self::Floats(2.5),
        Self::Nested(Some(7)),
        Self::Nested(None),
        Self::Text(""),
        Self::Text("null"),
        Self::Text("größe 42 € \u{0} \u{2067} \u{1F980}"),
        Self::Pairs(1),
        Self::Tagged(3),
        Self::Tagged(u128::MAX),
        Self::Untagged(4),
        Self::Untagged(u128::MAX),
        Self::Flattened(2),
        Self::OneWay,
        Self::Skipped(5),
        Self::Deep(20),
        Self::Deep(200),
    ];
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub(crate) enum Tagged {
    Wide { number: u128 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Untagged {
    Wide(u128),
    Text(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flattened {
    name: u8,
    #[serde(flatten)]
    rest: BTreeMap<u32, u8>,
}

impl Flattened {
    pub(crate) fn new(number: u8) -> Self {
        Self { name: number, rest: BTreeMap::from([(u32::from(number), number)]) }
    }
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct OneWay(pub(crate) u8);

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("it does not come back"))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Skipped {
    here: u8,
    #[serde(skip_serializing)]
    #[expect(dead_code, reason = "its `Debug` form is read")]
    gone: u8,
}

impl Skipped {
    pub(crate) const fn new(gone: u8) -> Self {
        Self { here: 1, gone }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Deep {
    inner: Option<Box<Self>>,
}

impl Deep {
    pub(crate) fn new(levels: u8) -> Self {
        (0..levels).fold(Self { inner: None }, |inner, _| Self { inner: Some(Box::new(inner)) })
    }
}

/// Calls `$body` with the value in its own type.
macro_rules! typed {
    ($value:expr, $typed:ident => $body:expr) => {
        $crate::value::typed!(@ $value, $typed => $body;
            Number(value) => value,
            Unit => (),
            Wide(value) => value,
            Float(value) => value,
            MaybeFloat(value) => value,
            Floats(value) => vec![Some(value)],
            Nested(value) => value.map(Some),
            Text(value) => value.to_owned(),
            Huge => "x".repeat(17 << 20),
            Pairs(value) => std::collections::BTreeMap::from([((value, value), value)]),
            Tagged(number) => $crate::value::Tagged::Wide { number },
            Untagged(value) => $crate::value::Untagged::Wide(value),
            Flattened(value) => $crate::value::Flattened::new(value),
            OneWay => $crate::value::OneWay(1),
            Skipped(gone) => $crate::value::Skipped::new(gone),
            Deep(levels) => $crate::value::Deep::new(levels),
        )
    };
    (@ $value:expr, $typed:ident => $body:expr; $($kind:ident $(($inner:ident))? => $in_type:expr,)+) => {
        match $value {
            $($crate::value::Value::$kind $(($inner))? => {
                let $typed = $in_type;
                $body
            })+
        }
    };
}
pub(crate) use typed;

/// Returns a hash of a value of any type.
pub(crate) fn digest(value: &impl fmt::Debug) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    // Writing into a hash cannot fail.
    let _ = write!(hash, "{value:?}");
    hash.0
}

/// Returns the digest of a sequence, extended by the next element.
pub(crate) const fn mix(so_far: u64, next: u64) -> u64 {
    (so_far.rotate_left(5) ^ next).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
