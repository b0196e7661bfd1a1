use std::collections::{BTreeMap, BTreeSet};

use awaitly_core::event::StepId;
use awaitly_core::extend::stage::Reply;
use awaitly_core::journal::Key;

use super::outcome::Play;
use super::{Kind, Outcome, Problem, Script};
use crate::report::Invocation;

/// What becomes of an attempt of which no script says what it ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unscripted {
    /// Its operation is called.
    #[default]
    Run,
    /// The step ends in [`RunError::Refused`](awaitly_core::RunError::Refused), and the run is stopped.
    Fail,
}

/// What becomes of a run that did not ask for all that was scripted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Leftovers {
    /// The harness says so as a failure, unless the run waits or was interrupted, and so may ask later.
    #[default]
    Refuse,
    /// Nothing.
    Allow,
}

/// All scripts of a harness, and how far they are used up.
#[derive(Debug, Default)]
pub(crate) struct Playbook {
    pub(crate) unscripted: Unscripted,
    named: BTreeMap<Key, Part>,
    in_order: Vec<Outcome>,
    next: usize,
    /// The names of the steps that were looked up, in order.
    asked: Vec<Key>,
    /// The names and keys of all steps that were looked up in any run, or declared.
    known: BTreeSet<Key>,
}

#[derive(Debug)]
struct Part {
    script: Script,
    taken: usize,
    asked: Asked,
}

/// Which steps asked for a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    None,
    /// Those whose outcomes are in the journal already, and no other one.
    Recorded,
    Executed,
}

impl Playbook {
    pub(crate) fn script(&mut self, name_or_key: Key, script: Script) {
        self.named.insert(name_or_key, Part { script, taken: 0, asked: Asked::None });
    }

    pub(crate) fn in_order(&mut self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.in_order.extend(outcomes);
    }

    /// Begins all scripts anew. What was there once is gone all the same.
    pub(crate) fn rewind(&mut self) {
        for part in self.named.values_mut() {
            (part.taken, part.asked) = (0, Asked::None);
        }
        self.next = 0;
        self.asked.clear();
    }

    /// There are steps of these names.
    pub(crate) fn declare(&mut self, names: impl IntoIterator<Item = Key>) {
        self.known.extend(names);
    }

    /// The steps that assertions may speak of: those that were met in any run, scripted, or declared.
    pub(crate) fn known(&self) -> impl Iterator<Item = Key> {
        self.known.iter().chain(self.named.keys()).cloned()
    }

    /// A step is about to be looked up.
    pub(crate) fn looked_up(&mut self, step: &StepId) {
        self.known.extend([step.name.clone(), step.key.clone()]);
        if !self.asked.contains(&step.name) {
            self.asked.push(step.name.clone());
        }
        if let Some(part) = self.part(step)
            && part.asked == Asked::None
        {
            part.asked = Asked::Recorded;
        }
    }

    /// A step is about to be executed.
    pub(crate) fn started(&mut self, step: &StepId) {
        if let Some(part) = self.part(step) {
            part.asked = Asked::Executed;
        }
    }

    /// What is done at that attempt at `step`, which is called `label` in errors.
    pub(crate) fn play(&mut self, step: &StepId, label: &Key, attempt: u32) -> Play {
        let own = self.part(step).and_then(|part| part.play(label, attempt));
        own.or_else(|| self.play_next(label, attempt)).unwrap_or_else(|| match self.unscripted {
            Unscripted::Run => Play::operation(),
            Unscripted::Fail => Play::unscripted(),
        })
    }

    /// What somebody outside answers to `step`. `None`: nothing is scripted for it.
    ///
    /// # Errors
    /// What is scripted is no answer.
    pub(crate) fn answer(&mut self, step: &StepId) -> Result<Option<Reply>, Problem> {
        let Some(part) = self.part(step) else { return Ok(None) };
        part.asked = Asked::Executed;
        match part.reply() {
            None => Ok(None),
            Some(Some(reply)) => Ok(Some(reply)),
            Some(None) => Err(Problem::NotAnswered { step: step.key.clone() }),
        }
    }

    fn play_next(&mut self, label: &Key, attempt: u32) -> Option<Play> {
        let outcome = self.in_order.get_mut(self.next)?;
        self.next += 1;
        outcome.play(label, attempt)
    }

    /// The script of the step's key, or else that of its name.
    fn part(&mut self, step: &StepId) -> Option<&mut Part> {
        let key = if self.named.contains_key(&step.key) { &step.key } else { &step.name };
        self.named.get_mut(key)
    }

    fn named_for(&self, step: &Invocation) -> Option<(&Key, &Part)> {
        [&step.key, &step.name].into_iter().find_map(|key| self.named.get_key_value(key))
    }

