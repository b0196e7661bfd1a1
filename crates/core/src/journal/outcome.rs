use std::any::type_name;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::canonical::Canonical;
use super::{Fingerprint, Key};

/// One entry of a journal: the outcome of a step under its key.
///
/// ```
/// use awaitly_core::journal::{Outcome, Payload, Record};
///
/// let outcome = Outcome::Value(Payload::encode(&4200).unwrap());
/// let record = Record { key: "charge".into(), outcome, input: None };
/// assert_eq!(serde_json::to_string(&record).unwrap(), r#"{"key":"charge","outcome":{"value":4200}}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The step's key, unique in its run.
    pub key: Key,
    /// The outcome of the step.
    pub outcome: Outcome,
    /// The fingerprint of the step's input, if the step has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Fingerprint>,
}

/// The recorded form of a step's or a run's result.
///
/// ```
/// use awaitly_core::RunError;
/// use awaitly_core::journal::{Outcome, Payload};
///
/// /// Returns the reason why a step has no value.
/// fn reason(outcome: &Outcome) -> Option<String> {
///     match outcome {
///         Outcome::Value(_) => None,
///         Outcome::Failed(error) => Some(error.as_str().to_owned()),
///         Outcome::Stopped(error) => error.decode().ok().map(|error: RunError| error.to_string()),
///     }
/// }
///
/// let declined = Outcome::Failed(Payload::encode("declined").unwrap());
/// assert_eq!(reason(&declined).unwrap(), r#""declined""#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The value.
    Value(Payload),
    /// The step's or the run's own error.
    Failed(Payload),
    /// A [`RunError`](crate::RunError): a timeout, a refusal, a panic.
    Stopped(Payload),
}

impl Outcome {
    /// Creates an outcome from the two columns that a store keeps.
    ///
    /// ```
    /// use awaitly_core::journal::{Kind, Outcome, Payload};
    ///
    /// /// Reads a row of the table of records.
    /// fn outcome(kind: u8, payload: &str) -> Option<Outcome> {
    ///     Some(Outcome::from_parts(Kind::from_number(kind)?, Payload::from_stored(payload)))
    /// }
    ///
    /// assert_eq!(outcome(0, "4200").unwrap().payload().decode(), Ok(4200));
    /// assert_eq!(outcome(9, "4200"), None);
    /// ```
    #[must_use]
    pub const fn from_parts(kind: Kind, payload: Payload) -> Self {
        match kind {
            Kind::Value => Self::Value(payload),
            Kind::Failed => Self::Failed(payload),
            Kind::Stopped => Self::Stopped(payload),
        }
    }

    /// Returns the kind of the outcome.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Value(_) => Kind::Value,
            Self::Failed(_) => Kind::Failed,
            Self::Stopped(_) => Kind::Stopped,
        }
    }

    /// Returns the value or error.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        match self {
            Self::Value(payload) | Self::Failed(payload) | Self::Stopped(payload) => payload,
        }
    }

    /// Returns the value or error, for changes.
    ///
    /// ```
    /// use awaitly_core::journal::{Outcome, Payload};
    ///
    /// let mut outcome = Outcome::Value(Payload::encode("4111 1111 1111 1111").unwrap());
    /// *outcome.payload_mut() = Payload::encode("(removed)").unwrap();
    /// assert_eq!(outcome.payload().as_str(), r#""(removed)""#);
    /// ```
    pub const fn payload_mut(&mut self) -> &mut Payload {
        match self {
            Self::Value(payload) | Self::Failed(payload) | Self::Stopped(payload) => payload,
        }
    }
}

/// The kind of an [`Outcome`], with a number that never changes its meaning.
///
/// ```
/// use awaitly_core::journal::Kind;
///
/// assert_eq!(Kind::Failed.to_number(), 1);
/// assert_eq!(Kind::from_number(1), Some(Kind::Failed));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The kind of [`Outcome::Value`].
    Value,
    /// The kind of [`Outcome::Failed`].
    Failed,
    /// The kind of [`Outcome::Stopped`].
    Stopped,
}

impl Kind {
    /// Returns the stable number under which stores keep the kind.
    #[must_use]
    pub const fn to_number(self) -> u8 {
        match self {
            Self::Value => 0,
            Self::Failed => 1,
            Self::Stopped => 2,
        }
    }

