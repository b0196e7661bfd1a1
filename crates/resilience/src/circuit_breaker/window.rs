use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Moment, nanos};

/// The calls that a breaker considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Window {
    /// The newest calls.
    Calls(u32),
    /// The calls that ended within this time. The window moves in steps of a sixtieth: it never counts calls that are
    /// older than the window, and always counts calls that are younger than 59 steps.
    Time(Duration),
}

/// The outcome of one call, as far as it concerns a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// The numbers of calls in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) slow: u64,
}

impl Counts {
    pub(super) const fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failures = self.failures.saturating_add(other.failures);
        self.slow = self.slow.saturating_add(other.slow);
    }

    const fn take_away(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failures = self.failures.saturating_sub(other.failures);
        self.slow = self.slow.saturating_sub(other.slow);
    }
}

impl From<Ended> for Counts {
    fn from(Ended { failed, slow }: Ended) -> Self {
        Self { calls: 1, failures: failed.into(), slow: slow.into() }
    }
}

/// A window with its contents. The cost of its operations does not depend on the number of calls in it.
#[derive(Debug)]
pub(super) struct Looking {
    kind: Kind,
    counts: Counts,
}

#[derive(Debug)]
enum Kind {
    /// A ring. If it is full, `next` is the oldest call, which the newest call replaces.
    Calls {
        most: usize,
        calls: Vec<Ended>,
        next: usize,
    },
    Time {
        slice: u64,
        slices: VecDeque<(u64, Counts)>,
    },
}

/// The number of slices of a window of time.
const SLICES: u64 = 60;

impl Looking {
    pub(super) fn new(window: Window) -> Self {
        let kind = match window {
            Window::Calls(most) => Kind::Calls { most: most as usize, calls: Vec::new(), next: 0 },
            Window::Time(length) => {
                Kind::Time { slice: (nanos(length) / SLICES).max(1), slices: VecDeque::new() }
            }
        };
        Self { kind, counts: Counts::default() }
    }

    /// Returns the numbers of calls in the window at `now`.
    pub(super) fn counts(&mut self, now: Moment) -> Counts {
        if let Kind::Time { slice, slices } = &mut self.kind {
            let oldest = (now.0 / *slice).saturating_sub(SLICES - 1);
            while let Some((_, gone)) = slices.pop_front_if(|(number, _)| *number < oldest) {
                self.counts.take_away(gone);
            }
        }
        self.counts
    }

    /// Adds a call that has ended now, and returns the resulting numbers.
    pub(super) fn add(&mut self, ended: Ended, now: &dyn Fn() -> Moment) -> Counts {
        match &mut self.kind {
            Kind::Calls { most, calls, next } => {
                if calls.len() < *most {
                    calls.push(ended);
                } else if let Some(oldest) = calls.get_mut(*next) {
                    let gone = std::mem::replace(oldest, ended);
                    *next = if *next + 1 < *most { *next + 1 } else { 0 };
                    self.counts.take_away(gone.into());
                }
                self.counts.add(ended.into());
            }
            Kind::Time { slice, .. } => {
                let (now, slice) = (now(), *slice);
                self.counts(now);
                self.add_to_slice(now.0 / slice, ended.into());
            }
        }
        self.counts
    }

    /// Adds to the slice with this number. Two callers may arrive here in a different order than they read the clock
    /// in: a late one is added to the newest slice.
    fn add_to_slice(&mut self, number: u64, more: Counts) {
        let Kind::Time { slices, .. } = &mut self.kind else { return };
        match slices.back_mut() {
            Some((newest, counts)) if *newest >= number => counts.add(more),
            _ => slices.push_back((number, more)),
        }
        self.counts.add(more);
    }

    pub(super) fn clear(&mut self) {
        match &mut self.kind {
            Kind::Calls { calls, next, .. } => {
                calls.clear();
                *next = 0;
            }
            Kind::Time { slices, .. } => slices.clear(),
        }
        self.counts = Counts::default();
    }

    /// Returns the contents of the window, oldest first, each piece with its age.
    pub(super) fn contents(&mut self, now: Moment) -> Vec<Piece> {
        self.counts(now);
        match &self.kind {
            Kind::Calls { calls, next, .. } => {
                let (newer, older) = calls.split_at(*next);
                let in_order = older.iter().chain(newer);
                in_order.map(|ended| Piece::new(Duration::ZERO, (*ended).into())).collect()
            }
            Kind::Time { slice, slices } => {
                let age = |number: u64| now.since(Moment(number.saturating_mul(*slice)));
                slices.iter().map(|(number, counts)| Piece::new(age(*number), *counts)).collect()
            }
        }
    }

