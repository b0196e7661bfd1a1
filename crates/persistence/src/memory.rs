use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use awaitly_core::journal::{
    Asked, Contents, Header, Key, Opening, Outcome, Payload, Record, Settling, Status, Timestamp, Unanswered,
    WaitEntry, admit, settle,
};
use awaitly_core::store::{
    Answer, Bell, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Durability, Ending, Lease, OnRecorded,
    Open, Opened, Operate, Page, Renewed, Rewrite, RunId, RunQuery, RunSummary, Store, StoreError, StoredRun,
    Transactional, Wait, WaitQuery, Waiting, Wakes,
};
use foldhash::fast::RandomState;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::limits;

/// A store in memory, for tests and for runs that need not survive the process.
///
/// A clone is a handle to one set of journals.
///
/// # Durability
/// None: the journals are lost when the last handle is dropped.
///
/// # Leases
/// Leases and expiries follow tokio's clock, like everything in this store, so a test that pauses time pauses them too.
///
/// # Cancel safety
/// No future of this store waits: each call takes effect completely at its first poll.
///
/// # Examples
/// ```
/// use awaitly_core::store::{Open, Opened, Owner, RunId, Store};
/// use awaitly_persistence::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let run = RunId::new("order-42")?;
/// let opened = store.open(Open::new(run.clone(), "checkout", Owner::unique())).await?;
/// assert!(matches!(opened, Opened::Held { .. }));
/// assert!(store.load(&run).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    journals: Mutex<Journals>,
    bell: Bell,
    /// The time at which the store was created, by tokio's clock and as a time of day.
    made: (Instant, Timestamp),
}

#[derive(Default)]
struct Journals {
    is_closed: bool,
    /// The values that transactions wrote beside the journals.
    table: BTreeMap<String, Payload>,
    /// The index of each run in `runs`, which is also the slot of its leases.
    slots: HashMap<RunId, usize, RandomState>,
    /// The runs in the order in which they began; `None` for a deleted run.
    runs: Vec<Option<Journal>>,
}

struct Journal {
    run: RunId,
    header: Header,
    input: Option<Payload>,
    records: Vec<Record>,
    keys: HashSet<Key, RandomState>,
    waits: BTreeMap<Key, WaitEntry>,
    /// The newest token.
    token: u64,
    /// The time at which the lease with that token expires, or `None` if it was released.
    held_until: Option<Timestamp>,
}

impl MemoryStore {
    /// Creates a store without runs.
    #[must_use]
    pub fn new() -> Self {
        Self::made_at(Timestamp::from(SystemTime::now()))
    }

