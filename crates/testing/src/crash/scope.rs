//! The names of a case in a store that also holds the runs of other cases.
//!
//! A prefix separates the cases: the code under test uses its own names, and the store sees the names with the prefix.
//! The prefix applies to runs, workflows, queues and schedules, because a worker claims runs by their workflow.

use std::mem::take;
use std::sync::Arc;

use awaitly_core::dispatch::Parent;
use awaitly_core::journal::{Header, Payload, Refused};
use awaitly_core::store::around::{Parts, Reply};
use awaitly_core::store::{Lease, Opened, RunId, StoreError, StoredRun, Submit, Submitted};
use serde_json::Value;

/// The prefix of all names of a process. `None`: the store holds only the runs of the case.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope(Option<Arc<str>>);

impl Scope {
    /// Creates a scope with this prefix. An empty prefix changes no name.
    pub(super) fn new(prefix: String) -> Self {
        Self((!prefix.is_empty()).then(|| prefix.into()))
    }

    /// Returns the prefix, if the store also holds runs of other cases.
    pub(super) const fn prefix(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }

    /// Returns the run id in the store.
    pub(super) fn outer_run(&self, run: &RunId) -> Result<RunId, StoreError> {
        match &self.0 {
            None => Ok(run.clone()),
            Some(prefix) => RunId::new(format!("{prefix}{run}"))
                .map_err(|error| StoreError::Unavailable { detail: error.to_string().into() }),
        }
    }

    /// Returns the run id in the case, or `None` if the run belongs to another case.
    pub(super) fn inner_run(&self, run: &RunId) -> Option<RunId> {
        match &self.0 {
            None => Some(run.clone()),
            Some(prefix) => RunId::new(run.strip_prefix(&**prefix)?).ok(),
        }
    }

    /// Returns the lease with the run id in the store.
    pub(super) fn outer_lease(&self, lease: &Lease) -> Result<Lease, StoreError> {
        Ok(Lease::new(self.outer_run(lease.run())?, lease.token(), lease.slot()))
    }

    /// Replaces the names in a call with those in the store.
    pub(super) fn enter(&self, parts: Parts<'_>) -> Result<(), StoreError> {
        let Some(prefix) = &self.0 else { return Ok(()) };
        let name = |name: &mut Arc<str>| *name = format!("{prefix}{name}").into();
        let run = |run: &mut RunId| self.outer_run(run).map(|outer| *run = outer);
        match parts {
            Parts::Open { request } => {
                name(&mut request.workflow);
                run(&mut request.run)
            }
            Parts::Load { run: one }
            | Parts::Cancel { run: one }
            | Parts::CancelWithoutUndo { run: one }
            | Parts::Published { run: one, .. }
            | Parts::Stream { run: one, .. } => run(one),
            Parts::Import { run: one, stored } => {
                name(&mut stored.header.workflow);
                run(one)
            }
            Parts::List { query } => {
                query.workflow.iter_mut().chain(&mut query.queue).for_each(name);
                Ok(())
            }
            Parts::Waiting { query } => query.run.iter_mut().try_for_each(run),
            Parts::Due { query } => {
                query.workflows.iter_mut().for_each(name);
                Ok(())
            }
            Parts::Answer { answer } => run(&mut answer.run),
            Parts::Delete { runs, .. } | Parts::Headers { runs } | Parts::Pause { runs, .. } => {
                runs.iter_mut().try_for_each(run)
            }
            Parts::Reschedule { runs, change } => {
                change.queue.iter_mut().for_each(name);
                runs.iter_mut().try_for_each(run)
            }
            Parts::Submit { batch } => batch.iter_mut().try_for_each(|submit| {
                let Submit { run: one, workflow, queue, parent, .. } = submit;
                [workflow, queue].into_iter().for_each(name);
                parent.iter_mut().map(|parent| &mut parent.run).chain([one]).try_for_each(run)
            }),
            Parts::Claim { claim } => {
                claim.workflows.iter_mut().for_each(|served| name(&mut served.workflow));
                Ok(())
            }
            Parts::SendMail { messages } => messages.iter_mut().try_for_each(|message| run(&mut message.run)),
            Parts::Schedules { query } => {
                query.name.iter_mut().chain(&mut query.after).for_each(name);
                // The schedules of other cases must not displace those of this case.
                query.after.get_or_insert_with(|| Arc::clone(prefix));
                Ok(())
            }
            Parts::PutSchedules { changes } => {
                changes.iter_mut().for_each(|change| name(&mut change.name));
                Ok(())
            }
            Parts::Configure { queues, .. } => {
                queues.iter_mut().for_each(|queue| name(&mut queue.name));
                Ok(())
            }
            Parts::PauseQueues { queues, .. } => {
                queues.iter_mut().for_each(name);
                Ok(())
            }
            Parts::Wait { lease, wait } => {
                rename_child(&mut wait.request, |child| Some(format!("{prefix}{child}")));
                self.outer_lease(lease).map(|outer| *lease = outer)
            }
            parts => match parts.lease_mut() {
                Some(lease) => self.outer_lease(lease).map(|outer| *lease = outer),
                None => Ok(()),
            },
        }
    }

