//! The thread that writes.
//!
//! It takes what has queued up since its last batch was on the disk, adds to each file what concerns it in one
//! write, waits for the disk where somebody's answer depends on it, and answers everyone.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::SystemTime;

use awaitly_core::journal::{Header, Timestamp};
use awaitly_core::store::{DeleteIf, Due, DueQuery, RunId, StoreError};
use foldhash::fast::RandomState;
use tokio::sync::oneshot;

use super::batch::{Batch, TOKENS, run_of};
use super::draft::{Draft, Known};
use super::error::store_error;
use super::folder::{Folder, Lock};
use super::index::{Index, Run};
use super::reader::{Job, Reader};
use super::{compact, name, scan};
use crate::group::op::{Done, Op};
use crate::group::{self, Receiver};
use crate::limits;
use crate::readers::{Jobs, Readers};

/// How many files a batch has open at a time, and how many are kept open for the next: a process may have few.
const FILES: usize = 64;

/// How many files are waited for at the same time. File systems let those who wait share the work: with 16 runs
/// twice as many steps each second as one after another, on two processors.
const SYNCS: usize = 8;

/// What handles on the store need.
pub(super) struct Ready {
    pub(super) index: Arc<Index>,
    pub(super) jobs: Jobs<Job>,
}

struct Writer {
    folder: Folder,
    index: Arc<Index>,
    /// Of the runs that somebody holds.
    known: HashMap<RunId, Known, RandomState>,
    /// The newest number of a run.
    number: i64,
    /// Given back last.
    _lock: Lock,
}

