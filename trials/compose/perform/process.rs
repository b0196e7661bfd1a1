//! The part of a case in one process, and the effects of its operations on the world.

use std::sync::Arc;
use std::time::Duration;

use awaitly::resilience::{CircuitBreaker, ConcurrencyLimiter};
use awaitly::retry::Jitter;
use awaitly::{DurableRun, Error, Retry, Workflow};

use super::{name_of, parts};
use crate::fault::{Fault, Served};
use crate::life::{Life, once};
use crate::part::{Deed, Fails, Id, Part};
use crate::value::mix;
use crate::world::World;

/// The part of a case in one process.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) world: Arc<World>,
    pub(crate) life: Life,
    pub(crate) services: Arc<Services>,
    /// How long a unit of time lasts.
    pub(crate) unit: Duration,
    /// The part that has another name.
    pub(crate) renamed: Option<u16>,
    /// The workflow of the runs that others call.
    pub(crate) inner: Workflow,
    /// The workflow of the children.
    pub(crate) children: Served,
}

/// The guards of the parts, which outlive a process.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) breakers: std::collections::BTreeMap<u16, CircuitBreaker>,
    pub(crate) slots: std::collections::BTreeMap<u16, ConcurrencyLimiter>,
}

impl Process {
    /// The name of a part in this version of the body.
    pub(crate) fn name(&self, part: &Part) -> String {
        name_of(part, self.renamed == Some(part.id))
    }

    /// The operation of a step, a branch or an item: its digest.
    pub(super) async fn operate(&self, run: &DurableRun, id: Id, deed: &Deed) -> Result<u64, Fault> {
        for _ in 0..deed.ticks {
            once().await;
            self.life.pass().await;
        }
        let inner = parts(self, run, &deed.inner).await?;
        self.act(id, deed.fails).await?;
        Ok(mix(inner, u64::from(id.1) + 3))
    }

    /// An effect, with a boundary before and after it.
    pub(super) async fn act(&self, id: Id, fails: Fails) -> Result<(), Fault> {
        self.life.pass().await;
        if !self.life.is_replaced() {
            self.note_failure();
            self.world.act(id, fails)?;
        }
        self.life.pass().await;
        Ok(())
    }

    /// Tells the world whether the store has failed in this execution.
    pub(super) fn note_failure(&self) {
        if self.life.notes().store_failed {
            self.world.books().interrupt();
        }
    }

    pub(super) fn saw(&self, id: Id, outcome: &Result<u64, Fault>) {
        if !self.life.is_replaced() {
            self.world.saw(id, false, outcome);
        }
    }

    pub(super) fn hold(&self, id: u16, by: i32) {
        if !self.life.is_replaced() {
            self.world.hold(id, by);
        }
    }

    /// The step, of which the world learns if it is dropped.
    pub(super) async fn watch<T, S>(&self, id: Id, step: S) -> Result<T, Fault>
    where
        S: IntoFuture<Output = Result<T, Error<Fault>>>,
    {
        let mut watched = Watched { process: self, id, ended: false };
        let ended = step.await;
        watched.ended = true;
        ended.map_err(Fault::from)
    }

    /// Without jitter, so that time passes alike in each execution.
    pub(super) fn retry(&self, attempts: u8, backoff: u8) -> Retry {
        let delay = self.unit * u32::from(backoff);
        Retry::fixed(delay).attempts(attempts.max(1).into()).max_delay(delay).jitter(Jitter::None)
    }
}

pub(super) struct Watched<'p> {
    pub(super) process: &'p Process,
    pub(super) id: Id,
    pub(super) ended: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.ended && !self.process.life.is_replaced() {
            self.process.world.dropped(self.id);
        }
    }
}
