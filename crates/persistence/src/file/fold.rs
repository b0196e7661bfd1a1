//! What a run is: all entries of its file, one after another. Nothing here knows of files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use awaitly_core::journal::{Header, Key, Outcome, Payload, Record, Status, WaitEntry};
use awaitly_core::store::{Ending, RunId, StoredRun};
use foldhash::fast::RandomState;

use super::entry::Entry;

/// What of a run is kept in memory as long as the store is open, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Face {
    /// Without the outcome, which may be large.
    pub(super) header: Arc<Header>,
    pub(super) waits: Arc<BTreeMap<Key, WaitEntry>>,
    /// Whether it is too late to cancel the run.
    pub(super) is_too_late: bool,
}

impl Face {
    /// The run that begins with `entry`, and its number. `None`: no run begins with that.
    pub(super) fn begin(entry: &Entry<'_>) -> Option<(RunId, i64, Self)> {
        let mut is_too_late = false;
        let (run, number, header, waits) = match entry {
            Entry::Begun { run, number, workflow, version, fingerprint, at, .. } => {
                let mut header = Header::new(Arc::clone(workflow), *version, Status::Running, *at);
                header.input = *fingerprint;
                (run, number, header, BTreeMap::new())
            }
            Entry::Imported { run, number, header, waits, records, .. } => {
                is_too_late = records.iter().any(declares);
                let mut header = header.clone().into_owned();
                header.outcome = None;
                (run, number, header, waits.iter().map(|entry| (entry.key.clone(), entry.clone())).collect())
            }
            _ => return None,
        };
        let (header, waits) = (Arc::new(header), Arc::new(waits));
        Some((run.clone(), *number, Self { header, waits, is_too_late }))
    }

    /// Takes over what happened after that.
    pub(super) fn apply(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Begun { .. } | Entry::Imported { .. } => {}
            Entry::Appended(record) | Entry::Replaced(record) => self.is_too_late |= declares(record),
            Entry::Waits(entry) => {
                Arc::make_mut(&mut self.waits).insert(entry.key.clone(), entry.clone().into_owned());
            }
            Entry::Answered { record, at } => {
                Arc::make_mut(&mut self.waits).remove(&record.key);
                self.is_too_late |= declares(record);
                if self.header.status == Status::Waiting {
                    self.header_mut().wake = Some(*at);
                }
            }
            Entry::Expired(record) => {
                Arc::make_mut(&mut self.waits).remove(&record.key);
                self.is_too_late |= declares(record);
            }
            Entry::Revived { at, drop } => {
                self.header_mut().revive(*at);
                self.is_too_late &= !drop.contains(&Key::TOO_LATE_TO_CANCEL);
            }
            Entry::Rewritten { version, waits, failed_on, records } => {
                self.is_too_late = records.iter().any(declares);
                let header = self.header_mut();
                header.version = *version;
                if let Some(failed_on) = failed_on {
                    header.failed_on = failed_on.to_vec();
                }
                if let Some(waits) = waits {
                    let waits = waits.iter().map(|entry| (entry.key.clone(), entry.clone()));
                    self.waits = Arc::new(waits.collect());
                }
            }
            Entry::Ended { status, error, failed_on, wake, at, cancelling, outcome: _ } => {
                let mut ending = Ending::new(*status);
                (ending.error, ending.failed_on, ending.wake) = (error.clone(), failed_on.clone(), *wake);
                ending.cancelling = *cancelling;
                self.header_mut().end(ending, false, *at);
            }
            // A moment that has passed: since then it is due.
            Entry::CancelRequested => {
                let header = self.header_mut();
                header.request_cancel(header.changed);
            }
        }
    }

    fn header_mut(&mut self) -> &mut Header {
        Arc::make_mut(&mut self.header)
    }
}

/// Returns whether the record declares that it is too late to cancel the run.
fn declares(record: &Record) -> bool {
    record.key == Key::TOO_LATE_TO_CANCEL
}

