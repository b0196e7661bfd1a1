//! Accidents, drawn from a seed.

use super::Maker;
use crate::case::{Accident, Kind};
use crate::feature::Feature;
use crate::part::{Body, Part, What};

impl Maker {
    pub(super) fn accidents(&mut self, body: &Body) -> Vec<Accident> {
        let count = match self.dice.u8(..8) {
            0..=2 => 0,
            3..=5 => 1,
            6 => 2,
            _ => 3,
        };
        let mut accidents: Vec<_> = (0..count).filter_map(|_| self.accident(body)).collect();
        // One of each of these is enough.
        let mut renamed = false;
        if body.needs_worker() && accidents.iter().any(|accident| matches!(accident.kind, Kind::Rename(_))) {
            // The id of a child contains the key of its step. After a rename, a retry starts another child.
            accidents.retain(|accident| accident.kind != Kind::Again);
        }
        accidents.retain(|accident| match accident.kind {
            Kind::Rename(_) => !std::mem::replace(&mut renamed, true),
            _ => true,
        });
        accidents
    }

    fn accident(&mut self, body: &Body) -> Option<Accident> {
        let most = 8 + 6 * u16::try_from(body.count()).unwrap_or(8);
        let (execution, boundary) = (self.dice.u16(..4).min(self.dice.u16(..4)), self.dice.u16(1..=most));
        let at = |boundary, kind| Some(Accident { execution, boundary, kind });
        let by_worker = body.needs_worker();
        match self.dice.u8(..if by_worker { 19 } else { 16 }) {
            0..=2 if self.has(Feature::Deaths) => at(boundary, Kind::Death),
            3 | 4 if self.has(Feature::Stores) => at(boundary, Kind::StoreFails),
            5 if self.has(Feature::Cancels) => at(boundary, Kind::Cancel),
            6 if self.has(Feature::Cancels) => at(0, Kind::Cancel),
            7 if self.has(Feature::Tokens) => at(boundary, Kind::Token),
            8 if self.has(Feature::Rivals) => at(boundary, Kind::Rival),
            9 if self.has(Feature::Rivals) => at(boundary, Kind::Freeze),
            10 if self.has(Feature::Undoing) && !by_worker => at(0, Kind::Undo),
            11 if self.has(Feature::Deadlines) => at(0, Kind::Deadline(self.dice.u8(1..=4))),
            12 | 13 if self.has(Feature::Renames) => {
                let mut names = Vec::new();
                renameable(&body.parts, &mut names);
                let id = self.dice.choice(names)?;
                Some(Accident { execution: execution.max(1), boundary: 0, kind: Kind::Rename(id) })
            }
            14 if self.has(Feature::Again) => at(0, Kind::Again),
            15 if self.has(Feature::Answers) => {
                at(0, if self.dice.bool() { Kind::Early } else { Kind::Double })
            }
            16 | 17 => {
                let mut receives = Vec::new();
                body.walk(&mut |part, _| {
                    if matches!(part.what, What::Receive(_)) {
                        receives.push(part.id);
                    }
                });
                let id = self.dice.choice(receives)?;
                at(if self.one_in(4) { 0 } else { boundary }, Kind::Mail(id))
            }
            18 if self.has(Feature::Cancels) => at(if self.dice.bool() { boundary } else { 0 }, Kind::Cancel),
            _ => None,
        }
    }
}

/// The parts whose key is their name alone: those that no operation builds.
fn renameable(parts: &[Part], names: &mut Vec<u16>) {
    for part in parts {
        match &part.what {
            What::Saga(inner) | What::Nested(inner) | What::Resource(inner) => renameable(inner, names),
            // The mailbox has the name of its step.
            What::TooLate | What::Receive(_) => {}
            _ => names.push(part.id),
        }
    }
}
