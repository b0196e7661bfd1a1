//! The state that the steps of one execution share.
//!
//! It lies below the step. Each concern is a type of its own, which keeps its fields to itself:
//!
//! | type | answers |
//! | --- | --- |
//! | [`Keys`] | which key does a step get, and which outcome does the journal hold under it? |
//! | [`Journal`] | where do records and questions go? |
//! | [`Stopping`] | does the run go on, and if not, why? |
//! | [`Time`] | what time is it, and how much of it is left? |
//! | [`Watchers`] | who sees the run, and how much of it have they seen? |
//!
//! [`Shared`] puts them together. Its own methods are those that ask more than one of them.

mod journal;
mod keys;
mod limits;
mod lock;
mod nested;
mod stop;
mod stopping;
mod time;
mod watchers;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use self::journal::{Journal, Writer, Writing};
pub(crate) use self::keys::Keys;
pub use self::nested::OnlyRecorded;
pub(crate) use self::nested::{Entered, ExecutionId, Noted, OtherRun, current, note_other_run};
pub use self::stop::Undoing;
pub(crate) use self::stop::{LOOK_AGAIN, Stop, Waits};
pub(crate) use self::stopping::Stopping;
pub(crate) use self::time::Time;
pub(crate) use self::watchers::Watchers;
use crate::clock::Clock;
use crate::error::RunError;
use crate::event::{EventKind, Observers};
use crate::hook::AfterStep;
use crate::journal::{History, Payload, Record, Timestamp, WaitEntry};
use crate::stage::Stage;
use crate::store::{Durability, Renewed};

/// The state that the steps of one execution share. A plain [`run`](crate::run) has none.
pub(crate) struct Shared {
    pub(crate) execution: ExecutionId,
    pub(crate) keys: Keys,
    pub(crate) journal: Journal,
    pub(crate) stopping: Stopping,
    pub(crate) time: Time,
    pub(crate) watchers: Watchers,
    stage: Option<Arc<dyn Stage>>,
    seed: u64,
}

/// How a run is executed.
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
    pub(crate) observers: Observers,
    pub(crate) after_step: Option<AfterStep>,
    pub(crate) seed: u64,
    /// The part of operations that a test plays.
    pub(crate) stage: Option<Arc<dyn Stage>>,
}

/// The journal of a durable run, as its execution finds it.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) records: Vec<Record>,
    pub(crate) waits: Vec<WaitEntry>,
    pub(crate) input: Option<Payload>,
    /// `None`: the run has no store.
    pub(crate) writer: Option<Writer>,
    /// Whether the records, and all that follow, are kept at hand.
    pub(crate) keep: bool,
    /// Whether an earlier execution may have begun, also if it recorded nothing.
    pub(crate) resumes: bool,
    /// Whether the store has the run as one that waits, or was cancelled, until there is something to undo.
    pub(crate) asleep: bool,
    /// Whether the run is cancelled once it comes to a step that is not recorded.
    pub(crate) cancel: bool,
}

impl Shared {
    /// `loaded`: the journal, if the run is durable. `now`: the time by the store's clock, if there is a store.
    pub(crate) fn new(settings: Settings, loaded: Option<Loaded>, now: Option<Timestamp>) -> Self {
        let Settings { workflow, run, observers, after_step, token, seed, stage, .. } = settings;
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
            seed,
        }
    }

    #[inline]
    pub(crate) fn run_id(&self) -> &str {
        self.watchers.run()
    }

    #[inline]
    pub(crate) fn stage(&self) -> Option<&dyn Stage> {
        self.stage.as_deref()
    }

    /// Takes over the answer of the store to a renewal of the lease.
    pub(crate) fn renewed(&self, Renewed { now, cancel }: Renewed) {
        self.time.synchronize(now);
        if cancel {
            self.stopping.cancel();
        }
    }

    /// Ends every later step of the run: it is over, or was dropped, and a handle that is still held can do no more.
    pub(crate) fn close(&self) {
        self.stopping.stopped(RunError::Ended { run: self.run_id().into() });
    }

    /// Tells the observers, if there are any.
    pub(crate) fn tell(&self, kind: impl FnOnce() -> EventKind) {
        if self.watchers.is_observed() {
            self.watchers.tell(self.time.elapsed(), kind());
        }
    }

    /// Tells the observers that the body is about to be called.
    pub(crate) fn begin(&self, kind: impl FnOnce() -> EventKind) {
        self.watchers.begin();
        self.tell(kind);
    }

    /// Tells the observers how the run ended.
    pub(crate) fn end(&self, kind: impl FnOnce() -> EventKind) {
        self.watchers.end();
        self.tell(kind);
    }

    /// Tells the observers that the run was dropped, or that its body panicked, if they have seen only its beginning.
    pub(crate) fn abort(&self) {
        if self.watchers.end() {
            let duration = self.time.elapsed();
            self.tell(|| match std::thread::panicking() {
                true => EventKind::RunFailed { duration, error: "the body panicked".into() },
                false => EventKind::RunAborted { duration },
            });
        }
    }

    /// Returns the source of randomness of one attempt: fixed by the run's seed, the key and the number, whatever
    /// else runs at the same time.
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
