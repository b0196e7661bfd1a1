use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a run, unique in its store.
///
/// A run id is any text of 1 to [`MAX_BYTES`](Self::MAX_BYTES) bytes. Quotes, slashes, line ends and NUL have no
/// special meaning. A clone is cheap.
///
/// ```
/// use awaitly_core::store::{InvalidRunId, RunId};
///
/// let id: RunId = "order-42".parse()?;
/// assert_eq!(RunId::try_from(format!("order-{}", 42))?, id);
/// assert_eq!(RunId::try_from(""), Err(InvalidRunId { bytes: 0 }));
/// # Ok::<_, InvalidRunId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

/// The error for text that is not a run id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run id has 1 to {max} bytes, this one {}", has(*bytes), max = RunId::MAX_BYTES)]
pub struct InvalidRunId {
    /// The length of the text in bytes.
    pub bytes: usize,
}

fn has(bytes: usize) -> String {
    if bytes == 0 { "is empty".to_owned() } else { format!("has {bytes}") }
}

impl RunId {
    /// The maximum length of a run id, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Creates a run id from text.
    ///
    /// # Errors
    /// Returns [`InvalidRunId`] if the text is empty or too long.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::RunId;
    ///
    /// let order = RunId::new("order-42").unwrap();
    /// assert!(order.starts_with("order-"));
    /// let too_long = RunId::new("x".repeat(600)).unwrap_err();
    /// assert_eq!(too_long.to_string(), "a run id has 1 to 512 bytes, this one has 600");
    /// ```
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidRunId> {
        let text = text.into();
        match text.len() {
            1..=Self::MAX_BYTES => Ok(Self(text)),
            bytes => Err(InvalidRunId { bytes }),
        }
    }

    /// Returns the shared text.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, InvalidRunId> {
        Self::new(text)
    }
}

impl TryFrom<&str> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: &str) -> Result<Self, InvalidRunId> {
        Self::new(text)
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: String) -> Result<Self, InvalidRunId> {
        Self::new(text)
    }
}

impl AsRef<str> for RunId {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Deref for RunId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_id_is_not_empty_and_not_too_long() {
        assert_eq!(RunId::new(""), Err(InvalidRunId { bytes: 0 }));
        assert!(RunId::new("x".repeat(RunId::MAX_BYTES)).is_ok());
        assert_eq!(RunId::new("x".repeat(RunId::MAX_BYTES + 1)), Err(InvalidRunId { bytes: 513 }));
        assert_eq!(&*RunId::new("it's \0 ../odd").unwrap(), "it's \0 ../odd");
    }
}
