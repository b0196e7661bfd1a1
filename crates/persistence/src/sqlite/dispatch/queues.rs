//! The states of queues.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use awaitly_core::dispatch::{Pace, Queue};
use awaitly_core::journal::Payload;
use awaitly_core::store::{Configure, Pausing, QueueState};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::super::apply::Batch;
use super::super::checksum::{self, with_checksum};
use super::super::error::{Failure, undecodable};
use super::super::rows::{payload, text};
use super::super::runs::{of_text, or_null};
use super::behind::Moves;

/// The maximum number of queues that a list contains.
const MOST: i64 = 1000;

/// The maximum number of names whose states are kept in memory.
const KNOWN: usize = 10_000;

/// The state of a queue that has settings or is paused.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) settings: Option<Queue>,
    /// The settings that a worker declared last.
    declared: Option<Queue>,
    pub(super) paused: bool,
    pub(super) pace: Pace,
    /// The rank of the run that started last.
    pub(super) virtual_time: i64,
}

/// The states of queues that the writer keeps in memory. They are current until another connection commits: see
/// [`Leases`](super::super::leases::Leases).
#[derive(Debug, Default)]
pub(in super::super) struct Queues {
    /// `None`: the queue has no state.
    known: HashMap<Arc<str>, Option<State>>,
    version: i64,
    /// The queue of the run that was claimed last: the next claim begins with the queue after it.
    pub(super) turn: Arc<str>,
    /// The time of the last search for dead owners.
    pub(super) searched: Option<Instant>,
    /// The time of the last check of all keys with runs behind a limit.
    pub(super) swept: Option<Instant>,
    /// The number of ranks written for keys of fair queues since the last removal of old ones, and the number at which
    /// the next removal is due.
    pub(super) ranked: (usize, usize),
}

macro_rules! select {
    ($condition:literal) => {
        concat!("SELECT ", queue_columns!(), ", checksum FROM awaitly_queues WHERE ", $condition)
    };
}

const STATE: &str = select!("name = ?");

const STATES: &str = select!("paused OR settings IS NOT NULL ORDER BY name LIMIT ?");

const STORE: &str = concat!(
    "INSERT OR REPLACE INTO awaitly_queues (",
    queue_columns!(),
    ", checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
);

impl Queues {
    /// Forgets the states that another connection may have changed. Call this first in each transaction.
    pub(in super::super) fn refresh(&mut self, version: i64) {
        if self.version != version || self.known.len() > KNOWN {
            self.known.clear();
            self.version = version;
        }
    }

    /// Forgets all states, because they may contain changes of a transaction that was rolled back.
    pub(in super::super) fn forget_all(&mut self) {
        self.known.clear();
    }

    /// Returns the state of a queue, if it has one.
    pub(super) fn find(&mut self, connection: &Connection, name: &str) -> Result<Option<&State>, Failure> {
        if !self.known.contains_key(name) {
            let mut statement = connection.prepare_cached(STATE)?;
            let mut rows = statement.query([name])?;
            let state = rows.next()?.map(state).transpose()?;
            self.known.insert(name.into(), state);
        }
        Ok(self.known.get(name).and_then(Option::as_ref))
    }

    /// Writes the state of a queue.
    pub(super) fn store(
        &mut self,
        connection: &Connection,
        name: &Arc<str>,
        state: State,
    ) -> Result<(), Failure> {
        let [settings, declared] = [json(state.settings.as_ref())?, json(state.declared.as_ref())?];
        let values = [
            of_text(name),
            or_null(settings.as_ref().map(|json| of_text(json.as_str()))),
            or_null(declared.as_ref().map(|json| of_text(json.as_str()))),
            ValueRef::Integer(state.paused.into()),
            ValueRef::Integer(state.pace.arrival.cast_signed()),
            ValueRef::Integer(state.virtual_time),
        ];
        connection.prepare_cached(STORE)?.execute(with_checksum(&values))?;
        self.known.insert(Arc::clone(name), Some(state));
        Ok(())
    }
}

impl State {
    /// Returns whether the keys of the queue take turns.
    pub(super) fn is_fair(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.fair)
    }

    /// Returns the settings, if they limit the number of running runs or of starts.
    pub(super) fn limits(&self) -> Option<&Queue> {
        self.settings.as_ref().filter(|settings| settings.is_limited())
    }
}

impl Batch<'_> {
    pub(in super::super) fn configure(
        &mut self,
        queues: &[Queue],
        configure: Configure,
    ) -> Result<(), Failure> {
        for queue in queues {
            let mut state = self.state(&queue.name)?;
            if configure == Configure::Declare {
                if state.declared.as_ref() == Some(queue) {
                    continue;
                }
                state.declared = Some(queue.clone());
            }
            state.settings = Some(queue.clone());
            self.queues.store(self.connection, &queue.name, state)?;
            self.sweep_queue(&queue.name, &mut Moves::default())?;
        }
        Ok(())
    }

    pub(in super::super) fn pause_queues(
        &mut self,
        queues: &[Arc<str>],
        pausing: Pausing,
    ) -> Result<(), Failure> {
        for name in queues {
            let mut state = self.state(name)?;
            state.paused = pausing == Pausing::Pause;
            self.queues.store(self.connection, name, state)?;
        }
        Ok(())
    }

    /// Returns a copy of the state of a queue, or the state of a queue that has no settings.
    pub(super) fn state(&mut self, name: &str) -> Result<State, Failure> {
        Ok(self.queues.find(self.connection, name)?.cloned().unwrap_or_default())
    }
}

/// Returns the queues that have settings or are paused.
pub(in super::super) fn states(connection: &Connection) -> Result<Vec<QueueState>, Failure> {
    let mut statement = connection.prepare_cached(STATES)?;
    let mut rows = statement.query([MOST])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let State { settings, paused, .. } = state(row)?;
        let settings = match settings {
            Some(settings) => settings,
            None => Queue::new(text(row, 0, "name")?),
        };
        found.push(QueueState::new(settings, paused));
    }
    Ok(found)
}

/// Reads the state of a queue from [`queue_columns`] and their checksum.
fn state(row: &Row<'_>) -> Result<State, Failure> {
    checksum::verify_queue(row)?;
    Ok(State {
        settings: queue(row, 1, "settings")?,
        declared: queue(row, 2, "declared")?,
        paused: row.get(3)?,
        pace: Pace { arrival: row.get::<_, i64>(4)?.cast_unsigned() },
        virtual_time: row.get(5)?,
    })
}

fn queue(row: &Row<'_>, column: usize, name: &'static str) -> Result<Option<Queue>, Failure> {
    let json = payload(row, column, name)?;
    Ok(json.map(|json| json.decode()).transpose().map_err(|_| undecodable(name))?)
}

fn json(queue: Option<&Queue>) -> Result<Option<Payload>, Failure> {
    // The settings of a queue always have a JSON form.
    Ok(queue.map(Payload::encode).transpose().map_err(|_| undecodable("settings"))?)
}
