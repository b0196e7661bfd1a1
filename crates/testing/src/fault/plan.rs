use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use awaitly_core::journal::Key;
use awaitly_core::store::around::{Call, Calls};
use awaitly_core::store::{Lease, RunId};

use super::draw::{assert_chance, draw};

/// What befalls a call of a store.
///
/// Most of them befall good stores too, and a workflow has to bear them. [`DropRecord`](Self::DropRecord) and
/// [`IgnoreFencing`](Self::IgnoreFencing) do not: they make a store that breaks its promises, so that a test which
/// is to find such a store can be seen to find one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is done; the answer is [`StoreError::Unavailable`](awaitly_core::store::StoreError::Unavailable).
    Refuse,
    /// Nothing is written; the answer is [`StoreError::Full`](awaitly_core::store::StoreError::Full).
    Full,
    /// Nothing is written; the answer is [`StoreError::ReadOnly`](awaitly_core::store::StoreError::ReadOnly).
    ReadOnly,
    /// The call is carried out this much later.
    Delay(Duration),
    /// The call is carried out at once, and answered this much later.
    DelayAnswer(Duration),
    /// The call is carried out; the answer is
    /// [`StoreError::Unavailable`](awaitly_core::store::StoreError::Unavailable), whatever it would have been.
    LoseAnswer,
    /// Nothing is written, and the lease is an old one from now on, as if another owner had taken the run over and
    /// given it back by now; the answer is [`StoreError::LeaseLost`](awaitly_core::store::StoreError::LeaseLost).
    StaleLease,
    /// A broken store: it acknowledges a record, and keeps neither it nor what was to be committed with it.
    DropRecord,
    /// A broken store: it takes what comes with an old lease as if it came with the newest, as long as somebody
    /// holds that. A call whose lease is the newest is left alone.
    IgnoreFencing,
}

impl Fault {
    /// Which calls it can befall.
    fn befalls(self) -> Calls {
        match self {
            Self::Refuse => Calls::ALL,
            Self::Full | Self::ReadOnly => Calls::all_but(&Calls::READS),
            // There is no answer to giving a lease back, and nobody waits for it.
            Self::Delay(_) | Self::DelayAnswer(_) | Self::LoseAnswer => Calls::all_but(&Call::Release.into()),
            Self::StaleLease => Calls::FENCED,
            Self::DropRecord => Calls::RECORDS,
            Self::IgnoreFencing => Calls::FENCED | Call::Release,
        }
    }
}

/// A fault that befell a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// The call.
    pub call: Call,
    /// The run that it was about. `None`: about no single run.
    pub run: Option<RunId>,
    /// The key that it was about. `None`: about no single key.
    pub key: Option<Key>,
    /// What befell it.
    pub fault: Fault,
}

/// When a fault befalls the calls that it is meant for.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    /// From the first to the last of these; 1 is the first call.
    Numbers(u64, u64),
    Chance(f64),
}

struct Rule {
    calls: Calls,
    when: When,
    fault: Fault,
    /// How many calls it was meant for and asked about.
    asked: u64,
    /// How many of them the fault befell.
    befell: u64,
}

/// A call, as a plan sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a> {
    pub(super) call: Call,
    pub(super) run: Option<&'a RunId>,
    pub(super) key: Option<&'a Key>,
    pub(super) lease: Option<&'a Lease>,
}

impl<'a> Called<'a> {
    /// A number from 0 to 1, for the rule at that place and the `number`th call like this one.
    fn draw(self, seed: u64, rule: usize, number: u64) -> f64 {
        let (rule, call) = (rule.to_string(), self.call.to_string());
        let run = self.run.map_or("", |run| &**run);
        let key = self.key.map_or("", |key| &**key);
        draw(seed, &[&rule, &call, run, key], number).f64()
    }
}

/// What a store is told to do wrong, and what it did.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) seed: u64,
    rules: Vec<Rule>,
    /// What is not in force any more.
    healed: Vec<Rule>,
    /// How often each call was made, for each run and key.
    made: BTreeMap<(Call, Option<RunId>, Option<Key>), u64>,
    newest: HashMap<RunId, Lease>,
    pub(super) injected: Vec<Injected>,
}

impl Plan {
    #[track_caller]
    pub(super) fn add(&mut self, calls: Calls, when: When, fault: Fault) {
        assert!(
            calls.overlap(&fault.befalls()),
            "`{fault:?}` befalls none of these calls, so this test would test nothing: see `Fault`"
        );
        if let When::Chance(chance) = when {
            assert_chance(chance);
        }
        self.rules.push(Rule { calls, when, fault, asked: 0, befell: 0 });
    }

    pub(super) fn heal(&mut self) {
        self.healed.append(&mut self.rules);
    }

    /// What never came to pass, healed or not.
    pub(super) fn unused(&self) -> Vec<String> {
        let all = self.healed.iter().chain(&self.rules);
        all.filter(|rule| !rule.is_used()).map(Rule::to_string).collect()
    }

    /// The lease with which a run may be written now.
    pub(super) fn taken(&mut self, lease: &Lease) {
        self.newest.insert(lease.run().clone(), lease.clone());
    }

    pub(super) fn newest(&self, lease: &Lease) -> Lease {
        self.newest.get(lease.run()).unwrap_or(lease).clone()
    }

    /// What befalls a call. What was said last is asked first.
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
    /// Of the call, among those of its kind, run and key.
    number: u64,
    /// Whether it comes with an old lease.
    old: bool,
}

impl Rule {
    fn decide(&mut self, place: usize, called: Called<'_>, now: Circumstances) -> Option<Fault> {
        if !self.is_meant_for(called) || (self.fault == Fault::IgnoreFencing && !now.old) {
            return None;
        }
        self.asked += 1;
        let befalls = match self.when {
            When::Always => true,
            When::Numbers(first, last) => (first..=last).contains(&self.asked),
            When::Chance(chance) => called.draw(now.seed, place, now.number) < chance,
        };
        self.befell += u64::from(befalls);
        befalls.then_some(self.fault)
    }

    /// What is left to chance is used where chance was asked.
    const fn is_used(&self) -> bool {
        match self.when {
            When::Always | When::Numbers(..) => self.befell > 0,
            When::Chance(_) => self.asked > 0,
        }
    }

    fn is_meant_for(&self, Called { call, run, key, .. }: Called<'_>) -> bool {
        self.calls.include(call, run, key) && self.fault.befalls().include(call, run, key)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, when, fault, asked, .. } = self;
        write!(f, "`{fault:?}`, {when}, for {calls}: ")?;
        match asked {
            0 => f.write_str("there was no such call that it could befall"),
            1 => f.write_str("there was one such call only"),
            asked => write!(f, "there were {asked} such calls only"),
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
