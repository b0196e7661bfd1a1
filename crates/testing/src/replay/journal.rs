use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use awaitly_core::journal::{Header, Payload, Record, WaitEntry};
use awaitly_core::store::{RunId, Store, StoredRun};
use awaitly_persistence::operate::Exported;

use super::{FixtureError, form};

/// The journal of a real run, kept as a fixture.
///
/// A journal is read from either form of JSON that the library writes: a
/// [`ResumeState`](awaitly_core::journal::ResumeState), or an
/// [exported](awaitly_persistence::operate::OperateExt::export) run. An exported run also contains the run's ending
/// and its open questions. A journal contains the recorded values and the tokens of open questions, so do not keep
/// production secrets in a repository.
///
/// ```
/// use awaitly_testing::replay::Journal;
///
/// # fn main() -> Result<(), awaitly_testing::replay::FixtureError> {
/// let journal: Journal = r#"{
///     "format": 1, "run": "order-42", "workflow": "checkout", "version": 1,
///     "records": [{"key": "reserve", "outcome": {"value": {"id": 7}}}]
/// }"#
/// .parse()?;
/// assert_eq!(journal.keys().collect::<Vec<_>>(), ["reserve"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    pub(super) run: RunId,
    pub(super) header: Header,
    pub(super) input: Option<Payload>,
    pub(super) records: Vec<Record>,
    pub(super) waits: Vec<WaitEntry>,
}

impl Journal {
    /// The largest file that is read, in bytes: 256 MiB.
    pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

    /// Reads a journal from a file.
    ///
    /// # Errors
    /// Returns [`FixtureError::Unreadable`] if the file cannot be read, and [`FixtureError::Invalid`] if the file is
    /// not a usable journal or exceeds [`MAX_BYTES`](Self::MAX_BYTES). Both errors name the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FixtureError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |source| FixtureError::Unreadable { path: name.as_str().into(), source };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut text = String::new();
        if length <= Self::MAX_BYTES {
            // A file without a reported length, such as a pipe, may still exceed the limit.
            file.take(Self::MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        }
        if length.max(text.len() as u64) > Self::MAX_BYTES {
            let reason = format!(
                "it has more than {} bytes, the limit: use a shorter run as the fixture",
                Self::MAX_BYTES
            );
            return Err(FixtureError::Invalid { what: format!("`{name}`").into(), reason: reason.into() });
        }
        form::parse(&text, &format!("`{name}`"))
    }

    /// Loads the current journal of a run from `store`.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_testing::replay::Journal;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn reserve() -> Result<u32, RunError> { Ok(7) }
    /// let store = MemoryStore::new();
    /// let workflow = Workflow::new("checkout").store(store.clone());
    /// workflow.run("order-42", async |run| Ok::<_, RunError>(step!(run, reserve()))).await?;
    /// let journal = Journal::of(&store, "order-42").await?;
    /// assert_eq!(journal.keys().collect::<Vec<_>>(), ["reserve"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`FixtureError::NoSuchRun`] if the store does not have the run or if `run` is not a valid run id, and
    /// [`FixtureError::Store`] if the store fails.
    pub async fn of(store: &impl Store, run: &str) -> Result<Self, FixtureError> {
        let missing = || FixtureError::NoSuchRun { run: run.into() };
        let id = RunId::new(run).map_err(|_| missing())?;
        let stored = store.load(&id).await?.ok_or_else(missing)?;
        let StoredRun { header, input, records, waits } = stored;
        Ok(Self { run: id, header, input, records, waits })
    }

    /// Writes the journal to a file as an exported run, with each record on separate lines. Equal journals produce
    /// equal bytes, so diffs stay readable.
    ///
    /// ```no_run
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_testing::replay::{FixtureError, Journal};
    ///
    /// # async fn record(store: MemoryStore) -> Result<(), FixtureError> {
    /// Journal::of(&store, "order-42").await?.write("tests/journals/order-42.json")?;
    /// assert_eq!(&**Journal::read("tests/journals/order-42.json")?.run(), "order-42");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`FixtureError::Unwritable`] with the system error if the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FixtureError> {
        let path = path.as_ref();
        let text = form::write(self).map_err(std::io::Error::from);
        text.and_then(|text| fs::write(path, text))
            .map_err(|source| FixtureError::Unwritable { path: path.display().to_string().into(), source })
    }

    /// Returns the run id.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// Returns the name of the workflow that recorded the run.
    #[must_use]
    pub fn workflow(&self) -> &str {
        &self.header.workflow
    }

    /// Returns the version of the workflow that last wrote the journal.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.header.version
    }

    /// Returns the keys of the recorded steps, in the order of recording.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.records.iter().map(|record| &*record.key)
    }
}

impl FromStr for Journal {
    type Err = FixtureError;

    fn from_str(text: &str) -> Result<Self, FixtureError> {
        form::parse(text, "the text")
    }
}

impl From<Exported> for Journal {
    fn from(exported: Exported) -> Self {
        let Exported { run, header, input, records, waits, .. } = exported;
        Self { run, header, input, records, waits }
    }
}

/// Reads the journals in the `.json` files of a folder, sorted by file name.
///
/// ```no_run
/// # use awaitly_core::{DurableRun, RunError, Workflow};
/// # async fn place_order(_: &DurableRun) -> Result<u32, RunError> { Ok(7) }
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// # let checkout = Workflow::new("checkout");
/// use awaitly_testing::{replay, would_resume};
///
/// for (path, journal) in replay::fixtures("tests/journals")? {
///     println!("{}", path.display());
///     would_resume(&journal, &checkout, place_order).await.assert_resumes();
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns [`FixtureError::NoFixtures`] if the folder contains no `.json` file, so that a wrong path does not pass as
/// a test. Returns [`FixtureError::Unreadable`] if the folder or a file cannot be read, and
/// [`FixtureError::Invalid`] if a file is not a usable journal.
pub fn fixtures(folder: impl AsRef<Path>) -> Result<Vec<(PathBuf, Journal)>, FixtureError> {
    let folder = folder.as_ref();
    let name: Box<str> = folder.display().to_string().into();
    let unreadable = |source| FixtureError::Unreadable { path: name.clone(), source };
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(unreadable)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() {
        return Err(FixtureError::NoFixtures { path: name });
    }
    paths.into_iter().map(|path| Journal::read(&path).map(|journal| (path, journal))).collect()
}