    /// Creates a store without runs whose clock starts at `moment`. In a test that pauses time, this makes all recorded
    /// times reproducible.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::SystemTime;
    /// use awaitly_core::store::Operate;
    /// use awaitly_persistence::MemoryStore;
    ///
    /// let store = MemoryStore::made_at(SystemTime::UNIX_EPOCH);
    /// assert!(store.now().await?.as_millis() < 1000);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn made_at(moment: impl Into<Timestamp>) -> Self {
        let made = (Instant::now(), moment.into());
        Self(Arc::new(Shared { journals: Mutex::default(), bell: Bell::new(), made }))
    }

    #[doc = include_str!("close.md")]
    /// - The store drops its journals, because no handle can read them any more.
    ///
    /// # Errors
    /// None.
    ///
    /// # Cancel safety
    /// The store closes at the first poll.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::{RunId, Store, StoreError};
    /// use awaitly_persistence::MemoryStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let other = store.clone();
    /// store.close().await?;
    /// assert_eq!(other.load(&RunId::new("order-42")?).await, Err(StoreError::Closed));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(self) -> Result<(), StoreError> {
        *self.journals() = Journals { is_closed: true, ..Journals::default() };
        self.0.bell.end();
        Ok(())
    }

    fn lock(&self) -> Result<MutexGuard<'_, Journals>, StoreError> {
        let journals = self.journals();
        if journals.is_closed { Err(StoreError::Closed) } else { Ok(journals) }
    }

    /// A panic while the lock is held leaves no partial change: each function below changes the journals only after
    /// everything that can fail.
    fn journals(&self) -> MutexGuard<'_, Journals> {
        self.0.journals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        let (at, then) = self.0.made;
        then.after(Instant::now().saturating_duration_since(at))
    }

    fn cancel_by(&self, run: &RunId, cancelling: Cancelling) -> Result<Cancelled, StoreError> {
        let now = self.now();
        let mut journals = self.lock()?;
        let Some((_, journal)) = journals.find_mut(run) else { return Ok(Cancelled::NoSuchRun) };
        let is_too_late = journal.keys.contains(&Key::TOO_LATE_TO_CANCEL);
        let cancelled = cancelling.decide(&journal.header, journal.lease(now), is_too_late);
        match cancelled {
            Cancelled::Requested => journal.header.request_cancel(now),
            Cancelled::WithoutUndo => {
                journal.header.end(Ending::new(Status::Cancelled), false, now);
                journal.held_until = None;
            }
            _ => {}
        }
        drop(journals);
        self.0.bell.ring();
        Ok(cancelled)
    }

    fn expiry(&self, ttl: Duration) -> Timestamp {
        self.now().after(ttl.min(limits::LONGEST_TTL))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        let until = self.expiry(request.ttl);
        let opened = self.lock()?.open(&request, self.now(), until);
        match opened {
            Opened::Refused(refused) => limits::refused(self, &request.run, request.purpose, refused).await,
            opened => Ok(opened),
        }
    }

    async fn append(&self, lease: &Lease, record: Record, _: Durability) -> Result<(), StoreError> {
        self.lock()?.held(lease)?.record(record, OnRecorded::Refuse)
    }

    async fn replace(&self, lease: &Lease, record: Record, _: Durability) -> Result<(), StoreError> {
        self.lock()?.held(lease)?.record(record, OnRecorded::Replace)
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        let now = self.now();
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        if journal.keys.contains(&wait.key) {
            return Err(journal.already_recorded(wait.key));
        }
        journal.waits.entry(wait.key.clone()).or_insert_with(|| wait.begin(now));
        Ok(())
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        let now = self.now();
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        match journal.settle(&record.key, settling, None, now) {
            Ok(()) => Ok(Some(journal.put_answer(record))),
            Err(Unanswered::AlreadyAnswered) => Ok(journal.recorded(&record.key)),
            Err(_) => Ok(None),
        }
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        let now = self.now();
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        journal.header.revive(now);
        let dropped: HashSet<_> = drop.iter().collect();
        journal.records.retain(|record| !dropped.contains(&record.key));
        journal.keys.retain(|key| !dropped.contains(key));
        Ok(())
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        let keys = limits::journal(lease.run(), &rewrite.contents.records, &rewrite.contents.waits)?;
        rewrite.check(lease.run(), journal.waits.keys())?;
        journal.keys = keys.into_iter().cloned().collect();
        let Contents { records, waits, failed_on } = rewrite.contents;
        journal.records = records;
        journal.waits = waits.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        (journal.header.version, journal.header.failed_on) = (rewrite.version, failed_on);
        Ok(())
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        limits::ending(&ending)?;
        let now = self.now();
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        let answered = ending.waits_on.iter().any(|key| journal.keys.contains(key));
        journal.header.end(ending, answered, now);
        journal.held_until = None;
        drop(journals);
        self.0.bell.ring();
        Ok(())
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let (now, until) = (self.now(), self.expiry(ttl));
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        journal.held_until = Some(until);
        Ok(Renewed { now, cancel: journal.header.cancel_requested })
    }

    fn release(&self, lease: &Lease) {
        if let Ok(journal) = self.journals().held(lease) {
            journal.held_until = None;
        }
        self.0.bell.ring();
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        Ok(self.lock()?.find(run).map(|(_, journal)| journal.to_stored()))
    }

    fn durability(&self) -> &'static str {
        "memory: lost with the process"
    }
}

