//! Lists of waiting entries.

use awaitly_core::journal::Status;
use awaitly_core::store::{Page, RunId, StoreError, WaitQuery, Waiting};
use redis::{Pipeline, Value};

use super::error::corrupt;
use super::link::Link;
use super::names::{Names, run_and_key, token_prefix};
use super::records;
use super::reply::Reply;
use super::walk::{Walk, Way};
use crate::limits;

/// Returns the entries that `query` asks for.
pub(super) async fn waiting(
    link: &Link,
    names: &Names,
    query: &WaitQuery,
) -> Result<Page<Waiting>, StoreError> {
    if let Some(run) = &query.run {
        return waiting_of(link, names, run, query).await;
    }
    if let Some(token) = &query.token {
        return waiting_for(link, names, token, query).await;
    }
    let after = query.after.as_deref().map(limits::waiting_place).transpose()?;
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
                ask_entry(&mut ask, names, &run, key);
                asked.push((run, key));
            }
        }
        let mut answers = link.read(&ask).await?.into_iter();
        for (run, key) in asked {
            // The entry was answered, or its run has ended, in the meantime.
            let Some(waiting) = entry(run, key, &mut answers)? else { continue };
            let Waiting { run, entry, .. } = &waiting;
            let is_behind = after.as_ref().is_none_or(|(since, last, last_key)| {
                (&entry.since, run, &entry.key) < (since, last, last_key)
            });
            if is_behind && query.asks_for(run, entry) {
                found.push(waiting);
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
    let entries = records::waits(Reply::of(run, answers.next().unwrap_or_default())?)?;
    let found = workflow.into_iter().flat_map(|workflow| {
        let workflow: std::sync::Arc<str> = workflow.into();
        let asked = entries.iter().filter(|entry| query.asks_for(run, entry));
        asked
            .map(|entry| Waiting { run: run.clone(), workflow: workflow.clone(), entry: entry.clone() })
            .collect::<Vec<_>>()
    });
    limits::page_of_waiting(found.collect(), query)
}

/// Returns the entries with that token, usually one.
async fn waiting_for(
    link: &Link,
    names: &Names,
    token: &str,
    query: &WaitQuery,
) -> Result<Page<Waiting>, StoreError> {
    let (prefix, behind) = token_prefix(token);
    let mut look = redis::pipe();
    look.cmd("ZRANGEBYLEX").arg(names.tokens()).arg(["[", &prefix].concat()).arg(["(", &behind].concat());
    let mut members = Reply::of("", link.read(&look).await?.pop().unwrap_or_default())?;
    let (mut asked, mut ask) = (Vec::with_capacity(members.len()), redis::pipe());
    while members.len() > 0 {
        let member = members.text("tokens")?;
        let place = member.strip_prefix(&prefix).and_then(run_and_key);
        let (run, key) = place.ok_or_else(|| corrupt("", "tokens"))?;
        ask_entry(&mut ask, names, &run, key);
        asked.push((run, key.to_owned()));
    }
    let mut answers = link.read(&ask).await?.into_iter();
    let mut found = Vec::with_capacity(asked.len());
    for (run, key) in asked {
        // The entry in the run itself holds its token.
        let waiting = entry(run, &key, &mut answers)?;
        found.extend(waiting.filter(|waiting| query.asks_for(&waiting.run, &waiting.entry)));
    }
    limits::page_of_waiting(found, query)
}

/// Returns the workflow of a run that has not ended.
fn open_workflow(run: &str, answer: Value) -> Result<Option<String>, StoreError> {
    let mut reply = Reply::of(run, answer)?;
    let Some(status) = reply.maybe("status")? else { return Ok(None) };
    let status = Status::from_name(&status).ok_or_else(|| reply.corrupt("status"))?;
    let workflow = reply.text("workflow")?;
    Ok((!status.has_ended()).then_some(workflow))
}

/// Requests a waiting entry, and whether its run is still open.
fn ask_entry(ask: &mut Pipeline, names: &Names, run: &str, key: &str) {
    ask.cmd("HMGET").arg(names.run(run)).arg(&["status", "workflow"]);
    ask.cmd("HGET").arg(names.waits(run)).arg(key);
}

/// Reads the reply to [`ask_entry`].
fn entry(
    run: RunId,
    key: &str,
    answers: &mut impl Iterator<Item = Value>,
) -> Result<Option<Waiting>, StoreError> {
    let workflow = open_workflow(&run, answers.next().unwrap_or_default())?;
    let (Some(workflow), Some(Value::BulkString(text))) = (workflow, answers.next()) else { return Ok(None) };
    let text = String::from_utf8(text).ok();
    let entry = text.and_then(|text| records::entry(key, &text)).ok_or_else(|| corrupt(&run, key))?;
    Ok(Some(Waiting { run, workflow: workflow.into(), entry }))
}
