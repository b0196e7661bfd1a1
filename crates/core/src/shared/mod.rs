//! The state that the steps of one execution share.
//!
//! Each concern is a separate type, which keeps its fields private:
//!
//! | type | answers |
//! | --- | --- |
//! | [`Keys`] | which key does a step get, and which outcome does the journal hold under it? |
//! | [`Journal`] | where do records and questions go? |
//! | [`Stopping`] | does the run continue, and if not, why? |
//! | [`Time`] | what time is it, and how much of it is left? |
//! | [`Watchers`] | which observers see the run, and have they seen its beginning and its end? |
//!
//! [`Shared`] combines them. Its own methods need more than one of the types.

mod journal;
mod keys;
mod limits;
mod lock;
mod nested;
mod stop;
mod stopping;
mod time;
mod watchers;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use self::journal::{Journal, Writer, Writing};
pub(crate) use self::keys::Keys;
use self::lock::lock;
pub(crate) use self::nested::{Entered, ExecutionId, Noted, OnlyRecorded, OtherRun, current, note_other_run};
pub(crate) use self::stop::{LOOK_AGAIN, Stop, Undone, Waits};
pub(crate) use self::stopping::Stopping;
pub(crate) use self::time::Time;
pub(crate) use self::watchers::Watchers;
use crate::clock::Clock;
use crate::error::RunError;
use crate::event::{EventKind, Observers};
use crate::hook::AfterStep;
use crate::journal::{History, Payload, Record, Timestamp, WaitEntry};
use crate::stage::Stage;
use crate::store::{Durability, Input, Renewed};

/// The state that the steps of one execution share. A plain [`run`](crate::run) has none.
pub(crate) struct Shared {
    pub(crate) execution: ExecutionId,
    pub(crate) keys: Keys,
    pub(crate) journal: Journal,
    pub(crate) stopping: Stopping,
    pub(crate) time: Time,
    pub(crate) watchers: Watchers,
    stage: Option<Arc<dyn Stage>>,
    /// The part of a crate that carries runs, which its steps use.
    attachment: Option<Attachment>,
    /// The input with which the run starts again, if the body asked for this.
    restart: Mutex<Option<Input>>,
    seed: u64,
}

/// A value of another crate that the runs of a workflow share.
pub(crate) type Attachment = Arc<dyn Any + Send + Sync>;

/// The settings of one execution.
pub(crate) struct Settings {
    pub(crate) workflow: Arc<str>,
    pub(crate) run: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether recorded moments come from that clock instead of the store's.
    pub(crate) keeps_time: bool,
    pub(crate) deadline: Option<Duration>,
    pub(crate) durability: Durability,
    pub(crate) park_after: Option<Duration>,
    pub(crate) token: Option<CancellationToken>,
    pub(crate) observers: Observers,
    pub(crate) after_step: Option<AfterStep>,
    pub(crate) seed: u64,
    /// The stage of a test, which replaces the results of operations.
    pub(crate) stage: Option<Arc<dyn Stage>>,
    pub(crate) attachment: Option<Attachment>,
}

/// The journal of a durable run, as its execution finds it.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) records: Vec<Record>,
    pub(crate) waits: Vec<WaitEntry>,
    pub(crate) input: Option<Payload>,
    /// `None` if the run has no store.
    pub(crate) writer: Option<Writer>,
    /// Whether this and all later records stay in memory.
    pub(crate) keep: bool,
    /// Whether an earlier execution may have begun, even if it recorded no outcome.
    pub(crate) resumes: bool,
    /// Whether the run's status in the store stays waiting or cancelled until an undo begins.
    pub(crate) asleep: bool,
    /// Whether the run is cancelled at its first unrecorded step.
    pub(crate) cancel: bool,
}

impl Shared {
    /// Creates the state. `loaded` is the journal of a durable run; `now` is the time of the store's clock, if there is
    /// a store.
    pub(crate) fn new(settings: Settings, loaded: Option<Loaded>, now: Option<Timestamp>) -> Self {
        let Settings { workflow, run, observers, after_step, token, seed, stage, attachment, .. } = settings;
        let Settings { clock, keeps_time, deadline, park_after, durability, .. } = settings;
        let is_durable = loaded.is_some();
        let Loaded { records, waits, input, writer, keep, resumes, asleep, cancel } =
            loaded.unwrap_or_default();
        let execution = ExecutionId::unique();
        let resumes = resumes || !records.is_empty();
        let kept = keep.then(|| records.clone());
        let history = is_durable.then(|| History::new(records));
        Self {
            execution,
            keys: Keys::new(execution, history, resumes),
            journal: Journal::new(writer, durability, input, waits, kept, asleep),
            stopping: Stopping::new(execution, token, cancel),
            time: Time::new(clock, deadline, park_after, now.filter(|_| !keeps_time)),
            watchers: Watchers::new(workflow, run, observers, after_step),
            stage,
            attachment,
            restart: Mutex::default(),
            seed,
        }
    }

    /// Stops the run, so that it starts again with this input.
    pub(crate) fn restart(&self, input: Input) -> RunError {
        lock(&self.restart).get_or_insert(input);
        self.stopping.stopped(RunError::Restarting)
    }

    /// Returns the input with which the run starts again, if it does.
    pub(crate) fn restarts(&self) -> Option<Input> {
        lock(&self.restart).take()
    }

    pub(crate) const fn attachment(&self) -> Option<&Attachment> {
        self.attachment.as_ref()
    }

    #[inline]
    pub(crate) fn run_id(&self) -> &str {
        self.watchers.run()
    }

    #[inline]
    pub(crate) fn stage(&self) -> Option<&dyn Stage> {
        self.stage.as_deref()
    }

    /// Applies the store's answer to a renewal of the lease.
    pub(crate) fn renewed(&self, Renewed { now, cancel }: Renewed) {
        self.time.synchronize(now);
        if cancel {
            self.stopping.cancel();
        }
    }

    /// Ends every later step of the run. The run is over or was dropped, and a handle that the caller still holds has
    /// no effect.
    pub(crate) fn close(&self) {
        self.stopping.stopped(RunError::Ended { run: self.run_id().into() });
    }

    /// Sends an event to the observers, if there are any.
    pub(crate) fn tell(&self, kind: impl FnOnce() -> EventKind) {
        if self.watchers.is_observed() {
            self.watchers.tell(self.time.elapsed(), kind());
        }
    }

    /// Sends the event that the body is about to be called.
    pub(crate) fn begin(&self, kind: impl FnOnce() -> EventKind) {
        self.watchers.begin();
        self.tell(kind);
    }

    /// Sends the event for the end of the run.
    pub(crate) fn end(&self, kind: impl FnOnce() -> EventKind) {
        self.watchers.end();
        self.tell(kind);
    }

    /// Sends an event that the run was dropped or its body panicked, if the observers have seen only its beginning.
    pub(crate) fn abort(&self) {
        if self.watchers.end() {
            let duration = self.time.elapsed();
            self.tell(|| match std::thread::panicking() {
                true => EventKind::RunFailed { duration, error: "the body panicked".into() },
                false => EventKind::RunAborted { duration },
            });
        }
    }

    /// Returns the source of randomness of one attempt. The run's seed, the key and the number determine it,
    /// independent of concurrent work.
    pub(crate) fn dice(&self, key: &str, attempt: u32) -> fastrand::Rng {
        let seed = key
            .bytes()
            .chain(attempt.to_le_bytes())
            .fold(self.seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        fastrand::Rng::with_seed(seed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("run", &self.run_id()).finish_non_exhaustive()
    }
}
