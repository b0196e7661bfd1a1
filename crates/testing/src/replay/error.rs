use awaitly_core::store::StoreError;

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
    /// The file or text is not a journal, or not one that this version can use.
    #[error("{what} is not a usable journal: {reason}")]
    Invalid {
        /// The file, or a note that the source was a text.
        what: Box<str>,
        /// The reason and the next action.
        reason: Box<str>,
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
