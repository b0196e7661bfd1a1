use fastrand::Rng;

/// A saga as data.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) acts: Vec<Act>,
    /// Whether the body returns its own error at the end.
    pub(super) refuses: bool,
    pub(super) stops_on_failure: bool,
    /// The boundaries at which the executions die, one after another.
    pub(super) deaths: Vec<i64>,
}

#[derive(Debug)]
pub(super) struct Act {
    pub(super) what: What,
    /// Whether the body continues if this act fails.
    pub(super) handled: bool,
}

#[derive(Debug)]
pub(super) enum What {
    Step(Deed),
    /// A `parallel!` with this name. Its second entry has no compensation.
    Parallel(String, [Deed; 3]),
    Each {
        name: String,
        deeds: Vec<Deed>,
        concurrency: usize,
    },
    /// Branches that the body joins itself. It checks their failures after all of them have ended.
    Branches(Vec<Vec<Act>>),
    Nested(Vec<Act>),
}

/// A step, and the result of its operation and its compensation.
#[derive(Debug)]
pub(super) struct Deed {
    pub(super) key: String,
    /// The number of times that the operation yields before it starts.
    pub(super) ticks: u8,
    pub(super) does: Does,
    pub(super) undo: Option<Undo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Works,
    Refuses,
    /// Has its effect, but never returns.
    Hangs,
}

/// The result of a compensation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    Works,
    /// Fails at the first attempt.
    Stutters,
    /// Fails until it is repaired.
    Fails,
}

impl Program {
    pub(super) fn random(seed: u64) -> Self {
        let mut maker = Maker { dice: Rng::with_seed(seed), names: 0, steps: 0 };
        let acts = maker.acts(4, Place::Body);
        let Maker { mut dice, steps, .. } = maker;
        let stops_on_failure = !dice.bool();
        let deaths = (0..dice.u8(..=4)).map(|_| dice.i64(1..=10 + 9 * steps)).collect();
        Self { acts, refuses: dice.bool(), stops_on_failure, deaths }
    }
}

impl Act {
    /// Returns whether it contains sagas inside concurrent branches.
    pub(super) fn nests_in_branches(&self) -> bool {
        match &self.what {
            What::Branches(branches) => branches.iter().flatten().any(Self::nests),
            What::Nested(acts) => acts.iter().any(Self::nests_in_branches),
            _ => false,
        }
    }

    const fn nests(&self) -> bool {
        matches!(self.what, What::Nested(_))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Body,
    Nested,
    /// A branch of a body. Concurrent sagas take their keys in the order in which they start, so only the first act of a
    /// branch may be a saga.
    Branch,
    NestedInBranch,
}

struct Maker {
    dice: Rng,
    names: u32,
    steps: i64,
}

impl Maker {
    fn acts(&mut self, most: usize, place: Place) -> Vec<Act> {
        (0..self.dice.usize(1..=most)).map(|number| self.act(place, number == 0)).collect()
    }

    fn act(&mut self, place: Place, first: bool) -> Act {
        let may_branch = matches!(place, Place::Body | Place::Nested);
        let may_nest = may_branch || (place == Place::Branch && first);
        let what = match self.dice.u8(..10) {
            0 => {
                let name = self.name('p');
                let [a, b, c] = [("a", true), ("b", false), ("c", true)].map(|(entry, undoes)| {
                    let undo = undoes.then(|| self.undo());
                    self.deed(format!("{name}.{entry}"), undo, true)
                });
                What::Parallel(name, [a, b, c])
            }
            1 | 2 => {
                let (name, count) = (self.name('e'), self.dice.usize(..=4));
                let undoes = self.dice.u8(..5) > 0;
                let deeds = (0..count).map(|number| {
                    let undo = undoes.then(|| self.undo());
                    self.deed(format!("{name}[{number}]"), undo, true)
                });
                What::Each { deeds: deeds.collect(), concurrency: self.dice.usize(1..=3), name }
            }
            3 if may_branch => {
                What::Branches((0..self.dice.u8(1..=3)).map(|_| self.acts(2, Place::Branch)).collect())
            }
            4 | 5 if may_nest => {
                What::Nested(self.acts(3, if may_branch { Place::Nested } else { Place::NestedInBranch }))
            }
            _ => {
                let undo = (self.dice.u8(..4) > 0).then(|| self.undo());
                let key = self.name('s');
                let mut deed = self.deed(key, undo, !may_branch);
                if self.dice.u8(..20) == 0 {
                    deed.does = Does::Hangs;
                }
                What::Step(deed)
            }
        };
        Act { what, handled: self.dice.u8(..3) == 0 }
    }

    fn name(&mut self, kind: char) -> String {
        self.names += 1;
        format!("{kind}{}", self.names)
    }

    fn deed(&mut self, key: String, undo: Option<Undo>, concurrent: bool) -> Deed {
        self.steps += 1;
        let does = if self.dice.u8(..8) == 0 { Does::Refuses } else { Does::Works };
        let ticks = if concurrent { self.dice.u8(..4) } else { 0 };
        Deed { key, ticks, does, undo }
    }

    fn undo(&mut self) -> Undo {
        match self.dice.u8(..10) {
            0 => Undo::Fails,
            1 | 2 => Undo::Stutters,
            _ => Undo::Works,
        }
    }
}