    /// Replaces the contents of the window. Pieces that are too old, or exceed the window, are left out.
    pub(super) fn fill(&mut self, contents: &[Piece], now: Moment) {
        self.clear();
        match &self.kind {
            Kind::Calls { most, .. } => {
                let newest: Vec<_> = contents.iter().rev().flat_map(Piece::calls).take(*most).collect();
                newest.into_iter().rev().for_each(|ended| {
                    self.add(ended, &|| now);
                });
            }
            Kind::Time { slice, .. } => {
                let slice = *slice;
                for piece in contents {
                    let at = now.0.saturating_sub(nanos(piece.age));
                    if nanos(piece.age) < slice.saturating_mul(SLICES) {
                        self.add_to_slice(at / slice, piece.counts());
                    }
                }
                self.counts(now);
            }
        }
    }
}

/// A piece of a window's contents: calls of about one age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    age: Duration,
    calls: u64,
    failures: u64,
    slow: u64,
}

impl Piece {
    const fn new(age: Duration, Counts { calls, failures, slow }: Counts) -> Self {
        Self { age, calls, failures, slow }
    }

    /// Returns the piece with its age increased by `rested`.
    pub(super) fn older(&self, rested: Duration) -> Self {
        Self { age: self.age.saturating_add(rested), ..*self }
    }

    /// Returns the numbers of calls, with no more failures and slow calls than calls, even if the source says
    /// otherwise.
    fn counts(&self) -> Counts {
        let Self { calls, failures, slow, .. } = *self;
        Counts { calls, failures: failures.min(calls), slow: slow.min(calls) }
    }

    /// Returns the calls one by one. Only the number of failed calls is known, so the failures are spread evenly.
    fn calls(&self) -> impl Iterator<Item = Ended> {
        let Counts { calls, failures, slow } = self.counts();
        let is_one = move |n: u64, of: u64| {
            let until = |n: u64| u128::from(n) * u128::from(of) / u128::from(calls);
            until(n) < until(n + 1)
        };
        (0..calls).map(move |n| Ended { failed: is_one(n, failures), slow: is_one(n, slow) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A window that keeps all calls, and selects its contents from them each time.
    pub(in super::super) struct Naive {
        pub(in super::super) window: Window,
        pub(in super::super) calls: Vec<(u64, Ended)>,
    }

    impl Naive {
        pub(in super::super) fn counts(&self, now: u64) -> Counts {
            let inside: Vec<_> = match self.window {
                Window::Calls(most) => self.calls.iter().rev().take(most as usize).collect(),
                Window::Time(length) => {
                    let slice = nanos(length) / SLICES;
                    self.calls.iter().filter(|(at, _)| now / slice - at / slice < SLICES).collect()
                }
            };
            let mut counts = Counts::default();
            inside.into_iter().for_each(|(_, ended)| counts.add((*ended).into()));
            counts
        }
    }

    fn windows() -> impl Strategy<Value = Window> {
        prop_oneof![
            (1_u32..20).prop_map(Window::Calls),
            (1_u64..50).prop_map(|n| Window::Time(Duration::from_nanos(n * SLICES))),
        ]
    }

    pub(in super::super) fn ended() -> impl Strategy<Value = Ended> {
        any::<(bool, bool)>().prop_map(|(failed, slow)| Ended { failed, slow })
    }

    proptest! {
        #[test]
        fn window_counts_match_naive_model(
            window in windows(),
            calls in prop::collection::vec((0_u64..400, ended()), 0..200),
        ) {
            let (mut looking, mut naive, mut now) = (Looking::new(window), Naive { window, calls: vec![] }, 7);
            for (pause, ended) in calls {
                now += pause;
                prop_assert_eq!(looking.counts(Moment(now)), naive.counts(now));
                looking.add(ended, &|| Moment(now));
                naive.calls.push((now, ended));
                prop_assert_eq!(looking.counts(Moment(now)), naive.counts(now));
            }
        }

        #[test]
        fn exported_window_fills_another_to_equal_counts(
            window in windows(),
            calls in prop::collection::vec((0_u64..400, ended()), 0..100),
        ) {
            let (mut looking, mut now) = (Looking::new(window), Moment::START.0);
            for (pause, ended) in calls {
                now += pause;
                looking.add(ended, &|| Moment(now));
            }
            let contents = looking.contents(Moment(now));
            let mut other = Looking::new(window);
            other.fill(&contents, Moment(now));
            prop_assert_eq!(other.counts(Moment(now)), looking.counts(Moment(now)));
        }
    }

    #[test]
    fn window_is_filled_from_another_kind_and_from_nonsense() {
        let now = Moment::START.after(Duration::from_secs(100));
        let pieces = [
            Piece { age: Duration::MAX, calls: u64::MAX, failures: u64::MAX, slow: 0 },
            Piece { age: Duration::from_secs(1), calls: 3, failures: 9, slow: 1 },
        ];
        let mut time = Looking::new(Window::Time(Duration::from_secs(60)));
        time.fill(&pieces, now);
        assert_eq!(time.counts(now), Counts { calls: 3, failures: 3, slow: 1 });
        let mut calls = Looking::new(Window::Calls(5));
        calls.fill(&pieces, now);
        assert_eq!(calls.counts(now).calls, 5);
    }
}
