//! A store in one SQLite file.

#[macro_use]
mod columns;

mod apply;
mod checksum;
mod clock;
mod commit;
mod dispatch;
mod error;
mod leases;
mod lists;
mod op;
mod open;
mod operate;
mod options;
mod owners;
mod reader;
mod requests;
mod rows;
mod runs;
mod schema;
mod watch;
mod whole;
mod writer;

pub use options::SqliteOptions;

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Key, Outcome, Record, Settling, Timestamp, Unanswered};
use awaitly_core::store::{
    Answer, Bell, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Durability, Ending, Input, Lease, Open,
    Opened, Operate, Page, Renewed, Rewrite, RunId, RunQuery, RunSummary, Store, StoreError, StoredRun, Wait,
    WaitQuery, Waiting, Wakes,
};
use tokio::sync::oneshot;

use crate::group::{Sender, queue};
use crate::limits;
use crate::unclaimed::Back;
use apply::Change;
use op::{Asked, Fate, Op};
use open::{Admitted, Taken};
use options::Synchronous;
use reader::{Job, Jobs};
use requests::{Admit, Cancel, Delete, Import, Now, Renew, Request, Search, Settle, Write};
use writer::Writer;

/// A store in one SQLite file, which several processes of one machine may share.
///
/// A clone is a handle to one store. After the last handle is dropped, queued writes are still carried out in the
/// background; [`close`](Self::close) waits for them.
///
/// # Durability
/// A write that returned `Ok` survives a crash of the program, a crash of the system and a loss of power, unless the
/// store is opened with [`SqliteOptions::synchronous_normal`]. A crash of the system may lose a run that was opened
/// and has recorded no outcome; the run then begins again.
///
/// A record with [`Durability::Batched`] is committed without waiting for the disk, as with `synchronous=NORMAL`. A
/// crash of the system may undo all records in the file, of any run, since the last commit that waited. If one record
/// of a commit has to wait for the disk, the whole commit waits.
///
/// Writes of concurrent runs share commits: writes that queue up during a commit go into the next one. There is no
/// timer, so a single run never waits for others.
///
/// # Leases
/// Leases follow the machine's clock. The lease of a killed process is free at once: each store holds a file lock in
/// the folder `<file>-owners`, and the operating system drops the lock with the process. The lease of a frozen process
/// lasts until it expires; if another owner then takes over the run, the store refuses later writes of the frozen
/// process. If the file system has no locks, or the lock files were removed, leases last until they expire; the store
/// logs one warning.
///
/// # The file
/// The names of the tables begin with `awaitly_`. Other tables in the file are never touched, so an application may keep
/// its own there. The file is in WAL mode and must be on a local disk, not on a network. It does not shrink when runs are deleted: SQLite reuses free pages, and
/// `VACUUM` returns them. `:memory:` is refused; use [`MemoryStore`](crate::MemoryStore) instead.
///
/// # Damage
/// If the file is removed, replaced or truncated while it is open, the store refuses every later write with
/// [`StoreError::NotThere`] or [`StoreError::Corrupt`]. Each row has a checksum, and the whole
/// file is checked when it is opened: see [`SqliteOptions::check_tables_only`].
///
/// # Cancel safety
/// If the future of a write is dropped while it waits for a place in the queue, the write does not happen. If it is
/// dropped after that, the write happens completely. If the future of an `open` is dropped before its lease arrives,
/// the store releases the lease.
///
/// # Examples
/// ```
/// use awaitly_core::store::{Open, Owner, RunId, Store};
/// use awaitly_persistence::SqliteStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("journals.db");
/// let store = SqliteStore::open(&path).await?;
/// let run = RunId::new("order-42")?;
/// store.open(Open::new(run.clone(), "checkout", Owner::unique())).await?;
/// store.close().await?;
///
/// let store = SqliteStore::open(&path).await?;
/// assert!(store.load(&run).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    ops: Sender<Op>,
    jobs: Jobs,
    bell: Bell,
    synchronous: Synchronous,
}

