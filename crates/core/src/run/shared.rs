use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, later};
use crate::error::{Limit, RunError};
use crate::event::{EventKind, Observers, RecordedKind, StepId};
use crate::guard::Refusal;
use crate::journal::{Found, History, Key, Outcome, Payload, Record, Taken, Timestamp, WaitEntry};
use crate::step::stage::Stage;
use crate::step::{OtherRun, forget_other_runs, is_only_recorded, note_wait, within};
use crate::store::{AnyStore, Durability, Lease, OnRecorded, Renewed, StoreError};
use crate::workflow::StepInfo;

/// A record on its way to the store.
pub(crate) type Writing = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
/// A hook that runs.
pub(crate) type Hooked = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;
/// A hook after each step.
pub(crate) type AfterStep = Arc<dyn Fn(StepInfo) -> Hooked + Send + Sync>;

/// What the steps of one run share. A plain [`run`](crate::run) has none of it.
pub(crate) struct Shared {
    settings: Settings,
    began: Instant,
    deadline: Option<(Instant, Duration)>,
    journal: Option<Journal>,
    /// What the store's clock showed when it was asked last. `None`: there is no store.
    time: Option<Mutex<(Instant, Timestamp)>>,
    /// The keys of the steps that are not recorded.
    volatile: Mutex<History>,
    stop: Mutex<Stop>,
    /// Whether the store still has it as a run that waits, or was cancelled.
    asleep: AtomicBool,
    /// Whether the run is to be cancelled once it comes to a step that is not recorded.
    cancel_beyond: AtomicBool,
    /// Whether a step waits in a task that the body spawned.
    detached_wait: AtomicBool,
    /// Whether the body declared that it is too late to cancel the run.
    too_late: AtomicBool,
    /// Whether the beginning of the run was told, and its end.
    phase: AtomicU8,
    /// Whether `stop` holds something that the next step has to look at.
    troubled: AtomicBool,
}

const NOT_BEGUN: u8 = 0;
const BEGUN: u8 = 1;
const ENDED: u8 = 2;

/// How a run is run.
pub(crate) struct Settings {
    pub(crate) workflow: Arc<str>,
    pub(crate) run: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether recorded moments are read off that clock, and not off the store's.
    pub(crate) keeps_time: bool,
    pub(crate) deadline: Option<Duration>,
    pub(crate) durability: Durability,
    pub(crate) park_after: Option<Duration>,
    pub(crate) token: Option<CancellationToken>,
    /// How long the lease lasts after a renewal.
    pub(crate) lease: Duration,
    pub(crate) observers: Observers,
    pub(crate) after_step: Option<AfterStep>,
    pub(crate) seed: u64,
    /// What plays the part of operations, in a test.
    pub(crate) stage: Option<Arc<dyn Stage>>,
}

/// The journal of a durable run while it runs.
pub(crate) struct Journal {
    history: Mutex<History>,
    /// Whether an earlier execution may have begun.
    resumed: bool,
    /// The entries that wait for an answer, so far as this execution knows.
    waits: Mutex<Vec<WaitEntry>>,
    /// `None`: the run has no store, its journal is `kept` or nowhere.
    writer: Option<Writer>,
    /// All records, for those who asked for the run's state.
    kept: Option<Arc<Mutex<Vec<Record>>>>,
    input: Option<Payload>,
}

/// Where a run's records go.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) store: AnyStore,
    pub(crate) lease: Lease,
}

/// When a run is resumed that waits for another run, which it called: nothing wakes it when that one has ended.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why a run stopped, as far as the library knows.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stop {
    /// It cannot go on: every later step ends in this.
    pub(crate) fatal: Option<RunError>,
    /// The steps at which it waits.
    pub(crate) waits: Vec<Waits>,
    /// The body called another run, which has no result yet.
    pub(crate) other_run: bool,
    /// The run was cancelled.
    pub(crate) cancelled: bool,
    /// The first step that the cancellation refused or ended.
    pub(crate) cancelled_at: Option<Key>,
    /// The recorded steps that failed last: those between whose failures no step was built.
    pub(crate) failed_on: Vec<Key>,
    /// A step was built since the last of those failures.
    pub(crate) stale: bool,
    /// The step whose operation panicked.
    pub(crate) panicked: Option<Key>,
    /// What was undone because the run was cancelled: a retry does it anew.
    pub(crate) undone: Vec<Key>,
    /// What could not be undone: somebody has to look at it, and a retry tries it again, whatever the body did since.
    pub(crate) stuck: Vec<Key>,
}

