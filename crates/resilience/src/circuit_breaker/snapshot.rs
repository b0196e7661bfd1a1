use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::State;
use super::window::Piece;

/// The state and the window of a breaker, for a breaker after a restart or in another process. Created by
/// [`CircuitBreaker::export`](super::CircuitBreaker::export).
///
/// A snapshot can be stored with serde. Its times are times of day, so they stay valid while the snapshot is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// The time at which an open breaker admits probes. `None` if it stays open until the program closes it.
    pub probes_at: Option<SystemTime>,
    pub(super) taken_at: SystemTime,
    pub(super) calls: Vec<Piece>,
}

impl Snapshot {
    /// Returns the contents of the window, with their ages at `now`.
    pub(super) fn calls_at(&self, now: SystemTime) -> Vec<Piece> {
        let rested = now.duration_since(self.taken_at).unwrap_or_default();
        self.calls.iter().map(|piece| piece.older(rested)).collect()
    }

    /// Returns the time from `now` until the breaker admits probes.
    pub(super) fn probes_in(&self, now: SystemTime) -> Option<Duration> {
        self.probes_at.map(|at| at.duration_since(now).unwrap_or_default())
    }
}
