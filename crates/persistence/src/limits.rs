//! The rules that all stores share beside the journal's rules: limits, and pages of lists.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{
    DecodeError, Header, Key, Outcome, Payload, Record, Refused, Timestamp, WaitEntry,
};
use awaitly_core::store::{
    Cancelled, Due, Ending, Opened, Operate, Page, Publish, Purpose, PutSchedule, Reschedule, RunId, Start,
    StoreError, StoredRun, Submit, WaitQuery, Waiting,
};
use serde::de::IgnoredAny;

/// A hundred years. A longer lease is shortened to this, so that no clock overflows.
pub(crate) const LONGEST_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Refuses an outcome that is larger than a journal accepts. The outcomes of steps are checked before this call.
pub(crate) fn within(outcome: &Outcome) -> Result<(), StoreError> {
    let (bytes, limit) = (outcome.payload().len(), Payload::MAX_BYTES);
    if bytes <= limit {
        return Ok(());
    }
    let detail = format!("an outcome of {bytes} bytes, at most {limit} are taken").into();
    Err(StoreError::Unstorable { detail })
}

/// Refuses an answer that is too large or is not JSON, because no reader could decode it.
pub(crate) fn answer(outcome: &Outcome) -> Result<(), StoreError> {
    within(outcome)?;
    let no_json = |error: DecodeError| format!("an outcome that is no JSON: {}", error.reason).into();
    let decoded = outcome.payload().decode::<IgnoredAny>().map(drop);
    decoded.map_err(|error| StoreError::Unstorable { detail: no_json(error) })
}

/// Refuses a time that some store could not return unchanged.
fn moment(field: &'static str, moment: Timestamp) -> Result<(), StoreError> {
    if moment <= Timestamp::MAX {
        return Ok(());
    }
    let (millis, most) = (moment.as_millis(), Timestamp::MAX.as_millis());
    let detail = format!("`{field}` is {millis} ms after 1970, at most {most} are taken").into();
    Err(StoreError::Unstorable { detail })
}

/// Checks a run to import, and returns its keys.
pub(crate) fn imported<'a>(run: &RunId, stored: &'a StoredRun) -> Result<HashSet<&'a Key>, StoreError> {
    let StoredRun { header: Header { created, changed, wake, .. }, records, waits, .. } = stored;
    moment("created", *created)?;
    moment("changed", *changed)?;
    wake.map_or(Ok(()), |wake| moment("wake", wake))?;
    journal(run, records, waits)
}

/// Checks a journal that is written as a whole, and returns its keys: each key occurs once, no outcome is too large,
/// and no time is too late.
pub(crate) fn journal<'a>(
    run: &RunId,
    records: &'a [Record],
    waits: &[WaitEntry],
) -> Result<HashSet<&'a Key>, StoreError> {
    for entry in waits {
        moment("since", entry.since)?;
        entry.expires.map_or(Ok(()), |expires| moment("expires", expires))?;
    }
    distinct_keys(run, records)
}

/// Refuses an ending whose run would wake too late.
pub(crate) fn ending(ending: &Ending) -> Result<(), StoreError> {
    ending.wake.map_or(Ok(()), |wake| moment("wake", wake))
}

/// Refuses runs that some store could not keep.
pub(crate) fn submitted(batch: &[Submit]) -> Result<(), StoreError> {
    batch.iter().try_for_each(|submit| {
        if let Some(bytes) = submit.input.as_ref().map(|input| input.payload.len())
            && bytes > Payload::MAX_BYTES
        {
            let detail =
                format!("an input of {bytes} bytes, at most {} are taken", Payload::MAX_BYTES).into();
            return Err(StoreError::Unstorable { detail });
        }
        name("the name of the workflow", &submit.workflow)?;
        queues([&*submit.queue].into_iter().chain(submit.key.as_deref()))?;
        let unique = submit.unique.as_ref().map(|unique| &*unique.key);
        queues(unique)?;
        tags(&submit.tags)?;
        start(submit.start)?;
        submit.start_by.map_or(Ok(()), |by| moment("start_by", by))
    })
}

/// Refuses published values that are too large.
pub(crate) fn published(published: &[Publish]) -> Result<(), StoreError> {
    published.iter().try_for_each(|one| {
        queues([&*one.name])?;
        let (bytes, limit) = (one.payload.len(), Publish::MAX_BYTES);
        if bytes <= limit {
            return Ok(());
        }
        let detail = format!("`{}` has {bytes} bytes, at most {limit} are taken", one.name).into();
        Err(StoreError::Unstorable { detail })
    })
}

/// Refuses an item of a stream of this length that is neither an earlier item nor the next one, or that is one too many.
pub(crate) fn stream_item(item: &Publish, length: u64) -> Result<(), StoreError> {
    let (name, index) = (&item.name, item.index.unwrap_or_default());
    let detail = if index > length {
        format!("item {index} of the stream `{name}` comes after item {length}, which is missing")
    } else if index >= Publish::MOST {
        format!("the stream `{name}` has {} items, and takes no more", Publish::MOST)
    } else {
        return Ok(());
    };
    Err(StoreError::Unstorable { detail: detail.into() })
}