impl Operate for MemoryStore {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        let before = query.after.as_deref().map(limits::number).transpose()?;
        let (now, journals) = (self.now(), self.lock()?);
        let found = journals.newest_first(before).filter_map(|(slot, journal)| {
            let summary = RunSummary::of(journal.run.clone(), &journal.header, journal.lease(now));
            query.asks_for(&summary, |key| journal.keys.contains(key)).then_some((slot, summary))
        });
        let found = found.take(query.page_limit() + 1).collect();
        Ok(limits::without_places(Page::cut(found, query.page_limit(), |(slot, _)| slot.to_string().into())))
    }

    async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        let journals = self.lock()?;
        let open = journals.newest_first(None).filter(|(_, journal)| !journal.header.status.has_ended());
        let found: Vec<_> = open
            .flat_map(|(_, journal)| {
                let asked = journal.waits.values().filter(|entry| query.asks_for(&journal.run, entry));
                asked.map(|entry| Waiting {
                    run: journal.run.clone(),
                    workflow: Arc::clone(&journal.header.workflow),
                    entry: entry.clone(),
                })
            })
            .collect();
        limits::page_of_waiting(found, &query)
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        let (now, journals) = (self.now(), self.lock()?);
        let due = journals.newest_first(None).filter_map(|(_, journal)| {
            let Header { workflow, version, status, wake, changed, .. } = &journal.header;
            if !query.asks_for(workflow) {
                return None;
            }
            let since = Due::since(*status, *wake, journal.held_until, *changed, now)?;
            Some(Due { run: journal.run.clone(), workflow: Arc::clone(workflow), version: *version, since })
        });
        Ok(limits::longest_overdue(due.collect(), query.page_limit()))
    }

    async fn answer(&self, answer: Answer) -> Result<Result<(), Unanswered>, StoreError> {
        limits::answer(&answer.outcome)?;
        let now = self.now();
        let Answer { run, key, token, outcome } = answer;
        let mut journals = self.lock()?;
        let Some((_, journal)) = journals.find_mut(&run) else {
            return Ok(Err(Unanswered::NoSuchRun));
        };
        if let Err(refused) = journal.settle(&key, Settling::Answer, token.as_deref(), now) {
            return Ok(Err(refused));
        }
        journal.put_answer(Record { key, outcome, input: None });
        if journal.header.status == Status::Waiting {
            journal.header.wake = Some(now);
        }
        drop(journals);
        self.0.bell.ring();
        Ok(Ok(()))
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.cancel_by(run, Cancelling::Request)
    }

    async fn cancel_without_undo(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.cancel_by(run, Cancelling::WithoutUndo)
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        let now = self.now();
        let mut journals = self.lock()?;
        Ok(runs.into_iter().filter(|run| journals.delete(run, condition, now)).collect())
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<bool, StoreError> {
        let keys = limits::imported(&run, &stored)?.into_iter().cloned().collect();
        let mut journals = self.lock()?;
        if journals.slots.contains_key(&run) {
            return Ok(false);
        }
        let StoredRun { header, input, records, waits } = stored;
        let waits = waits.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        journals.add(Journal { run, header, input, records, keys, waits, token: 0, held_until: None });
        drop(journals);
        self.0.bell.ring();
        Ok(true)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.now())
    }

    fn wakes(&self) -> Wakes {
        self.0.bell.listen()
    }
}

