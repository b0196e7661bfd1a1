//! Smaller cases that break the same promise.

use crate::case::{Accident, Case, Kind};
use crate::part::{Ask, Deed, Each, Ending, Fails, Form, Mail, Part, Reply, Sentry, Step, Undo, What};
use crate::value::Value;

/// The smallest case that `breaks` as this one does, after at most so many tries.
pub(crate) async fn shrink(mut case: Case, most: u32, mut breaks: impl AsyncFnMut(&Case) -> bool) -> Case {
    let mut tries = 0;
    'smaller: loop {
        for candidate in candidates(&case) {
            tries += 1;
            if tries > most {
                return case;
            }
            if breaks(&candidate).await {
                case = candidate;
                continue 'smaller;
            }
        }
        return case;
    }
}

/// The cases that are a little smaller, the smallest first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut smaller = Vec::new();
    let mut add = |change: &mut dyn FnMut(&mut Case) -> bool| {
        let mut candidate = case.clone();
        if change(&mut candidate) {
            smaller.push(candidate);
        }
    };
    let mut ids = Vec::new();
    case.body.walk(&mut |part, _| ids.push(part.id));
    for id in &ids {
        add(&mut |case| replace(&mut case.body.parts, *id, &mut |_| Some(Vec::new())));
        add(&mut |case| replace(&mut case.body.parts, *id, &mut hoisted));
    }
    for number in 0..case.accidents.len() {
        add(&mut |case| {
            case.accidents.remove(number);
            true
        });
    }
    add(&mut |case| std::mem::replace(&mut case.body.ending, Ending::Nothing) != Ending::Nothing);
    add(&mut |case| {
        case.timetable.as_mut().is_some_and(|table| table.times > 1 && drop_one(&mut table.times))
    });
    add(&mut |case| case.timetable.as_mut().is_some_and(|table| std::mem::take(&mut table.late)));
    for id in &ids {
        for simplify in SIMPLER {
            add(&mut |case| {
                let mut changed = false;
                replace(&mut case.body.parts, *id, &mut |part| {
                    let mut part = part.clone();
                    changed = simplify(&mut part);
                    Some(vec![part])
                });
                changed
            });
        }
    }
    for number in 0..case.accidents.len() {
        for earlier in EARLIER {
            add(&mut |case| case.accidents.get_mut(number).is_some_and(earlier));
        }
    }
    smaller
}

/// Puts other parts in the place of the one with this number. Returns whether it was there and anything changed.
fn replace(parts: &mut Vec<Part>, id: u16, by: &mut impl FnMut(&Part) -> Option<Vec<Part>>) -> bool {
    if let Some(at) = parts.iter().position(|part| part.id == id) {
        let Some(others) = parts.get(at).and_then(by) else { return false };
        parts.splice(at..=at, others);
        return true;
    }
    parts.iter_mut().any(|part| part.lists_mut().into_iter().any(|list| replace(list, id, by)))
}

/// The parts inside of a part, which may stand in its place.
fn hoisted(part: &Part) -> Option<Vec<Part>> {
    if let What::Saga(inner) = &part.what
        && inner.iter().any(is_of_saga)
    {
        return None;
    }
    let inner: Vec<_> = part.lists().into_iter().flatten().cloned().collect();
    (!inner.is_empty()).then_some(inner)
}

/// Whether a part stands in sagas only.
const fn is_of_saga(part: &Part) -> bool {
    matches!(part.what, What::Nested(_) | What::SagaStep(..) | What::SagaParallel(..) | What::SagaEach(..))
}

const EARLIER: [fn(&mut Accident) -> bool; 4] = [
    |accident| accident.boundary > 1 && lower(&mut accident.boundary, 2),
    |accident| accident.boundary > 1 && drop_one(&mut accident.boundary),
    |accident| accident.execution > 0 && drop_one(&mut accident.execution),
    |accident| match &mut accident.kind {
        Kind::Deadline(units) if *units > 1 => drop_one(units),
        _ => false,
    },
];

