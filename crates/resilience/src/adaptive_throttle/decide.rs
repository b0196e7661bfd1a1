//! The limit of calls at once, derived from the outcomes of calls: no clock, no lock, no waiting.
//!
//! A throttle cannot ask a service for its capacity. It learns only from the outcomes of calls, and each outcome judges
//! a limit that was set a call earlier. Four rules follow from that:
//!
//! - **Grow slowly where the limit was last too high.** Additive increase, multiplicative decrease. Between two
//!   overloads, the limit grows as in CUBIC (RFC 9438): fast if it is far below the last overload, slowly around the
//!   limit of that overload, and faster again beyond it. So the throttle notices soon if a service has grown, and
//!   seldom asks a service for more than it can do if it has not.
//! - **Shrink once for each overload.** An overload hits many of the running calls at once, and each of them reports
//!   it. So each call remembers its round. The first overload of a round shrinks the limit and begins the next round;
//!   the reports that follow from the old round do not shrink it again.
//! - **Correct the limit by the old round.** A tenth less is right if the limit was slightly too high. If the service
//!   lost half of its capacity, a tenth in each round would mean many rounds of refused calls. But the calls of the old
//!   round ran under the limit that was too high, so the part of them that the service accepted shows the capacity.
//!   Once all of them have ended, the limit falls to that part.
//! - **Count only time of use.** A caller that uses less than half of the limit learns nothing about a higher one. If
//!   quiet times and pauses counted, the first burst after them would meet a limit that nothing had tested.

use std::time::Duration;

use crate::time::Moment;

/// The bounds of the limit, and how it shrinks and recovers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) min: u32,
    pub(super) max: u32,
    /// The largest part of the limit that remains after an overload.
    pub(super) backoff: f64,
    /// The time in which the limit returns to its value before the overload.
    pub(super) recovery: Duration,
}

/// The outcome of a call, as far as it concerns the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    /// The service accepted the call.
    Accepted,
    /// The service was overloaded.
    Overloaded,
}

/// The limit, and the observations that determine it.
#[derive(Debug)]
pub(super) struct Aimd {
    rules: Rules,
    limit: f64,
    /// The last overload. `None` if there was none yet: the limit then doubles in each round.
    last: Option<Overload>,
    /// The moment up to which the use of the limit is known.
    known: Moment,
    /// Whether the service has accepted a call since the last overload.
    accepted_since: bool,
    round: Round,
}

#[derive(Debug, Clone, Copy)]
struct Overload {
    /// The time for which calls used the limit since the overload, without pauses and quiet times.
    used: Duration,
    /// The limit before the overload.
    highest: f64,
    /// The limit after the overload.
    lowest: f64,
}

/// The calls that ran when an overload last changed the limit, and their outcomes.
#[derive(Debug, Clone, Copy)]
struct Round {
    number: u64,
    ran: usize,
    accepted: usize,
    overloaded: usize,
}

/// The round and the moment in which a call began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    round: u64,
    pub(super) at: Moment,
}

impl Aimd {
    pub(super) fn new(rules: Rules, start: u32) -> Self {
        let limit = f64::from(start.clamp(rules.min, rules.max));
        let round = Round { number: 0, ran: 0, accepted: 0, overloaded: 0 };
        Self { rules, limit, last: None, known: Moment::START, accepted_since: false, round }
    }

    /// Returns the number of calls that may run.
    pub(super) fn limit(&self) -> usize {
        // The limit is within the bounds, which are whole numbers of at least 1.
        self.limit as usize
    }

    pub(super) const fn begin(&self, now: Moment) -> Began {
        Began { round: self.round.number, at: now }
    }

    /// Records the outcome of a call that began in `began` and ended at `now`, while `running` calls ran, including
    /// itself.
    pub(super) fn end(&mut self, began: Began, sample: Sample, running: usize, now: Moment) {
        let is_new = began.round == self.round.number;
        match sample {
            Sample::Overloaded if is_new => self.shrink(running),
            // A caller that uses less than the limit learns nothing about a higher one.
            Sample::Accepted if is_new && running * 2 > self.limit() => {
                self.accepted_since = true;
                self.grow(now.since(self.known.max(began.at)));
            }
            Sample::Accepted if is_new => self.accepted_since = true,
            // The call ran under the limit that was too high, so its outcome shows by how much.
            _ if began.round + 1 == self.round.number => self.settle(sample),
            _ => {}
        }
        self.known = self.known.max(now);
    }

