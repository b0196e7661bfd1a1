use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::{Fingerprint, Key, Outcome, Record};

/// The journal as a run uses it during an execution: the outcomes recorded before, and the keys that its steps have
/// taken so far.
///
/// Steps take their keys in the order in which they are built. A step without an explicit key takes its name, and the
/// second use of a name takes `name#2`. A run takes each key once, so a key identifies a step.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The outcomes that an earlier execution of the run recorded.
    recorded: HashMap<Key, Slot, RandomState>,
    /// The keys of this execution's steps without a recorded outcome.
    fresh: HashSet<Key, RandomState>,
    /// The number of steps in this execution that used a text as their name.
    names: HashMap<Key, u32, RandomState>,
}

#[derive(Debug)]
struct Slot {
    found: Option<Found>,
    /// The position in the journal.
    at: usize,
    /// Whether a step of this execution has taken the key.
    taken: bool,
    /// Whether the body looked at the outcome without receiving it from a step.
    seen: bool,
}

/// An outcome that the journal already holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The outcome.
    pub outcome: Outcome,
    /// The fingerprint of the input that produced the outcome, if the step has an input.
    pub input: Option<Fingerprint>,
}

/// The result of taking a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The step has the key.
    New(Key),
    /// Another step of the run has the key already.
    Duplicate(Key),
}

/// The behaviour of a resumed step whose input differs from the input of its recorded outcome.
///
/// ```
/// use awaitly_core::journal::OnChange;
/// use awaitly_core::{DurableRun, RunError};
///
/// # async fn print(_address: &str) -> Result<u32, RunError> { Ok(7) }
/// /// Prints the label again if the customer has changed the address since.
/// async fn label(run: &DurableRun, address: &str) -> Result<u32, awaitly_core::Error<RunError>> {
///     run.step("label", || print(address)).input(address).on_change(OnChange::Rerun).await
/// }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnChange {
    /// The run stops with [`RunError::InputChanged`](crate::RunError::InputChanged).
    #[default]
    Fail,
    /// The step runs again, and its new outcome replaces the recorded outcome.
    Rerun,
    /// The step uses the recorded outcome anyway.
    Reuse,
}

impl OnChange {
    /// Decides whether a recorded outcome is valid, given its input and the current input.
    ///
    /// If either input has no fingerprint, the outcome is valid, because the inputs cannot be compared.
    pub(crate) fn decide(self, recorded: Option<Fingerprint>, now: Option<Fingerprint>) -> Decision {
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

/// The decision about a recorded outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Use the outcome.
    Reuse,
    /// Produce a new outcome.
    Rerun,
    /// Stop the run.
    Refuse,
}

impl History {
    /// Creates the history of a run whose journal holds `records`.
    ///
    /// If a key occurs twice, which no store writes, its last outcome counts.
    pub(crate) fn new(records: Vec<Record>) -> Self {
        let slot = |(at, record): (usize, Record)| {
            let Record { key, outcome, input } = record;
            (key, Slot { found: Some(Found { outcome, input }), at, taken: false, seen: false })
        };
        Self { recorded: records.into_iter().enumerate().map(slot).collect(), ..Self::default() }
    }

    /// Takes the next free key of `name`: first the name itself, then `name#2`, and so on.
    pub(crate) fn take_name(&mut self, name: &Key) -> Taken {
        let number = match self.names.get_mut(name) {
            Some(number) => {
                *number += 1;
                *number
            }
            None => *self.names.entry(name.clone()).or_insert(1),
        };
        self.take(name.numbered(number))
    }

    /// Takes `key` unchanged.
    pub(crate) fn take(&mut self, key: Key) -> Taken {
        let was_taken = match self.slot(&key) {
            Some(slot) => std::mem::replace(&mut slot.taken, true),
            None => !self.fresh.insert(key.clone()),
        };
        if was_taken { Taken::Duplicate(key) } else { Taken::New(key) }
    }