impl SqliteStore {
    /// Opens the file with the default [`SqliteOptions`], creates it if it does not exist, and brings its tables up to
    /// date.
    ///
    /// # Errors
    /// Returns [`StoreError::NotThere`] if the folder is missing or the path is not a file; [`StoreError::Unavailable`]
    /// if another process kept the file busy for too long; [`StoreError::ReadOnly`] if the file cannot be written;
    /// [`StoreError::Corrupt`] if it is damaged or is not a database; [`StoreError::NewerFormat`] if a newer version of
    /// this library wrote it (the file stays unchanged); [`StoreError::Full`] if the disk is full.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        SqliteOptions::new().open(path).await
    }

    async fn start(options: SqliteOptions, path: &Path) -> Result<Self, StoreError> {
        let absolute = absolute(path)?;
        let (synchronous, bell) = (options.synchronous, Bell::new());
        let (ops, queued) = queue(options.queue);
        let (ready, opened) = oneshot::channel();
        Writer { options, ops: queued, bell: bell.clone() }.spawn(absolute, ready)?;
        let jobs = opened.await.map_err(closed)??;
        let store = Self { ops, jobs, bell, synchronous };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        tracing::info!(%file, durability = store.durability(), "opened a store of journals");
        Ok(store)
    }

    #[doc = include_str!("../close.md")]
    /// - Leases that are still held become free too.
    ///
    /// # Errors
    /// Returns the error that SQLite met while it copied the write-ahead log into the file; acknowledged writes are not
    /// lost, because they are in the log. Returns [`StoreError::NotThere`] or [`StoreError::Corrupt`] if the file was
    /// removed, replaced or truncated.
    ///
    /// # Cancel safety
    /// If the future is dropped after its first poll, the store still closes.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::{Open, Opened, Owner, RunId, Store};
    /// use awaitly_persistence::SqliteStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("journals.db");
    /// let order = RunId::new("order-42")?;
    /// let request = || Open::new(order.clone(), "checkout", Owner::unique());
    /// let store = SqliteStore::open(&path).await?;
    /// let held = store.open(request()).await?;
    /// store.close().await?;
    ///
    /// // The lease that the closed store held is free.
    /// let store = SqliteStore::open(&path).await?;
    /// assert!(matches!(store.open(request()).await?, Opened::Held { .. }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(self) -> Result<(), StoreError> {
        self.ops.close().await
    }

    async fn ask<R: Request>(&self, request: R) -> Result<R::Answer, StoreError>
    where
        Op: From<Asked<R>>,
    {
        self.ops.ask(|fate| Asked::new(request, Some(fate)).into()).await
    }

    async fn change(&self, lease: &Lease, change: Change) -> Result<(), StoreError> {
        self.ask(Write { lease: lease.clone(), change }).await
    }

    async fn read<T>(&self, job: impl FnOnce(Fate<T>) -> Job) -> Result<T, StoreError> {
        let (fate, found) = oneshot::channel();
        self.jobs.send(job(fate)).await.ok_or(StoreError::Closed)?;
        found.await.map_err(closed)?
    }
}

impl Store for SqliteStore {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        let (run, purpose) = (request.run.clone(), request.purpose);
        let request = Box::new(request);
        let admitted = self.ask(Admit { request, back: Arc::new(self.ops.clone()) }).await?;
        let (Taken { lease, header, input, found }, now) = match *admitted {
            Admitted::Held(taken, now) => (taken, now),
            Admitted::Ended(header) => return Ok(Opened::Ended(header)),
            Admitted::Refused(refused) => return limits::refused(self, &run, purpose, refused).await,
        };
        let (records, waits) = match found {
            Some(slot) => self.read(|fate| Job::Journal { slot, fate }).await?,
            None => (Vec::new(), Vec::new()),
        };
        let run = StoredRun { header, input, records, waits };
        Ok(Opened::Held { lease: lease.claim(), now, run })
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.change(lease, Change::Append(record, durability)).await
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.change(lease, Change::Replace(record, durability)).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        self.change(lease, Change::Wait(wait)).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        self.ask(Settle { lease: lease.clone(), record, settling }).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        self.change(lease, Change::Revive(drop)).await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        self.change(lease, Change::Rewrite(Box::new(rewrite))).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        limits::ending(&ending)?;
        self.change(lease, Change::Finish(Box::new(ending))).await
    }

    async fn restart(&self, lease: &Lease, input: Option<Input>) -> Result<(), StoreError> {
        self.change(lease, Change::Restart(input)).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        self.ask(Renew { lease: lease.clone(), ttl }).await
    }

    fn release(&self, lease: &Lease) {
        Back::release(&self.ops, lease.clone());
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let run = run.clone();
        self.read(|fate| Job::Run { run, fate }).await
    }

    fn durability(&self) -> &'static str {
        match self.synchronous {
            Synchronous::Full => "SQLite, synchronous=FULL",
            Synchronous::Normal => {
                "SQLite, synchronous=NORMAL: a crash of the system may undo the newest writes"
            }
        }
    }
}

impl Operate for SqliteStore {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        let query = Box::new(query);
        self.read(|fate| Job::List { query, fate }).await
    }

    async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        let query = Box::new(query);
        self.read(|fate| Job::Waiting { query, fate }).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        let now = self.ask(Search).await?;
        self.read(|fate| Job::Due { query, now, fate }).await
    }

    async fn answer(&self, answer: Answer) -> Result<Result<(), Unanswered>, StoreError> {
        limits::answer(&answer.outcome)?;
        self.ask(Box::new(answer)).await
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.ask(Cancel { run: run.clone(), cancelling: Cancelling::Request }).await
    }

    async fn cancel_without_undo(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.ask(Cancel { run: run.clone(), cancelling: Cancelling::WithoutUndo }).await
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        self.ask(Delete { runs, condition }).await
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<bool, StoreError> {
        self.ask(Import { run, stored: Box::new(stored) }).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.ask(Now).await
    }

    /// Reports only changes through this store and its clones. Call [`due`](Operate::due) periodically to see the
    /// changes of other stores that have opened the file, for example in other processes.
    fn wakes(&self) -> Wakes {
        self.bell.listen()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("synchronous", &self.synchronous).finish_non_exhaustive()
    }
}

fn closed<E>(_: E) -> StoreError {
    StoreError::Closed
}

/// Returns an absolute path, which SQLite cannot mistake for anything else.
fn absolute(path: &Path) -> Result<Box<Path>, StoreError> {
    if path == OsStr::new(":memory:") {
        return Err(StoreError::NotThere { detail: "`:memory:` is not a file, use a MemoryStore".into() });
    }
    let absolute = std::path::absolute(path).map_err(|error| error::unavailable(&error))?;
    Ok(absolute.into())
}
