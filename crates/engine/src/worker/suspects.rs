use std::cmp::Reverse;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use awaitly_core::clock::{ms, secs};
use awaitly_core::store::{Held, RunId};
use tokio::time::Instant;

/// The runs whose processes died several times without progress.
///
/// One of them may be the reason, and kill this process, too. The store then counts the crash for each run that the process
/// held, so the harmless ones would fail together with it. Therefore a worker executes one suspect at a time, and lets the
/// others rest in the store. If the process dies now, the crash counts for that suspect, and for runs that are none yet.
#[derive(Default)]
pub(super) struct Suspects {
    /// The suspect that executes, and the end of its trial.
    on_trial: Option<(RunId, Instant)>,
    /// The number of suspects of the last claim that rest.
    rests: u32,
    random: RandomState,
}

/// The number of crashes that makes a run a suspect.
const SUSPICIOUS: u32 = 2;

/// The time after which an executing suspect counts as harmless, so that another one may begin.
const TRIAL: Duration = secs(10);

/// The rest of the first suspect of a claim. Each further one rests for longer, because they begin one after the other.
const REST: Duration = ms(200);
const LONGEST_REST: Duration = secs(10);

impl Suspects {
    /// Sorts claimed runs: the runs with the most crashes begin first. The others are in a random order, so that a harmless
    /// run does not always begin just before the one that kills the process.
    pub(super) fn sort(&mut self, runs: &mut [Held]) {
        self.rests = 0;
        if runs.iter().any(is_suspect) {
            let random = |run: &RunId| self.random.hash_one(run);
            runs.sort_by_cached_key(|held| (Reverse(held.run.header.crashes), random(held.lease.run())));
        }
    }

    /// Returns the time for which a claimed run has to rest, or `None` if its execution may begin.
    pub(super) fn rest(&mut self, held: &Held) -> Option<Duration> {
        if !is_suspect(held) {
            return None;
        }
        let now = Instant::now();
        if self.on_trial.as_ref().is_none_or(|(_, until)| *until <= now) {
            self.on_trial = Some((held.lease.run().clone(), now + TRIAL));
            return None;
        }
        self.rests = self.rests.saturating_add(1);
        Some(REST.saturating_mul(self.rests).min(LONGEST_REST))
    }

    /// Notes that an execution has ended.
    pub(super) fn note_end(&mut self, run: &RunId) {
        self.on_trial.take_if(|(on_trial, _)| on_trial == run);
    }
}

fn is_suspect(held: &Held) -> bool {
    held.run.header.crashes >= SUSPICIOUS
}