    fn shrink(&mut self, running: usize) {
        /// The part that remains if the service has accepted no call since the previous overload.
        const STILL_OVERLOADED: f64 = 0.5;
        let highest = self.limit;
        let first = self.last.is_none() || self.accepted_since;
        let left = if first { self.rules.backoff } else { self.rules.backoff.min(STILL_OVERLOADED) };
        self.limit = (highest * left).max(f64::from(self.rules.min));
        self.last = Some(Overload { used: Duration::ZERO, highest, lowest: self.limit });
        self.round = Round { number: self.round.number + 1, ran: running, accepted: 0, overloaded: 1 };
        self.accepted_since = false;
    }

    /// Corrects the limit once the calls that ran at the overload have ended: the part of them that the service
    /// accepted shows how far the limit was off. If the limit has already grown beyond the limit of the overload, it
    /// needs no correction.
    fn settle(&mut self, sample: Sample) {
        match sample {
            Sample::Accepted => {
                self.round.accepted += 1;
                self.accepted_since = true;
            }
            Sample::Overloaded => self.round.overloaded += 1,
        }
        let Round { ran, accepted, overloaded, .. } = self.round;
        let Some(last) = &mut self.last else { return };
        if accepted + overloaded != ran || self.limit > last.highest {
            return;
        }
        let part = accepted as f64 / ran as f64;
        let held = (last.highest * part).max(f64::from(self.rules.min));
        if held < self.limit {
            (last.highest, last.lowest) = (held, held);
            self.limit = held;
        }
    }

    /// Lets the limit grow after `used` more time of use. One accepted call raises it by at most one.
    fn grow(&mut self, used: Duration) {
        let recovery = self.rules.recovery;
        let limit = match &mut self.last {
            // This doubles the limit in each round of calls.
            None => self.limit + 1.0,
            Some(last) => {
                last.used = last.used.saturating_add(used);
                cubic(*last, recovery).clamp(self.limit, self.limit + 1.0)
            }
        };
        self.limit = limit.min(f64::from(self.rules.max));
    }
}

