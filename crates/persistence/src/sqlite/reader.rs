//! The thread that reads, on a connection of its own: a journal of a million records is loaded
//! without the writer waiting for it.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use awaitly_core::journal::{Record, WaitEntry};
use awaitly_core::store::{Page, RunId, RunQuery, RunSummary, StoredRun, WaitQuery, Waiting};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;

use super::error::Failure;
use super::writer::unavailable;
use super::{clock, lists, rows};
use crate::group::op::Fate;

/// How many reads wait for the reader before further ones wait to be queued.
const QUEUE: usize = 64;

/// What the reader is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    Journal { slot: i64, fate: Fate<(Vec<Record>, Vec<WaitEntry>)> },
    Run { run: RunId, fate: Fate<Option<StoredRun>> },
    List { query: Box<RunQuery>, fate: Fate<Page<RunSummary>> },
    Waiting { query: Box<WaitQuery>, fate: Fate<Page<Waiting>> },
    Stop,
}

/// The reader, as its writer sees it.
pub(super) struct Reader {
    pub(super) jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

pub(super) fn spawn(path: &Path, busy_timeout: Duration) -> Result<Reader, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    let (jobs, queue) = mpsc::channel(QUEUE);
    let thread = thread::Builder::new().name("awaitly-sqlite-reader".into());
    let thread = thread.spawn(move || run(connection, queue)).map_err(|error| unavailable(&error))?;
    Ok(Reader { jobs, thread })
}

impl Reader {
    /// Waits for the reads that are queued, and closes the reader's connection.
    pub(super) fn stop(self) {
        // Where these fail the reader has ended already.
        drop(self.jobs.blocking_send(Job::Stop));
        drop(self.thread.join());
    }
}

fn run(mut connection: Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        match job {
            Job::Journal { slot, fate } => answer(fate, || journal(&mut connection, slot)),
            Job::Run { run, fate } => answer(fate, || rows::stored(&mut connection, &run)),
            Job::List { query, fate } => answer(fate, || lists::runs(&connection, &query, clock::now())),
            Job::Waiting { query, fate } => answer(fate, || lists::waiting(&connection, &query)),
            Job::Stop => queue.close(),
        }
    }
}

/// Reads, unless nobody waits for it any more.
fn answer<T>(fate: Fate<T>, read: impl FnOnce() -> Result<T, Failure>) {
    if !fate.is_closed() {
        drop(fate.send(read().map_err(Into::into)));
    }
}

/// What a run has beside its header, as it was at one moment.
fn journal(connection: &mut Connection, slot: i64) -> Result<(Vec<Record>, Vec<WaitEntry>), Failure> {
    let snapshot = connection.transaction()?;
    Ok((rows::records(&snapshot, slot)?, rows::waits(&snapshot, slot)?))
}