    /// Replaces the names in an answer with those of the case, and removes the runs of other cases.
    pub(super) fn leave(&self, reply: Reply<'_>) {
        if self.0.is_none() {
            return;
        }
        match reply {
            Reply::Open(Opened::Held { lease, run, .. }) => {
                self.leave_lease(lease);
                self.leave_stored(run);
            }
            Reply::Open(Opened::Ended(header)) => self.leave_header(header),
            Reply::Open(Opened::Refused(refused)) => self.leave_refused(refused),
            Reply::Load(Some(run)) => self.leave_stored(run),
            Reply::List(page) => {
                page.items = self.ours(take(&mut page.items), |summary| &mut summary.run);
                page.items.iter_mut().for_each(|one| self.leave_names([&mut one.workflow, &mut one.queue]));
            }
            Reply::Waiting(page) => {
                page.items = self.ours(take(&mut page.items), |waiting| &mut waiting.run);
                page.items.iter_mut().for_each(|waiting| {
                    self.leave_names([&mut waiting.workflow]);
                    self.leave_request(&mut waiting.entry.request);
                });
            }
            Reply::Due(due) => {
                *due = self.ours(take(due), |due| &mut due.run);
                due.iter_mut().for_each(|due| self.leave_names([&mut due.workflow]));
            }
            Reply::Delete(runs) | Reply::Pause(runs) | Reply::Reschedule(runs) => {
                *runs = self.ours(take(runs), |run| run);
            }
            Reply::Submit(results) => results.iter_mut().for_each(|result| match result {
                Ok(Submitted::Duplicate(run)) => self.leave_run(run),
                Ok(_) => {}
                Err(refused) => self.leave_refused(refused),
            }),
            Reply::Claim(claimed) => claimed.runs.iter_mut().for_each(|held| {
                self.leave_lease(&mut held.lease);
                self.leave_stored(&mut held.run);
            }),
            Reply::Headers(headers) => headers.iter_mut().flatten().for_each(|one| self.leave_header(one)),
            Reply::Schedules(schedules) => {
                schedules.retain_mut(|schedule| self.is_left(&mut schedule.name));
            }
            Reply::Queues(queues) => queues.retain_mut(|queue| self.is_left(&mut queue.settings.name)),
            _ => {}
        }
    }

    fn leave_stored(&self, run: &mut StoredRun) {
        self.leave_header(&mut run.header);
        run.waits.iter_mut().for_each(|entry| self.leave_request(&mut entry.request));
    }

    fn leave_request(&self, request: &mut Payload) {
        let Some(prefix) = &self.0 else { return };
        rename_child(request, |child| child.strip_prefix(&**prefix).map(str::to_owned));
    }

    fn leave_header(&self, header: &mut Header) {
        self.leave_names([&mut header.workflow, &mut header.place.queue]);
        if let Some(Parent { run, .. }) = header.parent.as_deref_mut() {
            self.leave_run(run);
        }
    }

    fn leave_refused(&self, refused: &mut Refused) {
        if let Refused::OtherWorkflow { workflow } = refused {
            self.leave_names([workflow]);
        }
    }

    fn leave_lease(&self, lease: &mut Lease) {
        if let Some(run) = self.inner_run(lease.run()) {
            *lease = Lease::new(run, lease.token(), lease.slot());
        }
    }

    fn leave_run(&self, run: &mut RunId) {
        if let Some(inner) = self.inner_run(run) {
            *run = inner;
        }
    }

    fn leave_names<const N: usize>(&self, names: [&mut Arc<str>; N]) {
        for name in names {
            self.is_left(name);
        }
    }

    /// Replaces a name with the one of the case. Returns `false` if the name belongs to another case.
    fn is_left(&self, name: &mut Arc<str>) -> bool {
        let Some(prefix) = &self.0 else { return true };
        let inner = name.strip_prefix(&**prefix).map(Arc::from);
        inner.map(|inner| *name = inner).is_some()
    }

    /// Returns the items of this case, with their run ids in the case.
    fn ours<T>(&self, items: Vec<T>, run: impl Fn(&mut T) -> &mut RunId) -> Vec<T> {
        let ours = items.into_iter().filter_map(|mut item| {
            *run(&mut item) = self.inner_run(run(&mut item))?;
            Some(item)
        });
        ours.collect()
    }
}

/// Replaces the run id of the child in the request of a step that waits for one.
fn rename_child(request: &mut Payload, rename: impl Fn(&str) -> Option<String>) {
    let Ok(Value::Object(mut question)) = request.decode() else { return };
    let Some(Value::String(child)) = question.get_mut("child") else { return };
    let Some(renamed) = rename(child) else { return };
    *child = renamed;
    if let Ok(renamed) = Payload::encode(&question) {
        *request = renamed;
    }
}
