use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::{Fingerprint, Key, Outcome, Record};

/// What a run knows of its journal while it runs: the outcomes recorded before, and which keys its
/// steps have taken so far.
///
/// Keys are taken in the order in which steps are built. A step without a key of its own takes its
/// name, and the second use of a name takes `name#2`. A key is taken once in a run; that is what makes
/// a key an identity.
///
/// ```
/// use awaitly_core::journal::{History, Key, Taken};
///
/// let mut history = History::default();
/// assert_eq!(history.take_name(&Key::from("ship")), Taken::New(Key::from("ship")));
/// assert_eq!(history.take_name(&Key::from("ship")), Taken::New(Key::from("ship#2")));
/// assert_eq!(history.take(Key::from("ship")), Taken::Duplicate(Key::from("ship")));
/// ```
#[derive(Debug, Default)]
pub struct History {
    /// What an earlier execution of the run recorded.
    recorded: HashMap<Key, Slot, RandomState>,
    /// The keys of this execution's steps that nothing was recorded under.
    fresh: HashSet<Key, RandomState>,
    /// How many steps of this execution used a text as their name.
    names: HashMap<Key, u32, RandomState>,
}

#[derive(Debug)]
struct Slot {
    found: Option<Found>,
    /// Whether a step of this execution has this key.
    taken: bool,
    /// Whether the outcome was looked at without being handed out.
    seen: bool,
}

/// An outcome that the journal already holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The outcome.
    pub outcome: Outcome,
    /// The fingerprint of the input it was made from, where it was given one.
    pub input: Option<Fingerprint>,
}

/// The answer to taking a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The key is the step's own.
    New(Key),
    /// Another step of the run has this key.
    Duplicate(Key),
}

/// What a step does when it is resumed with another input than the one its outcome was made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnChange {
    /// The run stops with [`RunError::InputChanged`](crate::RunError::InputChanged).
    #[default]
    Fail,
    /// The step runs again, and its new outcome takes the place of the old one.
    Rerun,
    /// The recorded outcome is used all the same.
    Reuse,
}

impl OnChange {
    /// Whether a recorded outcome stands, given the input it was made from and the one of now.
    ///
    /// An outcome stands where either side has no fingerprint: there is nothing to compare.
    #[must_use]
    pub fn decide(self, recorded: Option<Fingerprint>, now: Option<Fingerprint>) -> Decision {
        match (recorded, now) {
            (Some(recorded), Some(now)) if recorded != now => match self {
                Self::Fail => Decision::Refuse,
                Self::Rerun => Decision::Rerun,
                Self::Reuse => Decision::Reuse,
            },
            _ => Decision::Reuse,
        }
    }
}

/// What to do with a recorded outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Use it.
    Reuse,
    /// Make a new one.
    Rerun,
    /// Stop the run.
    Refuse,
}

impl History {
    /// The history of a run whose journal holds `records`.
    ///
    /// A key that stands twice, which no store writes, keeps its last outcome.
    #[must_use]
    pub fn new(records: Vec<Record>) -> Self {
        let slot = |record: Record| {
            let Record { key, outcome, input } = record;
            (key, Slot { found: Some(Found { outcome, input }), taken: false, seen: false })
        };
        Self { recorded: records.into_iter().map(slot).collect(), ..Self::default() }
    }

    /// How many keys an earlier execution of the run recorded an outcome under.
    #[must_use]
    pub fn recorded(&self) -> usize {
        self.recorded.len()
    }

    /// Takes the next free number of `name`: the name itself, then `name#2`, and so on.
    pub fn take_name(&mut self, name: &Key) -> Taken {
        let number = match self.names.get_mut(name) {
            Some(number) => {
                *number += 1;
                *number
            }
            None => *self.names.entry(name.clone()).or_insert(1),
        };
        self.take(name.numbered(number))
    }

    /// Takes `key` itself.
    pub fn take(&mut self, key: Key) -> Taken {
        let was_taken = match self.slot(&key) {
            Some(slot) => std::mem::replace(&mut slot.taken, true),
            None => !self.fresh.insert(key.clone()),
        };
        if was_taken { Taken::Duplicate(key) } else { Taken::New(key) }
    }

    /// Takes `key` in place of `default`, which the same step took from its name.
    ///
    /// The number goes back to the name where no later step has taken one.
    pub fn exchange(&mut self, name: &Key, default: &Key, key: Key) -> Taken {
        match self.slot(default) {
            Some(slot) => slot.taken = false,
            None => drop(self.fresh.remove(default)),
        }
        if let Some(number) = self.names.get_mut(name)
            && name.numbered(*number) == *default
        {
            *number -= 1;
        }
        self.take(key)
    }

    /// Hands out the outcome recorded under `key`, if there is one. It is handed out once, since a key
    /// belongs to one step.
    pub fn recall(&mut self, key: &str) -> Option<Found> {
        self.recorded.get_mut(key)?.found.take()
    }

    /// The outcome recorded under `key`, if there is one that was not handed out yet.
    #[must_use]
    pub fn peek(&mut self, key: &str) -> Option<&Outcome> {
        let slot = self.recorded.get_mut(key)?;
        slot.seen = true;
        slot.found.as_ref().map(|found| &found.outcome)
    }