/// A step at which the run waits.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    /// The step.
    pub(crate) step: Key,
    /// Whether an answer recorded under its key ends the wait.
    pub(crate) for_answer: bool,
    /// When the run is to be resumed without an answer.
    pub(crate) wake: Option<Timestamp>,
    /// Whether a compensation waits: then neither a cancellation nor the run's deadline ends the wait.
    pub(crate) in_undo: bool,
}

impl Stop {
    /// Returns whether a compensation waits.
    pub(crate) fn undo_waits(&self) -> bool {
        self.waits.iter().any(|waits| waits.in_undo)
    }

    /// Returns whether the run waits, for an answer, for a moment, or for another run.
    pub(crate) fn is_waiting(&self) -> bool {
        self.other_run || !self.waits.is_empty()
    }

    /// The keys under which the run waits for an answer.
    pub(crate) fn waits_on(&self) -> Vec<Key> {
        let waits = self.waits.iter().filter(|waits| waits.for_answer);
        waits.map(|waits| waits.step.clone()).collect()
    }

    /// When the run is to be resumed without an answer.
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        self.waits.iter().filter_map(|waits| waits.wake).min()
    }
}

/// How an undoing has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undoing {
    /// All was undone: a retry begins anew.
    Done,
    /// Some of it failed: a retry goes on with it.
    GaveUp,
}

impl Journal {
    /// The journal of a run with these records. `keep` keeps them, and all that follow, at hand.
    pub(crate) fn new(
        records: Vec<Record>,
        waits: Vec<WaitEntry>,
        writer: Option<Writer>,
        input: Option<Payload>,
        keep: bool,
    ) -> Self {
        let kept = keep.then(|| Arc::new(Mutex::new(records.clone())));
        let resumed = !records.is_empty();
        let (history, waits) = (Mutex::new(History::new(records)), Mutex::new(waits));
        Self { history, resumed, waits, writer, kept, input }
    }

    /// Whether an earlier execution may have begun, also if it recorded nothing.
    pub(crate) fn resumes(self, resumes: bool) -> Self {
        Self { resumed: self.resumed || resumes, ..self }
    }

    fn write(&self, record: Record, replaces: bool, durability: Durability) -> Writing {
        let kept = self.kept.clone().map(|kept| (kept, record.clone()));
        let writing: Writing = match &self.writer {
            None => Box::pin(ready(Ok(()))),
            Some(Writer { store, lease }) if replaces => store.replace(lease, record, durability),
            Some(Writer { store, lease }) => store.append(lease, record, durability),
        };
        match kept {
            None => writing,
            Some((kept, record)) => Box::pin(async move {
                writing.await?;
                let mut kept = lock(&kept);
                if replaces {
                    kept.retain(|old| old.key != record.key);
                }
                kept.push(record);
                Ok(())
            }),
        }
    }
}

impl Shared {
    /// `now`: what time it is by the store's clock, where there is a store.
    pub(crate) fn new(settings: Settings, journal: Option<Journal>, now: Option<Timestamp>) -> Self {
        let began = settings.clock.now();
        let time = now.filter(|_| !settings.keeps_time).map(|now| Mutex::new((began, now)));
        let deadline = settings.deadline.map(|after| (later(began, after), after));
        Self {
            settings,
            began,
            deadline,
            journal,
            time,
            volatile: Mutex::default(),
            stop: Mutex::default(),
            asleep: AtomicBool::new(false),
            cancel_beyond: AtomicBool::new(false),
            detached_wait: AtomicBool::new(false),
            too_late: AtomicBool::new(false),
            phase: AtomicU8::new(NOT_BEGUN),
            troubled: AtomicBool::new(false),
        }
    }

    pub(crate) fn run_id(&self) -> &str {
        &self.settings.run
    }

    #[inline]
    pub(crate) fn stage(&self) -> Option<&dyn Stage> {
        self.settings.stage.as_deref()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.settings.clock
    }

    pub(crate) fn token(&self) -> Option<&CancellationToken> {
        self.settings.token.as_ref()
    }

    /// The moment at which the run's time is over, and how long that was.
    pub(crate) const fn deadline(&self) -> Option<(Instant, Duration)> {
        self.deadline
    }

    /// What time it is, by the store's clock, carried forward by that of the run. Without a store, or where the
    /// workflow was given a clock of its own, the time of day of that.
    pub(crate) fn time(&self) -> Timestamp {
        match &self.time {
            None => Timestamp::from(self.clock().wall()),
            Some(time) => {
                let (at, then) = *lock(time);
                then.after(self.clock().now().saturating_duration_since(at))
            }
        }
    }