/// The keys of a journal, and how much of its file is not needed any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys {
    weights: HashMap<Key, u64, RandomState>,
    /// How many bytes the records had that are not in the journal any more.
    pub(super) dead: u64,
}

impl Keys {
    pub(super) fn contain(&self, key: &Key) -> bool {
        self.weights.contains_key(key)
    }

    /// Takes over what happened. `Err`: it would record a key twice.
    pub(super) fn apply(&mut self, entry: &Entry<'_>) -> Result<(), Twice> {
        match entry {
            Entry::Imported { records, .. } => records.iter().try_for_each(|record| self.add(record))?,
            Entry::Appended(record) | Entry::Answered { record, .. } | Entry::Expired(record) => {
                self.add(record)?
            }
            Entry::Replaced(record) => {
                self.remove(&record.key);
                self.add(record)?;
            }
            Entry::Revived { drop, .. } => drop.iter().for_each(|key| self.remove(key)),
            Entry::Rewritten { records, .. } => {
                self.dead += self.weights.drain().map(|(_, weight)| weight).sum::<u64>();
                records.iter().try_for_each(|record| self.add(record))?;
            }
            Entry::Begun { .. } | Entry::Waits(_) | Entry::Ended { .. } | Entry::CancelRequested => {}
        }
        Ok(())
    }

    fn add(&mut self, record: &Record) -> Result<(), Twice> {
        let weight = (record.key.len() + record.outcome.payload().len()) as u64;
        self.weights.insert(record.key.clone(), weight).map_or(Ok(()), |_| Err(Twice))
    }

    fn remove(&mut self, key: &Key) {
        self.dead += self.weights.remove(key).unwrap_or(0);
    }
}

/// A key that was recorded already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Twice;

/// A run with all its values.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) run: RunId,
    pub(super) number: i64,
    pub(super) face: Face,
    pub(super) keys: Keys,
    input: Option<Payload>,
    outcome: Option<Outcome>,
    /// In the order in which they were appended. `None`: it was dropped.
    records: Vec<Option<Record>>,
    places: HashMap<Key, usize, RandomState>,
}

impl Journal {
    /// The run that begins with `entry`. `None`: no run begins with that.
    pub(super) fn begin(entry: Entry<'static>) -> Option<Self> {
        let (run, number, face) = Face::begin(&entry)?;
        let mut keys = Keys::default();
        keys.apply(&entry).ok()?;
        let (input, outcome, records) = match entry {
            Entry::Begun { input, .. } => (input, None, Vec::new()),
            Entry::Imported { input, header, records, .. } => {
                (input, header.into_owned().outcome, records.into_owned())
            }
            _ => return None,
        };
        let input = input.map(Cow::into_owned);
        let mut journal =
            Self { run, number, face, keys, input, outcome, records: Vec::new(), places: HashMap::default() };
        records.into_iter().for_each(|record| journal.add(record));
        Some(journal)
    }

    /// Takes over what happened after that. `None`: that cannot have happened.
    pub(super) fn apply(&mut self, entry: Entry<'static>) -> Option<()> {
        self.keys.apply(&entry).ok()?;
        self.face.apply(&entry);
        match entry {
            Entry::Begun { .. } | Entry::Imported { .. } => return None,
            Entry::Waits(_) | Entry::CancelRequested => {}
            Entry::Appended(record) | Entry::Answered { record, .. } | Entry::Expired(record) => {
                self.add(record.into_owned());
            }
            Entry::Replaced(record) => {
                self.remove(&record.key);
                self.add(record.into_owned());
            }
            Entry::Revived { drop, .. } => {
                self.outcome = None;
                drop.iter().for_each(|key| self.remove(key));
            }
            Entry::Rewritten { records, .. } => {
                self.records.clear();
                self.places.clear();
                records.into_owned().into_iter().for_each(|record| self.add(record));
            }
            Entry::Ended { outcome, .. } => self.outcome = outcome.map(Cow::into_owned),
        }
        Some(())
    }

