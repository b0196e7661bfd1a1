//! The decisions of a breaker, as a function of recorded outcomes: no clock, no lock, no waiting.

use std::time::Duration;

use super::State;
use super::window::{Counts, Ended, Looking, Piece, Window};
use crate::time::Moment;

/// The conditions under which a breaker opens and closes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) window: Window,
    pub(super) failures: Option<u32>,
    pub(super) failure_rate: Option<Rate>,
    pub(super) slow_rate: Option<Rate>,
    pub(super) slower_than: Duration,
    pub(super) reopens_after: Duration,
    pub(super) probes: u32,
}

/// A part of the calls, which counts once there are enough calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) part: f64,
    pub(super) of_at_least: u32,
}

impl Rate {
    fn is_reached(self, part: u64, calls: u64) -> bool {
        part > 0 && calls >= u64::from(self.of_at_least) && part as f64 / calls as f64 >= self.part
    }
}

impl Rules {
    /// Returns whether the machine needs to count successful calls.
    pub(super) const fn counts_successes(&self) -> bool {
        self.failure_rate.is_some() || self.slow_rate.is_some() || matches!(self.window, Window::Calls(_))
    }

    /// Returns when to ask again while all probes are out, if the latest of them has been out for `out`: after `out`
    /// once more. The duration of a probe is unknown, so a caller that asks again and again waits twice as long each
    /// time, from a hundredth of the time for which an open breaker refuses up to all of it.
    fn until_probed(&self, out: Duration) -> Duration {
        const LEAST: Duration = Duration::from_millis(1);
        out.min(self.reopens_after).max(self.reopens_after / 100).max(LEAST)
    }

    fn trips(&self, Counts { calls, failures, slow }: Counts) -> bool {
        self.failures.is_some_and(|most| failures >= u64::from(most))
            || self.failure_rate.is_some_and(|rate| rate.is_reached(failures, calls))
            || self.slow_rate.is_some_and(|rate| rate.is_reached(slow, calls))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    /// Refuses calls until a moment; `None` means until the program closes the breaker.
    Open {
        until: Option<Moment>,
    },
    HalfOpen {
        running: u32,
        succeeded: u32,
        /// The moment at which the latest probe began.
        probed: Moment,
    },
}

/// The state of the breaker when it admitted a call. If the breaker has changed since then, the outcome of the call
/// does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Era(pub(super) u64);

/// A refusal of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct No {
    pub(super) state: State,
    pub(super) retry_after: Option<Duration>,
}

/// A change from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) from: State,
    pub(super) to: State,
}

/// A breaker without its clock and its lock.
#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    phase: Phase,
    era: u64,
    looking: Looking,
    tally: Tally,
}

/// The outcomes of all calls since the beginning, in every state.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) last_failure: Option<Moment>,
}

/// Reads the clock, if a decision needs it.
type Now<'a> = &'a dyn Fn() -> Moment;