    /// The lease was renewed, and this is what the store said.
    pub(crate) fn renewed(&self, Renewed { now, cancel }: Renewed) {
        if let Some(time) = &self.time {
            *lock(time) = (self.clock().now(), now);
        }
        if cancel {
            self.cancel();
        }
    }

    /// Cancels the run, if it has a store.
    pub(crate) fn cancel(&self) {
        if let Some(token) = self.token() {
            token.cancel();
        }
    }

    /// Returns whether this execution knows that the run is to be cancelled.
    pub(crate) fn knows_of_cancel(&self) -> bool {
        self.is_to_be_cancelled() || self.is_cancelled() || lock(&self.stop).cancelled
    }

    /// Returns whether the run was opened because somebody had asked for it to be cancelled.
    pub(crate) fn is_to_be_cancelled(&self) -> bool {
        self.cancel_beyond.load(Ordering::Relaxed)
    }

    /// How long the lease lasts after a renewal.
    pub(crate) const fn lease(&self) -> Duration {
        self.settings.lease
    }

    /// No cancellation ends the run from here on, unless it was requested before.
    pub(crate) fn close_to_cancel(&self) {
        self.too_late.store(true, Ordering::Relaxed);
    }

    /// Returns whether it is too late to cancel the run.
    pub(crate) fn is_too_late_to_cancel(&self) -> bool {
        self.too_late.load(Ordering::Relaxed)
    }

