use std::sync::Arc;

use awaitly_core::journal::{Status, Timestamp};
use awaitly_core::store::{Dispatch, PutSchedule, RunId, ScheduleQuery, StoreError, StoredSchedule, Submit};

use super::plan::{Plan, plan};
use super::stored::{Stored, run_id};

/// The largest number of schedules that are read at once.
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
/// The runs are submitted before the state of the schedule changes. If the process dies in between, another worker submits
/// them again, which has no effect.
pub(crate) async fn fire<S: Dispatch>(store: &S, now: Timestamp) -> Result<Fired, StoreError> {
    let due = store.schedules(ScheduleQuery::new().due_at(now).limit(MANY)).await?;
    let more = due.len() == MANY;
    let read: Vec<_> = due.into_iter().map(|due| (read(&due), due)).collect();
    let last_runs = last_runs(store, &read).await?;
    let (mut submits, mut changes) = (Vec::new(), Vec::new());
    for ((stored, due), last_runs) in read.into_iter().zip(last_runs) {
        let planned = stored
            .and_then(|stored| plan(&due.name, &stored, now, last_runs).ok().map(|plan| (stored, plan)));
        let Some((stored, Plan { start, cancel_last, after, due: again })) = planned else {
            // A newer version of the library wrote it, or its time zone is gone: an operator has to look at it.
            tracing::error!(schedule = %due.name, "the schedule cannot be read: it is paused");
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

/// Returns for each schedule whether its last run has not ended.
async fn last_runs<S: Dispatch>(
    store: &S,
    read: &[(Option<Stored>, StoredSchedule)],
) -> Result<Vec<bool>, StoreError> {
    let last = |(stored, due): &(Option<Stored>, StoredSchedule)| {
        let last = stored.as_ref()?.last?;
        run_id(&due.name, last).ok()
    };
    let ids: Vec<Option<RunId>> = read.iter().map(last).collect();
    let known: Vec<_> = ids.iter().flatten().cloned().collect();
    if known.is_empty() {
        return Ok(vec![false; ids.len()]);
    }
    let mut headers = store.headers(known).await?.into_iter();
    let runs = |id: Option<RunId>| {
        let status = id.and_then(|_| headers.next().flatten()).map(|header| header.status);
        status.is_some_and(|status| !Status::has_ended(status))
    };
    Ok(ids.into_iter().map(runs).collect())
}
