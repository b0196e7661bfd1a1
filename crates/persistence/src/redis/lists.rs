//! Lists of runs and of entries that wait.
//!
//! A list is walked in pieces, each read at a time of its own: what changes meanwhile shows or not, and everything
//! that stands still shows once.

use std::collections::HashSet;

use awaitly_core::journal::{Status, Timestamp, WaitEntry};
use awaitly_core::store::{
    Cursor, Due, DueQuery, Page, RunId, RunQuery, RunSummary, StoreError, WaitQuery, Waiting,
};
use redis::{Pipeline, Value};

use super::error::corrupt;
use super::fields::{self, Known, SUMMARY};
use super::link::Link;
use super::names::{Names, run_and_key};
use super::reply::{Reply, text};
use crate::limits;

/// How many are read at a time.
const PIECE: usize = 256;

/// The runs that `query` asks for.
pub(super) async fn runs(
    link: &Link,
    names: &Names,
    query: &RunQuery,
) -> Result<Page<RunSummary>, StoreError> {
    let before = query.after.as_ref().map(limits::number).transpose()?;
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
            let known = Known::read(Reply::of(&run, answers.next().unwrap_or_default())?)?;
            let has_key = query.key.is_some() && matches!(answers.next(), Some(Value::Int(1)));
            // It was deleted in between.
            let Some(known) = known else { continue };
            let place = Cursor::new(known.place());
            let summary = RunSummary::of(run, &known.header, known.lease(now));
            if query.asks_for(&summary, |_| has_key) {
                found.push((place, summary));
            }
        }
    }
    Ok(limits::without_places(Page::cut(found, query.page_limit(), |(place, _)| place.clone())))
}