    /// The run is executed though the store still has it as one that waits, or was cancelled.
    pub(crate) fn note_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
    }

    /// Cancels the run, where it has a store, once it comes to a step that is not recorded: what is recorded is
    /// found before, so that the body knows what there is to undo.
    pub(crate) fn cancel_beyond(&self) {
        self.cancel_beyond.store(true, Ordering::Relaxed);
    }

    /// Whether only recorded steps may be used here.
    pub(crate) fn is_only_recorded(&self) -> bool {
        is_only_recorded(self)
    }

    /// Refuses a step that is not recorded where only recorded ones may be used.
    pub(crate) fn may_go_beyond(&self, key: &Key) -> Result<(), RunError> {
        if self.is_only_recorded() {
            return Err(RunError::Cancelled { step: Some(key.clone()) });
        }
        if self.cancel_beyond.load(Ordering::Relaxed) {
            self.cancel();
            return self.may_begin(key);
        }
        Ok(())
    }

    pub(crate) const fn park_after(&self) -> Option<Duration> {
        self.settings.park_after
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock().now().saturating_duration_since(self.began)
    }

    pub(crate) fn input(&self) -> Option<&Payload> {
        self.journal.as_ref()?.input.as_ref()
    }

    /// All records of the run, where they were kept.
    pub(crate) fn kept(&self) -> Vec<Record> {
        let kept = self.journal.as_ref().and_then(|journal| journal.kept.as_ref());
        kept.map(|kept| lock(kept).clone()).unwrap_or_default()
    }

    // Watching.

    pub(crate) fn is_observed(&self) -> bool {
        !self.settings.observers.is_empty()
    }

    pub(crate) fn tell(&self, kind: EventKind) {
        let Settings { workflow, run, observers, .. } = &self.settings;
        observers.tell(workflow, run, self.elapsed(), kind);
    }

    /// Tells that the body is about to be called.
    pub(crate) fn begin(&self, kind: impl FnOnce() -> EventKind) {
        self.phase.store(BEGUN, Ordering::Relaxed);
        self.tell_if_observed(kind);
    }

    /// Tells how the run ended.
    pub(crate) fn end(&self, kind: impl FnOnce() -> EventKind) {
        self.phase.store(ENDED, Ordering::Relaxed);
        self.tell_if_observed(kind);
    }

    /// Tells that the run was dropped, or that its body panicked, unless its end was told.
    pub(crate) fn abort(&self) {
        if self.phase.swap(ENDED, Ordering::Relaxed) == BEGUN {
            let duration = self.elapsed();
            self.tell_if_observed(|| match std::thread::panicking() {
                true => EventKind::RunFailed { duration, error: "the body panicked".into() },
                false => EventKind::RunAborted { duration },
            });
        }
    }

    pub(crate) fn tell_if_observed(&self, kind: impl FnOnce() -> EventKind) {
        if self.is_observed() {
            self.tell(kind());
        }
    }

    /// The hook after a step that was recorded.
    pub(crate) fn hook_after_step(
        &self,
        step: impl FnOnce() -> StepId,
        kind: RecordedKind,
    ) -> Option<Hooked> {
        let hook = self.settings.after_step.as_ref()?;
        let (run, step) = (Arc::clone(&self.settings.run), step());
        Some(hook(StepInfo { workflow: Arc::clone(&self.settings.workflow), run, step, kind }))
    }

    // Keys.

    /// A step was built: a failure after this is not of the same moment as those before.
    pub(crate) fn built(&self) {
        if self.troubled.load(Ordering::Relaxed) {
            lock(&self.stop).stale = true;
        }
    }

    /// Takes the next free number of `name`.
    pub(crate) fn take_name(&self, name: &Key, recorded: bool) -> Taken {
        match &self.journal {
            Some(journal) if recorded => lock(&journal.history).take_name(&within(self, name)),
            _ => lock(&self.volatile).take_name(&self.volatile_key(name)),
        }
    }

    /// Takes `key` itself; of a list's steps, whose keys begin with what [`take_base`](Self::take_base) gave.
    pub(crate) fn take_key(&self, key: Key, recorded: bool) -> Taken {
        match &self.journal {
            Some(journal) if recorded => lock(&journal.history).take(key),
            _ => lock(&self.volatile).take(key),
        }
    }

    /// Takes `name` for a list of steps, whose keys begin with what comes back. Where it is taken, so is
    /// every key that begins with it, which the steps of the list will say.
    pub(crate) fn take_base(&self, name: &Key, recorded: bool) -> Key {
        match self.take_name(name, recorded) {
            Taken::New(key) | Taken::Duplicate(key) => key,
        }
    }

    /// Takes `key` in the place of the one that the step took from its name.
    pub(crate) fn exchange_key(&self, name: &Key, taken: Taken, key: &Key, recorded: bool) -> Taken {
        let (history, name, key) = match &self.journal {
            Some(journal) if recorded => (&journal.history, within(self, name), within(self, key)),
            _ => (&self.volatile, self.volatile_key(name), self.volatile_key(key)),
        };
        let mut history = lock(history);
        match taken {
            Taken::New(default) => history.exchange(&name, &default, key),
            Taken::Duplicate(_) => history.take(key),
        }
    }

    /// On a durable run, steps that are not recorded have keys of their own kind, so that adding one
    /// changes no recorded step's key.
    fn volatile_key(&self, key: &Key) -> Key {
        if self.journal.is_some() { Key::from(format!("~{key}")) } else { key.clone() }
    }

    /// What the journal holds under `key`.
    pub(crate) fn recall(&self, key: &Key) -> Option<Found> {
        let journal = self.journal.as_ref().filter(|journal| journal.resumed)?;
        lock(&journal.history).recall(key)
    }

    /// What the journal holds under `key`, if that was not handed out yet.
    pub(crate) fn peek(&self, key: &Key) -> Option<Outcome> {
        let journal = self.journal.as_ref().filter(|journal| journal.resumed)?;
        lock(&journal.history).peek(key).cloned()
    }

    /// Whether a step was built with `key`, or what the journal holds under it was looked at.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.journal.as_ref().is_some_and(|journal| lock(&journal.history).knows(key))
    }

    /// Whether an earlier execution may have begun.
    pub(crate) fn is_resumed(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.resumed)
    }

    /// Sets a run back to running that was opened to undo what it did, and was left what it is until then.
    pub(crate) async fn wake_up(&self) -> Result<(), RunError> {
        if !self.asleep.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let Some(Writer { store, lease }) = self.writer() else { return Ok(()) };
        store.revive(lease, Vec::new()).await.map_err(|error| self.stopped(error.into()))
    }

    /// Begins to record. `None`: the run has no journal.
    pub(crate) fn write(
        &self,
        record: Record,
        replaces: bool,
        durability: Option<Durability>,
    ) -> Option<Writing> {
        let durability = durability.unwrap_or(self.settings.durability);
        Some(self.journal.as_ref()?.write(record, replaces, durability))
    }

    /// Takes note of a record that is in the store already.
    pub(crate) fn keep(&self, record: Record, on_recorded: OnRecorded) {
        if let Some(kept) = self.journal.as_ref().and_then(|journal| journal.kept.as_ref()) {
            let mut kept = lock(kept);
            if on_recorded == OnRecorded::Replace {
                kept.retain(|old| old.key != record.key);
            }
            kept.push(record);
        }
    }

    /// Where the run's records go.
    pub(crate) fn writer(&self) -> Option<&Writer> {
        self.journal.as_ref()?.writer.as_ref()
    }

    /// The entry that waits under `key`, so far as this execution knows.
    pub(crate) fn wait_entry(&self, key: &Key) -> Option<WaitEntry> {
        lock(&self.journal.as_ref()?.waits).iter().find(|entry| entry.key == *key).cloned()
    }

    /// An entry waits from now on.
    pub(crate) fn note_asked(&self, entry: WaitEntry) {
        if let Some(journal) = &self.journal {
            lock(&journal.waits).push(entry);
        }
    }

    // Stopping.

    /// Refuses where the run cannot go on.
    pub(crate) fn may_go_on(&self) -> Result<(), RunError> {
        if !self.troubled.load(Ordering::Relaxed) {
            return Ok(());
        }
        lock(&self.stop).fatal.clone().map_or(Ok(()), Err)
    }

    /// Returns whether the run is cancelled: its token is, and it is not too late for that.
    pub(crate) fn is_cancelled(&self) -> bool {
        !self.is_too_late_to_cancel() && self.token().is_some_and(CancellationToken::is_cancelled)
    }

    /// Returns whether a step waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.troubled.load(Ordering::Relaxed) && lock(&self.stop).is_waiting()
    }

    /// Returns why the run ends at `step`, if it is cancelled or its time is over. `attempt`: the attempt that this ends;
    /// 0 if none has begun.
    pub(crate) fn ended(&self, step: &Key, attempt: u32) -> Option<RunError> {
        if self.is_cancelled() {
            return Some(RunError::Cancelled { step: Some(step.clone()) });
        }
        let (at, after) = self.deadline?;
        let is_over = self.clock().now() >= at;
        is_over.then(|| RunError::Timeout { step: step.clone(), attempt, after, limit: Limit::Run })
    }

    /// Refuses a step if the run was cancelled or its time is over.
    pub(crate) fn may_begin(&self, key: &Key) -> Result<(), RunError> {
        self.ended(key, 0).map_or(Ok(()), Err)
    }

    /// Waits for a hook, which neither a cancellation nor the run's deadline waits for. `None`: the run was cancelled.
    pub(crate) async fn within_limits<T>(
        &self,
        hook: impl Future<Output = T>,
    ) -> Result<Option<T>, RunError> {
        let (clock, deadline) = (self.clock(), self.deadline);
        let mut hook = pin!(hook);
        let mut over = deadline.map(|(at, _)| clock.sleep_until(at));
        let token = self.token().filter(|_| !self.is_too_late_to_cancel());
        let mut cancelled = token.map(|token| Box::pin(token.clone().cancelled_owned()));
        poll_fn(|cx| {
            if let Poll::Ready(answer) = hook.as_mut().poll(cx) {
                return Poll::Ready(Ok(Some(answer)));
            }
            if cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Ok(None));
            }
            match (&mut over, deadline) {
                (Some(over), Some((_, after))) => over.as_mut().poll(cx).map(|()| {
                    let step = self.run_id().to_owned().into();
                    Err(RunError::Timeout { step, attempt: 0, after, limit: Limit::Run })
                }),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Stops the run for good with `error`, and hands it back.
    pub(crate) fn stopped(&self, error: RunError) -> RunError {
        let mut stop = lock(&self.stop);
        stop.fatal.get_or_insert_with(|| error.clone());
        self.troubled.store(true, Ordering::Relaxed);
        error
    }

    /// The run is over, or was dropped: whoever still holds a handle can do nothing more.
    pub(crate) fn close(&self) {
        self.stopped(RunError::Ended { run: self.run_id().into() });
    }

    /// An execution before this one began to undo the run because it was cancelled.
    pub(crate) fn note_cancelled(&self) {
        self.cancel();
        lock(&self.stop).cancelled = true;
    }

    /// The run waits at a step.
    pub(crate) fn note_waiting(&self, waits: Waits) {
        let mut stop = lock(&self.stop);
        stop.waits.retain(|before| before.step != waits.step);
        stop.waits.push(waits);
        self.troubled.store(true, Ordering::Relaxed);
    }

    /// The step has a wait of its own, which ends at `wake` at the latest.
    pub(crate) fn wake_at(&self, step: &Key, wake: Timestamp) {
        let mut stop = lock(&self.stop);
        for waits in stop.waits.iter_mut().filter(|waits| waits.step == *step) {
            waits.wake = Some(waits.wake.map_or(wake, |before| before.min(wake)));
        }
    }

    /// The body does not wait any more at the steps for which `ended` holds.
    pub(crate) fn forget_waits(&self, ended: impl Fn(&Key) -> bool) {
        if self.troubled.load(Ordering::Relaxed) {
            lock(&self.stop).waits.retain(|waits| !ended(&waits.step));
        }
    }

    /// Returns whether the run still waits at `step`.
    pub(crate) fn waits_at(&self, step: &Key) -> bool {
        lock(&self.stop).waits.iter().any(|waits| waits.step == *step)
    }

    /// Returns the first step at which the run waits inside of the operation of `step`.
    pub(crate) fn waits_within(&self, step: &Key) -> Option<Key> {
        if !self.troubled.load(Ordering::Relaxed) {
            return None;
        }
        let stop = lock(&self.stop);
        stop.waits.iter().map(|waits| &waits.step).find(|waiting| is_within(waiting, step)).cloned()
    }

    /// The body called another run, which ended like this.
    pub(crate) fn note_other_run(&self, other: OtherRun) {
        if other == OtherRun::Paused {
            lock(&self.stop).other_run = true;
            self.troubled.store(true, Ordering::Relaxed);
        }
    }

    /// A step ends in this error, and the run with it, unless the body handles it.
    pub(crate) fn note_pause(&self, error: &RunError) {
        // A body that may only find recorded steps is refused all others, whether the run was cancelled or not.
        if let RunError::Cancelled { step } = error
            && !self.is_only_recorded()
        {
            let mut stop = lock(&self.stop);
            stop.cancelled = true;
            stop.cancelled_at = stop.cancelled_at.take().or_else(|| step.clone());
            self.troubled.store(true, Ordering::Relaxed);
        }
        if let RunError::Waiting { step } = error
            && !note_wait(self, step)
        {
            self.detached_wait.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether a task that the body spawned waits, so that no operation can be told that it does.
    pub(crate) fn has_detached_wait(&self) -> bool {
        self.detached_wait.load(Ordering::Relaxed)
    }

    /// A step failed, was refused, or was not let begin. `key` is that of a recorded failure, which a retry of
    /// the run drops. What failed before the body went on is not what the run fails on now.
    pub(crate) fn note_failure(&self, key: Option<&Key>) {
        forget_other_runs(self);
        let mut stop = lock(&self.stop);
        stop.other_run = false;
        if std::mem::take(&mut stop.stale) {
            stop.failed_on.clear();
        }
        if let Some(key) = key
            && !stop.failed_on.contains(key)
        {
            stop.failed_on.push(key.clone());
            self.troubled.store(true, Ordering::Relaxed);
        }
    }

    /// An undoing has come to an end: these are the keys that a retry of the run drops.
    pub(crate) fn note_undoing(&self, undoing: Undoing, keys: Vec<Key>) {
        let cancelled = self.is_cancelled();
        let mut stop = lock(&self.stop);
        stop.stale = false;
        match undoing {
            Undoing::Done => {
                if cancelled || stop.cancelled {
                    stop.undone.extend(keys.iter().cloned());
                }
                // Of several that were undone side by side, a retry begins each anew.
                stop.failed_on.extend(keys);
                stop.failed_on.sort_unstable();
                stop.failed_on.dedup();
            }
            Undoing::GaveUp => {
                stop.failed_on.clear();
                stop.stuck.extend(keys);
            }
        }
        self.troubled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn note_panic(&self, key: &Key) {
        lock(&self.stop).panicked.get_or_insert_with(|| key.clone());
    }

    pub(crate) fn stop(&self) -> Stop {
        lock(&self.stop).clone()
    }

    /// The source of randomness of one attempt: fixed by the run's seed, the key and the number, whatever
    /// else runs at the same time.
    pub(crate) fn dice(&self, key: &str, attempt: u32) -> fastrand::Rng {
        let seed = key.bytes().chain(attempt.to_le_bytes()).fold(self.settings.seed, |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        fastrand::Rng::with_seed(seed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("run", &self.settings.run).finish_non_exhaustive()
    }
}

/// Returns whether `key` belongs to a step that the operation of `step` built.
pub(crate) fn is_within(key: &Key, step: &Key) -> bool {
    let inside = key.strip_prefix(&**step).unwrap_or_default();
    let attempt =
        inside.strip_prefix('@').map(|rest| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    attempt.unwrap_or(inside).starts_with('/')
}

/// Locks. What is behind is whole also after a panic: nothing here calls foreign code under a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
