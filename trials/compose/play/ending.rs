//! A run that has ended: whether it gives one result, all is done or undone, and it ended as its body says.

use awaitly::journal::Status;

use super::{Play, harness};
use crate::fault::{Class, Ended};
use crate::feature::Feature;
use crate::oracle::{self, Comes};
use crate::part::{Body, Id, Part, What};
use crate::promise::{Broken, Promise};
use crate::value::digest;
use crate::world::{Books, Saga};

impl Play<'_> {
    pub(super) async fn end(&mut self, status: Status) -> Result<(), Broken> {
        self.nothing_is_left(status)?;
        if status == Status::Cancelled && self.world.books().too_late && !self.was_requested {
            let text = "the run is cancelled, though it declared that it is too late".to_owned();
            return Err(Broken { promise: Promise::TooLate, text });
        }
        if let Some(engine) = &self.engine {
            self.children_ended(engine, status).await?;
            engine.post.refuses(self.place).await?;
        }
        let ended = self.same_result(status).await?;
        if !self.is_disturbed {
            self.as_predicted(&ended, status)?;
        }
        Ok(())
    }

    /// Every later call gives one result, and calls nothing.
    async fn same_result(&mut self, status: Status) -> Result<Ended, Broken> {
        let bodies = self.world.books().bodies;
        let again = self.look().await;
        let first = self.last.take().unwrap_or_else(|| again.clone());
        let twice = self.look().await;
        let copy = self.place.copy(&self.run).await.map_err(harness)?;
        let copied = match &copy {
            Some(copy) => Play { place: copy, ..self.clone() }.look().await,
            None => again.clone(),
        };
        let keeps = status != Status::Cancelled || self.features.has(Feature::Errors);
        for (which, other) in
            [("the next call", &again), ("the call after that", &twice), ("a copy", &copied)]
        {
            if keeps && digest(&first) != digest(other) {
                let text = format!("a call gave {}, {which} gives {}", shown(&first), shown(other));
                return Err(Broken { promise: Promise::SameResult, text });
            }
        }
        if self.world.books().bodies != bodies {
            let text = "the body of a run that has ended is called".to_owned();
            return Err(Broken { promise: Promise::SameResult, text });
        }
        Ok(first)
    }

    pub(super) fn as_predicted(&self, ended: &Ended, status: Status) -> Result<(), Broken> {
        let broken = |text| Err(Broken { promise: Promise::Predicted, text });
        let (comes, oracle) = oracle::foretell(&self.case.body);
        let agrees = match (&comes, ended) {
            (Comes::Value(fruit), Ok(ended)) => fruit == ended || races_another(self.case),
            (Comes::Fails(classes), Err(fault)) => classes.contains(&fault.class()),
            _ => false,
        };
        if !agrees || (ended.is_err() && status != Status::Failed) {
            let foretold = match comes {
                Comes::Value(_) => "a value".to_owned(),
                Comes::Fails(classes) => format!("one of {:?}", classes.into_iter().collect::<Vec<Class>>()),
                Comes::Waits => unreachable!("every question is answered in the end"),
            };
            return broken(format!("the run is {status} with {}, and not {foretold}", shown(ended)));
        }
        let books = self.world.books();
        let done = |id: &Id| books.effects.get(id).is_some_and(|effect| effect.done > 0);
        // What a frozen worker does is not counted, and an inner run may have stayed its own.
        if let Some(id) = oracle.must.iter().find(|id| !done(id)).filter(|_| !shares_a_call(self.case)) {
            return broken(format!("the effect of {id:?} did not take place"));
        }
        let expected = |id: &Id| oracle.must.contains(id) || oracle.may.contains(id);
        match books.effects.keys().find(|id| done(id) && !expected(id)) {
            Some(id) => broken(format!("the effect of {id:?} took place")),
            None => Ok(()),
        }
    }

    /// Each saga is done or undone. An ended run has no saga that is open.
    pub(super) fn nothing_is_left(&self, status: Status) -> Result<(), Broken> {
        if !status.has_ended() {
            return Ok(());
        }
        let books = self.world.books();
        sagas(&self.case.body, &books).map_err(|text| {
            let text = format!("the run is {status}, and {text}");
            Broken { promise: Promise::AllOrUndone, text }
        })
    }
}