    /// Whether a step of this execution has taken `key`, or what is recorded under it was looked at.
    #[must_use]
    pub fn knows(&self, key: &str) -> bool {
        let recorded = self.recorded.get(key).is_some_and(|slot| slot.taken || slot.seen);
        recorded || self.fresh.contains(key)
    }

    fn slot(&mut self, key: &str) -> Option<&mut Slot> {
        if self.recorded.is_empty() { None } else { self.recorded.get_mut(key) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::Payload;

    fn record(key: &'static str, value: u32) -> Record {
        Record { key: key.into(), outcome: Outcome::Value(Payload::encode(&value).unwrap()), input: None }
    }

    #[test]
    fn a_name_used_again_is_numbered_in_the_order_of_building() {
        let mut history = History::default();
        let name = Key::from("ship");
        let keys: Vec<_> = (0..3).map(|_| history.take_name(&name)).collect();
        assert_eq!(keys, ["ship", "ship#2", "ship#3"].map(|key| Taken::New(key.into())));
    }

    #[test]
    fn a_key_is_taken_once() {
        let mut history = History::default();
        assert_eq!(history.take("a".into()), Taken::New("a".into()));
        assert_eq!(history.take("a".into()), Taken::Duplicate("a".into()));
    }

    #[test]
    fn a_key_that_looks_like_a_numbered_name_collides_with_it() {
        let mut history = History::default();
        let name = Key::from("ship");
        history.take("ship#2".into());
        history.take_name(&name);
        assert_eq!(history.take_name(&name), Taken::Duplicate("ship#2".into()));
    }

    #[test]
    fn a_step_that_names_its_key_gives_the_number_back() {
        let mut history = History::default();
        let name = Key::from("ship");
        for sku in ["ship:tea", "ship:mug"] {
            let Taken::New(default) = history.take_name(&name) else { panic!("taken") };
            assert_eq!(history.exchange(&name, &default, sku.into()), Taken::New(sku.into()));
        }
        assert_eq!(history.take_name(&name), Taken::New("ship".into()));
    }

    #[test]
    fn a_number_that_a_later_step_stands_on_is_not_given_back() {
        let mut history = History::default();
        let name = Key::from("ship");
        let Taken::New(first) = history.take_name(&name) else { panic!("taken") };
        history.take_name(&name);
        history.exchange(&name, &first, "other".into());
        assert_eq!(history.take_name(&name), Taken::New("ship#3".into()));
    }

    #[test]
    fn recorded_outcomes_are_found_by_key_and_do_not_take_it() {
        let mut history = History::new(vec![record("reserve", 1), record("charge", 2)]);
        assert_eq!(history.recorded(), 2);
        assert_eq!(history.recall("charge").unwrap().outcome, record("charge", 2).outcome);
        assert_eq!(history.recall("ship"), None);
        assert_eq!(history.take_name(&"charge".into()), Taken::New("charge".into()));
    }

    #[test]
    fn a_recorded_key_is_known_once_a_step_has_it_or_somebody_looked_at_it() {
        let mut history = History::new(vec![record("reserve", 1), record("undo", 2), record("ship", 3)]);
        let name = Key::from("reserve");
        let Taken::New(default) = history.take_name(&name) else { panic!("taken") };
        let _ = history.peek("undo");
        assert!(history.knows("reserve") && history.knows("undo") && !history.knows("ship"));
        history.exchange(&name, &default, "fresh".into());
        assert!(!history.knows("reserve") && history.knows("fresh"));
    }

    #[test]
    fn a_changed_input_is_decided_by_the_policy() {
        let [old, new] = [1, 2].map(|value| Some(Fingerprint::of(&value).unwrap()));
        assert_eq!(OnChange::Fail.decide(old, new), Decision::Refuse);
        assert_eq!(OnChange::Rerun.decide(old, new), Decision::Rerun);
        assert_eq!(OnChange::Reuse.decide(old, new), Decision::Reuse);
        for policy in [OnChange::Fail, OnChange::Rerun] {
            assert_eq!(policy.decide(old, old), Decision::Reuse);
            assert_eq!(policy.decide(None, new), Decision::Reuse);
            assert_eq!(policy.decide(old, None), Decision::Reuse);
        }
    }

    proptest! {
        #[test]
        fn two_executions_that_build_the_same_steps_give_them_the_same_keys(
            steps in proptest::collection::vec((0..4_usize, proptest::option::of(0..6_usize)), 0..40)
        ) {
            let names = ["a", "b", "a#2", "c"];
            let keys = ["a", "k1", "k2", "b#2", "k3", "a#3"];
            let execute = || {
                let mut history = History::default();
                steps.iter().map(|(name, key)| {
                    let name = Key::from(names[*name]);
                    match (history.take_name(&name), key) {
                        (Taken::New(default), Some(key)) => history.exchange(&name, &default, keys[*key].into()),
                        (taken, _) => taken,
                    }
                }).collect::<Vec<_>>()
            };
            let taken = execute();
            prop_assert_eq!(&taken, &execute());
            let mut unique = std::collections::HashSet::new();
            for taken in taken {
                if let Taken::New(key) = taken {
                    prop_assert!(unique.insert(key.clone()), "{} was given twice", key);
                }
            }
        }
    }
}