    /// Returns the kind with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Value),
            1 => Some(Self::Failed),
            2 => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// A value as journals keep it: JSON text.
///
/// A payload serialises as JSON inside of a JSON document, so exported runs are readable, and as text in binary
/// formats. It does not support other human-readable formats, such as YAML. Payloads are equal if their texts are
/// equal.
///
/// Values that JSON cannot distinguish decode as one value: `Some(None)` and `Some(())` decode as `None`.
///
/// ```
/// use awaitly_core::journal::Payload;
///
/// let payload = Payload::encode(&("tea", 2)).unwrap();
/// assert_eq!(payload.as_str(), r#"["tea",2]"#);
/// assert_eq!(payload.decode(), Ok(("tea".to_owned(), 2)));
/// // `Debug` shows only the size, so a log contains no value.
/// assert_eq!(format!("{payload:?}"), "Payload(9 bytes)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Box<str>);

impl Payload {
    /// The maximum size of a payload in a journal, in bytes: 16 MiB.
    pub const MAX_BYTES: usize = 16 * 1024 * 1024;

    /// Encodes `value`.
    ///
    /// # Errors
    /// Returns [`EncodeError`] if the value has no JSON form, for example a map whose keys are neither text nor
    /// numbers, or a type whose `Serialize` fails.
    ///
    /// # Examples
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use awaitly_core::journal::Payload;
    ///
    /// // A pair is not a name in a JSON object.
    /// let stock = BTreeMap::from([(("tea", "Berlin"), 7)]);
    /// assert!(Payload::encode(&stock).is_err());
    /// assert!(Payload::encode(&stock.into_iter().collect::<Vec<_>>()).is_ok());
    /// ```
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        // Short text is written on the stack, so it is allocated only once and in its exact size.
        let mut buffer = [0; 128];
        let mut rest = buffer.as_mut_slice();
        if serde_json::to_writer(&mut rest, value).is_ok() {
            let unused = rest.len();
            let text = buffer.get(..buffer.len() - unused).and_then(|text| std::str::from_utf8(text).ok());
            if let Some(text) = text {
                return Ok(Self(text.into()));
            }
        }
        // Longer text needs a growing buffer, and a failure needs its message.
        serde_json::to_string(value).map(|text| Self(text.into())).map_err(EncodeError::new::<T>)
    }

    /// Encodes a value, and checks that the payload decodes.
    ///
    /// Some types cannot read their own JSON form: a `u128` inside of an untagged enum, integer keys of a flattened
    /// map, a skipped field without a default, or 200 levels of nesting. So this function decodes the payload once.
    /// JSON has no form for infinity and NaN either: serde_json writes `null`, so `Some(NaN)` would decode as `None`.
    /// This function therefore refuses such numbers in any position.
    ///
    /// # Errors
    /// Returns [`EncodeError`] as [`encode`](Self::encode) does, and also if the payload does not decode or if the
    /// value contains a number that is not finite.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::Payload;
    ///
    /// let weights = [Some(1.5), Some(f64::NAN)];
    /// assert_eq!(Payload::encode(&weights).unwrap().as_str(), "[1.5,null]"); // NaN is lost
    /// assert!(Payload::encode_to_return(&weights).is_err());
    /// ```
    pub fn encode_to_return<T: Serialize + DeserializeOwned>(value: &T) -> Result<Self, EncodeError> {
        let payload = Self::encode(value)?;
        // Only `null` can represent a number that is not finite, so most values need no second walk.
        if payload.0.contains("null") {
            Canonical::of(value)?;
        }
        match payload.decode::<T>() {
            Ok(_) => Ok(payload),
            Err(DecodeError { type_name, reason }) => {
                let reason = format!("its JSON form does not come back: {reason}").into();
                Err(EncodeError { type_name, reason })
            }
        }
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// Returns [`DecodeError`] if the text is not a `T`.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::Payload;
    ///
    /// let receipt = Payload::from_stored("7");
    /// assert_eq!(receipt.decode::<u32>(), Ok(7));
    /// let error = receipt.decode::<bool>().unwrap_err();
    /// assert!(error.to_string().starts_with("the recorded payload is not a `bool`"));
    /// ```
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(&self.0).map_err(|error| DecodeError {
            type_name: type_name::<T>().into(),
            reason: error.to_string().into(),
        })
    }