const SIMPLER: &[fn(&mut Part) -> bool] = &[
    |part| std::mem::take(&mut part.handled),
    |part| deeds(part).into_iter().any(|deed| std::mem::take(&mut deed.ticks) > 0),
    |part| deeds(part).into_iter().any(|deed| !std::mem::take(&mut deed.inner).is_empty()),
    |part| deeds(part).into_iter().any(|deed| std::mem::take(&mut deed.fails) != Fails::Never),
    |part| {
        on_step(part, |step| {
            let simple = Value::Number(7);
            step.value != simple && {
                step.value = simple;
                true
            }
        })
    },
    |part| {
        on_step(part, |step| {
            let repeats = step.attempts > 1 || step.backoff > 0;
            (step.attempts, step.backoff) = (1, 0);
            if matches!(step.deed.fails, Fails::First(_)) {
                step.deed.fails = Fails::Never;
            }
            if matches!(step.guard, Some(Sentry::Refuses(_))) {
                step.guard = None;
            }
            repeats
        })
    },
    |part| on_step(part, |step| step.attempts > 2 && !fails_first(step) && drop_one(&mut step.attempts)),
    |part| on_step(part, |step| std::mem::take(&mut step.backoff) > 0),
    |part| on_step(part, |step| step.guard.take().is_some()),
    |part| {
        on_step(part, |step| match &mut step.guard {
            Some(Sentry::Refuses(times)) if *times > 1 => drop_one(times),
            _ => false,
        })
    },
    |part| on_step(part, |step| std::mem::replace(&mut step.form, Form::Plain) != Form::Plain),
    |part| match &mut part.what {
        What::Parallel(deeds) | What::Race(deeds) if deeds.len() > 2 => deeds.pop().is_some(),
        _ => false,
    },
    |part| match &mut part.what {
        What::Parallel(deeds) | What::Race(deeds) if deeds.len() > 2 => {
            deeds.remove(0);
            true
        }
        _ => false,
    },
    |part| on_each(part, |each| each.items.len() > 1 && each.items.pop().is_some()),
    |part| {
        on_each(part, |each| {
            each.items.len() > 1 && {
                each.items.remove(0);
                true
            }
        })
    },
    |part| on_each(part, |each| std::mem::take(&mut each.key_by)),
    |part| on_each(part, |each| std::mem::take(&mut each.settle)),
    |part| on_each(part, |each| each.concurrency > 1 && drop_one(&mut each.concurrency)),
    |part| match &mut part.what {
        What::Sleep(units) if *units > 3 => {
            *units = 3;
            true
        }
        What::Ask(ask) => {
            let simple = Ask { reply: Reply::Value(7), expires: None };
            let changed = ask.reply != simple.reply || ask.expires.is_some();
            *ask = simple;
            changed
        }
        _ => false,
    },
    |part| match &mut part.what {
        What::SagaStep(_, undo) | What::SagaParallel(_, undo) | What::SagaEach(_, undo) => {
            let changed = undo.fails != Fails::Never || !undo.inner.is_empty();
            *undo = Undo { attempts: 1, ..Undo::default() };
            changed
        }
        _ => false,
    },
    |part| {
        let What::SagaStep(step, _) = &part.what else { return false };
        part.what = What::Step(step.clone());
        true
    },
    |part| match &mut part.what {
        What::Child(child) => std::mem::take(&mut child.detached),
        What::Receive(mail) => {
            let simple = Mail { count: 1, within: None, comes: true, twice: false };
            std::mem::replace(mail, simple) != simple
        }
        _ => false,
    },
    |part| match &mut part.what {
        What::Receive(mail) => std::mem::take(&mut mail.twice),
        _ => false,
    },
    |part| {
        let is_large = matches!(
            part.what,
            What::Parallel(_) | What::Race(_) | What::Each(_) | What::Call(_) | What::Child(_)
        );
        if is_large {
            part.what = What::Step(Step::of(Deed::default()));
        }
        is_large
    },
];

fn deeds(part: &mut Part) -> Vec<&mut Deed> {
    match &mut part.what {
        What::Step(step) | What::SagaStep(step, _) => vec![&mut step.deed],
        What::Parallel(deeds) | What::Race(deeds) | What::SagaParallel(deeds, _) => {
            deeds.iter_mut().collect()
        }
        What::Each(each) | What::SagaEach(each, _) => each.items.iter_mut().collect(),
        _ => Vec::new(),
    }
}

fn on_step(part: &mut Part, change: impl FnOnce(&mut Step) -> bool) -> bool {
    match &mut part.what {
        What::Step(step) | What::SagaStep(step, _) => change(step),
        _ => false,
    }
}

fn on_each(part: &mut Part, change: impl FnOnce(&mut Each) -> bool) -> bool {
    match &mut part.what {
        What::Each(each) | What::SagaEach(each, _) => change(each),
        _ => false,
    }
}

const fn fails_first(step: &Step) -> bool {
    matches!(step.deed.fails, Fails::First(_))
}

fn drop_one<N: std::ops::SubAssign + From<u8>>(number: &mut N) -> bool {
    *number -= N::from(1);
    true
}

const fn lower(number: &mut u16, by: u16) -> bool {
    *number /= by;
    true
}
