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
/// It is read from either form of JSON that the library writes: a
/// [`ResumeState`](awaitly_core::journal::ResumeState), and a run that was
/// [exported](awaitly_persistence::operate::OperateExt::export). The second says more: how the run ended, and which
/// questions are open. It holds what the run recorded, and the tokens of its open questions: keep no secrets of
/// production in a repository.
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

    /// The journal in that file.
    ///
    /// # Errors
    /// [`FixtureError`] names the file and says what is wrong with it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FixtureError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |source| FixtureError::Unreadable { path: name.as_str().into(), source };
        let file = File::open(path).map_err(unreadable)?;
        let too_large = |bytes| {
            let path = name.as_str().into();
            FixtureError::TooLarge { path, bytes, limit: Self::MAX_BYTES }
        };
        let bytes = file.metadata().map_err(unreadable)?.len();
        if bytes > Self::MAX_BYTES {
            return Err(too_large(bytes));
        }
        let mut text = String::new();
        // What has no length of its own may still be too long.
        let bytes = file.take(Self::MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > Self::MAX_BYTES {
            return Err(too_large(bytes as u64));
        }
        form::parse(&text, &format!("`{name}`"))
    }

    /// The journal of a run, as it rests in `store` now.
    ///
    /// # Errors
    /// [`FixtureError::NoSuchRun`], and what the store meets.
    pub async fn of(store: &impl Store, run: &str) -> Result<Self, FixtureError> {
        let id = RunId::new(run)
            .map_err(|source| FixtureError::NoRunId { what: "what was asked for".into(), source })?;
        let stored = store.load(&id).await?.ok_or_else(|| FixtureError::NoSuchRun { run: run.into() })?;
        let StoredRun { header, input, records, waits } = stored;
        Ok(Self { run: id, header, input, records, waits })
    }

    /// Makes a fixture of it: the form of an exported run, with each record on lines of its own, and the same bytes
    /// each time, so that a diff can be read.
    ///
    /// # Errors
    /// [`FixtureError::Unwritable`], with what the system said.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FixtureError> {
        let path = path.as_ref();
        let text = form::write(self).map_err(std::io::Error::from);
        text.and_then(|text| fs::write(path, text))
            .map_err(|source| FixtureError::Unwritable { path: path.display().to_string().into(), source })
    }

    /// The run id.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// The name of the workflow that wrote it.
    #[must_use]
    pub fn workflow(&self) -> &str {
        &self.header.workflow
    }

    /// The version of the workflow that wrote it last.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.header.version
    }

    /// The keys of the recorded steps, in the order in which they were recorded.
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

/// The journals in the `.json` files of a folder, in the order of their names.
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
/// [`FixtureError::NoFixtures`] where there is none, so that a wrong path is no test that passes; and what is wrong with
/// the first file that is no journal.
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
