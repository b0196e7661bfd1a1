use std::sync::Arc;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{Dispatch, PutSchedule, RunId, ScheduleQuery, StoreError, StoredSchedule, Submit};

use super::plan::{Plan, maybe_started, note_started, plan};
use super::stored::{Stored, run_id};

/// The maximum number of schedules that a call reads.
const MANY: usize = 100;

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
    let (mut submits, mut changes) = (Vec::new(), Vec::new());
    for ((stored, due), last_runs) in read.into_iter().zip(last_runs) {
        let planned = stored
            .and_then(|stored| plan(&due.name, &stored, now, last_runs).ok().map(|plan| (stored, plan)));
        let Some((stored, Plan { start, cancel_last, after, due: again })) = planned else {
            // A newer version of the library wrote it, or its time zone does not exist here. An operator has to resume
            // it or replace it.
            tracing::error!(schedule = %due.name, "the schedule cannot be read: it stops until an operator resumes it or replaces it");
            changes.push(PutSchedule {
                name: due.name,
                version: Some(due.version),
                put: Some((None, due.rule)),
            });
            continue;
        };
        if let Some(last) = stored.last.filter(|_| cancel_last).and_then(|last| run_id(&due.name, last).ok())
        {
            let _ = store.cancel(&last).await?;
        }
        submits.extend(runs(&due.name, &stored, &start));
        changes.push(PutSchedule {
            name: due.name,
            version: Some(due.version),
            put: Some((again, after.rule())),
        });
    }
    let started = submits.len();
    if !submits.is_empty() {
        store.submit(submits).await?;
    }
    if !changes.is_empty() {
        store.put_schedules(changes).await?;
    }
    Ok(Fired { started, more })
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
