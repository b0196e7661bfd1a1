use std::collections::{BTreeMap, BTreeSet};

use awaitly_core::event::StepId;
use awaitly_core::extend::stage::Reply;
use awaitly_core::journal::Key;

use super::outcome::Play;
use super::{Kind, Outcome, Problem, Script};
use crate::report::Invocation;

/// The scripts of a harness and their use so far.
#[derive(Debug, Default)]
pub(crate) struct Playbook {
    /// Whether an attempt without a script stops the run, instead of calling the operation.
    pub(crate) scripted_only: bool,
    named: BTreeMap<Key, Part>,
    in_order: Vec<Outcome>,
    next: usize,
    /// The names of the steps that were looked up, in order.
    asked: Vec<Key>,
    /// The names and keys of all steps that a run looked up or the test declared.
    known: BTreeSet<Key>,
}

#[derive(Debug)]
struct Part {
    script: Script,
    taken: usize,
    asked: Asked,
}

/// The kind of steps that asked for a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    None,
    /// Only steps whose outcomes are already recorded.
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

    /// Rewinds all scripts. Outcomes that can be used once stay used.
    pub(crate) fn rewind(&mut self) {
        for part in self.named.values_mut() {
            (part.taken, part.asked) = (0, Asked::None);
        }
        self.next = 0;
        self.asked.clear();
    }

    /// Adds step names to the known ones.
    pub(crate) fn declare(&mut self, names: impl IntoIterator<Item = Key>) {
        self.known.extend(names);
    }

    /// Returns the steps that assertions accept: those that any run looked up, and the scripted and declared ones.
    pub(crate) fn known(&self) -> impl Iterator<Item = Key> {
        self.known.iter().chain(self.named.keys()).cloned()
    }

    /// Notes that a step is looked up.
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

    /// Notes that a step is executed.
    pub(crate) fn started(&mut self, step: &StepId) {
        if let Some(part) = self.part(step) {
            part.asked = Asked::Executed;
        }
    }

    /// Returns the action at this attempt at `step`, which errors name `label`.
    pub(crate) fn play(&mut self, step: &StepId, label: &Key, attempt: u32) -> Play {
        let own = self.part(step).and_then(|part| part.play(label, attempt));
        own.or_else(|| self.play_next(label, attempt)).unwrap_or_else(|| match self.scripted_only {
            false => Play::operation(),
            true => Play::unscripted(),
        })
    }

    /// Returns the scripted answer for `step`, or `None` if it has no script.
    ///
    /// # Errors
    /// Returns [`Problem::QuestionWithoutAnswer`] if the script is not an answer.
    pub(crate) fn answer(&mut self, step: &StepId) -> Result<Option<Reply>, Problem> {
        let Some(part) = self.part(step) else { return Ok(None) };
        part.asked = Asked::Executed;
        match part.reply() {
            None => Ok(None),
            Some(Some(reply)) => Ok(Some(reply)),
            Some(None) => Err(Problem::QuestionWithoutAnswer { step: step.key.clone() }),
        }
    }

    fn play_next(&mut self, label: &Key, attempt: u32) -> Option<Play> {
        let outcome = self.in_order.get_mut(self.next)?;
        self.next += 1;
        outcome.play(label, attempt)
    }

    /// Returns the script for the step's key, or else the script for its name.
    fn part(&mut self, step: &StepId) -> Option<&mut Part> {
        let key = if self.named.contains_key(&step.key) { &step.key } else { &step.name };
        self.named.get_mut(key)
    }

    fn named_for(&self, step: &Invocation) -> Option<(&Key, &Part)> {
        [&step.key, &step.name].into_iter().find_map(|key| self.named.get_key_value(key))
    }

    /// Returns a problem for each script that only durable sleeps match. A sleep emits events like other steps, but
    /// has no attempts.
    pub(crate) fn for_sleeps<'s>(&self, steps: impl IntoIterator<Item = &'s Invocation>) -> Vec<Problem> {
        let named = steps.into_iter().filter(|step| step.is_sleep()).filter_map(|step| self.named_for(step));
        let idle = named.filter(|(_, part)| part.asked != Asked::Executed);
        let scripts: BTreeSet<_> = idle.map(|(script, _)| script.clone()).collect();
        scripts.into_iter().map(|script| Problem::ForSleep { script }).collect()
    }

    /// Returns a problem for each script that was not used up.
    pub(crate) fn leftovers(&self) -> Vec<Problem> {
        let named = self.named.iter().filter_map(|(name, part)| part.leftover(name, &self.asked));
        let (taken, of) = (self.next, self.in_order.len());
        let in_order = (taken < of).then_some(Problem::LeftOverInOrder { taken, of });
        named.chain(in_order).collect()
    }
}

impl Part {
    /// Returns the next answer. `None` if no outcome is left, `Some(None)` if the next outcome is not an answer.
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
            (_, Asked::None) => Some(Problem::WithoutStep { script, steps: asked.to_vec() }),
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
    fn script_of_key_precedes_script_of_name() {
        let mut playbook = Playbook::default();
        playbook.script("ship".into(), ok(1).into());
        playbook.script("ship:tea".into(), err(2).into());
        assert_eq!(played(&mut playbook, &id("ship:tea", "ship")), "err");
        assert_eq!(played(&mut playbook, &id("ship:milk", "ship")), "ok");
        assert_eq!(playbook.leftovers(), []);
    }

    #[test]
    fn in_order_outcomes_serve_steps_without_scripts_left() {
        let mut playbook = Playbook { scripted_only: true, ..Playbook::default() };
        playbook.script("a".into(), [ok(1)].into());
        playbook.in_order([err(2), err(3)]);
        let (a, b) = (id("a", "a"), id("b", "b"));
        let steps = [&a, &b, &a, &a];
        assert_eq!(steps.map(|step| played(&mut playbook, step)), ["ok", "err", "err", "unscripted"]);
    }

    #[test]
    fn once_outcome_is_used_once() {
        let mut playbook = Playbook::default();
        playbook.script("a".into(), ok_once(1).into());
        let a = id("a", "a");
        assert_eq!([&a, &a].map(|step| played(&mut playbook, step)), ["ok", "real"]);
    }

    #[test]
    fn sequence_for_recorded_steps_is_not_left_over() {
        let mut playbook = Playbook::default();
        playbook.script("a".into(), [ok(1)].into());
        playbook.script("b".into(), [ok(1)].into());
        playbook.looked_up(&id("a", "a"));
        let steps = vec!["a".into()];
        assert_eq!(playbook.leftovers(), [Problem::WithoutStep { script: "b".into(), steps }]);
        playbook.started(&id("a", "a"));
        let left = Problem::LeftOver { script: "a".into(), taken: 0, of: 1 };
        assert_eq!(playbook.leftovers().first(), Some(&left));
    }
}
