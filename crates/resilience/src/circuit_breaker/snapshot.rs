use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::State;
use super::window::Piece;

/// What a breaker is like, to be given to another one: after a restart, or in another process.
///
/// It is a serde value. What it says of time is said in time of day, so that it is right however long it rests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// When an open breaker lets probes through. `None`: when somebody closes it.
    pub probes_at: Option<SystemTime>,
    pub(super) taken_at: SystemTime,
    pub(super) calls: Vec<Piece>,
}

impl Snapshot {
    /// What is in the window, as old as it is at `now`.
    pub(super) fn calls_at(&self, now: SystemTime) -> Vec<Piece> {
        let rested = now.duration_since(self.taken_at).unwrap_or_default();
        self.calls.iter().map(|piece| piece.older(rested)).collect()
    }

    /// How long until probes, at `now`.
    pub(super) fn probes_in(&self, now: SystemTime) -> Option<Duration> {
        self.probes_at.map(|at| at.duration_since(now).unwrap_or_default())
    }
}