/// A transaction of a [`MemoryStore`]. In a test, it takes the place of a database transaction, so that the test can
/// check which writes of a transactional step survive if the process dies.
///
/// The transaction writes JSON values into the store, beside the journals, under names that the caller chooses. A read
/// returns committed values and the values that this transaction wrote. Transactions do not wait for each other: if two
/// transactions write under one name, the last commit wins. Dropping a transaction discards its writes.
///
/// ```
/// use awaitly_core::{DurableRun, RunError, Workflow, step};
/// use awaitly_core::store::Tx;
/// use awaitly_persistence::{MemoryStore, MemoryTransaction};
///
/// async fn debit(mut tx: Tx<MemoryTransaction>, cents: u64) -> Result<u64, RunError> {
///     let balance: u64 = tx.get("balance").unwrap_or(10_000);
///     tx.put("balance", &(balance - cents));
///     Ok(balance - cents)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryStore::new();
/// let body = async |run: &DurableRun| {
///     Ok::<u64, RunError>(step!(run, "debit", transaction = &store, |tx| debit(tx, 4200)))
/// };
/// let paid = Workflow::new("pay").store(store.clone()).run("order-42", body).await;
/// assert_eq!((paid, store.get("balance")), (Ok(5800), Some(5800)));
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryTransaction {
    store: MemoryStore,
    written: BTreeMap<String, Option<Payload>>,
}

impl MemoryTransaction {
    /// Returns the value under `name`, or `None` if it does not exist or is not a `T`.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        match self.written.get(name) {
            Some(written) => written.as_ref()?.decode().ok(),
            None => self.store.get(name),
        }
    }

    /// Writes `value` under `name` when the transaction commits. If `value` has no JSON form, the commit removes the
    /// value under `name`, as [`remove`](Self::remove) does.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: impl Into<String>, value: &T) {
        self.written.insert(name.into(), Payload::encode(value).ok());
    }

    /// Removes the value under `name`. The removal takes effect when the transaction commits.
    pub fn remove(&mut self, name: impl Into<String>) {
        self.written.insert(name.into(), None);
    }
}

impl MemoryStore {
    /// Returns the value that a transaction committed under `name`, or `None` if it does not exist or is not a `T`.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::Transactional;
    /// use awaitly_persistence::MemoryStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let mut transaction = store.begin().await?;
    /// transaction.put("balance", &10_000);
    /// assert_eq!(transaction.get("balance"), Some(10_000));
    ///
    /// drop(transaction);
    /// assert_eq!(store.get::<u64>("balance"), None, "it was not committed");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.journals().table.get(name)?.decode().ok()
    }
}

impl Transactional for MemoryStore {
    type Transaction = MemoryTransaction;

    async fn begin(&self) -> Result<MemoryTransaction, StoreError> {
        self.lock().map(|_| MemoryTransaction { store: self.clone(), written: BTreeMap::new() })
    }