    /// Takes `key` instead of `default`, which the step took from its name before.
    ///
    /// If no later step has used the name, its number becomes free again.
    pub(crate) fn exchange(&mut self, name: &Key, default: &Key, key: Key) -> Taken {
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

    /// Returns the outcome recorded under `key`, if there is one. A key belongs to one step, so a second call returns
    /// `None`.
    pub(crate) fn recall(&mut self, key: &str) -> Option<Found> {
        self.recorded.get_mut(key)?.found.take()
    }

    /// Returns the outcome recorded under `key`, unless [`recall`](Self::recall) has returned it already.
    pub(crate) fn peek(&mut self, key: &str) -> Option<&Outcome> {
        let slot = self.recorded.get_mut(key)?;
        slot.seen = true;
        slot.found.as_ref().map(|found| &found.outcome)
    }

    /// Returns whether a step of this execution has taken `key`, or [`peek`](Self::peek) looked at its outcome.
    pub(crate) fn knows(&self, key: &str) -> bool {
        let recorded = self.recorded.get(key).is_some_and(|slot| slot.taken || slot.seen);
        recorded || self.fresh.contains(key)
    }

    /// Returns whether earlier executions recorded an outcome under `key` after the outcomes under all of `others`.
    pub(crate) fn is_recorded_after(&self, key: &str, others: &[Key]) -> bool {
        let at = |key: &str| self.recorded.get(key).map(|slot| slot.at);
        at(key).is_some_and(|last| others.iter().all(|other| at(other).is_some_and(|at| at < last)))
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
    fn repeated_name_is_numbered_in_build_order() {
        let mut history = History::default();
        let name = Key::from("ship");
        let keys: Vec<_> = (0..3).map(|_| history.take_name(&name)).collect();
        assert_eq!(keys, ["ship", "ship#2", "ship#3"].map(|key| Taken::New(key.into())));
    }

    #[test]
    fn key_is_taken_once() {
        let mut history = History::default();
        assert_eq!(history.take("a".into()), Taken::New("a".into()));
        assert_eq!(history.take("a".into()), Taken::Duplicate("a".into()));
    }

    #[test]
    fn key_equal_to_numbered_name_is_duplicate() {
        let mut history = History::default();
        let name = Key::from("ship");
        history.take("ship#2".into());
        history.take_name(&name);
        assert_eq!(history.take_name(&name), Taken::Duplicate("ship#2".into()));
    }

    #[test]
    fn step_that_names_its_key_gives_the_number_back() {
        let mut history = History::default();
        let name = Key::from("ship");
        for sku in ["ship:tea", "ship:mug"] {
            let Taken::New(default) = history.take_name(&name) else { panic!("taken") };
            assert_eq!(history.exchange(&name, &default, sku.into()), Taken::New(sku.into()));
        }
        assert_eq!(history.take_name(&name), Taken::New("ship".into()));
    }

    #[test]
    fn exchanged_key_keeps_number_below_a_later_one() {
        let mut history = History::default();
        let name = Key::from("ship");
        let Taken::New(first) = history.take_name(&name) else { panic!("taken") };
        history.take_name(&name);
        history.exchange(&name, &first, "other".into());
        assert_eq!(history.take_name(&name), Taken::New("ship#3".into()));
    }

    #[test]
    fn recall_finds_outcome_and_leaves_key_free() {
        let mut history = History::new(vec![record("reserve", 1), record("charge", 2)]);
        assert_eq!(history.recall("charge").unwrap().outcome, record("charge", 2).outcome);
        assert_eq!(history.recall("ship"), None);
        assert_eq!(history.take_name(&"charge".into()), Taken::New("charge".into()));
    }

    #[test]
    fn later_record_is_after_the_earlier_ones() {
        let history = History::new(vec![record("reserve", 1), record("charge", 2), record("ship", 3)]);
        let is_after = |key, others: &[&'static str]| {
            let others: Vec<_> = others.iter().map(|key| Key::from(*key)).collect();
            history.is_recorded_after(key, &others)
        };
        assert!(is_after("ship", &["charge", "reserve"]) && is_after("charge", &["reserve"]));
        assert!(
            !is_after("charge", &["ship"]) && !is_after("ship", &["mail"]) && !is_after("mail", &["ship"])
        );
    }

    #[test]
    fn recorded_key_is_known_once_taken_or_peeked() {
        let mut history = History::new(vec![record("reserve", 1), record("undo", 2), record("ship", 3)]);
        let name = Key::from("reserve");
        let Taken::New(default) = history.take_name(&name) else { panic!("taken") };
        let _ = history.peek("undo");
        assert!(history.knows("reserve") && history.knows("undo") && !history.knows("ship"));
        history.exchange(&name, &default, "fresh".into());
        assert!(!history.knows("reserve") && history.knows("fresh"));
    }

    #[test]
    fn changed_input_is_decided_by_the_policy() {
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
        fn equal_steps_get_equal_unique_keys(
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
