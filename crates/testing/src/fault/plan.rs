use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use awaitly_core::journal::Key;
use awaitly_core::store::around::{Call, Calls};
use awaitly_core::store::{Lease, RunId};

use super::assert_chance;
use crate::seed::dice;

/// A failure of a store call.
///
/// Most faults also occur with correct stores, and a workflow has to cope with them. [`DropRecord`](Self::DropRecord)
/// and [`IgnoreFencing`](Self::IgnoreFencing) do not: they simulate a store that breaks its promises, which proves
/// that a test can detect such a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The store does not carry out the call and returns
    /// [`StoreError::Unavailable`](awaitly_core::store::StoreError::Unavailable).
    Refuse,
    /// The store writes no data and returns [`StoreError::Full`](awaitly_core::store::StoreError::Full).
    Full,
    /// The store writes no data and returns [`StoreError::ReadOnly`](awaitly_core::store::StoreError::ReadOnly).
    ReadOnly,
    /// The store carries out the call after this delay.
    Delay(Duration),
    /// The store carries out the call immediately and answers after this delay.
    DelayAnswer(Duration),
    /// The store carries out the call, but returns
    /// [`StoreError::Unavailable`](awaitly_core::store::StoreError::Unavailable) instead of the answer.
    LoseAnswer,
    /// The store writes no data and returns [`StoreError::LeaseLost`](awaitly_core::store::StoreError::LeaseLost).
    /// The lease stays outdated from then on, as if another owner had taken a lease of the run and released that
    /// lease.
    StaleLease,
    /// A broken store: it acknowledges a record, but keeps neither the record nor the data committed with it.
    DropRecord,
    /// A broken store: while an owner holds the run's current lease, the store also accepts calls with an outdated
    /// lease, as if they carried the current lease. Calls with the current lease are not affected.
    IgnoreFencing,
}

impl Fault {
    /// Returns the calls to which the fault can apply.
    fn applies_to(self) -> Calls {
        match self {
            Self::Refuse => Calls::ALL,
            Self::Full | Self::ReadOnly => Calls::all_but(&Calls::READS),
            // `release` has no answer, and no caller waits for it.
            Self::Delay(_) | Self::DelayAnswer(_) | Self::LoseAnswer => Calls::all_but(&Call::Release.into()),
            Self::StaleLease => Calls::FENCED,
            Self::DropRecord => Calls::RECORDS,
            Self::IgnoreFencing => Calls::FENCED | Call::Release,
        }
    }
}

/// A fault that was applied to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// The call.
    pub call: Call,
    /// The run of the call. `None` if the call does not concern one run.
    pub run: Option<RunId>,
    /// The key of the call. `None` if the call does not concern one key.
    pub key: Option<Key>,
    /// The fault.
    pub fault: Fault,
}

/// The occasions on which a fault applies to matching calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    /// From the first to the last of these numbers, counted from 1.
    Numbers(u64, u64),
    Chance(f64),
}

struct Rule {
    calls: Calls,
    when: When,
    fault: Fault,
    /// The number of matching calls so far.
    asked: u64,
    /// The number of calls to which the fault was applied.
    applied: u64,
}

/// The properties of a call that a plan considers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a> {
    pub(super) call: Call,
    pub(super) run: Option<&'a RunId>,
    pub(super) key: Option<&'a Key>,
    pub(super) lease: Option<&'a Lease>,
}

impl<'a> Called<'a> {
    /// Draws a number from 0 to 1 for occurrence `number` of this call under the rule at index `rule`.
    fn draw(self, seed: u64, rule: usize, number: u32) -> f64 {
        let run = self.run.map_or("", |run| &**run);
        let key = self.key.map_or("", |key| &**key);
        // If a run id or a key contains a line break, two calls may draw one number, which does no harm.
        dice(seed, &format!("{rule}\n{}\n{run}\n{key}", self.call), number).f64()
    }
}

