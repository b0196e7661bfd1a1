//! Lists of runs.

use std::collections::HashSet;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{Due, DueQuery, Page, RunId, RunQuery, RunSummary, StoreError};
use redis::{Pipeline, Value};

use super::error::corrupt;
use super::fields::{Fields, Known, SUMMARY};
use super::link::Link;
use super::names::Names;
use super::reply::{self, Reply};
use super::walk::{Walk, Way};
use crate::limits;

/// The end of the names of lanes whose runs are not in the order in which they became due.
const MIXED: char = '+';

/// The number of bytes before the run id in the members of a lane: they are the position of the run among all runs.
const PLACE: usize = 16;

/// Returns the runs that `query` asks for.
pub(super) async fn runs(
    link: &Link,
    names: &Names,
    query: &RunQuery,
) -> Result<Page<RunSummary>, StoreError> {
    let before = query.after.as_deref().map(limits::number).transpose()?;
    let from = before.map_or_else(|| "+inf".to_owned(), |place| format!("({place}"));
    let set = query.tag.as_ref().map_or_else(|| names.runs(), |tag| names.tag(tag));
    let mut walk = Walk::new(set, Way::Down, from);
    let mut found = Vec::new();
    while found.len() <= query.page_limit()
        && let Some((now, ids)) = walk.next(link).await?
    {
        let runs = ids.into_iter().map(|(_, id)| run_id(id)).collect::<Result<Vec<_>, _>>()?;
        let mut ask = redis::pipe();
        for run in &runs {
            ask_summary(&mut ask, names, run);
            if let Some(key) = &query.key {
                ask.cmd("HEXISTS").arg(names.records(run)).arg(&**key);
            }
        }
        let mut answers = link.read(&ask).await?.into_iter();
        for run in runs {
            let known = known(&run, answers.next().unwrap_or_default())?;
            let has_key = query.key.is_some() && matches!(answers.next(), Some(Value::Int(1)));
            // The run was deleted in the meantime.
            let Some(known) = known else { continue };
            let place: Box<str> = Box::from(known.place());
            let summary = RunSummary::of(run, &known.header, known.lease(now));
            if query.asks_for(&summary, |_| has_key) {
                found.push((place, summary));
            }
        }
    }
    Ok(limits::without_places(Page::cut(found, query.page_limit(), |(place, _)| place.clone())))
}

/// Returns the due runs. If a claim has noticed that a run is due, the run is ready or overdue. Otherwise, the run is
/// still in the set of runs that become due, or in a set of held runs.
pub(super) async fn due(link: &Link, names: &Names, query: &DueQuery) -> Result<Vec<Due>, StoreError> {
    let mut sets = vec![(names.overdue(), 0), (names.due(), 0)];
    let mut look = redis::pipe();
    look.cmd("ZRANGEBYSCORE").arg(names.lapses()).arg("-inf").arg(now(link).await?.as_millis());
    sets.extend(members(link, &look).await?.iter().map(|queue| (names.held(queue), 0)));
    let mut look = redis::pipe();
    look.cmd("ZRANGE").arg(names.workflows()).arg(0).arg(-1);
    for workflow in members(link, &look).await? {
        if query.asks_for(&workflow) {
            let mut look = redis::pipe();
            look.cmd("ZRANGE").arg(names.lanes(&workflow)).arg(0).arg(-1);
            let lanes = members(link, &look).await?;
            let in_order = lanes.iter().filter(|lane| !lane.ends_with(MIXED));
            sets.extend(in_order.map(|lane| (names.ready(&workflow, lane), PLACE)));
        }
    }
    let mut found = Vec::new();
    for (set, prefix) in sets {
        found.extend(due_in(link, names, query, set, prefix).await?);
    }
    // A run may have moved from one set to another between two reads.
    let mut seen = HashSet::new();
    found.retain(|due| seen.insert(due.run.clone()));
    Ok(limits::longest_overdue(found, query.page_limit()))
}

async fn members(link: &Link, ask: &Pipeline) -> Result<Vec<String>, StoreError> {
    let mut reply = Reply::of("due", link.read(ask).await?.pop().unwrap_or_default())?;
    let mut members = Vec::with_capacity(reply.len());
    while reply.len() > 0 {
        members.push(reply.text("member")?);
    }
    Ok(members)
}

/// Returns the due runs of a set, the longest overdue first, at most as many as the query asks for. Each member of the
/// set is a run id after `prefix` other bytes.
async fn due_in(
    link: &Link,
    names: &Names,
    query: &DueQuery,
    set: String,
    prefix: usize,
) -> Result<Vec<Due>, StoreError> {
    let mut walk = Walk::new(set, Way::Up, "-inf".to_owned());
    let mut found = Vec::new();
    while found.len() < query.page_limit()
        && let Some((now, mut ids)) = walk.next(link).await?
    {
        let read = ids.len();
        ids.retain(|(since, _)| *since <= now.as_millis() as f64);
        let last = ids.len() < read;
        let ids = ids.into_iter().filter_map(|(_, id)| Some(id.get(prefix..)?.to_owned()));
        let runs = ids.map(run_id).collect::<Result<Vec<_>, _>>()?;
        let mut ask = redis::pipe();
        runs.iter().for_each(|run| ask_summary(&mut ask, names, run));
        for (run, answer) in runs.iter().zip(link.read(&ask).await?) {
            let Some(known) = known(run, answer)? else { continue };
            let header = &known.header;
            if !query.asks_for(&header.workflow) {
                continue;
            }
            let since = header.due_at(known.held_until).filter(|due| *due <= now);
            found.extend(since.map(|since| Due {
                run: run.clone(),
                workflow: header.workflow.clone(),
                version: header.version,
                since,
            }));
        }
        if last {
            break;
        }
    }
    Ok(found)
}

fn ask_summary(ask: &mut Pipeline, names: &Names, run: &str) {
    ask.cmd("HMGET").arg(names.run(run)).arg(&SUMMARY);
}

fn known(run: &RunId, answer: Value) -> Result<Option<Known>, StoreError> {
    Known::read(&mut Fields::summary(run, Reply::of(run, answer)?)?)
}

fn run_id(text: String) -> Result<RunId, StoreError> {
    RunId::new(text).map_err(|error| corrupt("", &error.to_string()))
}

/// Returns the time of the server's clock.
pub(super) async fn now(link: &Link) -> Result<Timestamp, StoreError> {
    let mut ask = redis::pipe();
    ask.cmd("TIME");
    reply::time(link.read(&ask).await?.pop().unwrap_or_default())
}
