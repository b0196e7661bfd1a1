//! The thread that reads, on a connection of its own: a journal of a million records is loaded
//! without the writer waiting for it.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use awaitly_core::journal::Record;
use awaitly_core::store::{RunId, StoredRun};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;

use super::error::Failure;
use super::op::Answer;
use super::rows;
use super::writer::unavailable;

/// How many reads wait for the reader before further ones wait to be queued.
const QUEUE: usize = 64;

/// What the reader is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    Records { slot: i64, answer: Answer<Vec<Record>> },
    Run { run: RunId, answer: Answer<Option<StoredRun>> },
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
            // Nobody may be waiting any more.
            Job::Records { answer, .. } if answer.is_closed() => {}
            Job::Run { answer, .. } if answer.is_closed() => {}
            Job::Records { slot, answer } => {
                drop(answer.send(rows::records(&connection, slot).map_err(Into::into)));
            }
            Job::Run { run, answer } => {
                drop(answer.send(rows::stored(&mut connection, &run).map_err(Into::into)))
            }
            Job::Stop => queue.close(),
        }
    }
}
