//! The outcome of a body without accidents: a recursive function over its parts.

use std::collections::BTreeSet;

use crate::decisions;
use crate::fault::{Class, Fruit};
use crate::part::{Ask, Body, Deed, Each, Fails, Form, Id, Mail, Part, Reply, Step, What};
use crate::perform::{FALLBACK, HANDLED, SKIPPED, message};
use crate::value::{Kept, digest, mix, typed};

/// The outcome of a part or a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Comes<T> {
    Value(T),
    /// It fails with one of these; the timing may decide which.
    Fails(BTreeSet<Class>),
    Waits,
}

/// The assumptions about the world, and the effects that follow.
pub(crate) struct Oracle<'k> {
    /// The questions that were answered or have expired. `None`: all.
    answered: Option<&'k BTreeSet<u16>>,
    /// Whether every sleep is over.
    slept: bool,
    /// The questions that were asked.
    pub(crate) asked: BTreeSet<u16>,
    /// The children that the body waits for.
    pub(crate) children: BTreeSet<u16>,
    /// The effects that take place.
    pub(crate) must: BTreeSet<Id>,
    /// The effects that may take place too.
    pub(crate) may: BTreeSet<Id>,
}

/// Returns the outcome of the body after every question is answered and every sleep is over.
pub(crate) fn foretell(body: &Body) -> (Comes<Fruit>, Oracle<'static>) {
    let mut oracle = Oracle::new(None, true);
    let comes = match oracle.parts(&body.parts) {
        Comes::Value(digest) => match decisions::keeps_ending(body.ending) {
            Kept::Yes => Comes::Value(Fruit::new(digest, body.ending)),
            Kept::No => Comes::Fails(BTreeSet::from([Class::Unkept])),
        },
        Comes::Fails(classes) => Comes::Fails(classes),
        Comes::Waits => Comes::Waits,
    };
    body.walk(&mut |part, _| {
        let undo = match &part.what {
            What::SagaStep(_, undo) | What::SagaParallel(_, undo) | What::SagaEach(_, undo) => undo,
            _ => return,
        };
        for part in undo.inner.iter().flat_map(Part::lists).flatten() {
            oracle.may.insert((part.id, 0));
        }
    });
    (comes, oracle)
}

/// The questions that are asked by now, if these were answered and no sleep is over. A body without a question is not
/// looked at.
pub(crate) fn asked(body: &Body, answered: &BTreeSet<u16>) -> BTreeSet<u16> {
    let mut oracle = Oracle::new(Some(answered), false);
    oracle.parts(&body.parts);
    oracle.asked
}

/// Whether an operation succeeds in the end, whatever happens by chance.
pub(crate) fn succeeds(deed: &Deed) -> bool {
    matches!(Oracle::new(None, true).deed((0, 0), deed), Comes::Value(_))
}

impl<'k> Oracle<'k> {
    fn new(answered: Option<&'k BTreeSet<u16>>, slept: bool) -> Self {
        let (asked, must, may) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { answered, slept, asked, children: BTreeSet::new(), must, may }
    }

    fn parts(&mut self, parts: &[Part]) -> Comes<u64> {
        let mut digest = 0;
        for part in parts {
            match self.part(part) {
                Comes::Value(value) => digest = mix(digest, value),
                Comes::Fails(_) if part.handled => digest = mix(digest, HANDLED),
                other => return other,
            }
        }
        Comes::Value(digest)
    }

    fn part(&mut self, part: &Part) -> Comes<u64> {
        match &part.what {
            What::Step(step) | What::SagaStep(step, _) => self.step((part.id, 0), step),
            What::Parallel(deeds) => self.beside(part.id, deeds, false),
            What::SagaParallel(deeds, _) => self.beside(part.id, deeds, true),
            What::Race(deeds) => self.race(part.id, deeds),
            What::Each(each) => self.each(part.id, each),
            What::SagaEach(each, _) => self.each(part.id, each),
            What::Ask(ask) => self.ask(part.id, *ask),
            What::Sleep(units) => {
                if self.slept || *units == 0 {
                    Comes::Value(1)
                } else {
                    Comes::Waits
                }
            }
            What::TooLate => Comes::Value(2),
            What::Resource(inner) | What::Call(inner) => self.parts(inner),
            What::Child(child) => {
                self.children.insert(part.id);
                self.parts(&child.parts)
            }
            What::Receive(mail) => self.receive(part.id, *mail),
            What::Saga(inner) | What::Nested(inner) => match self.parts(inner) {
                // The body does not go on before its saga is undone.
                Comes::Fails(_) if self.waits_now() && inner.iter().any(undo_may_wait) => Comes::Waits,
                comes => comes,
            },
        }
    }