    pub(super) fn into_stored(self) -> StoredRun {
        let mut header = Arc::unwrap_or_clone(self.face.header);
        header.outcome = self.outcome;
        StoredRun {
            header,
            input: self.input,
            records: self.records.into_iter().flatten().collect(),
            waits: Arc::unwrap_or_clone(self.face.waits).into_values().collect(),
        }
    }

    /// What is recorded under `key`.
    pub(super) fn recorded(&self, key: &Key) -> Option<&Record> {
        self.records.get(*self.places.get(key)?)?.as_ref()
    }

    fn add(&mut self, record: Record) {
        self.places.insert(record.key.clone(), self.records.len());
        self.records.push(Some(record));
    }

    fn remove(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key).and_then(|place| self.records.get_mut(place)) {
            *place = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use awaitly_core::journal::{Fingerprint, Timestamp};
    use proptest::prelude::*;

    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn record(key: &str, json: &str) -> Record {
        let outcome = Outcome::Value(Payload::from_stored(json));
        Record { key: Key::from(key.to_owned()), outcome, input: None }
    }

    fn appended(key: &str) -> Entry<'static> {
        Entry::Appended(Cow::Owned(record(key, "1")))
    }

    fn waits(key: &str) -> Entry<'static> {
        let key = Key::from(key.to_owned());
        let request = Payload::from_stored("{}");
        Entry::Waits(Cow::Owned(WaitEntry { key, token: "t".into(), request, since: at(2), expires: None }))
    }

    fn ended(status: Status) -> Entry<'static> {
        let outcome = Some(Cow::Owned(record("", "[9]").outcome));
        Entry::Ended {
            status,
            outcome,
            error: Some("no".into()),
            failed_on: vec!["a".into()],
            wake: None,
            at: at(7),
            cancelling: false,
        }
    }

    fn begun() -> Entry<'static> {
        Entry::Begun {
            run: RunId::new("order-42").unwrap(),
            number: 7,
            workflow: "checkout".into(),
            version: 3,
            input: Some(Cow::Owned(Payload::from_stored("[1]"))),
            fingerprint: Some(Fingerprint::from_bits(5)),
            at: at(1),
        }
    }

    fn fold(entries: impl IntoIterator<Item = Entry<'static>>) -> Option<Journal> {
        let mut journal = Journal::begin(begun())?;
        entries.into_iter().try_for_each(|entry| journal.apply(entry))?;
        Some(journal)
    }

    fn keys(run: &StoredRun) -> Vec<&str> {
        run.records.iter().map(|record| record.key.as_str()).collect()
    }

    #[test]
    fn a_run_is_what_happened_to_it() {
        let answered = Entry::Answered { record: Cow::Owned(record("ask", "true")), at: at(6) };
        let replaced = Entry::Replaced(Cow::Owned(record("a", "2")));
        let run =
            fold([appended("a"), waits("ask"), appended("b"), replaced, ended(Status::Waiting), answered])
                .unwrap();
        assert_eq!((&*run.run, run.number), ("order-42", 7));
        assert_eq!(run.recorded(&"a".into()).unwrap().outcome.payload().as_str(), "2");
        let run = run.into_stored();
        assert_eq!(keys(&run), ["b", "a", "ask"]);
        assert!(run.waits.is_empty());
        assert_eq!((run.header.status, run.header.version), (Status::Waiting, 3));
        assert_eq!((run.header.created, run.header.changed, run.header.wake), (at(1), at(7), Some(at(6))));
        assert_eq!(run.input.unwrap().as_str(), "[1]");
    }

    #[test]
    fn an_answer_to_a_run_that_is_executed_wakes_nobody() {
        let answered = Entry::Answered { record: Cow::Owned(record("ask", "true")), at: at(6) };
        assert_eq!(fold([waits("ask"), answered]).unwrap().into_stored().header.wake, None);
    }

    #[test]
    fn a_revived_run_has_forgotten_its_end_and_what_was_dropped() {
        let revived = Entry::Revived { drop: Cow::Owned(vec!["a".into(), "never".into()]), at: at(8) };
        let run =
            fold([appended("a"), appended("b"), waits("c"), ended(Status::Failed), revived, appended("a")]);
        let run = run.unwrap().into_stored();
        assert_eq!(keys(&run), ["b", "a"]);
        assert_eq!(run.waits.len(), 1);
        assert_eq!((run.header.status, run.header.outcome, run.header.error), (Status::Running, None, None));
    }

    #[test]
    fn a_rewritten_journal_has_nothing_of_the_old_one() {
        let records = Cow::Owned(vec![record("c", "1"), record("a", "2")]);
        let journal = fold([
            appended("a"),
            appended("b"),
            Entry::Rewritten { version: 9, records, waits: None, failed_on: None },
        ])
        .unwrap();
        assert_eq!(journal.keys.dead, 4, "two keys and two values of one byte");
        let run = journal.into_stored();
        assert_eq!((keys(&run), run.header.version), (vec!["c", "a"], 9));
    }

    #[test]
    fn what_cannot_have_happened_is_no_run() {
        assert!(fold([appended("a"), appended("a")]).is_none());
        assert!(fold([begun()]).is_none());
        assert!(Journal::begin(appended("a")).is_none());
        let twice = Cow::Owned(vec![record("a", "1"), record("a", "2")]);
        assert!(
            fold([Entry::Rewritten { version: 1, records: twice, waits: None, failed_on: None }]).is_none()
        );
    }

    fn anything() -> impl Strategy<Value = Entry<'static>> {
        let record =
            || ("[a-d]|too late to cancel", "[1-9]{1,3}").prop_map(|(key, json)| record(&key, &json));
        let status = proptest::sample::select(Status::ALL.to_vec());
        prop_oneof![
            record().prop_map(|record| Entry::Appended(Cow::Owned(record))),
            record().prop_map(|record| Entry::Replaced(Cow::Owned(record))),
            record().prop_map(|record| Entry::Expired(Cow::Owned(record))),
            record().prop_map(|record| Entry::Answered { record: Cow::Owned(record), at: at(6) }),
            "[a-d]".prop_map(|key| waits(&key)),
            "[a-d]|too late to cancel"
                .prop_map(|key| Entry::Revived { drop: Cow::Owned(vec![key.into()]), at: at(8) }),
            record().prop_map(|record| Entry::Rewritten {
                version: 4,
                records: Cow::Owned(vec![record]),
                waits: None,
                failed_on: None
            }),
            status.prop_map(ended),
            Just(Entry::CancelRequested),
        ]
    }

    proptest! {
        /// The writer keeps the face and the keys as it goes; whoever reads folds the file.
        #[test]
        fn what_is_kept_in_memory_is_what_the_file_says(entries in prop::collection::vec(anything(), 0..40)) {
            let (_, _, mut face) = Face::begin(&begun()).unwrap();
            let (mut keys, mut journal) = (Keys::default(), Journal::begin(begun()).unwrap());
            for entry in entries {
                let mut bytes = Vec::new();
                entry.push(&mut bytes).unwrap();
                let (json, _) = super::super::frame::next(&bytes, 0).unwrap().unwrap();
                if keys.clone().apply(&entry).is_err() {
                    continue;
                }
                face.apply(&entry);
                keys.apply(&entry).unwrap();
                prop_assert!(journal.apply(Entry::read(json).unwrap()).is_some());
            }
            prop_assert_eq!(&journal.face, &face);
            prop_assert_eq!(&journal.keys, &keys);
            prop_assert_eq!(face.is_too_late, keys.contain(&Key::TOO_LATE_TO_CANCEL));
            let run = journal.into_stored();
            prop_assert!(run.records.iter().all(|record| keys.contain(&record.key)));
            prop_assert_eq!(run.records.len(), keys.weights.len());
            prop_assert_eq!(run.header.status, face.header.status);
        }
    }
}
