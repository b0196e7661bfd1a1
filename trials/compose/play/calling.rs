//! The call of a workflow, in one execution of a run.

use std::sync::Arc;

use awaitly::Workflow;
use awaitly::journal::Migration;

use super::Play;
use crate::case::Kind;
use crate::fault::{Ended, Served};
use crate::feature::Feature;
use crate::gate::Gate;
use crate::life::Life;
use crate::perform::{self, Process, Services, name_of};
use crate::told::Told;

/// By which call a run is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Run,
    Retry,
    Cancel,
}

/// A run without a worker has no children.
const NO_CHILDREN: Served = Served::new("none");

impl Play<'_> {
    /// Calls the workflow.
    pub(super) fn perform<'p>(
        &'p self,
        life: &'p Life,
        services: Arc<Services>,
        told: &Told,
        by: By,
    ) -> impl Future<Output = Ended> + use<'p> {
        let base = |name: String| {
            let pace = self.pace;
            let gate = Gate::new(life.clone(), life.place().any());
            let workflow = Workflow::new(name).store(gate).lease(pace.lease);
            let workflow = workflow.park_after(self.park_after()).seed(self.case.seed);
            if self.features.has(Feature::Events) { workflow.observe(told.clone()) } else { workflow }
        };
        let process = Process {
            world: Arc::clone(&self.world),
            life: life.clone(),
            services,
            unit: self.pace.unit,
            renamed: self.renamed(),
            inner: base(format!("in {}", self.run)),
            children: NO_CHILDREN,
        };
        let workflow = self.for_this_execution(base(self.workflow_name())).cancel_on(life.token());
        let body = &self.case.body;
        async move {
            let body = async |run: &awaitly::DurableRun| perform::body(&process, run, body).await;
            let run = self.run.to_shared();
            match by {
                By::Run => workflow.run(run, body).await,
                By::Retry => workflow.retry(run, body).await,
                By::Cancel => workflow.cancel(run, body).await,
            }
        }
    }

    /// The deadline and the version of this execution.
    pub(super) fn for_this_execution(&self, mut workflow: Workflow) -> Workflow {
        for accident in self.case.accidents.iter().filter(|accident| accident.execution == self.execution) {
            if let Kind::Deadline(units) = accident.kind {
                workflow = workflow.deadline(self.pace.unit * u32::from(units));
            }
        }
        let Some(id) = self.renamed() else { return workflow };
        let mut names = None;
        self.case.body.walk(&mut |part, _| {
            if part.id == id {
                names = Some((name_of(part, false), name_of(part, true)));
            }
        });
        match names {
            Some((old, new)) => workflow.version(2).migration(1, Migration::rename(old, new)),
            None => workflow,
        }
    }

    /// The part that has another name by now.
    pub(super) fn renamed(&self) -> Option<u16> {
        self.case.accidents.iter().find_map(|accident| match accident.kind {
            Kind::Rename(id) if accident.execution <= self.execution => Some(id),
            _ => None,
        })
    }

    /// Returns whether this execution has an accident of this kind.
    pub(super) fn has_accident(&self, is_it: impl Fn(Kind) -> bool) -> bool {
        let mut accidents = self.case.accidents.iter();
        accidents.any(|accident| accident.execution == self.execution && is_it(accident.kind))
    }
}
