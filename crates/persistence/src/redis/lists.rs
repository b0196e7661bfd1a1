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

/// Returns the runs that `query` asks for.
pub(super) async fn runs(
    link: &Link,
    names: &Names,
    query: &RunQuery,
) -> Result<Page<RunSummary>, StoreError> {
    let before = query.after.as_deref().map(limits::number).transpose()?;
    let from = before.map_or_else(|| "+inf".to_owned(), |place| format!("({place}"));
    let mut walk = Walk::new(names.runs(), Way::Down, from);
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
            // The run was deleted in between.
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

/// Returns the runs that are due: those which a claim has noticed, and those which it has not noticed yet.
pub(super) async fn due(link: &Link, names: &Names, query: &DueQuery) -> Result<Vec<Due>, StoreError> {
    let mut lapsed = redis::pipe();
    lapsed.cmd("ZRANGEBYSCORE").arg(names.lapses()).arg("-inf").arg(now(link).await?.as_millis());
    let mut queues = Reply::of("lapses", link.read(&lapsed).await?.pop().unwrap_or_default())?;
    let mut found = due_in(link, names, query, names.overdue()).await?;
    found.extend(due_in(link, names, query, names.due()).await?);
    while queues.len() > 0 {
        found.extend(due_in(link, names, query, names.held(&queues.text("lapses")?)).await?);
    }
    // A run may have moved from one set to another in between.
    let mut seen = HashSet::new();
    found.retain(|due| seen.insert(due.run.clone()));
    Ok(limits::longest_overdue(found, query.page_limit()))
}

/// Returns the runs of a set that are due, the longest overdue first, and as many as the query asks for.
async fn due_in(link: &Link, names: &Names, query: &DueQuery, set: String) -> Result<Vec<Due>, StoreError> {
    let mut walk = Walk::new(set, Way::Up, "-inf".to_owned());
    let mut found = Vec::new();
    while found.len() < query.page_limit()
        && let Some((now, mut ids)) = walk.next(link).await?
    {
        let read = ids.len();
        ids.retain(|(since, _)| *since <= now.as_millis() as f64);
        let last = ids.len() < read;
        let runs = ids.into_iter().map(|(_, id)| run_id(id)).collect::<Result<Vec<_>, _>>()?;
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
