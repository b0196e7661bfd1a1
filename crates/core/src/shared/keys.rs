use std::sync::Mutex;

use super::lock::lock;
use super::nested::ExecutionId;
use crate::journal::{Found, History, Key, Outcome, Taken};

/// The keys that the steps of an execution have taken, and the journal's outcomes under them.
pub(crate) struct Keys {
    execution: ExecutionId,
    /// The keys of recorded steps. `None` if the run has no journal.
    recorded: Option<Mutex<History>>,
    /// The keys of all other steps.
    volatile: Mutex<History>,
    /// Whether an earlier execution may have begun.
    resumed: bool,
}

impl Keys {
    pub(super) fn new(execution: ExecutionId, history: Option<History>, resumed: bool) -> Self {
        Self { execution, recorded: history.map(Mutex::new), volatile: Mutex::default(), resumed }
    }

    /// Takes the next free number of `name`.
    pub(crate) fn take_name(&self, name: &Key, recorded: bool) -> Taken {
        let (history, name) = self.place(name, recorded);
        lock(history).take_name(&name)
    }

    /// Takes `key` itself. The key of a list's step begins with the result of [`take_base`](Self::take_base).
    pub(crate) fn take_key(&self, key: Key, recorded: bool) -> Taken {
        let history = self.recorded.as_ref().filter(|_| recorded).unwrap_or(&self.volatile);
        lock(history).take(key)
    }

    /// Takes `name` for a list of steps, and returns the first part of their keys. If `name` is taken, so is every key
    /// that begins with it, and the steps of the list report the duplicate.
    pub(crate) fn take_base(&self, name: &Key, recorded: bool) -> Key {
        match self.take_name(name, recorded) {
            Taken::New(key) | Taken::Duplicate(key) => key,
        }
    }

    /// Takes `key` instead of the key that the step took from its name.
    pub(crate) fn exchange_key(&self, name: &Key, taken: Taken, key: &Key, recorded: bool) -> Taken {
        let (history, name) = self.place(name, recorded);
        let (_, key) = self.place(key, recorded);
        let mut history = lock(history);
        match taken {
            Taken::New(default) => history.exchange(&name, &default, key),
            Taken::Duplicate(_) => history.take(key),
        }
    }

    /// Returns the history for `key`, and the form of the key in that history.
    fn place(&self, key: &Key, recorded: bool) -> (&Mutex<History>, Key) {
        match &self.recorded {
            Some(history) if recorded => (history, self.execution.within(key)),
            // On a durable run, unrecorded steps have keys of a separate kind, so that a new unrecorded step changes no
            // recorded step's key.
            Some(_) => (&self.volatile, Key::from(format!("~{key}"))),
            None => (&self.volatile, key.clone()),
        }
    }

    /// Hands out the journal's outcome under `key`.
    pub(crate) fn recall(&self, key: &Key) -> Option<Found> {
        lock(self.earlier()?).recall(key)
    }

    /// Returns the journal's outcome under `key`, if it was not handed out yet.
    pub(crate) fn peek(&self, key: &Key) -> Option<Outcome> {
        lock(self.earlier()?).peek(key).cloned()
    }

    /// Returns whether earlier executions recorded an outcome under `key` after the outcomes under all of `others`.
    pub(crate) fn is_recorded_after(&self, key: &Key, others: &[Key]) -> bool {
        self.earlier().is_some_and(|history| lock(history).is_recorded_after(key, others))
    }

    /// Returns the history, if an earlier execution may have recorded an outcome in it.
    fn earlier(&self) -> Option<&Mutex<History>> {
        self.recorded.as_ref().filter(|_| self.resumed)
    }

    /// Returns whether a step was built with `key`, or the outcome under it was read.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.recorded.as_ref().is_some_and(|history| lock(history).knows(key))
    }

    /// Returns whether an earlier execution may have begun.
    pub(crate) const fn is_resumed(&self) -> bool {
        self.resumed
    }
}
