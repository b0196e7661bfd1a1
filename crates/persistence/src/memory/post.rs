//! The mail of runs, the values and streams that runs publish, and schedules.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use awaitly_core::dispatch::ChildQuestion;
use awaitly_core::journal::{Key, Outcome, Payload, Record, Status, Timestamp, WaitEntry};
use awaitly_core::store::{
    Lease, Message, OnRecorded, Publish, PutSchedule, RunId, ScheduleQuery, StoreError, StoredSchedule,
    StreamPart, Unsent,
};

use super::journals::{Journal, Journals};
use super::slot;

/// The mail and the published values of a run.
#[derive(Default)]
pub(super) struct Post {
    boxes: BTreeMap<Arc<str>, VecDeque<Payload>>,
    /// The ids of all messages so far.
    ids: HashSet<Arc<str>>,
    /// Whether the run may have missed a message: one came since the execution began, and since then no receive found that
    /// the run has no messages.
    pub(super) has_new: bool,
    values: BTreeMap<Arc<str>, Payload>,
    streams: BTreeMap<Arc<str>, Vec<Payload>>,
}

impl Post {
    /// Drops what a run that starts again does not keep.
    pub(super) fn restart(&mut self) {
        self.streams.clear();
        self.has_new = false;
    }
}

impl Journals {
    pub(super) fn send(&mut self, message: Message, now: Timestamp) -> Result<(), Unsent> {
        let found = self.find_mut(&message.run);
        let status = found.as_ref().map(|(_, journal)| journal.header.status);
        let unread = found.as_ref().map_or(0, |(_, journal)| journal.unread());
        message.check(status, unread)?;
        let Some((slot, journal)) = found else { return Err(Unsent::NoSuchRun) };
        let post = journal.post.get_or_insert_default();
        if message.id.is_some_and(|id| !post.ids.insert(id)) {
            return Ok(());
        }
        post.boxes.entry(message.mailbox).or_default().push_back(message.payload);
        // A run that has not begun finds the message.
        post.has_new = journal.header.has_begun();
        if journal.header.status == Status::Waiting {
            journal.header.wake = Some(now);
        }
        self.list(slot, now);
        Ok(())
    }

    pub(super) fn receive(
        &mut self,
        lease: &Lease,
        mailbox: &str,
        key: Key,
    ) -> Result<Option<Outcome>, StoreError> {
        let journal = self.held(lease)?;
        if let Some(recorded) = journal.recorded(&key) {
            return Ok(Some(recorded));
        }
        let post = journal.post.get_or_insert_default();
        let Some(message) = post.boxes.get_mut(mailbox).and_then(VecDeque::pop_front) else {
            // Another mailbox may contain a message that came since the run looked there.
            post.has_new &= post.boxes.values().any(|mailbox| !mailbox.is_empty());
            return Ok(None);
        };
        let outcome = Outcome::Value(message);
        journal.waits.remove(&key);
        journal.record(Record { key, outcome: outcome.clone(), input: None }, OnRecorded::Refuse)?;
        Ok(Some(outcome))
    }

    /// Publishes values. If one of them is refused, publishes none.
    pub(super) fn publish(&mut self, lease: &Lease, published: Vec<Publish>) -> Result<(), StoreError> {
        let post = self.held(lease)?.post.get_or_insert_default();
        let mut lengths: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
        for one in &published {
            let Some(index) = one.index else { continue };
            let length = lengths
                .entry(&one.name)
                .or_insert_with(|| post.streams.get(&one.name).map_or(0, |stream| stream.len() as u64));
            crate::limits::stream_item(one, *length)?;
            *length = (*length).max(index + 1);
        }
        for Publish { name, index, payload, .. } in published {
            match index {
                None => drop(post.values.insert(name, payload)),
                Some(index) => {
                    let stream = post.streams.entry(name).or_default();
                    if index == stream.len() as u64 {
                        stream.push(payload);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn published(&self, run: &RunId, name: &str) -> Option<Payload> {
        self.find(run)?.1.post.as_ref()?.values.get(name).cloned()
    }

    pub(super) fn stream(&self, run: &RunId, stream: &str, from: u64, limit: usize) -> Option<StreamPart> {
        let (_, journal) = self.find(run)?;
        let items = journal.post.as_ref().and_then(|post| post.streams.get(stream));
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let items = items.into_iter().flatten().skip(from).take(limit.min(1000)).cloned().collect();
        Some(StreamPart { items, ended: journal.header.status.has_ended() })
    }

    pub(super) fn schedules(&self, query: &ScheduleQuery) -> Vec<StoredSchedule> {
        let found = self.schedules.values().filter(|schedule| query.asks_for(schedule));
        found.take(query.page_limit()).cloned().collect()
    }

    pub(super) fn put_schedule(&mut self, change: PutSchedule, now: Timestamp) -> bool {
        let PutSchedule { name, version, put } = change;
        let stored = self.schedules.get(&name).map(|schedule| schedule.version);
        if stored != version {
            return false;
        }
        match put {
            Some((due, rule)) => {
                let version = version.map_or(now.as_millis(), |version| version + 1);
                self.schedules.insert(Arc::clone(&name), StoredSchedule { name, version, due, rule });
            }
            None => drop(self.schedules.remove(&name)),
        }
        true
    }

    /// Answers the parent of a run that has ended. Call this after each change that may end a run.
    pub(super) fn report(&mut self, lease: &Lease, now: Timestamp) {
        self.report_of(slot(lease), now);
    }

    pub(super) fn report_of(&mut self, slot: usize, now: Timestamp) {
        let ended = self.runs.get(slot).and_then(Option::as_ref);
        let Some(child) = ended.map(|journal| journal.run.clone()) else { return };
        let Some((parent, outcome)) = ended.and_then(|journal| journal.header.report()) else { return };
        let Some((slot, journal)) = self.find_mut(&parent.run) else { return };
        let asks = |entry: &WaitEntry| ChildQuestion::asks_for(&entry.request, &child);
        if !journal.waits.get(&parent.key).is_some_and(asks) {
            return;
        }
        if journal.answer(Record { key: parent.key, outcome, input: None }, None, now).is_ok() {
            self.list(slot, now);
        }
    }
}

impl Journal {
    /// Returns the number of messages that the run has not received yet.
    fn unread(&self) -> usize {
        self.post.as_ref().map_or(0, |post| post.boxes.values().map(VecDeque::len).sum())
    }

    /// Returns whether the run may have missed a message.
    pub(super) fn has_new_mail(&self) -> bool {
        self.post.as_ref().is_some_and(|post| post.has_new)
    }
}