    /// Creates a payload from text that a store kept. Only [`decode`](Self::decode) checks that the text is JSON.
    pub fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the length of the text in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the text is empty. An encoded value never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Payload {
    /// Writes only the size, because values do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
            raw.serialize(serializer)
        } else {
            serializer.serialize_str(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.into()))
        } else {
            String::deserialize(deserializer).map(|text| Self(text.into()))
        }
    }
}

/// A value that has no JSON form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value of type `{type_name}` has no JSON form: {reason}")]
pub struct EncodeError {
    /// The type of the value.
    pub type_name: Box<str>,
    /// The message of the serialiser.
    pub reason: Box<str>,
}

impl EncodeError {
    #[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
    pub(super) fn new<T: ?Sized>(error: serde_json::Error) -> Self {
        Self { type_name: type_name::<T>().into(), reason: error.to_string().into() }
    }
}

/// A recorded payload that does not decode as the requested type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the recorded payload is not a `{type_name}`: {reason}")]
pub struct DecodeError {
    /// The requested type.
    pub type_name: Box<str>,
    /// The message of the deserialiser.
    pub reason: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_stands_as_json_inside_json() {
        let record = Record {
            key: "charge".into(),
            outcome: Outcome::Value(Payload::encode(&[1, 2]).unwrap()),
            input: None,
        };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(json, r#"{"key":"charge","outcome":{"value":[1,2]}}"#);
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }

    #[test]
    fn numbers_beyond_64_bits_and_awkward_floats_come_back_exactly() {
        let payload = Payload::encode(&(u128::MAX, 0.1_f64 + 0.2, f64::MIN_POSITIVE)).unwrap();
        assert_eq!(payload.decode(), Ok((u128::MAX, 0.1_f64 + 0.2, f64::MIN_POSITIVE)));
    }

    #[test]
    fn value_without_a_json_form_is_refused() {
        let map = std::collections::HashMap::from([((1, 2), "x")]);
        assert!(Payload::encode(&map).is_err());
    }

    #[test]
    fn non_finite_number_is_refused_wherever_it_stands() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Payload::encode_to_return(&(1, number)).is_err(), "{number}");
            assert!(Payload::encode_to_return(&Some(number)).is_err(), "{number}");
            assert!(Payload::encode_to_return(&vec![Some(number as f32)]).is_err(), "{number}");
        }
        assert!(Payload::encode_to_return(&(Some(1.5), None::<f64>, ())).is_ok());
        assert!(Payload::encode_to_return(&"null".to_owned()).is_ok());
    }

    #[test]
    fn value_that_does_not_come_back_is_refused() {
        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            Wide(u128),
        }
        #[derive(Serialize, Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            Counts { counts: std::collections::BTreeMap<u32, u32> },
        }
        #[derive(Serialize, Deserialize)]
        struct Hidden {
            #[serde(skip_serializing)]
            #[expect(dead_code, reason = "only its absence is read")]
            secret: String,
        }
        #[derive(Serialize, Deserialize)]
        struct Nested(Option<Box<Self>>, Vec<()>);

        assert!(Payload::encode_to_return(&u128::MAX).is_ok());
        assert!(Payload::encode_to_return(&Untagged::Wide(u128::MAX)).is_err());
        assert!(Payload::encode_to_return(&Tagged::Counts { counts: [(1, 2)].into() }).is_err());
        assert!(Payload::encode_to_return(&Hidden { secret: "x".into() }).is_err());
        let deep = (0..200).fold(Nested(None, vec![]), |inner, _| Nested(Some(Box::new(inner)), vec![]));
        assert!(Payload::encode_to_return(&deep).is_err());
    }

    #[test]
    fn every_number_leads_back_to_its_kind() {
        for kind in [Kind::Value, Kind::Failed, Kind::Stopped] {
            assert_eq!(Kind::from_number(kind.to_number()), Some(kind));
        }
        assert_eq!(Kind::from_number(9), None);
    }
}
