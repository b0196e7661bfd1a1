//! Journals in files, one for each run.
//!
//! ```text
//! FileStore ── operations ──▶ writer: batch (what comes of them) ─▶ draft ─▶ file, fsync ─▶ index ─▶ answers
//!     └──────── questions ──▶ reader: index, and files as far as the index says that they are written
//! ```

mod batch;
mod compact;
mod draft;
mod entry;
mod error;
mod fold;
mod folder;
mod frame;
mod index;
mod name;
mod options;
mod read;
mod reader;
mod scan;
mod writer;

pub use options::FileOptions;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Key, Outcome, Record, Settling};
use awaitly_core::store::{
    Answer, Answered, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Durability, Ending, Imported, Lease,
    Open, Opened, Operate, Page, Renewed, Rewrite, RunId, RunQuery, RunSummary, Store, StoreError, StoredRun,
    Wait, WaitQuery, Waiting, Wakes,
};
use tokio::sync::oneshot;

use crate::group::op::{Admitted, Change, Fate, Found, Op};
use crate::group::{self, Sender};
use crate::limits;
use crate::readers::Jobs;
use index::Index;
use reader::Job;
use writer::Ready;

/// Journals in a folder, in a file for each run, which one process at a time has open.
///
/// A clone is a handle on the same store. Dropping the last handle lets the writes that are queued be carried
/// out in the background; [`close`](Self::close) waits for them, and until they are done the folder cannot be
/// opened again.
///
/// # Durability
/// A write that returned `Ok` survives a crash of the program and of the system and a loss of power: it is
/// added to the end of the run's file, and the disk is waited for. A record with
/// [`Durability::Batched`] is written without waiting for the disk, which takes it with what is written to the
/// same run next. A run that was opened and has recorded nothing may be forgotten in a crash of the system; it
/// begins again then.
///
/// Writes that come together share a wait for the disk: those of one run go in one write, and the files of
/// several runs are waited for side by side. There is no timer, so a single run waits for nobody.
///
/// # Leases
/// They are in memory, since only this process writes the folder: it holds a lock on it, which the system
/// drops with the process. So the runs of a process that was killed are free for the next at once, and no other
/// can take them before, also where it is frozen. The times run by the clock of the machine.
///
/// # The folder
/// It is made where there is none, for the user of this process alone, since values may be secrets. In it are
/// `lock` and the files of the runs, named for their run ids: `run-order-42.log`, with `%` and two digits for
/// each byte but `a-z`, `0-9`, `_` and `-`. A very long run id leads through folders. Other files are left
/// alone. It must be on a disk of this machine, not on a network.
///
/// What a write did not finish when the power went is cut off by the next. Any other damage is
/// [`StoreError::Corrupt`], which names the file and the byte: that run can neither be opened nor written,
/// deleted or listed, the log says so once, the file stays as it is, and the other runs are not concerned.
///
/// A file of which more than half is not needed any more, and more than a mebibyte, is written anew. When the
/// store is opened, each file is read once; in memory stays a few hundred bytes for each run, no values.
/// Runs are deleted one by one: where that fails or the system crashes in the middle, some of them are deleted. A list
/// is read in slices of 1000 runs. One that asks for a key reads the file of each run that meets the rest of the query,
/// and passes over those that cannot be read.
///
/// # Cancel safety
/// A write whose future is dropped while it waits for a place in the queue does not happen; later it happens
/// whole. A lease whose future is dropped before it arrived is given back.
///
/// # Examples
/// ```
/// use awaitly_core::store::{Open, Owner, RunId, Store};
/// use awaitly_persistence::FileStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("journals");
/// let store = FileStore::open(&path).await?;
/// let run = RunId::new("order-42")?;
/// store.open(Open::new(run.clone(), "checkout", Owner::unique())).await?;
/// store.close().await?;
///
/// let store = FileStore::open(&path).await?;
/// assert!(store.load(&run).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileStore {
    ops: Sender<Op>,
    jobs: Jobs<Job>,
    index: Arc<Index>,
}

impl FileStore {
    /// Opens the folder, and makes it where there is none, with the defaults of [`FileOptions`].
    ///
    /// # Errors
    /// [`StoreError::NotThere`] where the folder above is missing or the path is not a folder;
    /// [`StoreError::Unavailable`] where another process, or another store of this one, has the folder open, and
    /// where its file system does not lock files; [`StoreError::ReadOnly`] where it cannot be written;
    /// [`StoreError::Full`]. A damaged file, or one of a newer version, is no error here but where its run is
    /// asked for.
    ///
    /// # Cancel safety
    /// The folder is not left open when the future is dropped.
    pub async fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        FileOptions::new().open(folder).await
    }

    async fn start(options: FileOptions, folder: &Path) -> Result<Self, StoreError> {
        let (ops, queue) = group::queue(options.queue);
        let (ready, opened) = oneshot::channel();
        writer::spawn(folder.into(), queue, ready)?;
        let Ready { index, jobs } = opened.await.map_err(closed)??;
        let store = Self { ops, jobs, index };
        let folder = folder.file_name().unwrap_or_default().to_string_lossy();
        tracing::info!(%folder, durability = store.durability(), "opened a store of journals");
        Ok(store)
    }

    /// Waits until everything that was written is on the disk, and gives the folder back. Other handles answer
    /// [`StoreError::Closed`] from then on, and leases of this store are free, so that the next process may resume
    /// its runs at once.
    ///
    /// # Errors
    /// What the system met while it wrote records with [`Durability::Batched`] to the disk.
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

impl Store for FileStore {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        loop {
            let asked = Box::new(request.clone());
            let admitted =
                self.ops.ask(|fate| Op::Open { request: asked, fate, back: self.ops.clone() }).await?;
            let (lease, now, run) = match admitted {
                Admitted::Refused(refused) => {
                    return limits::refused(self, &request.run, request.purpose, refused).await;
                }
                Admitted::Ended(_) => match self.load(&request.run).await? {
                    Some(run) if run.header.status.has_ended() => return Ok(Opened::Ended(run.header)),
                    // It was deleted or revived in between.
                    _ => continue,
                },
                Admitted::Held { lease, now, found: Found::Nothing, header, input } => {
                    (lease, now, StoredRun { header, input, records: Vec::new(), waits: Vec::new() })
                }
                Admitted::Held { lease, now, .. } => match self.load(&request.run).await? {
                    Some(run) => (lease, now, run),
                    // The lease had so little time that it was over, and the run was deleted.
                    None => continue,
                },
            };
            let lease = lease.claim().ok_or(StoreError::Closed)?;
            return Ok(Opened::Held { lease, now, run });
        }
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
        self.read(|fate| Job::Load { run, fate }).await
    }

    fn durability(&self) -> &'static str {
        "files, each write on the disk"
    }
}

impl Operate for FileStore {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        self.read(|fate| Job::List { query, fate }).await
    }

    async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
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

    fn wakes(&self) -> Wakes {
        self.index.wakes()
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("durability", &self.durability()).finish_non_exhaustive()
    }
}

fn closed<E>(_: E) -> StoreError {
    StoreError::Closed
}
