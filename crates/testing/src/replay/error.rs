use awaitly_core::journal::Key;
use awaitly_core::store::{InvalidRunId, StoreError};

/// The failure to read, parse, load or write a journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// The file or folder cannot be read.
    #[error("`{path}` cannot be read: check the path, which is relative to the package's folder in a test")]
    Unreadable {
        /// The file or folder.
        path: Box<str>,
        /// The system error.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("`{path}` cannot be written: check that its folder exists and is writable")]
    Unwritable {
        /// The file.
        path: Box<str>,
        /// The system error.
        source: std::io::Error,
    },
    /// The file exceeds the size limit.
    #[error("`{path}` has {bytes} bytes, more than the limit of {limit}: use a shorter run as the fixture")]
    TooLarge {
        /// The file.
        path: Box<str>,
        /// Its size in bytes.
        bytes: u64,
        /// The largest accepted size in bytes.
        limit: u64,
    },
    /// The text is not a journal in either form.
    #[error(
        "{what} is not a journal: write it again with `Journal::write`, or from an exported run or a `ResumeState`"
    )]
    Malformed {
        /// The file, or a note that the source was a text.
        what: Box<str>,
        /// The decoder's error.
        source: serde_json::Error,
    },
    /// A newer version of this library wrote the journal.
    #[error("{what} has format {found}, but this version reads up to {supported}: upgrade this library")]
    NewerFormat {
        /// The file, or a note that the source was a text.
        what: Box<str>,
        /// The format found.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// The journal contains a key twice, which no store permits.
    #[error("{what} contains the key `{key}` twice: write it again, or remove the wrong outcome")]
    TwiceRecorded {
        /// The file, or a note that the source was a text.
        what: Box<str>,
        /// The key.
        key: Key,
    },
    /// The journal has no valid run id.
    #[error("{what} has no valid run id: correct the id")]
    NoRunId {
        /// The file, or a note that the source was a text.
        what: Box<str>,
        /// The reason why the id is invalid.
        source: InvalidRunId,
    },
    /// The folder contains no journal.
    #[error(
        "`{path}` contains no `.json` file: write fixtures there with `Journal::write`, or check the path"
    )]
    NoFixtures {
        /// The folder.
        path: Box<str>,
    },
    /// The store does not have the run.
    #[error("the store has no run `{run}`: check the run id")]
    NoSuchRun {
        /// The run id.
        run: Box<str>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