/// Refuses schedules that some store could not keep.
pub(crate) fn schedules(changes: &[PutSchedule]) -> Result<(), StoreError> {
    changes.iter().try_for_each(|change| {
        name("the name of the schedule", &change.name)?;
        let due = change.put.as_ref().and_then(|(due, _)| *due);
        due.map_or(Ok(()), |due| moment("due", due))
    })
}

/// Refuses a change that some store could not keep.
pub(crate) fn rescheduled(change: &Reschedule) -> Result<(), StoreError> {
    queues(change.queue.as_deref())?;
    change.start.map_or(Ok(()), start)
}

fn tags(tags: &[Arc<str>]) -> Result<(), StoreError> {
    if tags.len() > Submit::MOST_TAGS {
        let detail = format!("{} tags, at most {} are taken", tags.len(), Submit::MOST_TAGS).into();
        return Err(StoreError::Unstorable { detail });
    }
    let long = tags.iter().find(|tag| !(1..=Submit::MAX_TAG_BYTES).contains(&tag.len()));
    long.map_or(Ok(()), |tag| {
        let detail = format!("a tag of {} bytes, 1 to {} are taken", tag.len(), Submit::MAX_TAG_BYTES).into();
        Err(StoreError::Unstorable { detail })
    })
}

fn start(start: Start) -> Result<(), StoreError> {
    if let Start::At(at) = start { moment("start", at) } else { Ok(()) }
}

/// Refuses names of queues and keys that are too long.
pub(crate) fn queues<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
    names.into_iter().try_for_each(|queue| name("the name or the key of a queue", queue))
}

fn name(what: &'static str, name: &str) -> Result<(), StoreError> {
    let (bytes, limit) = (name.len(), RunId::MAX_BYTES);
    if bytes <= limit {
        return Ok(());
    }
    Err(StoreError::Unstorable {
        detail: format!("{what} has {bytes} bytes, at most {limit} are taken").into(),
    })
}

/// Returns the keys of a journal that is written as a whole, if each key occurs once and no outcome is too large.
fn distinct_keys<'a>(run: &RunId, records: &'a [Record]) -> Result<HashSet<&'a Key>, StoreError> {
    records.iter().try_for_each(|record| within(&record.outcome))?;
    let mut keys = HashSet::with_capacity(records.len());
    match records.iter().find(|record| !keys.insert(&record.key)) {
        Some(twice) => Err(StoreError::AlreadyRecorded { run: (**run).into(), key: twice.key.clone() }),
        None => Ok(keys),
    }
}

/// Returns the answer to a caller that may not open a run. If the caller wanted to cancel the run and another owner
/// executes it, the store keeps a request to cancel it, which the owner receives.
pub(crate) async fn refused<S: Operate>(
    store: &S,
    run: &RunId,
    purpose: Purpose,
    refused: Refused,
) -> Result<Opened, StoreError> {
    let is_left = purpose == Purpose::Cancel && matches!(refused, Refused::Busy { .. });
    Ok(match is_left {
        true if store.cancel(run).await? == Cancelled::TooLate => Opened::Refused(Refused::TooLateToCancel),
        _ => Opened::Refused(refused),
    })
}

/// Returns the position in a list with numbered items.
pub(crate) fn number(cursor: &str) -> Result<i64, StoreError> {
    cursor.parse().map_err(|_| StoreError::BadCursor { cursor: cursor.into() })
}

/// Removes the positions from the items of a page.
pub(crate) fn without_places<P, T>(page: Page<(P, T)>) -> Page<T> {
    Page { items: page.items.into_iter().map(|(_, item)| item).collect(), next: page.next }
}

/// Returns the page that `query` asks for, from all matching entries, newest first.
pub(crate) fn page_of_waiting(
    mut found: Vec<Waiting>,
    query: &WaitQuery,
) -> Result<Page<Waiting>, StoreError> {
    let place = |waiting: &Waiting| (waiting.entry.since, waiting.run.clone(), waiting.entry.key.clone());
    found.sort_unstable_by_key(|waiting| std::cmp::Reverse(place(waiting)));
    if let Some(cursor) = &query.after {
        let after = waiting_place(cursor)?;
        found.retain(|waiting| place(waiting) < after);
    }
    Ok(Page::cut(found, query.page_limit(), waiting_cursor))
}

/// Returns the position from a cursor of [`waiting_cursor`].
pub(crate) fn waiting_place(cursor: &str) -> Result<(Timestamp, RunId, Key), StoreError> {
    let bad = |_| StoreError::BadCursor { cursor: cursor.into() };
    Payload::from_stored(cursor).decode().map_err(bad)
}

/// Returns the position of a waiting entry in a list, newest first.
pub(crate) fn waiting_cursor(waiting: &Waiting) -> Box<str> {
    let place = (waiting.entry.since, &waiting.run, &waiting.entry.key);
    // Two strings and a number always have a JSON form.
    Payload::encode(&place).map_or_else(|_| Box::default(), |text| text.as_str().into())
}

/// Returns the first `limit` due runs, the longest overdue first.
pub(crate) fn longest_overdue(mut due: Vec<Due>, limit: usize) -> Vec<Due> {
    due.sort_by(|a, b| (a.since, &a.run).cmp(&(b.since, &b.run)));
    due.truncate(limit);
    due
}
