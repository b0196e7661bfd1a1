use std::sync::Arc;
use std::time::Duration;

use awaitly_core::clock::secs;
use awaitly_core::journal::{Payload, Timestamp};
use awaitly_core::store::{Dispatch, PutSchedule, RunId, ScheduleQuery, StoreError, StoredSchedule, Submit};

use super::plan::{Plan, maybe_started, note_started, plan};
use super::stored::{Stored, run_id};

/// The maximum number of schedules that a call reads.
const MANY: usize = 100;

/// The time after which a schedule is tried again if its last run cannot be cancelled.
const TRY_AGAIN: Duration = secs(5);

/// The result of a look at the due schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fired {
    /// The number of submitted runs.
    pub(crate) started: usize,
    /// Whether more schedules may be due.
    pub(crate) more: bool,
}

/// Starts the runs of the schedules that are due at `now`.
///
/// The worker submits the runs before it changes the state of the schedule. If the process dies in between, another
/// worker submits them again, which has no effect.
pub(crate) async fn fire<S: Dispatch>(store: &S, now: Timestamp) -> Result<Fired, StoreError> {
    let due = store.schedules(ScheduleQuery::new().due_at(now).limit(MANY)).await?;
    let more = due.len() == MANY;
    let mut read: Vec<_> = due.into_iter().map(|due| (read(&due), due)).collect();
    let last_runs = last_runs(store, &mut read, now).await?;
    let mut dues = Vec::with_capacity(read.len());
    for ((stored, due), last_runs) in read.into_iter().zip(last_runs) {
        dues.push(prepare(store, stored, due, last_runs, now).await);
    }
    let started = start(store, &mut dues).await?;
    if !dues.is_empty() {
        store.put_schedules(dues.into_iter().map(Due::change).collect()).await?;
    }
    Ok(Fired { started, more })
}

/// A due schedule.
struct Due {
    stored: StoredSchedule,
    /// The runs that start now.
    runs: Vec<Submit>,
    /// The state of the schedule afterwards.
    after: (Option<Timestamp>, Payload),
}

impl Due {
    /// Starts no run, and leaves the state unchanged. The schedule is due again at `at`; if there is none, it stops.
    fn idle(stored: StoredSchedule, at: Option<Timestamp>) -> Self {
        Self { after: (at, stored.rule.clone()), stored, runs: Vec::new() }
    }

    fn change(self) -> PutSchedule {
        let StoredSchedule { name, version, .. } = self.stored;
        PutSchedule { name, version: Some(version), put: Some(self.after) }
    }
}

/// Decides the next action of a schedule, and cancels its last run if it has to.
async fn prepare<S: Dispatch>(
    store: &S,
    stored: Option<Stored>,
    due: StoredSchedule,
    last_runs: bool,
    now: Timestamp,
) -> Due {
    let planned =
        stored.and_then(|stored| plan(&due.name, &stored, now, last_runs).ok().map(|plan| (stored, plan)));
    let Some((stored, Plan { start, cancel_last, after, due: again })) = planned else {
        // A newer version of the library wrote it, or its time zone is gone: an operator has to look at it.
        tracing::error!(schedule = %due.name, "the schedule cannot be read: it is stopped");
        return Due::idle(due, None);
    };
    if let Some(last) = stored.last.filter(|_| cancel_last).and_then(|last| run_id(&due.name, last).ok())
        && let Err(error) = store.cancel(&last).await
    {
        tracing::warn!(run = %last, %error, "the last run of a schedule cannot be cancelled: it is tried again");
        return Due::idle(due, Some(now.after(TRY_AGAIN)));
    }
    Due { runs: runs(&due.name, &stored, &start), after: (again, after.rule()), stored: due }
}

/// Submits the runs of all schedules, and returns their number. A schedule whose run the store refuses is stopped, and does
/// not affect the others.
async fn start<S: Dispatch>(store: &S, dues: &mut [Due]) -> Result<usize, StoreError> {
    let runs: Vec<_> = dues.iter().flat_map(|due| &due.runs).cloned().collect();
    let mut started = runs.len();
    if runs.is_empty() {
        return Ok(0);
    }
    match store.submit(runs).await {
        Err(StoreError::Unstorable { .. }) => {}
        submitted => return submitted.map(|_| started),
    }
    for due in dues.iter_mut().filter(|due| !due.runs.is_empty()) {
        match store.submit(due.runs.clone()).await {
            Err(StoreError::Unstorable { detail }) => {
                tracing::error!(schedule = %due.stored.name, %detail, "the store refuses the runs: the schedule is stopped");
                started -= due.runs.len();
                due.after = (None, due.stored.rule.clone());
            }
            submitted => drop(submitted?),
        }
    }
    Ok(started)
}

fn read(due: &StoredSchedule) -> Option<Stored> {
    Stored::read(due).ok()
}

fn runs(name: &Arc<str>, stored: &Stored, times: &[Timestamp]) -> Vec<Submit> {
    times.iter().filter_map(|moment| stored.submit(name, *moment).ok()).collect()
}

/// Returns for each schedule whether its last run has not ended. Also finds the last run if a worker died after it
/// started the run and before it changed the schedule.
async fn last_runs<S: Dispatch>(
    store: &S,
    read: &mut [(Option<Stored>, StoredSchedule)],
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let times = |(stored, due): &(Option<Stored>, StoredSchedule)| {
        let Some(stored) = stored else { return Vec::new() };
        let times = stored.last.into_iter().chain(maybe_started(&due.name, stored, now));
        times.filter_map(|moment| Some((moment, run_id(&due.name, moment).ok()?))).collect()
    };
    let times: Vec<Vec<(Timestamp, RunId)>> = read.iter().map(times).collect();
    let ids: Vec<_> = times.iter().flatten().map(|(_, run)| run.clone()).collect();
    if ids.is_empty() {
        return Ok(vec![false; times.len()]);
    }
    let mut headers = store.headers(ids).await?.into_iter();
    let runs = |(times, (stored, _)): (Vec<_>, &mut (Option<Stored>, StoredSchedule))| {
        let found = times.into_iter().zip(headers.by_ref());
        let (moment, header) = found.filter_map(|((moment, _), header)| Some((moment, header?))).last()?;
        if let Some(stored) = stored.as_mut().filter(|stored| stored.last != Some(moment)) {
            note_started(stored, moment);
        }
        Some(!header.status.has_ended())
    };
    Ok(times.into_iter().zip(read).map(runs).map(|runs| runs.unwrap_or(false)).collect())
}
