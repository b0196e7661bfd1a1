//! The next action of a schedule, as a pure function.

use std::time::Duration;

use awaitly_core::journal::Timestamp;

use super::Overlap;
use super::rule::{Parsed, ScheduleError};
use super::stored::Stored;

/// The maximum number of times in one plan. If there are more, the schedule is due again at once.
const MANY: usize = 1000;

/// The time after which a worker checks again whether the last run has ended, if a run waits for that.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The next action of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The times whose runs start now.
    pub(super) start: Vec<Timestamp>,
    /// Whether the worker cancels the last run before that.
    pub(super) cancel_last: bool,
    /// The state of the schedule afterwards.
    pub(super) after: Stored,
    /// The time at which the schedule is due again.
    pub(super) due: Option<Timestamp>,
}

/// Decides the next action of a schedule at `now`. `last_runs` states whether the last run has not ended.
pub(super) fn plan(
    name: &str,
    stored: &Stored,
    now: Timestamp,
    last_runs: bool,
) -> Result<Plan, ScheduleError> {
    let parsed = stored.schedule.rule.parsed()?;
    let mut after = stored.clone();
    let times = due_times(name, &mut after, &parsed, now);
    let newest = times.last().copied();
    let (start, cancel_last) = match stored.schedule.overlap {
        Overlap::Allow => (times, false),
        Overlap::Cancel => (newest.into_iter().collect(), last_runs && newest.is_some()),
        Overlap::Skip if last_runs => (Vec::new(), false),
        Overlap::Skip => (newest.into_iter().collect(), false),
        Overlap::Buffer => (buffered(&mut after, &times, last_runs), false),
    };
    after.last = start.last().copied().or(stored.last);
    let next = after.next.map(|next| next.after(jitter(name, next, stored.schedule.jitter)));
    let look = after.buffered.map(|_| now.after(LOOK_AGAIN));
    let due = next.into_iter().chain(look).min();
    Ok(Plan { start, cancel_last, after, due })
}

/// Returns the due times of which an earlier worker may have started one, if it died before it changed the schedule.
///
/// This matters only for an overlap that starts the newest due time, because another time may be the newest by now.
/// With another overlap, the next worker starts the earlier worker's times again, which has no effect.
pub(super) fn maybe_started(name: &str, stored: &Stored, now: Timestamp) -> Vec<Timestamp> {
    match (stored.schedule.overlap, stored.schedule.rule.parsed()) {
        (Overlap::Skip | Overlap::Cancel, Ok(parsed)) => due_times(name, &mut stored.clone(), &parsed, now),
        _ => Vec::new(),
    }
}

/// Notes that a worker has started the run for `moment`.
pub(super) fn note_started(stored: &mut Stored, moment: Timestamp) {
    if let Ok(parsed) = stored.schedule.rule.parsed() {
        (stored.last, stored.next) = (Some(moment), parsed.next(moment));
    }
}

/// Returns the times that are due and not too old, and sets the next one. The age of a time counts from its start: the
/// delay of an earlier time may be longer, and then this time starts together with it.
fn due_times(name: &str, stored: &mut Stored, parsed: &Parsed, now: Timestamp) -> Vec<Timestamp> {
    let longest = stored.schedule.jitter;
    let oldest = now.before(stored.schedule.catch_up);
    let mut times = Vec::new();
    // Skips all times that are too old with any delay, in one step.
    if stored.next.is_some_and(|next| next.after(longest) < oldest) {
        let before = oldest.before(longest);
        stored.next = parsed.next(Timestamp::from_millis(before.as_millis().saturating_sub(1)));
    }
    let mut start = Timestamp::default();
    while let Some(next) = stored.next.filter(|_| times.len() < MANY) {
        start = start.max(next.after(jitter(name, next, longest)));
        if start > now {
            break;
        }
        if start >= oldest {
            times.push(next);
        }
        stored.next = parsed.next(next);
    }
    times
}

/// If the last run has ended, starts the buffered run or the first due one. Buffers the next one that is due.
fn buffered(stored: &mut Stored, times: &[Timestamp], last_runs: bool) -> Vec<Timestamp> {
    let mut waiting = stored.buffered.into_iter().chain(times.iter().copied());
    let start: Vec<_> = if last_runs { Vec::new() } else { waiting.next().into_iter().collect() };
    stored.buffered = waiting.next();
    start
}

