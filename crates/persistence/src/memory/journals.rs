use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{
    Asked, Header, Key, Opening, Outcome, Payload, Record, Settling, Status, Timestamp, Unanswered,
    WaitEntry, admit, settle,
};
use awaitly_core::store::{
    DeleteIf, Held, Lease, OnRecorded, Open, Opened, Owner, RunId, StoreError, StoredRun, StoredSchedule,
};
use foldhash::fast::RandomState;

use super::post::Post;
use super::queues::{Listed, Queues};

#[derive(Default)]
pub(super) struct Journals {
    pub(super) is_closed: bool,
    /// The values that transactions wrote beside the journals.
    pub(super) table: BTreeMap<String, Payload>,
    /// The index of each run in `runs`, which is also the slot of its leases.
    pub(super) slots: HashMap<RunId, usize, RandomState>,
    /// The runs in the order in which they began; `None` for a deleted run.
    pub(super) runs: Vec<Option<Journal>>,
    pub(super) queues: Queues,
    pub(super) schedules: BTreeMap<Arc<str>, StoredSchedule>,
}

pub(super) struct Journal {
    pub(super) run: RunId,
    pub(super) header: Header,
    pub(super) input: Option<Payload>,
    pub(super) records: Vec<Record>,
    pub(super) keys: HashSet<Key, RandomState>,
    pub(super) waits: BTreeMap<Key, WaitEntry>,
    /// The newest token.
    pub(super) token: u64,
    /// The owner with that token.
    pub(super) owner: Option<Owner>,
    /// The time at which the lease with that token expires, or `None` if it was released.
    pub(super) held_until: Option<Timestamp>,
    /// Whether the owner with that token recorded an outcome.
    pub(super) has_progressed: bool,
    /// The place in the lists of [`Queues`].
    pub(super) listed: Listed,
    /// `None` if the run has no mail and has published no value.
    pub(super) post: Option<Box<Post>>,
}

impl Journals {
    pub(super) fn open(&mut self, request: &Open, now: Timestamp, until: Timestamp) -> Opened {
        let found = self.find_mut(&request.run);
        let stored = found.as_ref().map(|(_, journal)| (&journal.header, journal.lease(now)));
        match (admit(request, stored), found) {
            (Opening::Refuse(refused), _) => Opened::Refused(refused),
            (Opening::Ended, Some((_, journal))) => Opened::Ended(journal.header.clone()),
            (Opening::Take, Some((slot, journal))) => {
                let opened = journal.take(slot, &request.owner, now, until);
                self.list(slot, now);
                opened
            }
            _ => self.begin(request, now, until),
        }
    }

    pub(super) fn begin(&mut self, request: &Open, now: Timestamp, until: Timestamp) -> Opened {
        let input = request.input.as_ref().map(|input| input.payload.clone());
        let mut journal = Journal::new(request.run.clone(), Header::begin(request, now), input);
        let opened = journal.take(self.runs.len(), &request.owner, now, until);
        let slot = self.add(journal);
        self.list(slot, now);
        opened
    }

    /// Adds a run, and returns its slot. The run is not listed yet.
    pub(super) fn add(&mut self, journal: Journal) -> usize {
        let slot = self.runs.len();
        self.slots.insert(journal.run.clone(), slot);
        self.runs.push(Some(journal));
        slot
    }

    pub(super) fn delete(&mut self, run: &RunId, condition: DeleteIf, now: Timestamp) -> bool {
        let found = self.find(run);
        let Some((slot, _)) = found.filter(|(_, journal)| {
            condition.holds(journal.header.status, journal.header.changed, journal.lease(now))
        }) else {
            return false;
        };
        self.unlist(slot);
        self.slots.remove(run);
        self.runs.get_mut(slot).is_some_and(|place| place.take().is_some())
    }

    pub(super) fn find(&self, run: &RunId) -> Option<(usize, &Journal)> {
        let slot = *self.slots.get(run)?;
        Some((slot, self.runs.get(slot)?.as_ref()?))
    }

    pub(super) fn find_mut(&mut self, run: &RunId) -> Option<(usize, &mut Journal)> {
        let slot = *self.slots.get(run)?;
        Some((slot, self.runs.get_mut(slot)?.as_mut()?))
    }

    /// Returns the runs from the newest to the oldest; if `before` is given, only the runs that began before the run in
    /// that slot.
    pub(super) fn newest_first(&self, before: Option<i64>) -> impl Iterator<Item = (usize, &Journal)> {
        let end = before.and_then(|slot| usize::try_from(slot).ok()).unwrap_or(self.runs.len());
        let runs = self.runs.get(..end).unwrap_or(&self.runs).iter().enumerate().rev();
        runs.filter_map(|(slot, journal)| Some((slot, journal.as_ref()?)))
    }