/// The rules of a faulty store, and the faults applied so far.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) seed: u64,
    rules: Vec<Rule>,
    /// The rules that are no longer in force.
    healed: Vec<Rule>,
    /// The number of calls per kind, run and key.
    made: BTreeMap<(Call, Option<RunId>, Option<Key>), u32>,
    newest: HashMap<RunId, Lease>,
    pub(super) injected: Vec<Injected>,
}

impl Plan {
    #[track_caller]
    pub(super) fn add(&mut self, calls: Calls, when: When, fault: Fault) {
        assert!(
            calls.overlap(&fault.applies_to()),
            "`{fault:?}` applies to none of these calls, so the test has no effect: see `Fault` for the calls it can affect"
        );
        if let When::Chance(chance) = when {
            assert_chance(chance);
        }
        self.rules.push(Rule { calls, when, fault, asked: 0, applied: 0 });
    }

    pub(super) fn heal(&mut self) {
        self.healed.append(&mut self.rules);
    }

    /// Returns the rules that were never applied, healed or not.
    pub(super) fn unused(&self) -> Vec<String> {
        let all = self.healed.iter().chain(&self.rules);
        all.filter(|rule| !rule.is_used()).map(Rule::to_string).collect()
    }

    /// Records the current lease of a run.
    pub(super) fn taken(&mut self, lease: &Lease) {
        self.newest.insert(lease.run().clone(), lease.clone());
    }

    pub(super) fn newest(&self, lease: &Lease) -> Lease {
        self.newest.get(lease.run()).unwrap_or(lease).clone()
    }

    /// Chooses the fault for a call. The newest matching rule wins.
    pub(super) fn decide(&mut self, called: Called<'_>) -> Option<Fault> {
        let Called { call, run, key, lease } = called;
        let made = self.made.entry((call, run.cloned(), key.cloned())).or_default();
        *made += 1;
        let old =
            lease.is_some_and(|lease| self.newest.get(lease.run()).is_some_and(|newest| newest != lease));
        let circumstances = Circumstances { seed: self.seed, number: *made, old };
        let mut rules = self.rules.iter_mut().enumerate().rev();
        let fault = rules.find_map(|(place, rule)| rule.decide(place, called, circumstances))?;
        self.injected.push(Injected { call, run: run.cloned(), key: key.cloned(), fault });
        Some(fault)
    }
}

#[derive(Debug, Clone, Copy)]
struct Circumstances {
    seed: u64,
    /// The number of this call among those of its kind, run and key.
    number: u32,
    /// Whether the call carries an outdated lease.
    old: bool,
}

impl Rule {
    fn decide(&mut self, place: usize, called: Called<'_>, now: Circumstances) -> Option<Fault> {
        if !self.is_meant_for(called) || (self.fault == Fault::IgnoreFencing && !now.old) {
            return None;
        }
        self.asked += 1;
        let applies = match self.when {
            When::Always => true,
            When::Numbers(first, last) => (first..=last).contains(&self.asked),
            When::Chance(chance) => called.draw(now.seed, place, now.number) < chance,
        };
        self.applied += u64::from(applies);
        applies.then_some(self.fault)
    }

    /// Returns whether the rule took effect. A random rule counts as used once it was drawn for a call.
    const fn is_used(&self) -> bool {
        match self.when {
            When::Always | When::Numbers(..) => self.applied > 0,
            When::Chance(_) => self.asked > 0,
        }
    }

    fn is_meant_for(&self, Called { call, run, key, .. }: Called<'_>) -> bool {
        self.calls.include(call, run, key) && self.fault.applies_to().include(call, run, key)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, when, fault, asked, .. } = self;
        write!(f, "`{fault:?}`, {when}, for {calls}: ")?;
        match asked {
            0 => f.write_str("no such call was made"),
            1 => f.write_str("only one such call was made"),
            asked => write!(f, "only {asked} such calls were made"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Always => f.write_str("always"),
            Self::Numbers(1, 1) => f.write_str("once"),
            Self::Numbers(1, last) => write!(f, "{last} times"),
            Self::Numbers(number, _) => write!(f, "at number {number}"),
            Self::Chance(chance) => write!(f, "with a chance of {chance}"),
        }
    }
}
