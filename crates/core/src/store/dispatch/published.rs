use std::fmt;
use std::sync::Arc;

use crate::journal::Payload;

/// A value that a run publishes for clients to read.
///
/// A published value replaces the earlier value under its name. An item of a stream is appended to the stream.
///
/// ```
/// use awaitly_core::journal::Payload;
/// use awaitly_core::store::Publish;
///
/// let progress = Publish::value("progress", Payload::encode(&0.4).unwrap());
/// let first_line = Publish::item("log", 0, Payload::encode("begun").unwrap());
/// assert_eq!((progress.index, first_line.index), (None, Some(0)));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Publish {
    /// The name of the value or the stream.
    pub name: Arc<str>,
    /// The index of an item in its stream. `None`: a value. Values and streams have separate names.
    ///
    /// A stream appends the item whose index is its length, and ignores an item with a smaller index. So if a resumed
    /// run publishes its first items again, each item is still in the stream once.
    pub index: Option<u64>,
    /// The content.
    pub payload: Payload,
}

impl Publish {
    /// The maximum number of items of a stream.
    pub const MOST: u64 = 100_000;

    /// The maximum size of a value or an item, in bytes.
    pub const MAX_BYTES: usize = 1024 * 1024;

    /// Creates a value.
    pub fn value(name: impl Into<Arc<str>>, payload: Payload) -> Self {
        Self { name: name.into(), index: None, payload }
    }

    /// Creates an item of a stream.
    pub fn item(stream: impl Into<Arc<str>>, index: u64, payload: Payload) -> Self {
        Self { name: stream.into(), index: Some(index), payload }
    }
}

// The content may be a secret.
impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("name", &self.name)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// A part of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamPart {
    /// The items, from the requested index on.
    pub items: Vec<Payload>,
    /// Whether the run has ended, so that the stream grows no more.
    pub ended: bool,
}