/// Returns the delay of the run for `moment`: a hash of the name and the moment (FNV-1a, 64 bits), as a part of `most`.
fn jitter(name: &str, moment: Timestamp, most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    let bytes = name.bytes().chain(moment.as_millis().to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The low bits of the hash are weak, so the high ones come first.
    Duration::from_millis((hash.rotate_left(32) ^ hash).checked_rem(most.saturating_add(1)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use awaitly_core::clock::{hours, mins, secs};
    use awaitly_core::journal::Fingerprint;

    use super::super::Schedule;
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(minutes * 60_000)
    }

    fn stored(schedule: Schedule, next: u64) -> Stored {
        Stored {
            schedule,
            workflow: "report".into(),
            input: "null".into(),
            fingerprint: Fingerprint::of(&()).unwrap(),
            queue: "".into(),
            key: None,
            priority: 0,
            paused: false,
            next: Some(at(next)),
            last: None,
            buffered: None,
        }
    }

    fn hourly() -> Schedule {
        Schedule::every(hours(1))
    }

    #[test]
    fn each_time_starts_one_run() {
        let plan = plan("a", &stored(hourly(), 60), at(60), false).unwrap();
        assert_eq!((plan.start, plan.due), (vec![at(60)], Some(at(120))));
        assert_eq!((plan.after.next, plan.after.last), (Some(at(120)), Some(at(60))));
    }

    #[test]
    fn missed_times_start_if_they_are_young_enough() {
        let missed = stored(hourly().catch_up(hours(3)), 60);
        let plan = plan("a", &missed, at(610), false).unwrap();
        assert_eq!(plan.start, [at(480), at(540), at(600)]);
        assert_eq!(plan.due, Some(at(660)));
    }

    #[test]
    fn overlap_decides_about_a_run_that_is_due_too_early() {
        let plan = |overlap, last_runs| {
            let missed = stored(hourly().catch_up(hours(9)).overlap(overlap), 60);
            let plan = plan("a", &missed, at(185), last_runs).unwrap();
            (plan.start, plan.cancel_last, plan.after.buffered)
        };
        assert_eq!(plan(Overlap::Allow, true), (vec![at(60), at(120), at(180)], false, None));
        assert_eq!(plan(Overlap::Skip, true), (vec![], false, None));
        assert_eq!(plan(Overlap::Skip, false), (vec![at(180)], false, None));
        assert_eq!(plan(Overlap::Buffer, true), (vec![], false, Some(at(60))));
        assert_eq!(plan(Overlap::Buffer, false), (vec![at(60)], false, Some(at(120))));
        assert_eq!(plan(Overlap::Cancel, true), (vec![at(180)], true, None));
        assert_eq!(plan(Overlap::Cancel, false), (vec![at(180)], false, None));
    }

    #[test]
    fn buffered_run_starts_when_the_last_one_has_ended() {
        let first = plan("a", &stored(hourly().overlap(Overlap::Buffer), 60), at(60), true).unwrap();
        assert_eq!(first.due, Some(at(60).after(LOOK_AGAIN)));
        let second = plan("a", &first.after, at(70), false).unwrap();
        assert_eq!((second.start, second.after.buffered, second.due), (vec![at(60)], None, Some(at(120))));
    }

    #[test]
    fn jitter_is_stable_and_spreads_the_runs() {
        let delays: Vec<_> = (0..1000).map(|name| jitter(&format!("s{name}"), at(60), mins(10))).collect();
        assert!(delays.iter().all(|delay| *delay <= mins(10)));
        let early = delays.iter().filter(|delay| **delay < mins(5)).count();
        assert!((400..600).contains(&early), "{early}");
        assert_eq!(jitter("s", at(60), mins(10)), jitter("s", at(60), mins(10)));
        assert_eq!(jitter("s", at(60), Duration::ZERO), Duration::ZERO);
        let late = stored(hourly().jitter(mins(10)), 60);
        let delay = jitter("a", at(60), mins(10));
        assert!(plan("a", &late, at(60).after(delay).before(secs(1)), false).unwrap().start.is_empty());
        assert_eq!(plan("a", &late, at(60).after(delay), false).unwrap().start, [at(60)]);
    }

    #[test]
    fn jitter_longer_than_the_catch_up_loses_no_run() {
        let mut spread = stored(hourly().jitter(mins(50)).catch_up(mins(1)), 60);
        let mut started = Vec::new();
        for minute in 60..60 * 21 {
            let plan = plan("a", &spread, at(minute).after(secs(59)), false).unwrap();
            started.extend(plan.start);
            spread = plan.after;
        }
        assert_eq!(started, (1..=20).map(|hour| at(hour * 60)).collect::<Vec<_>>());
    }

    #[test]
    fn jitter_longer_than_the_period_loses_no_run() {
        let mut spread = stored(hourly().jitter(hours(5)), 60);
        let mut started = Vec::new();
        for minute in 60..60 * 110 {
            let plan = plan("a", &spread, at(minute), false).unwrap();
            started.extend(plan.start);
            spread = plan.after;
        }
        let expected: Vec<_> = (1..=100).map(|hour| at(hour * 60)).collect();
        assert_eq!(started[..100], expected);
    }

    #[test]
    fn long_outage_of_a_frequent_schedule_is_caught_up_in_parts() {
        let frequent = stored(Schedule::every(secs(1)).catch_up(hours(1)), 0);
        let first = plan("a", &frequent, at(600), false).unwrap();
        assert_eq!((first.start.len(), first.start[0]), (1000, at(540)));
        assert!(first.due < Some(at(600)), "the rest is due");
    }
}
