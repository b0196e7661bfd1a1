use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Moment, nanos};

/// What a breaker looks back at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The newest calls.
    Calls(u32),
    /// The calls that ended within so long. It moves on in sixtieths: what is older than that is not counted, and
    /// what is younger than 59 of them is.
    Time(Duration),
}

/// How one call ended, as far as a breaker is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// What is in the window.
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

/// A window with what is in it. Its cost does not depend on how much that is.
#[derive(Debug)]
pub(super) struct Looking {
    kind: Kind,
    counts: Counts,
}

#[derive(Debug)]
enum Kind {
    /// A ring, once it is full: `next` is the oldest then, which the newest takes the place of.
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

/// How many pieces a window of time moves on in.
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

    /// What is in the window at `now`.
    pub(super) fn counts(&mut self, now: Moment) -> Counts {
        if let Kind::Time { slice, slices } = &mut self.kind {
            let oldest = (now.0 / *slice).saturating_sub(SLICES - 1);
            while let Some((_, gone)) = slices.pop_front_if(|(number, _)| *number < oldest) {
                self.counts.take_away(gone);
            }
        }
        self.counts
    }

    /// Takes note of a call that has ended now, and says what is in the window then.
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

    /// Adds to the slice with that number. Two callers that read the clock one after the other may come here in
    /// the other order: what is late goes to the newest.
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

    /// What is in the window, oldest first, each with its age.
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

    /// Puts `contents` in the place of what is in the window. What is too old or too much for it is left out.
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

/// A part of what is in a window: so many calls, of about the same age.
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

    /// The same, when it has rested for so long.
    pub(super) fn older(&self, rested: Duration) -> Self {
        Self { age: self.age.saturating_add(rested), ..*self }
    }

    /// With no more failures and slow ones than calls, whatever it was read from.
    fn counts(&self) -> Counts {
        let Self { calls, failures, slow, .. } = *self;
        Counts { calls, failures: failures.min(calls), slow: slow.min(calls) }
    }

    /// One by one. Which of them failed is not known, only how many: they are spread.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All calls ever, and what of them is in the window.
    struct Naive {
        window: Window,
        calls: Vec<(u64, Ended)>,
    }

    impl Naive {
        fn counts(&self, now: u64) -> Counts {
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

    fn ended() -> impl Strategy<Value = Ended> {
        any::<(bool, bool)>().prop_map(|(failed, slow)| Ended { failed, slow })
    }

    proptest! {
        #[test]
        fn a_window_counts_what_is_inside(
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
        fn what_a_window_holds_fills_another_one_to_the_same_counts(
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
    fn a_window_is_filled_from_another_kind_and_from_nonsense() {
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
