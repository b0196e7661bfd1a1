//! The search for runs that nothing continues.
//!
//! Each run that has not ended has a live lease, a time at which it is due, or an entry that waits for an answer, or it
//! is paused itself or by its queue. The doctor examines all runs that have not ended, and names each one that breaks
//! this rule.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::clock::mins;
use awaitly_core::journal::{Key, Status, Timestamp, WaitEntry};
use awaitly_core::store::{Dispatch, DueQuery, RunId, RunQuery, RunSummary, StoreError};

use crate::run::child_question;

/// The result of [`Client::doctor`](crate::Client::doctor).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The number of runs that have not ended.
    pub checked: usize,
    /// The runs that need attention.
    pub findings: Vec<Finding>,
}

/// A run that needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The run.
    pub run: RunId,
    /// The workflow.
    pub workflow: Arc<str>,
    /// The reason.
    pub ailment: Ailment,
}

/// The reason why a run needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ailment {
    /// No worker will ever continue the run. This is a defect of the library, or of a program that changed the store.
    Stuck,
    /// The run waits for a child that does not exist, or that has ended without answering the run.
    ChildIsGone {
        /// The step that waits.
        step: Key,
        /// The child.
        child: RunId,
    },
    /// The run has been due for more than a minute, and no worker has claimed it. Either no worker serves its workflow,
    /// or the workers are busy, or a limit of its queue delays it.
    Overdue {
        /// The time since which the run is due.
        since: Timestamp,
    },
}

impl Diagnosis {
    /// Returns the runs that no worker will ever continue.
    pub fn stuck(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !matches!(finding.ailment, Ailment::Overdue { .. }))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, workflow, ailment } = self;
        write!(f, "run `{run}` of `{workflow}` ")?;
        match ailment {
            Ailment::Stuck => f.write_str(
                "has no lease, no due time and no question: continue the run with `retry`, or cancel it",
            ),
            Ailment::ChildIsGone { step, child } => write!(
                f,
                "waits at `{step}` for the child `{child}`, which has ended or is gone: continue the run with `retry`"
            ),
            Ailment::Overdue { .. } => f.write_str(
                "is due: start a worker that serves its workflow, or look at the limits of its queue",
            ),
        }
    }
}

/// The time after which a due run is overdue.
const OVERDUE: Duration = mins(1);

/// The maximum number of due runs that the doctor examines.
const MOST_DUE: usize = 10_000;

pub(super) async fn examine<S: Dispatch>(store: &S) -> Result<Diagnosis, StoreError> {
    let mut diagnosis = Diagnosis::default();
    let paused = paused_queues(store).await?;
    let open = [Status::Queued, Status::Running, Status::Waiting];
    let mut query = open.into_iter().fold(RunQuery::new().limit(1000), RunQuery::status);
    loop {
        let page = store.list(query.clone()).await?;
        diagnosis.checked += page.items.len();
        for run in page.items {
            diagnosis.findings.extend(examine_run(store, run).await?);
        }
        let Some(next) = page.next else { break };
        query = query.after(next);
    }
    overdue(store, &paused, &mut diagnosis).await?;
    Ok(diagnosis)
}

async fn paused_queues<S: Dispatch>(store: &S) -> Result<HashSet<Arc<str>>, StoreError> {
    let queues = store.queues().await?.into_iter().filter(|queue| queue.paused);
    Ok(queues.map(|queue| queue.settings.name).collect())
}

/// Examines a run, and loads it if its summary does not explain why it waits.
async fn examine_run<S: Dispatch>(store: &S, summary: RunSummary) -> Result<Option<Finding>, StoreError> {
    let RunSummary { run, workflow, status, wake, held, paused, .. } = summary;
    let is_explained = paused || held || wake.is_some() || status == Status::Running;
    if is_explained {
        return Ok(None);
    }
    let Some(stored) = store.load(&run).await? else { return Ok(None) };
    // The run may have continued in the meantime.
    if stored.header.status != status || stored.header.wake.is_some() {
        return Ok(None);
    }
    let finding = |ailment| Finding { run: run.clone(), workflow: Arc::clone(&workflow), ailment };
    if stored.waits.is_empty() {
        return Ok(Some(finding(Ailment::Stuck)));
    }
    let children: Vec<_> = stored.waits.iter().filter_map(child_of).collect();
    if children.len() < stored.waits.len() {
        // The run also waits for a person, another system or a message.
        return Ok(None);
    }
    let headers = store.headers(children.iter().map(|(_, child)| child.clone()).collect()).await?;
    let gone = children
        .into_iter()
        .zip(headers)
        .find(|(_, header)| header.as_ref().is_none_or(|header| header.status.has_ended()));
    let Some(((step, child), _)) = gone else { return Ok(None) };
    // The end of the child may have reached the run in the meantime.
    let still =
        store.load(&run).await?.is_some_and(|now| now.header.status == status && now.header.wake.is_none());
    Ok(still.then(|| finding(Ailment::ChildIsGone { step, child })))
}

/// Returns the child for which an entry waits, if the entry waits for a child.
fn child_of(entry: &WaitEntry) -> Option<(Key, RunId)> {
    Some((entry.key.clone(), child_question(entry)?.child))
}

async fn overdue<S: Dispatch>(
    store: &S,
    paused: &HashSet<Arc<str>>,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    let now = store.now().await?;
    let due = store.due(DueQuery::new().limit(MOST_DUE)).await?;
    let late: Vec<_> = due.into_iter().filter(|due| due.since.after(OVERDUE) < now).collect();
    for late in late.chunks(1000) {
        let headers = store.headers(late.iter().map(|due| due.run.clone()).collect()).await?;
        for (due, header) in late.iter().zip(headers) {
            if header.is_some_and(|header| !paused.contains(&header.place.queue)) {
                let ailment = Ailment::Overdue { since: due.since };
                let (run, workflow) = (due.run.clone(), Arc::clone(&due.workflow));
                diagnosis.findings.push(Finding { run, workflow, ailment });
            }
        }
    }
    Ok(())
}
