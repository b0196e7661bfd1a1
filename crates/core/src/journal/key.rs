use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The identity of a step within its run. The journal records the step's outcome under it.
///
/// A key is text. It derefs to [`str`], compares and hashes like one, and is cheap to clone: a literal is never copied,
/// and any other text is shared.
///
/// ```
/// use awaitly_core::journal::Key;
///
/// let key = Key::from("charge");
/// assert_eq!(&*key, "charge");
/// assert_eq!(Key::from(format!("ship:{}", 7)), Key::from("ship:7"));
/// ```
#[derive(Clone)]
pub struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Key {
    /// The maximum length of a key, in bytes. A `Key` can be longer, but a recorded step with such a key fails with
    /// [`RunError::TooLarge`](crate::RunError::TooLarge).
    pub const MAX_BYTES: usize = 1024;

    /// The key that records the body's declaration that it is [too late to cancel](crate::Run::too_late_to_cancel) the
    /// run.
    ///
    /// ```
    /// use awaitly_core::journal::Key;
    /// use awaitly_core::store::RunQuery;
    ///
    /// // The runs that can no longer be cancelled.
    /// let committed = RunQuery::new().workflow("checkout").key(Key::TOO_LATE_TO_CANCEL);
    /// # assert_eq!(&*committed.key.unwrap(), "too late to cancel");
    /// ```
    pub const TOO_LATE_TO_CANCEL: Self = Self::from_static("too late to cancel");

    /// The key under which the journal counts the failed executions of a run that a worker retries: see
    /// [`Workflow::retry_runs`](crate::Workflow::retry_runs). The outcome is a [`Retrying`](super::Retrying).
    pub const RUN_RETRIES: Self = Self::from_static("retries of the run");

    /// Creates a key from static text, without an allocation.
    ///
    /// ```
    /// use awaitly_core::journal::Key;
    ///
    /// const CHARGE: Key = Key::from_static("charge");
    ///
    /// assert_eq!(CHARGE, Key::from(String::from("charge")));
    /// ```
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Repr::Static(text))
    }

    /// Returns the key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(text) => text,
            Repr::Shared(text) => text,
        }
    }

    /// Returns the key for the `number`th use of `self` as a name; the first is the name itself.
    pub(crate) fn numbered(&self, number: u32) -> Self {
        if number <= 1 {
            return self.clone();
        }
        // Assemble text of common length on the stack, so it is allocated only once.
        let mut buffer = [0; 128];
        let mut rest = buffer.as_mut_slice();
        let written = rest.write_all(self.as_bytes()).and_then(|()| rest.write_all(b"#")).and_then(|()| {
            let mut digits = [0; 10];
            rest.write_all(decimal(number, &mut digits))
        });
        let unused = rest.len();
        let text = buffer.get(..buffer.len() - unused).and_then(|text| std::str::from_utf8(text).ok());
        match (written, text) {
            (Ok(()), Some(text)) => Self(Repr::Shared(text.into())),
            _ => Self::from(format!("{self}#{number}")),
        }
    }
}

/// Returns the digits of `number`, without the overhead of `fmt`.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut begin = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        begin = at;
        if number == 0 {
            break;
        }
    }
    digits.get(begin..).unwrap_or_default()
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&'static str> for Key {
    fn from(text: &'static str) -> Self {
        Self::from_static(text)
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Self {
        Self(Repr::Shared(text.as_str().into()))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(Repr::Shared(text.into()))
    }
}

impl From<Arc<str>> for Key {
    fn from(text: Arc<str>) -> Self {
        Self(Repr::Shared(text))
    }
}

impl From<Cow<'static, str>> for Key {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_equal_by_their_text_wherever_it_rests() {
        assert_eq!(Key::from("charge"), Key::from(String::from("charge")));
        assert_ne!(Key::from("charge"), Key::from("charge#2"));
    }

    #[test]
    fn first_use_of_a_name_is_the_name_itself() {
        let name = Key::from("charge");
        assert_eq!(name.numbered(1), "charge".into());
        assert_eq!(name.numbered(2), "charge#2".into());
        for number in [2, 9, 10, 1234, u32::MAX] {
            assert_eq!(&*name.numbered(number), format!("charge#{number}"));
        }
        let long = "é".repeat(80);
        assert_eq!(&*Key::from(long.clone()).numbered(7), format!("{long}#7"));
    }
}