impl Machine {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Closed,
            era: 0,
            looking: Looking::new(rules.window),
            tally: Tally::default(),
        }
    }

    pub(super) const fn era(&self) -> Era {
        Era(self.era)
    }

    pub(super) const fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Returns the moment at which an open breaker admits probes.
    pub(super) const fn reopens(&self) -> Option<Moment> {
        match self.phase {
            Phase::Open { until } => until,
            _ => None,
        }
    }

    pub(super) fn counts(&mut self, now: Moment) -> Counts {
        self.looking.counts(now)
    }

    /// Returns whether a new machine would decide alike, ignoring failures and probes of long ago.
    pub(super) fn is_idle(&mut self, now: Moment) -> bool {
        let refuses_for = self.rules.reopens_after;
        let is_over = |at: Moment| now.since(at) >= refuses_for;
        match (self.phase, self.rules.window) {
            (Phase::Closed, Window::Time(_)) => {
                let Counts { failures, slow, .. } = self.counts(now);
                failures + slow == 0
            }
            (Phase::Closed, Window::Calls(_)) => self.tally.last_failure.is_none_or(is_over),
            (Phase::Open { until }, _) => until.is_some_and(is_over),
            (Phase::HalfOpen { probed, .. }, _) => is_over(probed),
        }
    }

    /// Changes an open machine to half-open if its time has passed.
    pub(super) fn look(&mut self, now: Moment) -> Option<Changed> {
        match self.phase {
            Phase::Open { until: Some(until) } if until <= now => {
                self.go(Phase::HalfOpen { running: 0, succeeded: 0, probed: now })
            }
            _ => None,
        }
    }

    /// Admits or refuses a call. Call [`look`](Self::look) first.
    pub(super) fn enter(&mut self, now: Moment) -> Result<Era, No> {
        match &mut self.phase {
            Phase::Closed => Ok(self.era()),
            Phase::Open { until } => {
                Err(No { state: State::Open, retry_after: until.map(|until| until.since(now)) })
            }
            Phase::HalfOpen { running, succeeded, probed } => {
                if running.saturating_add(*succeeded) >= self.rules.probes {
                    let retry_after = Some(self.rules.until_probed(now.since(*probed)));
                    return Err(No { state: State::HalfOpen, retry_after });
                }
                *running += 1;
                *probed = now;
                Ok(self.era())
            }
        }
    }

    /// Records the outcome of a call that was admitted in `era`.
    pub(super) fn leave(&mut self, era: Era, ended: Ended, now: Now<'_>) -> Option<Changed> {
        self.note(ended, now);
        if era != self.era() {
            return None;
        }
        match &mut self.phase {
            Phase::Closed => self.count(ended, now),
            Phase::HalfOpen { .. } if ended.failed || (ended.slow && self.rules.slow_rate.is_some()) => {
                self.open(now())
            }
            Phase::HalfOpen { running, succeeded, .. } => {
                *running = running.saturating_sub(1);
                *succeeded += 1;
                let enough = *succeeded >= self.rules.probes;
                if enough { self.close() } else { None }
            }
            Phase::Open { .. } => None,
        }
    }

    /// Records the outcome of a call that did not pass through the breaker. A success of such a call is not a probe.
    pub(super) fn record(&mut self, ended: Ended, now: Now<'_>) -> Option<Changed> {
        self.note(ended, now);
        match self.phase {
            Phase::Closed => self.count(ended, now),
            Phase::HalfOpen { .. } if ended.failed => self.open(now()),
            Phase::HalfOpen { .. } | Phase::Open { .. } => None,
        }
    }

    fn note(&mut self, ended: Ended, now: Now<'_>) {
        if ended.failed {
            self.tally.failures += 1;
            self.tally.last_failure = Some(now());
        } else {
            self.tally.successes += 1;
        }
    }

    fn count(&mut self, ended: Ended, now: Now<'_>) -> Option<Changed> {
        let counts = self.looking.add(ended, now);
        let trips = self.rules.trips(counts);
        if trips { self.open(now()) } else { None }
    }

    /// Records that a call admitted in `era` was dropped.
    pub(super) const fn cancel(&mut self, era: Era) {
        if let Phase::HalfOpen { running, .. } = &mut self.phase
            && era.0 == self.era
        {
            *running = running.saturating_sub(1);
        }
    }

    fn open(&mut self, now: Moment) -> Option<Changed> {
        self.go(Phase::Open { until: Some(now.after(self.rules.reopens_after)) })
    }

    /// Opens until the program closes it.
    pub(super) fn open_for_good(&mut self) -> Option<Changed> {
        self.go(Phase::Open { until: None })
    }

    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Returns to the initial state.
    pub(super) fn reset(&mut self) -> Option<Changed> {
        self.tally = Tally::default();
        self.close()
    }

    /// Closes, with an empty window.
    pub(super) fn close(&mut self) -> Option<Changed> {
        self.looking.clear();
        self.go(Phase::Closed)
    }

    fn go(&mut self, phase: Phase) -> Option<Changed> {
        let from = self.state();
        self.phase = phase;
        self.era += 1;
        let to = self.state();
        (from != to).then_some(Changed { from, to })
    }

    /// Returns the contents of the window.
    pub(super) fn contents(&mut self, now: Moment) -> Vec<Piece> {
        self.looking.contents(now)
    }

    /// Takes over the state of another breaker. `reopens_in` is the time until an open breaker admits probes.
    pub(super) fn take_over(
        &mut self,
        state: State,
        reopens_in: Option<Duration>,
        contents: &[Piece],
        now: Moment,
    ) -> Option<Changed> {
        self.looking.fill(contents, now);
        // The clocks of two machines differ.
        let until = reopens_in.map(|delay| now.after(delay.min(self.rules.reopens_after)));
        self.go(match state {
            State::Closed => Phase::Closed,
            State::Open => Phase::Open { until },
            // The probes belonged to the other breaker.
            State::HalfOpen => Phase::HalfOpen { running: 0, succeeded: 0, probed: now },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::window::tests::{Naive as NaiveWindow, ended};
    use super::*;

    /// An event of a breaker.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Enter,
        /// The admitted call with this number, modulo their count, ends.
        Leave(usize, Ended),
        Cancel(usize),
        Wait(u64),
        Open,
        Close,
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => Just(Event::Enter),
            6 => (0_usize..9, ended()).prop_map(|(n, ended)| Event::Leave(n, ended)),
            1 => (0_usize..9).prop_map(Event::Cancel),
            3 => (0_u64..2000).prop_map(Event::Wait),
            1 => prop_oneof![Just(Event::Open), Just(Event::Close)],
        ]
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let window = prop_oneof![
            (1_u32..12).prop_map(Window::Calls),
            (1_u64..30).prop_map(|n| Window::Time(Duration::from_nanos(n * 60))),
        ];
        let rate = || {
            prop::option::of(
                (0.1_f64..1.0, 1_u32..6).prop_map(|(part, of_at_least)| Rate { part, of_at_least }),
            )
        };
        (window, prop::option::of(1_u32..6), rate(), rate(), 1_u64..3000, 1_u32..5).prop_map(
            |(window, failures, failure_rate, slow_rate, reopens_after, probes)| Rules {
                window,
                failures,
                failure_rate,
                slow_rate,
                slower_than: Duration::ZERO,
                reopens_after: Duration::from_nanos(reopens_after),
                probes,
            },
        )
    }

    /// A breaker that follows the words of the documentation, and computes from the whole history each time.
    struct Naive {
        rules: Rules,
        state: State,
        era: u64,
        opened: u64,
        for_good: bool,
        /// In this era: the running probes, and the successful ones.
        probes: (u32, u32),
        /// The calls that ended since the breaker was last closed.
        window: NaiveWindow,
    }

    impl Naive {
        fn to(&mut self, state: State) {
            self.state = state;
            self.era += 1;
            self.probes = (0, 0);
        }

        fn enter(&mut self, now: u64) -> bool {
            let waited = now - self.opened >= self.rules.reopens_after.as_nanos() as u64;
            if self.state == State::Open && !self.for_good && waited {
                self.to(State::HalfOpen);
            }
            match self.state {
                State::Closed => true,
                State::Open => false,
                State::HalfOpen => {
                    let admits = self.probes.0 + self.probes.1 < self.rules.probes;
                    self.probes.0 += u32::from(admits);
                    admits
                }
            }
        }

        fn leave(&mut self, era: u64, ended: Ended, now: u64) {
            if era != self.era {
                return;
            }
            let rate = |rate: Option<Rate>, part: u64, calls: u64| {
                rate.is_some_and(|rate| {
                    calls >= u64::from(rate.of_at_least)
                        && part > 0
                        && part as f64 / calls as f64 >= rate.part
                })
            };
            let trips = match self.state {
                State::Closed => {
                    self.window.calls.push((now, ended));
                    let Counts { calls, failures, slow } = self.window.counts(now);
                    self.rules.failures.is_some_and(|most| failures >= u64::from(most))
                        || rate(self.rules.failure_rate, failures, calls)
                        || rate(self.rules.slow_rate, slow, calls)
                }
                State::HalfOpen => ended.failed || (ended.slow && self.rules.slow_rate.is_some()),
                State::Open => false,
            };
            if trips {
                self.to(State::Open);
                (self.opened, self.for_good) = (now, false);
            } else if self.state == State::HalfOpen {
                self.probes = (self.probes.0 - 1, self.probes.1 + 1);
                if self.probes.1 == self.rules.probes {
                    self.to(State::Closed);
                    self.window.calls.clear();
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn breaker_matches_naive_model(rules in rules(), story in prop::collection::vec(events(), 0..120)) {
            let mut machine = Machine::new(rules);
            let (mut now, mut admitted) = (Moment::START, Vec::new());
            let mut naive = Naive {
                rules, state: State::Closed, era: 0, opened: 0, for_good: false, probes: (0, 0), window: NaiveWindow { window: rules.window, calls: vec![] },
            };
            for event in story {
                match event {
                    Event::Wait(pause) => now = Moment(now.0 + pause),
                    Event::Enter => {
                        machine.look(now);
                        let entered = machine.enter(now);
                        prop_assert_eq!(entered.is_ok(), naive.enter(now.0));
                        match entered {
                            Ok(era) => {
                                prop_assert_eq!(era, Era(naive.era));
                                admitted.push(era);
                            }
                            // A refusal states a time, unless only the program ends it.
                            Err(No { retry_after, .. }) => match retry_after {
                                Some(after) => prop_assert!(!after.is_zero()),
                                None => prop_assert!(naive.for_good),
                            },
                        }
                    }
                    Event::Leave(n, ended) if !admitted.is_empty() => {
                        let era = admitted.swap_remove(n % admitted.len());
                        machine.leave(era, ended, &|| now);
                        naive.leave(era.0, ended, now.0);
                    }
                    Event::Cancel(n) if !admitted.is_empty() => {
                        let era = admitted.swap_remove(n % admitted.len());
                        machine.cancel(era);
                        if era.0 == naive.era && naive.state == State::HalfOpen {
                            naive.probes.0 -= 1;
                        }
                    }
                    Event::Open => {
                        machine.open_for_good();
                        naive.to(State::Open);
                        naive.for_good = true;
                    }
                    Event::Close => {
                        machine.close();
                        naive.to(State::Closed);
                        naive.window.calls.clear();
                    }
                    Event::Leave(..) | Event::Cancel(_) => {}
                }
                prop_assert_eq!(machine.state(), naive.state);
                if naive.state == State::Closed {
                    prop_assert_eq!(machine.counts(now), naive.window.counts(now.0));
                }
                let probing = admitted.iter().filter(|era| era.0 == naive.era).count();
                if naive.state == State::HalfOpen {
                    prop_assert!(probing <= rules.probes as usize);
                }
            }
        }
    }
}