    fn step(&mut self, id: Id, step: &Step) -> Comes<u64> {
        if step.form == Form::When(false) {
            return Comes::Value(SKIPPED);
        }
        let comes = match self.deed(id, &step.deed) {
            Comes::Value(_) | Comes::Fails(_) if self.waits_now() && step.may_wait() => return Comes::Waits,
            Comes::Value(_) if decisions::keeps(&step.value) == Kept::No => {
                Comes::Fails(BTreeSet::from([Class::Unkept]))
            }
            Comes::Value(_) => Comes::Value(typed!(step.value, value => digest(&value))),
            other => other,
        };
        match (comes, step.form) {
            (Comes::Fails(_), Form::OrValue | Form::OrElse) => Comes::Value(digest(&FALLBACK)),
            (comes, _) => comes,
        }
    }

    /// The operation of a step, a branch or an item.
    fn deed(&mut self, id: Id, deed: &Deed) -> Comes<u64> {
        match self.parts(&deed.inner) {
            Comes::Value(_) if deed.fails == Fails::Always => {
                Comes::Fails(BTreeSet::from([Class::Own(id.0, id.1)]))
            }
            Comes::Value(inner) => {
                self.must.insert(id);
                Comes::Value(mix(inner, u64::from(id.1) + 3))
            }
            other => other,
        }
    }

    /// Several at once. `all_end`: the others come to their end if one fails.
    fn beside(&mut self, id: u16, deeds: &[Deed], all_end: bool) -> Comes<u64> {
        let before = self.now();
        let comes: Vec<_> = (0..).zip(deeds).map(|(index, deed)| self.deed((id, index), deed)).collect();
        let ended = together(&comes);
        // A branch that waits does not come to its end if another one fails, also if that one backs off before.
        let fails = matches!(ended, Comes::Fails(_)) || !deeds.iter().all(succeeds);
        if fails && (!all_end || deeds.iter().any(Deed::may_wait)) {
            self.unsure_since(before);
        }
        ended
    }

    /// Whether the oracle is asked about a run that waits.
    const fn waits_now(&self) -> bool {
        self.answered.is_some()
    }

    fn each(&mut self, id: u16, each: &Each) -> Comes<u64> {
        let before = self.now();
        let mut comes = Vec::new();
        for (index, deed) in (0..).zip(&each.items) {
            // An item that waits may keep the next one from beginning.
            let waiting = comes.iter().filter(|comes| **comes == Comes::Waits).count();
            if waiting < usize::from(each.concurrency.max(1)) {
                comes.push(self.deed((id, index), deed));
            }
        }
        if !each.settle {
            let ended = together(&comes);
            if !matches!(ended, Comes::Value(_)) {
                // Which items begin after the first failure is a matter of timing.
                self.unsure_since(before);
            }
            return ended;
        }
        if comes.contains(&Comes::Waits) {
            return Comes::Waits;
        }
        Comes::Value(comes.iter().fold(0, |digest, comes| match comes {
            Comes::Value(value) => mix(digest, *value),
            _ => mix(digest, HANDLED),
        }))
    }

    /// The first call that succeeds wins. Those with the same number of ticks are polled in their order.
    fn race(&mut self, id: u16, deeds: &[Deed]) -> Comes<u64> {
        let before = self.now();
        let comes: Vec<_> = (0..).zip(deeds).map(|(index, deed)| self.deed((id, index), deed)).collect();
        self.unsure_since(before);
        let in_time = comes.iter().zip(deeds);
        let succeeded = in_time.filter_map(|(comes, deed)| match comes {
            Comes::Value(value) => Some((deed.ticks, *value)),
            _ => None,
        });
        match succeeded.min_by_key(|(ticks, _)| *ticks) {
            // The value of a race is a number, which is recorded as it is.
            Some((_, value)) => Comes::Value(value),
            None => together(&comes),
        }
    }

