//! Journals on one SQLite file.

mod apply;
mod checksum;
mod clock;
mod commit;
mod error;
mod leases;
mod lists;
mod options;
mod owners;
mod reader;
mod rows;
mod schema;
mod watch;
mod whole;
mod writer;

pub use options::{SqliteCheck, SqliteOptions, Synchronous};

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use awaitly_core::journal::{Key, Outcome, Record, Settling};
use awaitly_core::store::{
    Answer, Answered, Bell, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Durability, Ending, Imported,
    Lease, Open, Opened, Operate, Page, Renewed, Rewrite, RunId, RunQuery, RunSummary, Store, StoreError,
    StoredRun, Wait, WaitQuery, Waiting, Wakes,
};
use tokio::sync::oneshot;

use crate::group::op::{Admitted, Change, Fate, Found, Op};
use crate::group::{Sender, queue};
use crate::limits;
use crate::readers::Jobs;
use reader::Job;
use writer::Writer;

/// Journals on one SQLite file, which several processes of one machine may share.
///
/// A clone is a handle on the same store. Dropping the last handle lets the writes that are queued be
/// carried out in the background; [`close`](Self::close) waits for them.
///
/// # Durability
/// A write that returned `Ok` survives a crash of the program and of the system and a loss of power,
/// unless [`Synchronous::Normal`] was chosen. A run that was opened and has recorded nothing may be
/// forgotten in a crash of the system; it begins again then.
///
/// A record with [`Durability::Batched`] is committed without waiting for the disk, as with `synchronous=NORMAL`. A
/// crash of the system may undo what was recorded in the file since the last commit that waited, of any run. Where
/// one record of a commit has to wait for the disk, all of that commit does.
///
/// Writes of concurrent runs share commits: what queues up while one commit is on its way to the disk
/// goes with the next. There is no timer, so a single run waits for nobody.
///
/// # Leases
/// They run by the clock of the machine. The lease of a process that was killed is free at once: each
/// store holds a file lock in the folder `<file>-owners`, which the system drops with the process. That
/// of a process which is only frozen lasts until its time is over, and when the process wakes up and
/// has been replaced, its writes are refused. On a file system without locks, and if the lock
/// files were removed, leases last until their time is over; a warning says so once.
///
/// # The file
/// The tables are named `awaitly_runs`, `awaitly_steps`, `awaitly_waits`, `awaitly_next` and `awaitly_migrations`;
/// others in the same file are left alone, so an application may keep its own beside them. The file is in WAL mode,
/// and must be on a disk of this machine, not on a network. It does not shrink when runs are deleted: freed pages are
/// used again, and `VACUUM` gives them back. `:memory:` is refused, since there is
/// [`MemoryStore`](crate::MemoryStore) for that.
///
/// # Damage
/// If the file is removed, replaced or cut while it is open, the store refuses every later write with
/// [`StoreError::NotThere`] or [`StoreError::Corrupt`]. Each run, record and question has a checksum, and the whole file is
/// checked when it is opened: see [`SqliteCheck`].
///
/// # Cancel safety
/// A write whose future is dropped while it waits for a place in the queue does not happen; later it
/// happens whole. A lease whose future is dropped before it arrived is given back.
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
    jobs: Jobs<Job>,
    bell: Bell,
    synchronous: Synchronous,
}

impl SqliteStore {
    /// Opens the file, makes it where there is none, and brings its tables up to date, with the
    /// defaults of [`SqliteOptions`].
    ///
    /// # Errors
    /// [`StoreError::NotThere`] where the folder is missing or the path is not a file;
    /// [`StoreError::Unavailable`] where another process kept the file busy for too long;
    /// [`StoreError::ReadOnly`] where it cannot be written;
    /// [`StoreError::Corrupt`] if it is damaged or no database; [`StoreError::NewerFormat`] where a
    /// newer version wrote it, and then nothing was touched; [`StoreError::Full`].
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

    /// Waits until everything that was written is in the file, leases that are being given back among it, and closes
    /// it. Other handles answer [`StoreError::Closed`] from then on, and leases of this store are free.
    ///
    /// # Errors
    /// Returns the error that SQLite met while it copied the write-ahead log into the file; acknowledged writes are not lost
    /// then, as they are in the log. Returns [`StoreError::NotThere`] or [`StoreError::Corrupt`] if the file was removed,
    /// replaced or cut.
    ///
    /// # Cancel safety
    /// The store closes also when the future is dropped after its first poll.
    pub async fn close(self) -> Result<(), StoreError> {
        let (fate, closed) = oneshot::channel();
        if !self.ops.send(Op::Close(fate)) {
            return Ok(());
        }
        // No answer: another handle was closing already.
        closed.await.unwrap_or(Ok(()))
    }

    async fn change(&self, lease: &Lease, change: Change) -> Result<(), StoreError> {
        self.ops.ask(|fate| Op::Change { lease: lease.clone(), change, fate }).await
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
        let admitted = self.ops.ask(|fate| Op::Open { request, fate, back: self.ops.clone() }).await?;
        let (lease, now, found, header, input) = match admitted {
            Admitted::Held { lease, now, found, header, input } => (lease, now, found, header, input),
            Admitted::Ended(header) => return Ok(Opened::Ended(header)),
            Admitted::Refused(refused) => return limits::refused(self, &run, purpose, refused).await,
        };
        let (records, waits) = match (found, lease.slot()) {
            (Found::Records, Some(slot)) => self.read(|fate| Job::Journal { slot, fate }).await?,
            _ => (Vec::new(), Vec::new()),
        };
        let lease = lease.claim().ok_or(StoreError::Closed)?;
        Ok(Opened::Held { lease, now, run: StoredRun { header, input, records, waits } })
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
        self.ops.ask(|fate| Op::Settle { lease: lease.clone(), record, settling, fate }).await
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

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        self.ops.ask(|fate| Op::Renew { lease: lease.clone(), ttl, fate }).await
    }

    fn release(&self, lease: &Lease) {
        // Where the writer has ended, so have all its leases.
        self.ops.send(Op::Release(lease.clone()));
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
        self.ops.ask(|fate| Op::Due { query, fate }).await
    }

    async fn answer(&self, answer: Answer) -> Result<Answered, StoreError> {
        limits::answer(&answer.outcome)?;
        let answer = Box::new(answer);
        self.ops.ask(|fate| Op::Answer { answer, fate }).await
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        let (run, cancelling) = (run.clone(), Cancelling::Request);
        self.ops.ask(|fate| Op::Cancel { run, cancelling, fate }).await
    }

    async fn cancel_without_undo(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        let (run, cancelling) = (run.clone(), Cancelling::WithoutUndo);
        self.ops.ask(|fate| Op::Cancel { run, cancelling, fate }).await
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        self.ops.ask(|fate| Op::Delete { runs, condition, fate }).await
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<Imported, StoreError> {
        let stored = Box::new(stored);
        self.ops.ask(|fate| Op::Import { run, stored, fate }).await
    }

    /// What other processes do is not told: ask [`due`](Operate::due) from time to time as well.
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

/// An absolute path, which SQLite takes for nothing but a path.
fn absolute(path: &Path) -> Result<Box<Path>, StoreError> {
    if path == OsStr::new(":memory:") {
        return Err(StoreError::NotThere { detail: "`:memory:` is not a file, use a MemoryStore".into() });
    }
    let absolute = std::path::absolute(path).map_err(|error| error::unavailable(&error))?;
    Ok(absolute.into())
}
