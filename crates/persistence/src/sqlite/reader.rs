//! What is read, each reader on a connection of its own: a journal of a million records is loaded without the writer
//! waiting for it.

use std::path::Path;
use std::time::Duration;

use awaitly_core::journal::{Record, WaitEntry};
use awaitly_core::store::{Page, RunId, RunQuery, RunSummary, StoredRun, WaitQuery, Waiting};
use rusqlite::{Connection, OpenFlags};

use super::error::{Failure, unavailable};
use super::{clock, lists, rows};
use crate::group::op::Fate;
use crate::readers::{self, Readers};

/// What a reader is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    Journal { slot: i64, fate: Fate<(Vec<Record>, Vec<WaitEntry>)> },
    Run { run: RunId, fate: Fate<Option<StoredRun>> },
    List { query: Box<RunQuery>, fate: Fate<Page<RunSummary>> },
    Waiting { query: Box<WaitQuery>, fate: Fate<Page<Waiting>> },
}

impl readers::Job for Job {
    fn is_list(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Waiting { .. })
    }
}

pub(super) fn spawn(path: &Path, busy_timeout: Duration) -> Result<Readers<Job>, Failure> {
    let readers = [reader(path, busy_timeout)?, reader(path, busy_timeout)?];
    Ok(Readers::spawn("awaitly-sqlite", readers).map_err(|error| unavailable(&error))?)
}

fn reader(path: &Path, busy_timeout: Duration) -> Result<impl FnMut(Job) + Send + 'static, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    Ok(move |job| read(&mut connection, job))
}

fn read(connection: &mut Connection, job: Job) {
    match job {
        Job::Journal { slot, fate } => answer(fate, || journal(connection, slot)),
        Job::Run { run, fate } => answer(fate, || rows::stored(connection, &run)),
        Job::List { query, fate } => answer(fate, || lists::runs(connection, &query, clock::now())),
        Job::Waiting { query, fate } => answer(fate, || lists::waiting(connection, &query)),
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