    /// Returns the journal that `lease` may still write.
    pub(super) fn held(&mut self, lease: &Lease) -> Result<&mut Journal, StoreError> {
        usize::try_from(lease.slot())
            .ok()
            .and_then(|slot| self.runs.get_mut(slot)?.as_mut())
            .filter(|journal| {
                journal.token == lease.token() && journal.held_until.is_some() && journal.run == *lease.run()
            })
            .ok_or_else(|| StoreError::LeaseLost { run: (**lease.run()).into() })
    }
}

impl Journal {
    /// Creates a journal without records, whose lease is free.
    pub(super) fn new(run: RunId, header: Header, input: Option<Payload>) -> Self {
        let (records, keys, waits) = (Vec::new(), HashSet::default(), BTreeMap::new());
        let (token, owner, held_until, has_progressed) = (0, None, None, false);
        let (listed, post) = (Listed::Nowhere, None);
        Self {
            run,
            header,
            input,
            records,
            keys,
            waits,
            token,
            owner,
            held_until,
            has_progressed,
            listed,
            post,
        }
    }

    /// Returns the remaining time of the lease, if an owner holds it.
    pub(super) fn lease(&self, now: Timestamp) -> Option<Duration> {
        self.held_until.map(|until| now.until(until)).filter(|remaining| !remaining.is_zero())
    }

    pub(super) fn take(&mut self, slot: usize, owner: &Owner, now: Timestamp, until: Timestamp) -> Opened {
        let run = self.to_stored();
        Opened::Held { lease: self.lend(slot, owner, until), now, run }
    }

    /// Takes the lease for a worker that serves the `version` of the workflow.
    pub(super) fn claim(
        &mut self,
        slot: usize,
        owner: &Owner,
        version: u32,
        (now, until): (Timestamp, Timestamp),
    ) -> Held {
        self.header.claim(version, self.held_until.is_some(), self.has_progressed, now);
        Held { run: self.to_stored(), lease: self.lend(slot, owner, until) }
    }

    fn lend(&mut self, slot: usize, owner: &Owner, until: Timestamp) -> Lease {
        self.token += 1;
        self.owner = Some(owner.clone());
        (self.held_until, self.has_progressed) = (Some(until), false);
        Lease::new(self.run.clone(), self.token, slot as i64)
    }

    pub(super) fn to_stored(&self) -> StoredRun {
        StoredRun {
            header: self.header.clone(),
            input: self.input.clone(),
            records: self.records.clone(),
            waits: self.waits.values().cloned().collect(),
        }
    }

    pub(super) fn settle(
        &self,
        key: &Key,
        settling: Settling,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Unanswered> {
        let (status, entry, recorded) = (self.header.status, self.waits.get(key), self.keys.contains(key));
        settle(Some(Asked { status, entry, recorded }), settling, token, now)
    }

    pub(super) fn record(&mut self, record: Record, on_recorded: OnRecorded) -> Result<(), StoreError> {
        if !self.keys.insert(record.key.clone()) {
            match on_recorded {
                OnRecorded::Refuse => return Err(self.already_recorded(record.key)),
                OnRecorded::Replace => self.records.retain(|old| old.key != record.key),
            }
        }
        self.records.push(record);
        self.has_progressed = true;
        Ok(())
    }

    /// Records an answer, if the entry under its key may be answered. A waiting run is due then.
    pub(super) fn answer(
        &mut self,
        record: Record,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Unanswered> {
        self.settle(&record.key, Settling::Answer, token, now)?;
        self.put_answer(record);
        if self.header.status == Status::Waiting {
            self.header.wake = Some(now);
        }
        Ok(())
    }

    /// Replaces the waiting entry with its outcome.
    pub(super) fn put_answer(&mut self, record: Record) -> Outcome {
        let outcome = record.outcome.clone();
        self.waits.remove(&record.key);
        self.keys.insert(record.key.clone());
        self.records.push(record);
        outcome
    }

    pub(super) fn recorded(&self, key: &Key) -> Option<Outcome> {
        let record = self.records.iter().find(|record| record.key == *key);
        record.map(|record| record.outcome.clone())
    }

    pub(super) fn already_recorded(&self, key: Key) -> StoreError {
        StoreError::AlreadyRecorded { run: (*self.run).into(), key }
    }
}