    async fn commit(
        &self,
        transaction: MemoryTransaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        journal.record(record, on_recorded)?;
        for (name, value) in transaction.written {
            match value {
                Some(value) => drop(journals.table.insert(name, value)),
                None => drop(journals.table.remove(&name)),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("runs", &self.journals().slots.len()).finish_non_exhaustive()
    }
}

impl Journals {
    fn open(&mut self, request: &Open, now: Timestamp, until: Timestamp) -> Opened {
        let found = self.find_mut(&request.run);
        let stored = found.as_ref().map(|(_, journal)| (&journal.header, journal.lease(now)));
        match (admit(request, stored), found) {
            (Opening::Refuse(refused), _) => Opened::Refused(refused),
            (Opening::Ended, Some((_, journal))) => Opened::Ended(journal.header.clone()),
            (Opening::Take, Some((slot, journal))) => journal.take(slot, now, until),
            _ => self.begin(request, now, until),
        }
    }

    fn begin(&mut self, request: &Open, now: Timestamp, until: Timestamp) -> Opened {
        let mut journal = Journal {
            run: request.run.clone(),
            header: Header::begin(request, now),
            input: request.input.as_ref().map(|input| input.payload.clone()),
            records: Vec::new(),
            keys: HashSet::default(),
            waits: BTreeMap::new(),
            token: 0,
            held_until: None,
        };
        let opened = journal.take(self.runs.len(), now, until);
        self.add(journal);
        opened
    }

    fn add(&mut self, journal: Journal) {
        self.slots.insert(journal.run.clone(), self.runs.len());
        self.runs.push(Some(journal));
    }

    fn delete(&mut self, run: &RunId, condition: DeleteIf, now: Timestamp) -> bool {
        let found = self.find(run);
        let Some((slot, _)) = found.filter(|(_, journal)| {
            condition.holds(journal.header.status, journal.header.changed, journal.lease(now))
        }) else {
            return false;
        };
        self.slots.remove(run);
        self.runs.get_mut(slot).is_some_and(|place| place.take().is_some())
    }

    fn find(&self, run: &RunId) -> Option<(usize, &Journal)> {
        let slot = *self.slots.get(run)?;
        Some((slot, self.runs.get(slot)?.as_ref()?))
    }

    fn find_mut(&mut self, run: &RunId) -> Option<(usize, &mut Journal)> {
        let slot = *self.slots.get(run)?;
        Some((slot, self.runs.get_mut(slot)?.as_mut()?))
    }

    /// Returns the runs from the newest to the oldest; if `before` is given, only the runs that began before the run in
    /// that slot.
    fn newest_first(&self, before: Option<i64>) -> impl Iterator<Item = (usize, &Journal)> {
        let end = before.and_then(|slot| usize::try_from(slot).ok()).unwrap_or(self.runs.len());
        let runs = self.runs.get(..end).unwrap_or(&self.runs).iter().enumerate().rev();
        runs.filter_map(|(slot, journal)| Some((slot, journal.as_ref()?)))
    }

    /// Returns the journal that `lease` may still write.
    fn held(&mut self, lease: &Lease) -> Result<&mut Journal, StoreError> {
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
    /// Returns the remaining time of the lease, if an owner holds it.
    fn lease(&self, now: Timestamp) -> Option<Duration> {
        self.held_until.map(|until| now.until(until)).filter(|remaining| !remaining.is_zero())
    }

    fn take(&mut self, slot: usize, now: Timestamp, until: Timestamp) -> Opened {
        let run = self.to_stored();
        self.token += 1;
        self.held_until = Some(until);
        Opened::Held { lease: Lease::new(self.run.clone(), self.token, slot as i64), now, run }
    }

    fn to_stored(&self) -> StoredRun {
        StoredRun {
            header: self.header.clone(),
            input: self.input.clone(),
            records: self.records.clone(),
            waits: self.waits.values().cloned().collect(),
        }
    }

    fn settle(
        &self,
        key: &Key,
        settling: Settling,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Unanswered> {
        let (status, entry, recorded) = (self.header.status, self.waits.get(key), self.keys.contains(key));
        settle(Some(Asked { status, entry, recorded }), settling, token, now)
    }

    fn record(&mut self, record: Record, on_recorded: OnRecorded) -> Result<(), StoreError> {
        if !self.keys.insert(record.key.clone()) {
            match on_recorded {
                OnRecorded::Refuse => return Err(self.already_recorded(record.key)),
                OnRecorded::Replace => self.records.retain(|old| old.key != record.key),
            }
        }
        self.records.push(record);
        Ok(())
    }

    /// Replaces the waiting entry with its outcome.
    fn put_answer(&mut self, record: Record) -> Outcome {
        let outcome = record.outcome.clone();
        self.waits.remove(&record.key);
        self.keys.insert(record.key.clone());
        self.records.push(record);
        outcome
    }

    fn recorded(&self, key: &Key) -> Option<Outcome> {
        let record = self.records.iter().find(|record| record.key == *key);
        record.map(|record| record.outcome.clone())
    }

    fn already_recorded(&self, key: Key) -> StoreError {
        StoreError::AlreadyRecorded { run: (*self.run).into(), key }
    }
}
