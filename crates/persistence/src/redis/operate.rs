//! The calls of operators and engines.

use awaitly_core::journal::{Asked, Key, Settling, Status, Timestamp, Unanswered, settle};
use awaitly_core::store::{
    Answer, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Operate, Page, RunId, RunQuery, RunSummary,
    StoreError, StoredRun, WaitQuery, Waiting, Wakes,
};

use super::fields;
use super::names::member;
use super::op::{Kind, To};
use super::records::{entry, entry_text};
use super::reply::Reply;
use super::scripts::Script;
use super::{RedisStore, add_record, dispatch, lists, not_too_many, waiting};
use crate::limits;

impl Operate for RedisStore {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        lists::runs(&*self.reader().await?, &self.0.names, &query).await
    }

    async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        waiting::waiting(&*self.reader().await?, &self.0.names, &query).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        lists::due(&*self.reader().await?, &self.0.names, &query).await
    }

    async fn answer(&self, answer: Answer) -> Result<Result<(), Unanswered>, StoreError> {
        limits::answer(&answer.outcome)?;
        let Answer { run, key, token, outcome } = answer;
        let nonce = self.nonce();
        loop {
            let mut look = redis::pipe();
            look.add_command(self.call(Script::Look, &run)).arg(&*key);
            let value = self.reader().await?.read(&look).await?.pop().unwrap_or_default();
            let seen = Seen::read(&mut Reply::of(&run, value)?)?;
            if let Err(refused) = seen.settle(&run, &key, token.as_deref())? {
                return Ok(Err(refused));
            }
            let mut call = self.call(Script::Answer, &run);
            call.arg(&*run).arg(&nonce).arg(&*key).arg(member(&run, &key)).arg(seen.status).arg(seen.entry);
            call.arg(outcome.kind().to_number()).arg(outcome.payload().as_str());
            let mut reply = self.write(&run, call, To::Any, Kind::Wakes).await?;
            match reply.text("reply")?.as_str() {
                "done" => return Ok(Ok(())),
                // The run has changed since it was read.
                "changed" => {}
                _ => return Err(reply.corrupt("reply")),
            }
        }
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.cancel_by(run, Cancelling::Request).await
    }

    async fn cancel_without_undo(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        self.cancel_by(run, Cancelling::WithoutUndo).await
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        let mut call = self.call(Script::Delete, "");
        call.arg(match condition {
            DeleteIf::Free => "-".to_owned(),
            DeleteIf::EndedBefore(moment) => moment.as_millis().to_string(),
        });
        for run in &runs {
            call.arg(&**run);
        }
        dispatch::ids(self.write("", call, To::Any, Kind::Once).await?)
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<bool, StoreError> {
        not_too_many(&stored.records, &stored.waits)?;
        limits::imported(&run, &stored)?;
        let StoredRun { header, input, records, waits } = stored;
        let nonce = self.nonce();
        let fields = fields::imported(&header, input.as_ref())?;
        let mut call = self.call(Script::Import, &run);
        call.arg(&*run).arg(&nonce).arg(2 * fields.len());
        for (field, value) in fields {
            call.arg(field).arg(value);
        }
        call.arg(records.len());
        records.iter().for_each(|record| add_record(&mut call, record));
        for entry in &waits {
            call.arg(&*entry.key).arg(entry_text(entry, &nonce));
        }
        let mut reply = self.write(&run, call, To::Any, Kind::Wakes).await?;
        match reply.text("reply")?.as_str() {
            "exists" => Ok(false),
            "added" => Ok(true),
            _ => Err(reply.corrupt("reply")),
        }
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        lists::now(&*self.reader().await?).await
    }

    fn wakes(&self) -> Wakes {
        let wakes = self.0.bell.listen();
        if let Ok(call) = self.0.calls.begin() {
            self.0.listener.start(self.0.names.wakes(), &self.0.bell, call);
        }
        wakes
    }
}

/// The state of a run when it was answered, which must be unchanged when the answer is recorded.
struct Seen {
    now: Timestamp,
    status: Option<String>,
    entry: Option<String>,
    recorded: bool,
}

impl Seen {
    fn read(reply: &mut Reply<'_>) -> Result<Self, StoreError> {
        reply.text("reply")?;
        let now = Timestamp::from_millis(reply.number("now")?);
        let (status, entry) = (reply.maybe("status")?, reply.maybe("waits")?);
        Ok(Self { now, status, entry, recorded: reply.number("records")? > 0 })
    }

    /// Returns the decision of [`settle`] on this state.
    fn settle(
        &self,
        run: &str,
        key: &str,
        token: Option<&str>,
    ) -> Result<Result<(), Unanswered>, StoreError> {
        let bad = |field| super::error::corrupt(run, field);
        let status =
            self.status.as_deref().map(|status| Status::from_name(status).ok_or_else(|| bad("status")));
        let entry = self.entry.as_deref().map(|text| entry(key, text).ok_or_else(|| bad(key)));
        let (status, entry) = (status.transpose()?, entry.transpose()?);
        let asked = status.map(|status| Asked { status, entry: entry.as_ref(), recorded: self.recorded });
        Ok(settle(asked, Settling::Answer, token, self.now))
    }
}

impl RedisStore {
    async fn cancel_by(&self, run: &RunId, cancelling: Cancelling) -> Result<Cancelled, StoreError> {
        let mut call = self.call(Script::Cancel, run);
        call.arg(&**run).arg(self.nonce());
        call.arg(u8::from(cancelling == Cancelling::WithoutUndo)).arg(&*Key::TOO_LATE_TO_CANCEL);
        let mut reply = self.write(run, call, To::Any, Kind::Wakes).await?;
        match reply.text("reply")?.as_str() {
            "none" => Ok(Cancelled::NoSuchRun),
            "requested" => Ok(Cancelled::Requested),
            "too late" => Ok(Cancelled::TooLate),
            "held" => Ok(Cancelled::Held),
            "ended" => {
                let status = Status::from_name(&reply.text("status")?);
                status.map(Cancelled::Ended).ok_or_else(|| reply.corrupt("status"))
            }
            "marked" => Ok(Cancelled::WithoutUndo),
            _ => Err(reply.corrupt("reply")),
        }
    }
}