    /// The scripts that are for durable sleeps, and for nothing else. Those are told like any other step, but no attempt
    /// at them begins.
    pub(crate) fn for_sleeps<'s>(&self, steps: impl IntoIterator<Item = &'s Invocation>) -> Vec<Problem> {
        let named = steps.into_iter().filter(|step| step.is_sleep()).filter_map(|step| self.named_for(step));
        let idle = named.filter(|(_, part)| part.asked != Asked::Executed);
        let scripts: BTreeSet<_> = idle.map(|(script, _)| script.clone()).collect();
        scripts.into_iter().map(|script| Problem::NothingToPlay { script }).collect()
    }

    /// What nobody asked for.
    pub(crate) fn leftovers(&self) -> Vec<Problem> {
        let named = self.named.iter().filter_map(|(name, part)| part.leftover(name, &self.asked));
        let (taken, of) = (self.next, self.in_order.len());
        let in_order = (taken < of).then_some(Problem::LeftOverInOrder { taken, of });
        named.chain(in_order).collect()
    }
}

impl Part {
    /// The next answer. `None`: there is none left; `Some(None)`: it is none.
    fn reply(&mut self) -> Option<Option<Reply>> {
        match &mut self.script.0 {
            Kind::Always(outcome) => Some(outcome.reply()),
            Kind::ByAttempt(say) => Some(say(1).reply()),
            Kind::InOrder(outcomes) => {
                let outcome = outcomes.get(self.taken)?;
                self.taken += 1;
                Some(outcome.reply())
            }
        }
    }

    fn play(&mut self, label: &Key, attempt: u32) -> Option<Play> {
        match &mut self.script.0 {
            Kind::Always(outcome) => outcome.play(label, attempt),
            Kind::ByAttempt(say) => say(attempt).play(label, attempt),
            Kind::InOrder(outcomes) => {
                let outcome = outcomes.get_mut(self.taken)?;
                self.taken += 1;
                outcome.play(label, attempt)
            }
        }
    }

    fn leftover(&self, name: &Key, asked: &[Key]) -> Option<Problem> {
        let (script, taken) = (name.clone(), self.taken);
        match (&self.script.0, self.asked) {
            (_, Asked::None) => Some(Problem::NotAskedFor { script, asked: asked.to_vec() }),
            (Kind::InOrder(_), Asked::Recorded) if taken == 0 => None,
            (Kind::InOrder(outcomes), _) if taken < outcomes.len() => {
                Some(Problem::LeftOver { script, taken, of: outcomes.len() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use awaitly_core::extend::stage::Cue;

    use super::*;
    use crate::script::outcome::Act;
    use crate::script::{err, ok, ok_once};

    fn id(key: &'static str, name: &'static str) -> StepId {
        StepId { key: key.into(), name: name.into() }
    }

    fn played(playbook: &mut Playbook, step: &StepId) -> String {
        playbook.looked_up(step);
        playbook.started(step);
        match playbook.play(step, &step.key, 1).act {
            Act::Give(Cue::Operation) => "real".into(),
            Act::Give(Cue::Value(_)) => "ok".into(),
            Act::Give(Cue::Error(_)) => "err".into(),
            Act::Give(Cue::Unscripted) => "unscripted".into(),
            _ => "other".into(),
        }
    }

    #[test]
    fn the_script_of_a_key_goes_before_that_of_the_name() {
        let mut playbook = Playbook::default();
        playbook.script("ship".into(), ok(1).into());
        playbook.script("ship:tea".into(), err(2).into());
        assert_eq!(played(&mut playbook, &id("ship:tea", "ship")), "err");
        assert_eq!(played(&mut playbook, &id("ship:milk", "ship")), "ok");
        assert_eq!(playbook.leftovers(), []);
    }

    #[test]
    fn outcomes_in_order_are_for_those_without_a_script_that_is_left() {
        let mut playbook = Playbook { unscripted: Unscripted::Fail, ..Playbook::default() };
        playbook.script("a".into(), [ok(1)].into());
        playbook.in_order([err(2), err(3)]);
        let (a, b) = (id("a", "a"), id("b", "b"));
        let steps = [&a, &b, &a, &a];
        assert_eq!(steps.map(|step| played(&mut playbook, step)), ["ok", "err", "err", "unscripted"]);
    }

    #[test]
    fn what_is_there_once_is_there_once() {
        let mut playbook = Playbook::default();
        playbook.script("a".into(), ok_once(1).into());
        let a = id("a", "a");
        assert_eq!([&a, &a].map(|step| played(&mut playbook, step)), ["ok", "real"]);
    }

    #[test]
    fn a_sequence_for_steps_that_are_all_recorded_is_not_left_over() {
        let mut playbook = Playbook::default();
        playbook.script("a".into(), [ok(1)].into());
        playbook.script("b".into(), [ok(1)].into());
        playbook.looked_up(&id("a", "a"));
        let asked = vec!["a".into()];
        assert_eq!(playbook.leftovers(), [Problem::NotAskedFor { script: "b".into(), asked }]);
        playbook.started(&id("a", "a"));
        let left = Problem::LeftOver { script: "a".into(), taken: 0, of: 1 };
        assert_eq!(playbook.leftovers().first(), Some(&left));
    }
}