/// With another worker or another call of the store in between, a race may be won by another call.
fn races_another(case: &crate::case::Case) -> bool {
    use crate::case::Kind;
    let slows = |kind| matches!(kind, Kind::Rival | Kind::Freeze | Kind::Cancel);
    let slowed = case.accidents.iter().any(|accident| slows(accident.kind));
    let mut races = false;
    case.body.walk(&mut |part, _| races |= matches!(part.what, What::Race(_)));
    slowed && races
}

/// Whether a worker is frozen, and the body calls another workflow.
fn shares_a_call(case: &crate::case::Case) -> bool {
    use crate::case::Kind;
    let mut calls = false;
    case.body.walk(&mut |part, _| calls |= matches!(part.what, What::Call(_)));
    calls && case.accidents.iter().any(|accident| accident.kind == Kind::Freeze)
}

fn shown(ended: &Ended) -> String {
    ended.as_ref().map_or_else(|fault| format!("`{fault}`"), |fruit| format!("the value {fruit:?}"))
}

fn sagas(body: &Body, books: &Books) -> Result<(), String> {
    let mut found = Ok(());
    body.walk(&mut |part, _| {
        if found.is_ok()
            && let What::Saga(inner) = &part.what
        {
            found = saga(part.id, inner, books, false);
        }
    });
    found
}

/// `undone`: a saga around it was undone.
fn saga(id: u16, inner: &[Part], books: &Books, undone: bool) -> Result<(), String> {
    let (undone, left, what) = match books.sagas.get(&id) {
        Some(Saga::Kept) if undone => (true, Vec::new(), "was undone with the one around it"),
        Some(Saga::Kept) => (false, Vec::new(), "was kept"),
        Some(Saga::Undone(left)) => (true, left.iter().filter_map(|key| id_of(key)).collect(), "was undone"),
        Some(Saga::Open) => (true, Vec::new(), "did not end"),
        None => (true, Vec::new(), "was not reached"),
    };
    for part in inner {
        let ids: Vec<Id> = match &part.what {
            What::Nested(parts) => {
                saga(part.id, parts, books, undone)?;
                continue;
            }
            What::SagaStep(..) => vec![(part.id, 0)],
            What::SagaParallel(deeds, _) => (0..).take(deeds.len()).map(|index| (part.id, index)).collect(),
            What::SagaEach(each, _) => (0..).take(each.items.len()).map(|index| (part.id, index)).collect(),
            _ => continue,
        };
        for effect in ids {
            let Some(state) = books.effects.get(&effect).filter(|state| state.done > 0) else { continue };
            let is_left = is_left(effect, &left, books);
            if state.stands && undone && !is_left {
                return Err(format!("saga {id} {what}, but the effect of {effect:?} stands"));
            }
            if !state.stands && !undone {
                return Err(format!("saga {id} {what}, but the effect of {effect:?} was undone"));
            }
        }
    }
    Ok(())
}

/// Whether the saga's error, or that of any other, names the effect as one that was not undone.
fn is_left(effect: Id, left: &[Id], books: &Books) -> bool {
    left.contains(&effect)
        || books.sagas.values().any(|saga| match saga {
            Saga::Undone(left) => left.iter().any(|key| id_of(key) == Some(effect)),
            _ => false,
        })
}

/// The effect under a key: `s3`, `e4[1]`, `e4[k1]`, `p5.b`.
fn id_of(key: &str) -> Option<Id> {
    let name = key.rsplit('/').next()?.get(1..)?;
    let end = name.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(name.len());
    let (digits, rest) = name.split_at(end);
    let rest = rest.strip_prefix("v2").unwrap_or(rest);
    let index = match rest.chars().next() {
        Some('.') => rest.as_bytes().get(1)?.checked_sub(b'a')?,
        Some('[') => rest.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()?,
        _ => 0,
    };
    Some((digits.parse().ok()?, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_known_by_the_key_of_its_step() {
        let keys =
            [("s3", (3, 0)), ("s3v2", (3, 0)), ("e4[1]", (4, 1)), ("e4v2[k2]", (4, 2)), ("p5.b", (5, 1))];
        for (key, id) in keys {
            assert_eq!(id_of(key), Some(id), "{key}");
        }
    }
}
