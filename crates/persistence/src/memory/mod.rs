mod journals;
mod post;
mod queues;
mod standing;
mod transaction;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::{
    Contents, Header, Key, Outcome, Payload, Record, Refused, Settling, Status, Timestamp, Unanswered,
};
use awaitly_core::store::{
    Answer, Bell, Cancelled, Cancelling, Claim, Claimed, Configure, DeleteIf, Dispatch, Due, DueQuery,
    Durability, Ending, Input, Lease, Message, OnRecorded, Open, Opened, Operate, Page, Pausing, Publish,
    PutSchedule, QueueState, Renewed, Reschedule, Rewrite, RunId, RunQuery, RunSummary, ScheduleQuery,
    Standing, Store, StoreError, StoredRun, StoredSchedule, StreamPart, Submit, Submitted, Unsent, Wait,
    WaitQuery, Waiting, Wakes,
};
use tokio::time::Instant;

use crate::limits;
use journals::{Journal, Journals};
pub use transaction::MemoryTransaction;

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

    #[doc = include_str!("../close.md")]
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
        let Some((slot, journal)) = journals.find_mut(run) else { return Ok(Cancelled::NoSuchRun) };
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
        journals.list(slot, now);
        journals.report_of(slot, now);
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
        // The run is executed from its beginning, so it finds the messages so far.
        journal.post.iter_mut().for_each(|post| post.has_new = false);
        let dropped: HashSet<_> = drop.iter().collect();
        journal.records.retain(|record| !dropped.contains(&record.key));
        journal.keys.retain(|key| !dropped.contains(key));
        journals.list(slot(lease), now);
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
        let waits_on = &ending.waits_on;
        let answered = waits_on.iter().any(|key| journal.keys.contains(key))
            || !waits_on.is_empty() && journal.has_new_mail();
        journal.header.end(ending, answered, now);
        journal.held_until = None;
        journals.list(slot(lease), now);
        journals.report(lease, now);
        drop(journals);
        self.0.bell.ring();
        Ok(())
    }

    async fn restart(&self, lease: &Lease, input: Option<Input>) -> Result<(), StoreError> {
        let now = self.now();
        self.lock()?.restart(lease, input, now)?;
        self.0.bell.ring();
        Ok(())
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let (now, until) = (self.now(), self.expiry(ttl));
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        journal.held_until = Some(until);
        let cancel = journal.header.cancel_requested;
        journals.list(slot(lease), now);
        Ok(Renewed { now, cancel })
    }

    fn release(&self, lease: &Lease) {
        let (now, mut journals) = (self.now(), self.journals());
        if let Ok(journal) = journals.held(lease) {
            journal.held_until = None;
            journals.list(slot(lease), now);
        }
        drop(journals);
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
            let Header { workflow, version, .. } = &journal.header;
            if !query.asks_for(workflow) {
                return None;
            }
            let since = journal.header.due_at(journal.held_until).filter(|due| *due <= now)?;
            Some(Due { run: journal.run.clone(), workflow: Arc::clone(workflow), version: *version, since })
        });
        Ok(limits::longest_overdue(due.collect(), query.page_limit()))
    }

    async fn answer(&self, answer: Answer) -> Result<Result<(), Unanswered>, StoreError> {
        limits::answer(&answer.outcome)?;
        let now = self.now();
        let Answer { run, key, token, outcome } = answer;
        let mut journals = self.lock()?;
        let Some((slot, journal)) = journals.find_mut(&run) else {
            return Ok(Err(Unanswered::NoSuchRun));
        };
        let record = Record { key, outcome, input: None };
        if let Err(refused) = journal.answer(record, token.as_deref(), now) {
            return Ok(Err(refused));
        }
        journals.list(slot, now);
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
        let now = self.now();
        let mut journals = self.lock()?;
        if journals.slots.contains_key(&run) {
            return Ok(false);
        }
        let StoredRun { header, input, records, waits } = stored;
        let waits = waits.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        let journal = Journal { records, keys, waits, ..Journal::new(run, header, input) };
        let slot = journals.add(journal);
        journals.list(slot, now);
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

impl Dispatch for MemoryStore {
    async fn submit(&self, batch: Vec<Submit>) -> Result<Vec<Result<Submitted, Refused>>, StoreError> {
        limits::submitted(&batch)?;
        let now = self.now();
        let mut journals = self.lock()?;
        let results = batch.into_iter().map(|submit| journals.submit(submit, now)).collect();
        drop(journals);
        self.0.bell.ring();
        Ok(results)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let until = self.expiry(claim.ttl);
        Ok(self.lock()?.claim(&claim, self.now(), until))
    }

    async fn headers(&self, runs: Vec<RunId>) -> Result<Vec<Option<Header>>, StoreError> {
        let journals = self.lock()?;
        let header = |run| journals.find(run).map(|(_, journal)| journal.header.clone());
        Ok(runs.iter().map(header).collect())
    }

    async fn standing(&self, run: &RunId) -> Result<Option<Standing>, StoreError> {
        Ok(self.lock()?.standing(run, self.now()))
    }

    async fn send(&self, messages: Vec<Message>) -> Result<Vec<Result<(), Unsent>>, StoreError> {
        limits::queues(messages.iter().map(|message| &*message.mailbox))?;
        let now = self.now();
        let mut journals = self.lock()?;
        let sent = messages.into_iter().map(|message| journals.send(message, now)).collect();
        drop(journals);
        self.0.bell.ring();
        Ok(sent)
    }

    async fn receive(
        &self,
        lease: &Lease,
        mailbox: Arc<str>,
        key: Key,
    ) -> Result<Option<Outcome>, StoreError> {
        self.lock()?.receive(lease, &mailbox, key)
    }

    async fn publish(&self, lease: &Lease, published: Vec<Publish>) -> Result<(), StoreError> {
        limits::published(&published)?;
        self.lock()?.publish(lease, published)?;
        self.0.bell.ring();
        Ok(())
    }

    async fn published(&self, run: &RunId, name: Arc<str>) -> Result<Option<Payload>, StoreError> {
        Ok(self.lock()?.published(run, &name))
    }

    async fn stream(
        &self,
        run: &RunId,
        stream: Arc<str>,
        from: u64,
        limit: usize,
    ) -> Result<Option<StreamPart>, StoreError> {
        Ok(self.lock()?.stream(run, &stream, from, limit))
    }

    async fn schedules(&self, query: ScheduleQuery) -> Result<Vec<StoredSchedule>, StoreError> {
        Ok(self.lock()?.schedules(&query))
    }

    async fn put_schedules(&self, changes: Vec<PutSchedule>) -> Result<Vec<bool>, StoreError> {
        limits::schedules(&changes)?;
        let (now, mut journals) = (self.now(), self.lock()?);
        let made = changes.into_iter().map(|change| journals.put_schedule(change, now)).collect();
        drop(journals);
        self.0.bell.ring();
        Ok(made)
    }

    async fn configure(&self, queues: Vec<Queue>, configure: Configure) -> Result<(), StoreError> {
        limits::queues(queues.iter().map(|queue| &*queue.name))?;
        let mut journals = self.lock()?;
        queues.into_iter().for_each(|queue| journals.configure(queue, configure));
        drop(journals);
        self.0.bell.ring();
        Ok(())
    }

    async fn queues(&self) -> Result<Vec<QueueState>, StoreError> {
        Ok(self.lock()?.queue_states())
    }

    async fn pause_queues(&self, queues: Vec<Arc<str>>, pausing: Pausing) -> Result<(), StoreError> {
        limits::queues(queues.iter().map(|queue| &**queue))?;
        let mut journals = self.lock()?;
        queues.into_iter().for_each(|queue| journals.pause_queue(queue, pausing));
        drop(journals);
        self.0.bell.ring();
        Ok(())
    }

    async fn pause(&self, runs: Vec<RunId>, pausing: Pausing) -> Result<Vec<RunId>, StoreError> {
        let now = self.now();
        let mut journals = self.lock()?;
        let changed = runs.into_iter().filter(|run| journals.pause(run, pausing, now)).collect();
        drop(journals);
        self.0.bell.ring();
        Ok(changed)
    }

    async fn reschedule(&self, runs: Vec<RunId>, change: Reschedule) -> Result<Vec<RunId>, StoreError> {
        limits::rescheduled(&change)?;
        let now = self.now();
        let mut journals = self.lock()?;
        let changed = runs.into_iter().filter(|run| journals.reschedule(run, &change, now)).collect();
        drop(journals);
        self.0.bell.ring();
        Ok(changed)
    }
}

/// Returns the slot of a lease that [`Journals::held`] has accepted.
fn slot(lease: &Lease) -> usize {
    usize::try_from(lease.slot()).unwrap_or(usize::MAX)
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("runs", &self.journals().slots.len()).finish_non_exhaustive()
    }
}
