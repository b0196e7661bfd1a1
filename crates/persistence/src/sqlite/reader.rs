//! The reader threads, each with its own connection: the writer does not wait while a journal of a million records is
//! loaded.
//!
//! One thread loads journals and the other reads lists. A long list therefore never delays the opening of a run, whose
//! lease could expire meanwhile.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use awaitly_core::journal::{Record, WaitEntry};
use awaitly_core::store::{Page, RunId, RunQuery, RunSummary, StoredRun, WaitQuery, Waiting};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc::{self, Sender};

use super::error::{Failure, unavailable};
use super::op::Fate;
use super::{clock, lists, rows};

/// The number of reads that can be queued for a reader.
const QUEUE: usize = 64;

/// A request to a reader.
#[derive(Debug)]
pub(super) enum Job {
    Journal { slot: i64, fate: Fate<(Vec<Record>, Vec<WaitEntry>)> },
    Run { run: RunId, fate: Fate<Option<StoredRun>> },
    List { query: Box<RunQuery>, fate: Fate<Page<RunSummary>> },
    Waiting { query: Box<WaitQuery>, fate: Fate<Page<Waiting>> },
}

/// The readers, from the writer's side.
#[derive(Debug)]
pub(super) struct Readers {
    jobs: Jobs,
    threads: [JoinHandle<()>; 2],
}

/// The queues of the readers.
#[derive(Debug, Clone)]
pub(super) struct Jobs {
    loads: Sender<Queued>,
    lists: Sender<Queued>,
}

#[derive(Debug)]
enum Queued {
    Job(Job),
    Stop,
}

impl Readers {
    /// Opens both connections, then starts both threads.
    pub(super) fn spawn(path: &Path, busy_timeout: Duration) -> Result<Self, Failure> {
        let [loader, lister] = [connect(path, busy_timeout)?, connect(path, busy_timeout)?];
        let (loads, loader) = spawn("awaitly-sqlite-loads", loader)?;
        let (lists, lister) = spawn("awaitly-sqlite-lists", lister)?;
        Ok(Self { jobs: Jobs { loads, lists }, threads: [loader, lister] })
    }

    pub(super) fn jobs(&self) -> Jobs {
        self.jobs.clone()
    }

    /// Waits for the queued reads.
    pub(super) fn stop(self) {
        let Self { jobs: Jobs { loads, lists }, threads } = self;
        // If these calls fail, a reader has already ended.
        drop((loads.blocking_send(Queued::Stop), lists.blocking_send(Queued::Stop)));
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Jobs {
    /// Waits for a place in the queue of the reader for this kind of job. Returns `None` if that reader has ended.
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, the job is not queued.
    pub(super) async fn send(&self, job: Job) -> Option<()> {
        let jobs = match job {
            Job::Journal { .. } | Job::Run { .. } => &self.loads,
            // These jobs may scan the whole database.
            Job::List { .. } | Job::Waiting { .. } => &self.lists,
        };
        jobs.send(Queued::Job(job)).await.ok()
    }
}

fn connect(path: &Path, busy_timeout: Duration) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    Ok(connection)
}

fn spawn(name: &str, mut connection: Connection) -> Result<(Sender<Queued>, JoinHandle<()>), Failure> {
    let (jobs, mut queue) = mpsc::channel(QUEUE);
    let thread = thread::Builder::new().name(name.into()).spawn(move || {
        while let Some(queued) = queue.blocking_recv() {
            match queued {
                Queued::Job(job) => read(&mut connection, job),
                Queued::Stop => queue.close(),
            }
        }
    });
    Ok((jobs, thread.map_err(|error| unavailable(&error))?))
}

fn read(connection: &mut Connection, job: Job) {
    match job {
        Job::Journal { slot, fate } => answer(fate, || journal(connection, slot)),
        Job::Run { run, fate } => answer(fate, || rows::stored(connection, &run)),
        Job::List { query, fate } => answer(fate, || lists::runs(connection, &query, clock::now())),
        Job::Waiting { query, fate } => answer(fate, || lists::waiting(connection, &query)),
    }
}

/// Reads, unless the caller is gone.
fn answer<T>(fate: Fate<T>, read: impl FnOnce() -> Result<T, Failure>) {
    if !fate.is_closed() {
        drop(fate.send(read().map_err(Into::into)));
    }
}

/// Returns the records and waiting entries of a run from one snapshot.
fn journal(connection: &mut Connection, slot: i64) -> Result<(Vec<Record>, Vec<WaitEntry>), Failure> {
    let snapshot = connection.transaction()?;
    Ok((rows::records(&snapshot, slot)?, rows::waits(&snapshot, slot)?))
}
