use awaitly_core::journal::Key;
use awaitly_core::store::{InvalidRunId, StoreError};

/// Why there is no journal to check. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// The file or the folder cannot be read.
    #[error(
        "`{path}` cannot be read: check the path, which begins where the tests run, at the package's folder"
    )]
    Unreadable {
        /// The file or the folder.
        path: Box<str>,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("`{path}` cannot be written: check that its folder exists and may be written")]
    Unwritable {
        /// The file.
        path: Box<str>,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any that is read.
    #[error("`{path}` has {bytes} bytes, at most {limit} are read: keep a shorter run as the fixture")]
    TooLarge {
        /// The file.
        path: Box<str>,
        /// How many bytes it has.
        bytes: u64,
        /// How many it may have.
        limit: u64,
    },
    /// It is no journal in either form.
    #[error(
        "{what} is no journal: write it anew, with `Journal::write` or from an exported run or a `ResumeState`"
    )]
    Malformed {
        /// The file, or that it was text.
        what: Box<str>,
        /// What the decoder said.
        source: serde_json::Error,
    },
    /// It was written by a newer version of this library.
    #[error("{what} has format {found}, this version reads up to {supported}: upgrade this library")]
    NewerFormat {
        /// The file, or that it was text.
        what: Box<str>,
        /// The format found.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// A key stands in it twice, which no store lets happen.
    #[error("{what} holds the key `{key}` twice: write it anew, or take out the outcome that does not count")]
    TwiceRecorded {
        /// The file, or that it was text.
        what: Box<str>,
        /// The key.
        key: Key,
    },
    /// The run id is none.
    #[error("{what} has no run id: give the run one")]
    NoRunId {
        /// The file, or that it was text.
        what: Box<str>,
        /// What is wrong with it.
        source: InvalidRunId,
    },
    /// The folder holds no journal.
    #[error("`{path}` holds no `.json` file: write fixtures there with `Journal::write`, or check the path")]
    NoFixtures {
        /// The folder.
        path: Box<str>,
    },
    /// The store has no such run.
    #[error("there is no run `{run}` in the store: check the run id")]
    NoSuchRun {
        /// The run id.
        run: Box<str>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
