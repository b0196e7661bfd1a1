//! Adds queued runs.

use std::collections::HashMap;

use awaitly_core::journal::{Fingerprint, Header, Refused, Status, Timestamp};
use awaitly_core::store::{RunId, Start, StoreError, Submit, Submitted};
use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::error::torn;
use super::fields;
use super::labels;
use super::parts::parts;
use super::reply::Reply;
use super::scripts::Script;
use super::{RedisStore, millis};

/// The result for each run of a batch, in its order.
pub(super) type Results = Vec<Result<Submitted, Refused>>;

impl RedisStore {
    /// Adds the runs in calls of limited size, which are sent together.
    pub(super) async fn submit_all(&self, batch: &[Submit]) -> Result<Results, StoreError> {
        let size = |submit: &Submit| submit.input.as_ref().map_or(0, |input| input.payload.len());
        let parts = try_join_all(parts(batch, size).map(|part| self.submit_part(part))).await?;
        Ok(parts.concat())
    }

    async fn submit_part(&self, part: &[Submit]) -> Result<Results, StoreError> {
        let mut call = self.call(Script::Submit, "");
        call.arg(self.nonce());
        for group in part.chunk_by(|one, other| one.workflow == other.workflow && one.queue == other.queue) {
            let Some(first) = group.first() else { continue };
            call.arg(&*first.workflow).arg(&*first.queue).arg(group.len());
            group.iter().for_each(|submit| add_run(&mut call, submit));
        }
        let mut reply = self.batch(call).await?;
        if reply.text("reply")? == "torn" {
            return Err(torn(&reply.text("run")?));
        }
        results(part, reply)
    }
}

fn add_run(call: &mut Cmd, submit: &Submit) {
    call.arg(&*submit.run).arg(options(submit));
    match &submit.input {
        Some(input) => call.arg(input.fingerprint.to_bits()).arg(input.payload.as_str()),
        None => call.arg("").arg(""),
    };
}

/// Returns the options in the form that the script reads. Without options, the text is empty.
fn options(submit: &Submit) -> String {
    let Submit { key, priority, start, start_by, parent, tags, unique, .. } = submit;
    let is_plain = key.is_none() && *priority == 0 && *start == Start::Now && start_by.is_none();
    if is_plain && parent.is_none() && tags.is_empty() && unique.is_none() {
        return String::new();
    }
    let by = start_by.map_or_else(|| "-".to_owned(), |by| by.as_millis().to_string());
    let parent = parent.as_ref().map(labels::parent_text);
    let tags = (!tags.is_empty()).then(|| labels::tags_text(tags));
    let texts =
        [key.as_deref(), unique.as_ref().map(|unique| &*unique.key), parent.as_deref(), tags.as_deref()];
    let mut options = format!("{priority} {} {by} ", start_text(*start));
    for text in texts {
        options.push_str(&text.map_or_else(|| "-".to_owned(), |text| text.len().to_string()));
        options.push(' ');
    }
    options.push_str(if unique.as_ref().is_some_and(|unique| unique.replaces) { "1 " } else { "0 " });
    options.extend(texts.into_iter().flatten());
    options
}

/// Returns a start in the form that scripts read.
pub(super) fn start_text(start: Start) -> String {
    match start {
        Start::Now => "0".to_owned(),
        Start::In(delay) => millis(delay).to_string(),
        Start::At(moment) => format!("@{}", moment.as_millis()),
    }
}

/// Reads the answers, one for each run of a part. For an added run, the answer is nothing. Otherwise, it is the queued
/// run with the deduplication key, or the fields that [`Submit::matches`] compares.
fn results(part: &[Submit], mut reply: Reply<'_>) -> Result<Results, StoreError> {
    let mut added: HashMap<&RunId, &Submit> = HashMap::new();
    let mut results = Vec::with_capacity(part.len());
    for submit in part {
        results.push(match reply.next() {
            Some(Value::Nil) => {
                added.insert(&submit.run, submit);
                Ok(Submitted::Queued)
            }
            Some(Value::Array(facts)) if facts.len() == 1 => {
                Ok(Submitted::Duplicate(duplicate(Reply::of(&submit.run, Value::Array(facts))?)?))
            }
            Some(value) => submit.matches(&stored(submit, value, added.get(&submit.run).copied())?),
            None => return Err(reply.corrupt("reply")),
        });
    }
    Ok(results)
}

/// Reads the run with the deduplication key.
fn duplicate(mut reply: Reply<'_>) -> Result<RunId, StoreError> {
    RunId::new(reply.text("unique")?).map_err(|_| reply.corrupt("unique"))
}

/// Reads the fields of an existing run. If this batch has added the run, `added` holds its fields.
fn stored(submit: &Submit, value: Value, added: Option<&Submit>) -> Result<Header, StoreError> {
    let now = Timestamp::default();
    let mut reply = Reply::of(&submit.run, value)?;
    match added {
        Some(added) if reply.len() == 0 => Ok(added.header(added.place(now), now)),
        _ => {
            let (workflow, fingerprint) = (reply.text("workflow")?, reply.maybe("fingerprint")?);
            let status = Status::from_name(&reply.text("status")?).ok_or_else(|| reply.corrupt("status"))?;
            let mut header = Header::new(workflow.into(), 0, status, now);
            header.input = fingerprint.map(|text| read(&reply, &text)).transpose()?;
            Ok(header)
        }
    }
}

fn read(reply: &Reply<'_>, fingerprint: &str) -> Result<Fingerprint, StoreError> {
    fields::fingerprint(fingerprint).ok_or_else(|| reply.corrupt("fingerprint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: usize) -> Submit {
        Submit::new(RunId::new(format!("order-{number}")).unwrap(), "checkout")
    }

    #[test]
    fn options_without_effect_take_no_space() {
        assert_eq!(options(&run(0)), "");
        let late = run(0)
            .start_by(Timestamp::from_millis(7))
            .key("a b")
            .start(Start::In(std::time::Duration::from_secs(1)));
        assert_eq!(options(&late.priority(-3)), "-3 1000 7 3 - - - 0 a b");
        assert_eq!(options(&run(0).start(Start::At(Timestamp::from_millis(9)))), "0 @9 - - - - - 0 ");
        let child = run(0).child_of(RunId::new("order-1").unwrap(), "ship").tag("red").debounce("k");
        assert_eq!(options(&child), "0 0 - - 1 13 5 1 k7 order-1shipred\0\0");
    }
}