/// Returns the limit on the curve that starts at the reduced limit, is flat at the limit of the overload, and rises
/// again beyond it.
///
/// The height of the curve is the drop at the overload, so the limit is back at its old value after `recovery`,
/// whatever the drop was. A limit that cannot drop, because it is small or at its minimum, would never grow: its curve
/// is as high as a drop of 2 %, and at least a fifth of a call.
fn cubic(Overload { used, highest, lowest }: Overload, recovery: Duration) -> f64 {
    let drop = (highest - lowest).max(highest * 0.02).max(0.2);
    let part = used.as_secs_f64() / recovery.as_secs_f64().max(f64::MIN_POSITIVE) - 1.0;
    drop.mul_add(part.powi(3), highest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules { min: 1, max: 200, backoff: 0.9, recovery: Duration::from_secs(4) };

    proptest! {
        #[test]
        fn limit_stays_in_bounds_and_rises_by_one(
            story in prop::collection::vec((any::<bool>(), 0_u64..50_000_000, 0_usize..300, any::<bool>()), 0..500),
        ) {
            let (mut aimd, mut now) = (Aimd::new(RULES, 10), Moment::START);
            let old = aimd.begin(now);
            for (overloaded, pause, running, late) in story {
                now = Moment(now.0 + pause);
                let sample = if overloaded { Sample::Overloaded } else { Sample::Accepted };
                let before = aimd.limit();
                aimd.end(if late { old } else { aimd.begin(now) }, sample, running, now);
                prop_assert!((1..=200).contains(&aimd.limit()));
                let most = if overloaded { before } else { before + 1 };
                prop_assert!(aimd.limit() <= most);
            }
        }
    }

    #[test]
    fn limit_doubles_until_overload_and_recovers_to_it() {
        let mut aimd = Aimd::new(RULES, 4);
        let now = Moment::START;
        for _ in 0..4 {
            aimd.end(aimd.begin(now), Sample::Accepted, aimd.limit(), now);
        }
        assert_eq!(aimd.limit(), 8);
        let began = aimd.begin(now);
        aimd.end(began, Sample::Overloaded, 8, now);
        assert_eq!(aimd.limit(), 7, "nine tenths");
        aimd.end(began, Sample::Overloaded, 7, now);
        assert_eq!(aimd.limit(), 7, "one overload counts once, however many calls meet it");
        let (began, later) = (aimd.begin(now), now.after(RULES.recovery));
        aimd.end(began, Sample::Accepted, 7, later);
        assert_eq!(aimd.limit(), 8, "back where the overload was");
    }

    #[test]
    fn many_overloads_shrink_limit_to_accepted_calls() {
        let mut aimd = Aimd::new(RULES, 100);
        let (began, now) = (aimd.begin(Moment::START), Moment::START);
        for _ in 0..90 {
            aimd.end(began, Sample::Overloaded, 100, now);
        }
        for _ in 0..10 {
            aimd.end(began, Sample::Accepted, 10, now);
        }
        assert_eq!(aimd.limit(), 10);
    }

    #[test]
    fn consecutive_overloads_halve_limit() {
        let (mut aimd, now) = (Aimd::new(RULES, 100), Moment::START);
        for expected in [90, 45, 22] {
            aimd.end(aimd.begin(now), Sample::Overloaded, 1000, now);
            assert_eq!(aimd.limit(), expected);
        }
        aimd.end(aimd.begin(now), Sample::Accepted, 1, now);
        aimd.end(aimd.begin(now), Sample::Overloaded, 1000, now);
        assert_eq!(aimd.limit(), 20, "it accepts some: nine tenths again");
    }

    #[test]
    fn late_overload_does_not_lower_regrown_limit() {
        let mut aimd = Aimd::new(RULES, 100);
        let (old, mut now) = (aimd.begin(Moment::START), Moment::START);
        aimd.end(old, Sample::Overloaded, 100, now);
        for _ in 0..98 {
            aimd.end(old, Sample::Accepted, 100, now);
        }
        for _ in 0..2000 {
            let began = aimd.begin(now);
            now = now.after(Duration::from_millis(5));
            aimd.end(began, Sample::Accepted, 200, now);
        }
        let grown = aimd.limit();
        assert!(grown > 110, "{grown}");
        aimd.end(old, Sample::Overloaded, 100, now);
        assert_eq!(aimd.limit(), grown);
    }

    #[test]
    fn pause_or_quiet_time_does_not_raise_limit() {
        let mut aimd = Aimd::new(RULES, 100);
        let mut now = Moment::START;
        aimd.end(aimd.begin(now), Sample::Overloaded, 100, now);
        assert_eq!(aimd.limit(), 90);
        now = now.after(Duration::from_secs(60));
        let began = aimd.begin(now);
        now = now.after(Duration::from_millis(100));
        aimd.end(began, Sample::Accepted, 90, now);
        assert_eq!(aimd.limit(), 90, "it paused");
        for _ in 0..600 {
            let began = aimd.begin(now);
            now = now.after(Duration::from_secs(1));
            aimd.end(began, Sample::Accepted, 1, now);
        }
        let began = aimd.begin(now);
        aimd.end(began, Sample::Accepted, 90, now.after(Duration::from_millis(100)));
        assert!(aimd.limit() <= 91, "it was quiet");
    }

    #[test]
    fn few_running_calls_leave_limit_unchanged() {
        let mut aimd = Aimd::new(RULES, 10);
        for _ in 0..1000 {
            aimd.end(aimd.begin(Moment::START), Sample::Accepted, 3, Moment::START);
        }
        assert_eq!(aimd.limit(), 10);
    }
}