/// The runs that are due.
pub(super) async fn due(link: &Link, names: &Names, query: &DueQuery) -> Result<Vec<Due>, StoreError> {
    let mut walk = Walk::new(names.due(), Way::Up, "-inf".to_owned());
    let mut found = Vec::new();
    while found.len() < query.limit
        && let Some((now, mut ids)) = walk.next(link).await?
    {
        let read = ids.len();
        ids.retain(|(since, _)| *since <= now.as_millis() as f64);
        let last = ids.len() < read;
        let runs = ids.into_iter().map(|(_, id)| run_id(id)).collect::<Result<Vec<_>, _>>()?;
        let mut ask = redis::pipe();
        runs.iter().for_each(|run| ask_summary(&mut ask, names, run));
        for (run, answer) in runs.iter().zip(link.read(&ask).await?) {
            let Some(known) = Known::read(Reply::of(run, answer)?)? else { continue };
            let header = &known.header;
            if !query.asks_for(&header.workflow) {
                continue;
            }
            let since = Due::since(header.status, header.wake, known.held_until, header.changed, now);
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
    Ok(limits::longest_overdue(found, query.limit))
}

/// The entries that `query` asks for.
pub(super) async fn waiting(
    link: &Link,
    names: &Names,
    query: &WaitQuery,
) -> Result<Page<Waiting>, StoreError> {
    if let Some(run) = &query.run {
        return waiting_of(link, names, run, query).await;
    }
    let after = query.after.as_ref().map(limits::waiting_place).transpose()?;
    let from = after.as_ref().map_or_else(|| "+inf".to_owned(), |(since, ..)| since.as_millis().to_string());
    let mut walk = Walk::new(names.asking(), Way::Down, from);
    let mut found = Vec::new();
    while found.len() <= query.page_limit()
        && let Some((_, members)) = walk.next(link).await?
    {
        let mut asked = Vec::with_capacity(members.len());
        let mut ask = redis::pipe();
        for (_, member) in &members {
            let (run, key) = run_and_key(member).ok_or_else(|| corrupt("", "asking"))?;
            if query.key.as_ref().is_none_or(|asked| **asked == *key) {
                ask.cmd("HMGET").arg(names.run(&run)).arg(&["status", "workflow"]);
                ask.cmd("HGET").arg(names.waits(&run)).arg(key);
                asked.push((run, key));
            }
        }
        let mut answers = link.read(&ask).await?.into_iter();
        for (run, key) in asked {
            let workflow = open_workflow(&run, answers.next().unwrap_or_default())?;
            let entry = entry(&run, key, answers.next().unwrap_or_default())?;
            // It was answered, or its run has ended, in between.
            let (Some(workflow), Some(entry)) = (workflow, entry) else { continue };
            let is_behind = after.as_ref().is_none_or(|(since, last, last_key)| {
                (&entry.since, &run, &entry.key) < (since, last, last_key)
            });
            if is_behind && query.asks_for(&run, &entry) {
                found.push(Waiting { run, workflow: workflow.into(), entry });
            }
        }
    }
    Ok(Page::cut(found, query.page_limit(), limits::waiting_cursor))
}

async fn waiting_of(
    link: &Link,
    names: &Names,
    run: &RunId,
    query: &WaitQuery,
) -> Result<Page<Waiting>, StoreError> {
    let mut ask = redis::pipe();
    ask.cmd("HMGET").arg(names.run(run)).arg(&["status", "workflow"]);
    ask.cmd("HGETALL").arg(names.waits(run));
    let mut answers = link.read(&ask).await?.into_iter();
    let workflow = open_workflow(run, answers.next().unwrap_or_default())?;
    let entries = fields::waits(Reply::of(run, answers.next().unwrap_or_default())?)?;
    let found = workflow.into_iter().flat_map(|workflow| {
        let workflow: std::sync::Arc<str> = workflow.into();
        let asked = entries.iter().filter(|entry| query.asks_for(run, entry));
        asked
            .map(|entry| Waiting { run: run.clone(), workflow: workflow.clone(), entry: entry.clone() })
            .collect::<Vec<_>>()
    });
    limits::page_of_waiting(found.collect(), query)
}

/// The workflow of a run that has not ended.
fn open_workflow(run: &str, answer: Value) -> Result<Option<String>, StoreError> {
    let mut reply = Reply::of(run, answer)?;
    let Some(status) = reply.maybe("status")? else { return Ok(None) };
    let status = Status::from_name(&status).ok_or_else(|| reply.corrupt("status"))?;
    let workflow = reply.text("workflow")?;
    Ok((!status.has_ended()).then_some(workflow))
}

fn entry(run: &str, key: &str, answer: Value) -> Result<Option<WaitEntry>, StoreError> {
    if answer == Value::Nil {
        return Ok(None);
    }
    let entry = text(answer).and_then(|text| fields::entry(key, &text));
    entry.map(Some).ok_or_else(|| corrupt(run, key))
}

fn ask_summary(ask: &mut Pipeline, names: &Names, run: &str) {
    ask.cmd("HMGET").arg(names.run(run)).arg(&SUMMARY);
}

fn run_id(text: String) -> Result<RunId, StoreError> {
    RunId::new(text).map_err(|error| corrupt("", &error.to_string()))
}

/// A walk through a sorted set, a piece at a time.
struct Walk {
    set: String,
    way: Way,
    from: String,
    /// Those with that score that were seen before: they stand first in the next piece, unless they are gone.
    seen: HashSet<String>,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Walk {
    fn new(set: String, way: Way, from: String) -> Self {
        Self { set, way, from, seen: HashSet::new(), ended: false }
    }

    /// The next piece, with what time it was. `None`: there is no more.
    async fn next(&mut self, link: &Link) -> Result<Option<(Timestamp, Vec<(f64, String)>)>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let mut ask = redis::pipe();
        let (command, end) = match self.way {
            Way::Up => ("ZRANGEBYSCORE", "+inf"),
            Way::Down => ("ZREVRANGEBYSCORE", "-inf"),
        };
        ask.cmd("TIME").cmd(command).arg(&self.set).arg(&self.from).arg(end).arg("WITHSCORES");
        let limit = PIECE + self.seen.len();
        ask.arg("LIMIT").arg(0).arg(limit);
        let mut answers = link.read(&ask).await?.into_iter();
        let now = time(answers.next().unwrap_or_default())?;
        let mut reply = Reply::of(&self.set, answers.next().unwrap_or_default())?;
        self.ended = reply.len() < 2 * limit;
        let mut piece = Vec::with_capacity(PIECE);
        while reply.len() > 0 {
            let (member, score) = (reply.text("member")?, reply.text("score")?);
            if score != self.from {
                self.seen.clear();
            }
            if self.seen.insert(member.clone()) {
                piece.push((score.parse().map_err(|_| reply.corrupt("score"))?, member));
            }
            self.from = score;
        }
        Ok(Some((now, piece)))
    }
}

/// The server's clock.
pub(super) async fn now(link: &Link) -> Result<Timestamp, StoreError> {
    let mut ask = redis::pipe();
    ask.cmd("TIME");
    time(link.read(&ask).await?.pop().unwrap_or_default())
}

fn time(answer: Value) -> Result<Timestamp, StoreError> {
    let mut reply = Reply::of("", answer)?;
    let (seconds, micros) = (reply.number("time")?, reply.number("time")?);
    Ok(Timestamp::from_millis(seconds * 1000 + micros / 1000))
}