/// Opens `path` in a thread of its own, says so through `ready`, and writes until the store is closed or its last
/// handle is dropped.
pub(super) fn spawn(
    path: Box<Path>,
    ops: Receiver<Op>,
    ready: oneshot::Sender<Result<Ready, StoreError>>,
) -> Result<(), StoreError> {
    let thread = thread::Builder::new().name("awaitly-files".into());
    let spawned = thread.spawn(move || match Writer::open(&path) {
        Ok((writer, readers)) => {
            // Nobody may be waiting any more: then there are no handles, and the loop ends at once.
            drop(ready.send(Ok(Ready { index: Arc::clone(&writer.index), jobs: readers.jobs() })));
            writer.run(ops, readers);
        }
        Err(error) => drop(ready.send(Err(error))),
    });
    spawned.map(drop).map_err(unavailable)
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn unavailable(error: std::io::Error) -> StoreError {
    StoreError::Unavailable { detail: error.to_string().into() }
}

impl Writer {
    fn open(path: &Path) -> Result<(Self, Readers<Job>), StoreError> {
        let (folder, lock) = Folder::open(path)?;
        let index = Arc::new(Index::new());
        let number = scan::fill(&folder, &index)?;
        TOKENS.fetch_max(now().as_millis() << 20, Ordering::Relaxed);
        let readers =
            Reader { folder: folder.clone(), index: Arc::clone(&index) }.spawn().map_err(unavailable)?;
        Ok((Self { folder, index, known: HashMap::default(), number, _lock: lock }, readers))
    }

    fn run(mut self, mut queue: Receiver<Op>, readers: Readers<Job>) {
        let (mut ops, mut closing) = (Vec::new(), Vec::new());
        while queue.blocking_take(&mut ops) {
            for op in ops.extract_if(.., |op| matches!(op, Op::Close(_))) {
                // What is queued already is still carried out; nothing more is let in.
                queue.close();
                closing.extend(op.into_closing());
            }
            let company = ops.len();
            if company > 0 {
                self.commit(&mut ops);
                queue.blocking_gather(company);
            }
        }
        readers.stop();
        let closed = self.close();
        closing.into_iter().for_each(|fate: group::op::Fate<()>| drop(fate.send(closed.clone())));
    }

    /// Carries out `ops` in their order, and answers each; `ops` is empty then.
    fn commit(&mut self, ops: &mut Vec<Op>) {
        let mut batch = Vec::with_capacity(ops.len());
        for op in ops.drain(..) {
            match &op {
                Op::Delete { runs, condition, .. } => {
                    self.commit_batch(&mut batch);
                    let done = Done::Deleted(self.delete(runs, *condition));
                    op.answer(done);
                }
                Op::Due { query, .. } => {
                    self.commit_batch(&mut batch);
                    let done = Done::Due(Ok(self.due(query)));
                    op.answer(done);
                }
                _ => batch.push(op),
            }
        }
        if !batch.is_empty() {
            self.commit_batch(&mut batch);
        }
    }

    fn commit_batch(&mut self, ops: &mut Vec<Op>) {
        let mut batch = Batch {
            folder: &self.folder,
            index: &self.index,
            known: &mut self.known,
            number: &mut self.number,
            now: now(),
            drafts: HashMap::default(),
        };
        let dones: Vec<_> = ops.iter().map(|op| batch.apply(op)).collect();
        let mut drafts: Vec<_> = batch.drafts.into_values().collect();
        write(&self.folder, &mut drafts);
        let (mostly_dead, failed) = self.publish(drafts, ops);
        if ops.iter().any(Op::wakes) {
            self.index.ring();
        }
        for (op, done) in ops.drain(..).zip(dones) {
            match run_of(&op).and_then(|run| failed.get(run)) {
                Some(error) => op.fail(error.clone()),
                None => op.answer(done),
            }
        }
        mostly_dead.iter().for_each(|run| self.compact(run));
    }

    /// Lets everybody see what was written. Says which files are to be written anew, and which runs are as they
    /// were before the batch, and why.
    fn publish(
        &mut self,
        drafts: Vec<Draft>,
        ops: &[Op],
    ) -> (Vec<RunId>, HashMap<RunId, StoreError, RandomState>) {
        let (mut runs, mut mostly_dead, mut failed) = (Vec::new(), Vec::new(), HashMap::default());
        for mut draft in drafts {
            match draft.finish(&self.folder) {
                Ok(()) => {
                    if draft.is_mostly_dead() {
                        mostly_dead.push(draft.run.id.clone());
                    }
                    self.keep(&draft.run, draft.known);
                    runs.push(draft.run);
                }
                Err(error) => {
                    runs.extend(self.as_it_was(&draft.run, ops));
                    failed.insert(draft.run.id, error);
                }
            }
        }
        self.index.put(runs);
        (mostly_dead, failed)
    }

    /// What of a run is kept for the next batch.
    fn keep(&mut self, run: &Run, mut known: Known) {
        if run.held_until.is_none() {
            return;
        }
        if self.known.len() >= FILES {
            known.file = None;
        }
        self.known.insert(run.id.clone(), known);
    }

    /// The run before the batch that failed, but without a lease that was given back in it.
    fn as_it_was(&self, failed: &Run, ops: &[Op]) -> Option<Run> {
        let mut run = Arc::unwrap_or_clone(self.index.find(&failed.id).ok()??);
        run.lost = failed.lost.clone();
        if ops.iter().any(|op| matches!(op, Op::Release(lease) if run.is_held_by(lease))) {
            run.held_until = None;
        }
        Some(run)
    }

    fn delete(&mut self, runs: &[RunId], condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        let now = now();
        let mut found = Vec::new();
        for run in runs {
            // A damaged file is left to people, and they are told before anything is deleted.
            found.extend(self.index.find(run)?.filter(|run| {
                let header = &run.face.header;
                condition.holds(header.status, header.changed, run.lease(now))
            }));
        }
        let mut seen = HashSet::with_capacity(found.len());
        found.retain(|run| seen.insert(run.number));
        let mut paths = Vec::with_capacity(found.len());
        for run in &found {
            let path = name::path(&run.id);
            // First, so that who reads it meanwhile finds that it is gone, and not that its file is missing.
            self.index.remove(run);
            self.known.remove(&run.id);
            self.folder.remove(&path).map_err(|error| {
                self.index.put([Run::clone(run)]);
                store_error(&path, &error)
            })?;
            paths.push(path);
        }
        let synced = self.folder.sync_names(paths.iter().map(|path| &**path));
        synced.map_err(|error| store_error(Path::new("."), &error))?;
        Ok(found.into_iter().map(|run| run.id.clone()).collect())
    }

    fn due(&self, query: &DueQuery) -> Vec<Due> {
        let now = now();
        let due = self.index.open().filter_map(|run| {
            let Header { workflow, version, status, wake, changed, .. } = &*run.face.header;
            if !query.asks_for(workflow) {
                return None;
            }
            let since = Due::since(*status, *wake, run.held_until, *changed, now)?;
            Some(Due { run: run.id.clone(), workflow: Arc::clone(workflow), version: *version, since })
        });
        limits::longest_overdue(due.collect(), query.page_limit())
    }

    /// Where this does not work the file stays as it is, and is not tried again before more of it is dead.
    fn compact(&mut self, run: &RunId) {
        if let Some(known) = self.known.get_mut(run) {
            known.file = None;
            known.keys.iter_mut().for_each(|keys| keys.dead = 0);
        }
        let Ok(Some(run)) = self.index.find(run) else { return };
        if let Err(error) = compact::anew(&self.folder, &self.index, &run) {
            tracing::warn!(run = %run.id, %error, "a file of which most is not needed could not be written anew");
        }
    }

    /// Writes to the disk what was not to wait for it.
    fn close(self) -> Result<(), StoreError> {
        self.index.close();
        let unsynced = self.index.open().filter(|run| run.unsynced && run.lost.is_none());
        unsynced.map(|run| name::path(&run.id)).try_for_each(|path| {
            let synced = self.folder.write(&path).and_then(|file| file.sync_data());
            synced.and_then(|()| self.folder.sync_names([&*path])).map_err(|error| store_error(&path, &error))
        })
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Adds to each file what concerns it, and waits for the disk where it has to.
fn write(folder: &Folder, drafts: &mut [Draft]) {
    let keep = drafts.len() <= FILES;
    for part in drafts.chunks_mut(FILES) {
        part.iter_mut().for_each(|draft| draft.write(folder));
        sync(part);
        part.iter_mut().filter(|_| !keep).for_each(Draft::close);
    }
    let links: Vec<_> = drafts.iter().filter_map(Draft::must_be_linked).collect();
    if links.is_empty() {
        return;
    }
    if let Err(error) = folder.sync_names(links.iter().map(|path| &**path)) {
        for draft in drafts.iter_mut().filter(|draft| draft.must_be_linked().is_some()) {
            draft.fail(&error);
        }
    }
}

fn sync(drafts: &mut [Draft]) {
    let mut waiting: Vec<_> = drafts.iter_mut().filter(|draft| draft.must_be_synced()).collect();
    let share = waiting.len().div_ceil(SYNCS).max(1);
    let (own, others) = waiting.split_at_mut_checked(share).unwrap_or_default();
    thread::scope(|scope| {
        for part in others.chunks_mut(share) {
            // Where there can be no thread, this one does it below.
            let thread = thread::Builder::new().name("awaitly-files-sync".into());
            drop(thread.spawn_scoped(scope, move || part.iter_mut().for_each(|draft| draft.sync())));
        }
        own.iter_mut().for_each(|draft| draft.sync());
    });
    waiting.iter_mut().filter(|draft| draft.must_be_synced()).for_each(|draft| draft.sync());
}
