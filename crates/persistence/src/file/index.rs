//! What is known of all runs without looking into their files.
//!
//! Only the writer changes it, and only after what it says is in the files: whoever reads it never sees what may
//! still fail. A run in it is never changed, but replaced by another, so that the lock is held for moments.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::journal::{LeaseInfo, Timestamp};
use awaitly_core::store::{Bell, Lease, RunId, StoreError, Wakes};
use foldhash::fast::RandomState;

use super::fold::Face;

/// How many runs are handed out under one lock.
const SLICE: usize = 1000;

/// A run, without its values.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: RunId,
    /// Its place in lists, and the slot of its leases.
    pub(super) number: i64,
    pub(super) face: Face,
    /// The newest token.
    pub(super) token: u64,
    /// When the lease with that token expires. `None`: it was given back.
    pub(super) held_until: Option<Timestamp>,
    /// As far as this the file holds what was acknowledged.
    pub(super) length: u64,
    /// How often the file was written anew.
    pub(super) renewals: u32,
    /// Whether a torn entry may stand behind that.
    pub(super) torn: bool,
    /// Whether a crash of the system may take something of the file.
    pub(super) unsynced: bool,
    /// Whether the name of the file survives one.
    pub(super) linked: bool,
    /// Why the file cannot be written until the store is opened again.
    pub(super) lost: Option<StoreError>,
}

impl Run {
    pub(super) fn lease(&self, now: Timestamp) -> LeaseInfo {
        match self.held_until.map(|until| now.until(until)) {
            Some(remaining) if !remaining.is_zero() => LeaseInfo::Held(remaining),
            _ => LeaseInfo::Free,
        }
    }

    /// Whether `lease` is the newest of the run and was not given back. One that has expired while nobody took
    /// the run still is.
    pub(super) fn is_held_by(&self, lease: &Lease) -> bool {
        self.held_until.is_some()
            && (self.number, self.token) == (lease.slot(), lease.token())
            && self.id == *lease.run()
    }
}

#[derive(Debug)]
pub(super) struct Index(Mutex<Runs>);

#[derive(Debug)]
struct Runs {
    places: HashMap<RunId, Place, RandomState>,
    all: BTreeMap<i64, Arc<Run>>,
    /// Those that have not ended, so that looking for what is due does not go through all that ever were.
    open: BTreeMap<i64, Arc<Run>>,
    bell: Bell,
}

#[derive(Debug)]
enum Place {
    Run(Arc<Run>),
    /// The file was found damaged when the store was opened.
    Damaged(StoreError),
}

impl Index {
    pub(super) fn new() -> Self {
        let bell = Bell::new();
        Self(Mutex::new(Runs {
            places: HashMap::default(),
            all: BTreeMap::new(),
            open: BTreeMap::new(),
            bell,
        }))
    }

    pub(super) fn put(&self, runs: impl IntoIterator<Item = Run>) {
        let mut index = self.lock();
        runs.into_iter().for_each(|run| index.put(run));
    }

    /// Puts `run` once `replace` has put its new file in the place of the old one. Whoever finds the same run here
    /// before and after reading the file has read the file of that run.
    pub(super) fn exchange(&self, run: Run, replace: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut index = self.lock();
        replace()?;
        index.put(run);
        Ok(())
    }

    pub(super) fn put_damaged(&self, run: RunId, why: StoreError) {
        self.lock().places.insert(run, Place::Damaged(why));
    }

    pub(super) fn remove(&self, run: &Run) {
        let mut index = self.lock();
        index.open.remove(&run.number);
        index.all.remove(&run.number);
        index.places.remove(&run.id);
    }

    pub(super) fn find(&self, run: &RunId) -> Result<Option<Arc<Run>>, StoreError> {
        match self.lock().places.get(run) {
            None => Ok(None),
            Some(Place::Run(run)) => Ok(Some(Arc::clone(run))),
            Some(Place::Damaged(why)) => Err(why.clone()),
        }
    }

    /// The runs that began before that number, if one is given.
    pub(super) fn newest_first(&self, before: Option<i64>) -> impl Iterator<Item = Arc<Run>> {
        self.in_slices(before, |runs| &runs.all)
    }

    /// Those that have not ended.
    pub(super) fn open(&self) -> impl Iterator<Item = Arc<Run>> {
        self.in_slices(None, |runs| &runs.open)
    }

    pub(super) fn ring(&self) {
        self.lock().bell.ring();
    }

    pub(super) fn wakes(&self) -> Wakes {
        self.lock().bell.listen()
    }

    /// Tells everybody who listens that nothing will come any more.
    pub(super) fn close(&self) {
        self.lock().bell.end();
    }

    fn in_slices(
        &self,
        before: Option<i64>,
        which: fn(&Runs) -> &BTreeMap<i64, Arc<Run>>,
    ) -> impl Iterator<Item = Arc<Run>> {
        let mut end = before.unwrap_or(i64::MAX);
        std::iter::from_fn(move || {
            let slice: Vec<_> =
                which(&self.lock()).range(..end).rev().take(SLICE).map(|(_, run)| run.clone()).collect();
            end = slice.last()?.number;
            Some(slice)
        })
        .flatten()
    }

    /// A panic while the lock was held leaves nothing half done that matters: nothing in here can fail.
    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runs {
    fn put(&mut self, run: Run) {
        let run = Arc::new(run);
        if run.face.header.status.has_ended() {
            self.open.remove(&run.number);
        } else {
            self.open.insert(run.number, Arc::clone(&run));
        }
        self.all.insert(run.number, Arc::clone(&run));
        self.places.insert(run.id.clone(), Place::Run(run));
    }
}

#[cfg(test)]
mod tests {
    use awaitly_core::journal::{Header, Status};

    use super::*;

    fn numbered(number: i64, status: Status) -> Run {
        let header = Header::new("checkout".into(), 1, status, Timestamp::from_millis(0));
        Run {
            id: RunId::new(number.to_string()).unwrap(),
            number,
            face: Face { header: Arc::new(header), waits: Arc::default(), is_too_late: false },
            token: 1,
            held_until: None,
            length: 1,
            renewals: 0,
            torn: false,
            unsynced: false,
            linked: true,
            lost: None,
        }
    }

    #[test]
    fn runs_come_newest_first_however_many_there_are() {
        let index = Index::new();
        let status = |number| if number % 3 == 0 { Status::Completed } else { Status::Running };
        index.put((1..=2_500).map(|number| numbered(number, status(number))));
        let numbers =
            |runs: &mut dyn Iterator<Item = Arc<Run>>| runs.map(|run| run.number).collect::<Vec<_>>();
        assert_eq!(numbers(&mut index.newest_first(None)), (1..=2_500).rev().collect::<Vec<_>>());
        assert_eq!(numbers(&mut index.newest_first(Some(3))), [2, 1]);
        assert!(numbers(&mut index.newest_first(Some(i64::MIN))).is_empty());
        assert_eq!(
            numbers(&mut index.open()),
            (1..=2_500).rev().filter(|number| number % 3 > 0).collect::<Vec<_>>()
        );
        let five = index.find(&RunId::new("5").unwrap()).unwrap().unwrap();
        index.remove(&five);
        index.put([numbered(4, Status::Failed), numbered(6, Status::Running)]);
        assert_eq!(numbers(&mut index.open()).last_chunk(), Some(&[7, 6, 2, 1]));
        assert_eq!(numbers(&mut index.newest_first(Some(8))), [7, 6, 4, 3, 2, 1]);
    }
}
