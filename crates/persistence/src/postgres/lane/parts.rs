//! Operations of one kind, from the queue to their answers.

use awaitly_core::store::StoreError;
use sqlx::Error;

use super::Lane;
use super::work::Work;
use crate::postgres::error::{Reason, store_error};
use crate::postgres::patience::{Pause, within};

/// Operations of one kind, in the parts in which they are tried. The last element is the next part.
pub(super) struct Parts<W>(Vec<Part<W>>);

struct Part<W> {
    ops: Vec<W>,
    /// Whether an earlier attempt may have been committed and its answer was lost.
    again: bool,
}

impl<W: Work> Parts<W> {
    pub(super) fn one(ops: Vec<W>) -> Self {
        Self::of([ops])
    }

    /// Creates the parts in order; the first one is tried first.
    pub(super) fn of(parts: impl IntoIterator<Item = Vec<W>, IntoIter: DoubleEndedIterator>) -> Self {
        let parts = parts.into_iter().rev().filter(|ops| !ops.is_empty());
        Self(parts.map(|ops| Part { ops, again: false }).collect())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &W> {
        self.0.iter().flat_map(|part| &part.ops)
    }

    /// Carries out all parts. Returns an error if it may pass: the remaining parts can be tried again.
    pub(super) async fn carry_out(&mut self, lane: &mut Lane) -> Result<(), Error> {
        while let Some(Part { ops, again }) = self.0.pop() {
            let Some(longest) = ops.iter().map(|op| op.patience().longest()).min() else { continue };
            let error = match within(longest, W::attempt(lane, &ops, again)).await {
                Ok(done) => {
                    W::answer(lane, ops, done);
                    continue;
                }
                Err(error) => error,
            };
            let reason = Reason::of(&error);
            if W::APART && ops.len() > 1 && reason == Reason::Single {
                // One of the operations may be the cause, so each is tried separately.
                self.0.extend(ops.into_iter().rev().map(|op| Part { ops: vec![op], again }));
                continue;
            }
            lane.failed(&error);
            if reason == Reason::Passing {
                self.0.push(Part { ops, again: true });
                return Err(error);
            }
            let refusal = store_error(&error);
            W::refuse(lane, ops, &refusal);
            self.refuse_late(lane, Pause::new(), &refusal);
        }
        Ok(())
    }

    /// Gives up the operations for which an attempt after this pause is too late.
    pub(super) fn refuse_late(&mut self, lane: &mut Lane, pause: Pause, error: &StoreError) {
        for part in &mut self.0 {
            let late = part.ops.extract_if(.., |op| op.patience().is_over_after(pause)).collect();
            W::refuse(lane, late, error);
        }
        self.0.retain(|part| !part.ops.is_empty());
    }
}
