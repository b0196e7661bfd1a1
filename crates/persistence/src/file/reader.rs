//! What is read: a journal of a million records is loaded, and a hundred thousand runs are listed, without the writer or
//! the runtime waiting for it.

use std::sync::Arc;
use std::time::SystemTime;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{
    Cursor, Page, RunId, RunQuery, RunSummary, StoreError, StoredRun, WaitQuery, Waiting,
};

use super::folder::Folder;
use super::index::{Index, Run};
use super::read;
use crate::group::op::Fate;
use crate::limits;
use crate::readers::{self, Readers};

/// What a reader is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    Load { run: RunId, fate: Fate<Option<StoredRun>> },
    List { query: RunQuery, fate: Fate<Page<RunSummary>> },
    Waiting { query: WaitQuery, fate: Fate<Page<Waiting>> },
}

impl readers::Job for Job {
    fn is_list(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Waiting { .. })
    }
}

#[derive(Clone)]
pub(super) struct Reader {
    pub(super) folder: Folder,
    pub(super) index: Arc<Index>,
}

impl Reader {
    pub(super) fn spawn(self) -> std::io::Result<Readers<Job>> {
        let readers = [self.clone(), self].map(|reader| move |job| reader.read(job));
        Readers::spawn("awaitly-files", readers)
    }

    fn read(&self, job: Job) {
        match job {
            // Nobody may be waiting any more.
            Job::Load { fate, .. } if fate.is_closed() => {}
            Job::Load { run, fate } => drop(fate.send(self.load(&run))),
            Job::List { query, fate } => drop(fate.send(self.list(&query))),
            Job::Waiting { query, fate } => drop(fate.send(self.waiting(&query))),
        }
    }

    fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let file = |run: &Run| (run.number, run.renewals);
        let mut found = self.index.find(run)?;
        while let Some(known) = found {
            let journal = read::journal(&self.folder, &known, &[]);
            found = self.index.find(run)?;
            // While it was read, the file may have been deleted or written anew.
            if found.as_deref().map(file) == Some(file(&known)) {
                return journal.map(|journal| Some(journal.into_stored()));
            }
        }
        Ok(None)
    }

    fn list(&self, query: &RunQuery) -> Result<Page<RunSummary>, StoreError> {
        let before = query.after.as_ref().map(limits::number).transpose()?;
        let now = Timestamp::from(SystemTime::now());
        let found = self.index.newest_first(before).filter_map(|run| {
            let summary = RunSummary::of(run.id.clone(), &run.face.header, run.lease(now));
            let has_key = |key: &_| {
                // A file that cannot be read now is left out, as those are which could not when the store was opened.
                read::journal(&self.folder, &run, &[]).is_ok_and(|journal| journal.keys.contain(key))
            };
            query.asks_for(&summary, has_key).then_some((run.number, summary))
        });
        let found = found.take(query.page_limit() + 1).collect();
        Ok(limits::without_places(Page::cut(found, query.page_limit(), |(number, _)| {
            Cursor::new(number.to_string())
        })))
    }

    fn waiting(&self, query: &WaitQuery) -> Result<Page<Waiting>, StoreError> {
        let mut found = Vec::new();
        for run in self.index.open() {
            let asked = run.face.waits.values().filter(|entry| query.asks_for(&run.id, entry));
            found.extend(asked.map(|entry| Waiting {
                run: run.id.clone(),
                workflow: Arc::clone(&run.face.header.workflow),
                entry: entry.clone(),
            }));
        }
        limits::page_of_waiting(found, query)
    }
}
