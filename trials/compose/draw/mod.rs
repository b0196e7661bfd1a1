//! Bodies and accidents, drawn from a seed.

mod accidents;

use fastrand::Rng;

use crate::case::{Case, Timetable};
use crate::feature::{Feature, Features};
use crate::oracle;
use crate::part::{
    Ask, Body, Child, Deed, Each, Ending, Fails, Form, Mail, Part, Reply, Sentry, Step, Undo, What,
};
use crate::value::Value;

/// Draws the case of a seed.
pub(crate) fn case(seed: u64, features: Features) -> Case {
    let mut maker = Maker { dice: Rng::with_seed(seed), features, ids: 0 };
    if maker.draws(Feature::Schedules, 32) {
        return maker.scheduled(seed);
    }
    let by_worker = maker.one_in(4);
    let parts = maker.parts(4, Place { by_worker, ..Place::default() });
    let ending = maker.ending();
    let body = Body { parts, ending };
    let accidents = maker.accidents(&body);
    Case { body, accidents, timetable: None, seed }
}

struct Maker {
    dice: Rng,
    features: Features,
    ids: u16,
}

/// The surroundings of a part.
#[derive(Clone, Copy, Default)]
struct Place {
    depth: u8,
    /// The part is built by the body of a saga.
    in_saga: bool,
    /// The part is built by the operation of a step, outside of a saga.
    in_operation: bool,
    /// The operation that builds the part may be attempted again, so no part in it may wait for an answer or a time.
    again: bool,
    /// A worker executes the run.
    by_worker: bool,
}

/// The features that a run of a schedule does not have: nobody answers it, and it is one of several.
const UNSCHEDULED: &[Feature] = &[
    Feature::Questions,
    Feature::Calls,
    Feature::TooLate,
    Feature::Cancels,
    Feature::Tokens,
    Feature::Undoing,
    Feature::Deadlines,
    Feature::Renames,
    Feature::Again,
    Feature::Answers,
];

impl Maker {
    /// Draws a case whose runs a schedule starts.
    fn scheduled(mut self, seed: u64) -> Case {
        self.features = self.features.minus(UNSCHEDULED);
        let parts = self.parts(2, Place { depth: 1, ..Place::default() });
        let body = Body { parts, ending: self.ending() };
        let accidents = self.accidents(&body);
        let timetable = Some(Timetable { times: self.dice.u8(1..=3), late: self.one_in(3) });
        Case { body, accidents, timetable, seed }
    }

    fn has(&self, feature: Feature) -> bool {
        self.features.has(feature)
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.dice.u32(..times) == 0
    }

    /// Returns whether a feature is in use and drawn.
    fn draws(&mut self, feature: Feature, one_in: u32) -> bool {
        self.has(feature) && self.one_in(one_in)
    }

    fn parts(&mut self, most: usize, place: Place) -> Vec<Part> {
        (0..self.dice.usize(1..=most)).map(|_| self.part(place)).collect()
    }

    fn part(&mut self, place: Place) -> Part {
        self.ids += 1;
        let id = self.ids;
        let what = self.what(place);
        let handled = self.draws(Feature::Handling, 6) && !matches!(what, What::TooLate);
        Part { id, handled, what }
    }

    fn what(&mut self, place: Place) -> What {
        let inner = Place { depth: place.depth + 1, ..place };
        let deep = place.depth >= 3;
        if place.by_worker
            && self.one_in(4)
            && let Some(what) = self.of_engine(place)
        {
            return what;
        }
        match self.dice.u8(..24) {
            0 | 1 if self.has(Feature::Questions) && !place.again => What::Ask(self.ask(true)),
            2 if self.has(Feature::Sleeps) && !place.again => What::Sleep(self.dice.u8(1..=6)),
            3 if self.has(Feature::Race) => {
                let calls = (0..self.dice.u8(2..=3)).map(|_| self.plain_deed());
                What::Race(calls.collect())
            }
            4 if self.has(Feature::Resources) && !deep => {
                let in_operation = place.in_operation || place.in_saga;
                What::Resource(self.parts(2, Place { in_saga: false, in_operation, ..inner }))
            }
            5 if self.has(Feature::Calls) && !deep && !place.again => What::Call(
                self.parts(2, Place { in_saga: false, in_operation: true, by_worker: false, ..inner }),
            ),
            6..=8 if self.has(Feature::Parallel) && !deep => {
                if place.in_saga && self.dice.bool() {
                    let deeds = vec![self.deed(place), self.deed(place)];
                    What::SagaParallel(deeds, self.undo(place, false))
                } else {
                    let branches = (0..self.dice.u8(2..=3)).map(|_| self.deed(place));
                    What::Parallel(branches.collect())
                }
            }
            9..=10 if self.has(Feature::Each) && !deep => {
                let undone = place.in_saga && self.dice.bool();
                let each = self.each(place);
                if undone { What::SagaEach(each, self.undo(place, false)) } else { What::Each(each) }
            }
            11..=14 if self.has(Feature::Sagas) && !deep && !place.in_operation => {
                let inner = Place { in_saga: true, ..inner };
                let parts = self.parts(4, inner);
                if place.in_saga { What::Nested(parts) } else { What::Saga(parts) }
            }
            15 if self.has(Feature::TooLate) && place.depth == 0 && self.one_in(3) => What::TooLate,
            _ => {
                let undone = place.in_saga && !self.one_in(4);
                let step = self.step(place, undone);
                if undone { What::SagaStep(step, self.undo(place, true)) } else { What::Step(step) }
            }
        }
    }