    fn ask(&mut self, id: u16, Ask { reply, .. }: Ask) -> Comes<u64> {
        self.asked.insert(id);
        if self.answered.is_some_and(|answered| !answered.contains(&id)) {
            return Comes::Waits;
        }
        match reply {
            Reply::Value(value) => Comes::Value(value),
            Reply::Rejected => Comes::Fails(BTreeSet::from([Class::Rejected])),
            Reply::Never => Comes::Fails(BTreeSet::from([Class::Expired])),
        }
    }

    fn receive(&mut self, id: u16, mail: Mail) -> Comes<u64> {
        self.asked.insert(id);
        if self.answered.is_some_and(|answered| !answered.contains(&id)) {
            return Comes::Waits;
        }
        if mail.comes {
            Comes::Value((0..mail.count).fold(0, |digest, number| mix(digest, message(id, number))))
        } else {
            Comes::Fails(BTreeSet::from([Class::Expired]))
        }
    }

    fn now(&self) -> Before {
        Before { must: self.must.clone(), asked: self.asked.clone(), children: self.children.clone() }
    }

    /// Whether the effects and questions since then happen is a matter of timing.
    fn unsure_since(&mut self, Before { must, asked, children }: Before) {
        (self.asked, self.children) = (asked, children);
        let now = std::mem::replace(&mut self.must, must);
        self.may.extend(now.difference(&self.must).copied().collect::<Vec<_>>());
    }
}

/// Returns whether the undo of a part may wait.
fn undo_may_wait(part: &Part) -> bool {
    let undo = match &part.what {
        What::SagaStep(_, undo) | What::SagaParallel(_, undo) | What::SagaEach(_, undo) => undo.may_wait(),
        _ => false,
    };
    undo || part.lists().into_iter().flatten().any(undo_may_wait)
}

/// The certain effects and questions before a concurrent part.
struct Before {
    must: BTreeSet<Id>,
    asked: BTreeSet<u16>,
    children: BTreeSet<u16>,
}

/// Returns the outcome of concurrent parts. A failure has precedence over a wait.
fn together(comes: &[Comes<u64>]) -> Comes<u64> {
    let mut classes = BTreeSet::new();
    let mut digest = 0;
    let mut waits = false;
    for comes in comes {
        match comes {
            Comes::Value(value) => digest = mix(digest, *value),
            Comes::Fails(others) => classes.extend(others.iter().copied()),
            Comes::Waits => waits = true,
        }
    }
    match (classes.is_empty(), waits) {
        (false, _) => Comes::Fails(classes),
        (true, true) => Comes::Waits,
        (true, false) => Comes::Value(digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Ending;

    fn body(parts: Vec<Part>) -> Body {
        Body { parts, ending: Ending::Nothing }
    }

    fn part(id: u16, what: What) -> Part {
        Part { id, handled: false, what }
    }

    fn asking(id: u16) -> Deed {
        let ask = Ask { reply: Reply::Value(1), expires: None };
        Deed { inner: vec![part(id, What::Ask(ask))], ..Deed::default() }
    }

    #[test]
    fn branches_that_wait_are_asked_together() {
        let body = body(vec![part(1, What::Parallel(vec![asking(2), asking(3)]))]);
        assert_eq!(asked(&body, &BTreeSet::new()), BTreeSet::from([2, 3]));
    }

    #[test]
    fn a_branch_that_fails_wins_over_one_that_waits() {
        let fails = Deed { fails: Fails::Always, ..Deed::default() };
        let (comes, oracle) = foretell(&body(vec![part(1, What::Parallel(vec![asking(2), fails]))]));
        assert_eq!(comes, Comes::Fails(BTreeSet::from([Class::Own(1, 1)])));
        assert!(oracle.must.is_empty() && oracle.may.contains(&(1, 0)));
    }
}
