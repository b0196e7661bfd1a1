//! Schedules.

use awaitly_core::journal::Payload;
use awaitly_core::store::{PutSchedule, ScheduleQuery, StoreError, StoredSchedule};

use super::RedisStore;
use super::fields::moment;
use super::parts::parts;
use super::reply::Reply;
use super::scripts::Script;

impl RedisStore {
    pub(super) async fn read_schedules(
        &self,
        query: &ScheduleQuery,
    ) -> Result<Vec<StoredSchedule>, StoreError> {
        let none = || "-".to_owned();
        let name = |name: Option<&str>| name.map_or_else(none, |name| ["=", name].concat());
        let mut ask = redis::pipe();
        let call = ask.add_command(self.call(Script::Schedules, ""));
        call.arg(name(query.name.as_deref()));
        call.arg(query.due_at.map_or_else(none, |due| due.as_millis().to_string()));
        call.arg(name(query.after.as_deref())).arg(query.page_limit());
        let value = self.reader().await?.read(&ask).await?.pop().unwrap_or_default();
        let mut reply = Reply::of("", value)?;
        reply.text("reply")?;
        let mut found = Vec::with_capacity(reply.len());
        while reply.len() > 0 {
            found.push(schedule(reply.list("schedule")?)?);
        }
        found.retain(|schedule| query.asks_for(schedule));
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        found.truncate(query.page_limit());
        Ok(found)
    }

    pub(super) async fn change_schedules(&self, changes: &[PutSchedule]) -> Result<Vec<bool>, StoreError> {
        let size = |change: &PutSchedule| change.put.as_ref().map_or(0, |(_, rule)| rule.len());
        let mut made = Vec::with_capacity(changes.len());
        for part in parts(changes, size) {
            let mut args = Vec::with_capacity(5 * part.len());
            for PutSchedule { name, version, put } in part {
                let version = version.map_or_else(String::new, |version| version.to_string());
                let due = put.as_ref().and_then(|(due, _)| *due);
                let due = due.map_or_else(String::new, |due| due.as_millis().to_string());
                let rule = put.as_ref().map_or("", |(_, rule)| rule.as_str());
                args.extend([(**name).to_owned(), version, u8::from(put.is_some()).to_string()]);
                args.extend([due, rule.to_owned()]);
            }
            let answer = self.once(Script::PutSchedules, &args).await?;
            made.extend(answer.bytes().map(|digit| digit == b'1'));
        }
        Ok(made)
    }
}

/// Reads a schedule: its name, its version, its rule, and its next time.
fn schedule(mut reply: Reply<'_>) -> Result<StoredSchedule, StoreError> {
    let (name, version) = (reply.text("schedule")?.into(), reply.number("version")?);
    let rule = Payload::from_stored(reply.text("rule")?);
    let due = reply.maybe("due")?;
    let due = due.map(|text| moment(&text).ok_or_else(|| reply.corrupt("due"))).transpose()?;
    Ok(StoredSchedule { name, version, due, rule })
}