    /// Draws a part that only a worker executes.
    fn of_engine(&mut self, place: Place) -> Option<What> {
        if self.dice.bool() {
            return (self.has(Feature::Mail) && !place.again).then(|| What::Receive(self.mail()));
        }
        if !self.has(Feature::Children) || place.depth >= 3 {
            return None;
        }
        // A child that is started again has no saga, because each attempt is a run of its own.
        let inner = Place { depth: place.depth + 1, in_saga: false, in_operation: place.again, ..place };
        Some(What::Child(Child { parts: self.parts(2, inner), detached: self.one_in(3) }))
    }

    fn mail(&mut self) -> Mail {
        let (count, twice) = (self.dice.u8(1..=3), self.one_in(3));
        match self.dice.u8(..8) {
            0 if self.has(Feature::Refusals) => {
                Mail { count: 1, within: Some(self.dice.u16(1..=4)), comes: false, twice }
            }
            1 => Mail { count, within: Some(20_000), comes: true, twice },
            _ => Mail { count, within: None, comes: true, twice },
        }
    }

    fn step(&mut self, place: Place, undone: bool) -> Step {
        let again = self.draws(Feature::Retries, 4);
        let attempts = if again { self.dice.u8(2..=4) } else { 1 };
        let mut step = Step {
            deed: self.deed(Place { again: place.again || again, ..place }),
            value: self.value(),
            attempts,
            backoff: if again && self.one_in(3) { self.dice.u8(1..=4) } else { 0 },
            guard: None,
            form: Form::Plain,
        };
        if again && step.deed.fails == Fails::Never && self.draws(Feature::Failures, 2) {
            step.deed.fails = Fails::First(self.dice.u8(1..attempts));
        }
        if self.draws(Feature::Guards, 6) {
            step.guard = match self.dice.u8(..3) {
                0 if step.deed.fails == Fails::Never && oracle::succeeds(&step.deed) => Some(Sentry::Breaker),
                1 if again => Some(Sentry::Refuses(self.dice.u8(1..=5))),
                _ => Some(Sentry::Slots),
            };
        }
        let form = match self.dice.u8(..12) {
            0 | 1 if self.has(Feature::Fallbacks) => Form::OrValue,
            2 if self.has(Feature::Fallbacks) => Form::OrElse,
            3 if self.has(Feature::Conditions) => Form::When(self.dice.bool()),
            _ => Form::Plain,
        };
        if !undone && form != Form::Plain {
            (step.form, step.value) = (form, Value::Number(self.dice.u64(..100)));
        }
        step
    }

    /// Draws an operation that may contain parts.
    fn deed(&mut self, place: Place) -> Deed {
        let mut deed = self.plain_deed();
        if place.depth < 3 && self.draws(Feature::Nesting, 4) {
            let inner = Place { depth: place.depth + 1, in_saga: false, in_operation: true, ..place };
            deed.inner = self.parts(2, inner);
        }
        deed
    }

    fn plain_deed(&mut self) -> Deed {
        let fails = if self.draws(Feature::Failures, 8) { Fails::Always } else { Fails::Never };
        let ticks = if self.one_in(3) { self.dice.u8(..3) } else { 0 };
        Deed { ticks, fails, inner: Vec::new() }
    }

    fn each(&mut self, place: Place) -> Each {
        let items = (0..self.dice.u8(1..=3)).map(|_| self.deed(place)).collect();
        let settle = self.one_in(4);
        Each { items, concurrency: self.dice.u8(1..=3), key_by: self.one_in(4), settle }
    }

    /// `may_start`: the compensation may start a child, because it undoes one effect only.
    fn undo(&mut self, place: Place, may_start: bool) -> Undo {
        let mut undo = Undo { fails: Fails::Never, attempts: 1, inner: Vec::new() };
        if !self.has(Feature::Undos) {
            return undo;
        }
        match self.dice.u8(..12) {
            0 => undo.fails = Fails::Always,
            1 => (undo.fails, undo.attempts) = (Fails::First(1), 2),
            2 if self.has(Feature::Questions) => {
                self.ids += 1;
                let what = What::Ask(self.ask(false));
                undo.inner = vec![Part { id: self.ids, handled: false, what }];
            }
            3 if may_start && place.by_worker && self.has(Feature::Children) => {
                self.ids += 2;
                let step = Step::of(Deed::default());
                let step = Part { id: self.ids, handled: false, what: What::Step(step) };
                let what = What::Child(Child { parts: vec![step], detached: self.one_in(3) });
                undo.inner = vec![Part { id: self.ids - 1, handled: false, what }];
            }
            _ => {}
        }
        undo
    }

    fn ask(&mut self, may_refuse: bool) -> Ask {
        let value = Reply::Value(self.dice.u64(..100));
        match self.dice.u8(..8) {
            0 if may_refuse && self.has(Feature::Refusals) => Ask { reply: Reply::Rejected, expires: None },
            1 if may_refuse && self.has(Feature::Refusals) => {
                Ask { reply: Reply::Never, expires: Some(self.dice.u16(1..=4)) }
            }
            2 => Ask { reply: value, expires: Some(20_000) },
            _ => Ask { reply: value, expires: None },
        }
    }

    fn value(&mut self) -> Value {
        if self.draws(Feature::Values, 10) {
            if self.one_in(400) {
                return Value::Huge;
            }
            if let Some(value) = self.dice.choice(Value::AWKWARD) {
                return *value;
            }
        }
        Value::Number(self.dice.u64(..100))
    }

    fn ending(&mut self) -> Ending {
        if !self.draws(Feature::Results, 20) {
            return Ending::Nothing;
        }
        match self.dice.u8(..4) {
            0 => Ending::Float(f64::NAN),
            1 => Ending::Wide(u128::MAX),
            2 => Ending::Wide(5),
            _ => Ending::Float(0.5),
        }
    }
}
