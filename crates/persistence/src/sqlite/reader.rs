//! The reader threads, each with its own connection: the writer does not wait while a journal of a million records is
//! loaded.
//!
//! One thread loads journals and the other reads lists. A long list therefore never delays the opening of a run, whose
//! lease could expire meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use awaitly_core::journal::{Header, Payload, Record, Timestamp, WaitEntry};
use awaitly_core::store::{
    Due, DueQuery, Page, QueueState, RunId, RunQuery, RunSummary, ScheduleQuery, Standing, StoreError,
    StoredRun, StoredSchedule, StreamPart, WaitQuery, Waiting,
};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc::{self, Sender};

use super::dispatch::Streamed;
use super::error::{Failure, unavailable};
use super::op::Fate;
use super::{clock, dispatch, lists, rows};

/// The number of reads that can be queued for a reader.
const QUEUE: usize = 64;

/// A request to a reader.
#[derive(Debug)]
pub(super) enum Job {
    Journal { slot: i64, fate: Fate<Journal> },
    Journals { slots: Vec<i64>, fate: Fate<Vec<Result<Journal, StoreError>>> },
    Run { run: RunId, fate: Fate<Option<StoredRun>> },
    List { query: Box<RunQuery>, fate: Fate<Page<RunSummary>> },
    Waiting { query: Box<WaitQuery>, fate: Fate<Page<Waiting>> },
    Due { query: DueQuery, now: Timestamp, fate: Fate<Vec<Due>> },
    Queues { fate: Fate<Vec<QueueState>> },
    Headers { runs: Vec<RunId>, fate: Fate<Vec<Option<Header>>> },
    Standing { run: RunId, fate: Fate<Option<Standing>> },
    Published { run: RunId, name: Arc<str>, fate: Fate<Option<Payload>> },
    Stream { streamed: Streamed, fate: Fate<Option<StreamPart>> },
    Schedules { query: ScheduleQuery, fate: Fate<Vec<StoredSchedule>> },
}

/// The records and the waiting entries of a run.
type Journal = (Vec<Record>, Vec<WaitEntry>);

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
            Job::Journal { .. }
            | Job::Journals { .. }
            | Job::Run { .. }
            | Job::Headers { .. }
            | Job::Standing { .. }
            | Job::Published { .. } => &self.loads,
            // These jobs may scan the whole database, or read many payloads.
            Job::List { .. }
            | Job::Waiting { .. }
            | Job::Due { .. }
            | Job::Queues { .. }
            | Job::Stream { .. }
            | Job::Schedules { .. } => &self.lists,
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
        Job::Journal { slot, fate } => answer(fate, || journal(&*connection.transaction()?, slot)),
        Job::Journals { slots, fate } => answer(fate, || journals(connection, &slots)),
        Job::Run { run, fate } => answer(fate, || rows::stored(connection, &run)),
        Job::List { query, fate } => answer(fate, || lists::runs(connection, &query, clock::now())),
        Job::Waiting { query, fate } => answer(fate, || lists::waiting(connection, &query)),
        Job::Due { query, now, fate } => answer(fate, || lists::due(connection, &query, now)),
        Job::Queues { fate } => answer(fate, || dispatch::states(connection)),
        Job::Headers { runs, fate } => answer(fate, || rows::headers(connection, &runs)),
        Job::Standing { run, fate } => answer(fate, || dispatch::standing(connection, &run, clock::now())),
        Job::Published { run, name, fate } => answer(fate, || dispatch::value(connection, &run, &name)),
        Job::Stream { streamed, fate } => answer(fate, || dispatch::part(connection, &streamed)),
        Job::Schedules { query, fate } => answer(fate, || dispatch::find_schedules(connection, &query)),
    }
}

/// Reads, unless the caller is gone.
fn answer<T>(fate: Fate<T>, read: impl FnOnce() -> Result<T, Failure>) {
    if !fate.is_closed() {
        drop(fate.send(read().map_err(Into::into)));
    }
}

fn journal(snapshot: &Connection, slot: i64) -> Result<Journal, Failure> {
    Ok((rows::records(snapshot, slot)?, rows::waits(snapshot, slot)?))
}

/// Returns the journals of several runs. An unreadable journal does not concern the others.
fn journals(connection: &mut Connection, slots: &[i64]) -> Result<Vec<Result<Journal, StoreError>>, Failure> {
    let snapshot = connection.transaction()?;
    let read = slots.iter().map(|slot| match journal(&snapshot, *slot) {
        Err(Failure::Refused(error)) => Ok(Err(error)),
        journal => journal.map(Ok),
    });
    read.collect()
}
