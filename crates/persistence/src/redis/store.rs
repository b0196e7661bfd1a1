//! The store's calls for runs.

use std::time::Duration;

use awaitly_core::journal::{Contents, Key, Outcome, Record, Settling, Timestamp};
use awaitly_core::store::{
    Durability, Ending, Input, Lease, Open, Opened, Renewed, Rewrite, RunId, Store, StoreError, StoredRun,
    Wait,
};

use super::names::member;
use super::op::{Kind, Op};
use super::records;
use super::reply::Reply;
use super::scripts::Script;
use super::{RedisStore, add_record, fields, holder, lasting, millis, not_too_many};
use crate::limits;

/// Longer than any clock runs, and small enough for a number in a script.
const FOR_EVER: Duration = Duration::from_millis(1 << 52);

impl Store for RedisStore {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        match self.open_run(&request).await? {
            Opened::Refused(refused) => limits::refused(self, &request.run, request.purpose, refused).await,
            opened => Ok(opened),
        }
    }

    async fn append(&self, lease: &Lease, record: Record, _: Durability) -> Result<(), StoreError> {
        self.record(Script::Append, lease, &record).await
    }

    async fn replace(&self, lease: &Lease, record: Record, _: Durability) -> Result<(), StoreError> {
        self.record(Script::Replace, lease, &record).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        let Wait { key, token, request, expires_in } = wait;
        let mut call = self.call_by(lease, Script::Wait);
        call.arg(self.nonce()).arg(&*key).arg(member(lease.run(), &key));
        call.arg(expires_in.map_or_else(|| "-".to_owned(), |delay| millis(delay.min(FOR_EVER)).to_string()));
        call.arg(token.len()).arg([&*token, request.as_str()].concat());
        self.do_by(lease, Some(&key), call, Kind::Plain).await.map(drop)
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        let mut call = self.call_by(lease, Script::Settle);
        call.arg(self.nonce());
        add_record(&mut call, &record);
        call.arg(member(lease.run(), &record.key));
        call.arg(match settling {
            Settling::Answer => "answer",
            Settling::Expire => "expire",
            Settling::Withdraw => "withdraw",
        });
        let (word, mut reply) = self.write_by(lease, None, call, Kind::Plain).await?;
        match word.as_str() {
            "waits" => Ok(None),
            "stands" => {
                let text = reply.text(&record.key)?;
                let (_, outcome, _) = records::record(&text).ok_or_else(|| reply.corrupt(&record.key))?;
                Ok(Some(outcome))
            }
            _ => Err(reply.corrupt("reply")),
        }
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        let mut call = self.call_by(lease, Script::Revive);
        call.arg(self.nonce()).arg(&**lease.run());
        for key in &drop {
            call.arg(&**key);
        }
        self.do_by(lease, None, call, Kind::Wakes).await.map(std::mem::drop)
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        let Rewrite { version, contents: Contents { records, waits, failed_on }, waited, .. } = rewrite;
        let refused = limits::journal(lease.run(), &records, &waits).map(drop);
        // A lost lease takes precedence over other errors, as in all stores.
        if let Err(refused) = refused.and_then(|()| not_too_many(&records, &waits)) {
            let call = self.call_by(lease, Script::Holds);
            return self.do_by(lease, None, call, Kind::Plain).await.and(Err(refused));
        }
        let (mut call, nonce) = (self.call_by(lease, Script::Rewrite), self.nonce());
        call.arg(&nonce).arg(&**lease.run()).arg(version).arg(fields::keys_text(&failed_on)?);
        call.arg(waited.len());
        for key in &waited {
            call.arg(&**key);
        }
        call.arg(waits.len());
        for entry in &waits {
            call.arg(&*entry.key).arg(records::entry_text(entry, &nonce));
        }
        records.iter().for_each(|record| add_record(&mut call, record));
        match self.write_by(lease, None, call, Kind::Plain).await? {
            (word, _) if word == "done" => Ok(()),
            (word, _) if word == "answered" => Err(StoreError::Answered { run: (**lease.run()).into() }),
            (_, reply) => Err(reply.corrupt("reply")),
        }
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        limits::ending(&ending)?;
        let fields = fields::ending(&ending)?;
        let mut call = self.call(Script::Finish, "");
        call.arg(7 + ending.waits_on.len() + 2 * fields.len());
        call.arg(&**lease.run()).arg(lease.token()).arg(holder(lease)).arg(self.nonce());
        call.arg(ending.wake.map_or_else(|| "-".to_owned(), |wake| wake.as_millis().to_string()));
        call.arg(u8::from(ending.cancelling)).arg(ending.waits_on.len());
        for key in &ending.waits_on {
            call.arg(&**key);
        }
        for (field, value) in fields {
            call.arg(field).arg(value);
        }
        self.do_by(lease, None, call, Kind::Part).await.map(drop)
    }

    async fn restart(&self, lease: &Lease, input: Option<Input>) -> Result<(), StoreError> {
        self.start_again(lease, input.as_ref()).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let mut call = self.call_by(lease, Script::Renew);
        call.arg(&**lease.run()).arg(lasting(ttl));
        let mut reply = self.do_by(lease, None, call, Kind::Plain).await?;
        let now = Timestamp::from_millis(reply.number("now")?);
        Ok(Renewed { now, cancel: reply.maybe("cancel")?.is_some() })
    }

    fn release(&self, lease: &Lease) {
        let mut call = self.call_by(lease, Script::Release);
        call.arg(&**lease.run());
        // If the writer has ended, the lease expires.
        if self.0.ops.send(Op::release(call)) {
            self.0.releases.add();
        }
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let mut load = redis::pipe();
        load.add_command(self.call(Script::Load, run));
        let value = self.reader().await?.read(&load).await?.pop().unwrap_or_default();
        let mut reply = Reply::of(run, value)?;
        match reply.text("reply")?.as_str() {
            "none" => Ok(None),
            "torn" => Err(super::error::torn(run)),
            _ => fields::journal(run, &mut reply).map(|(_, _, run)| Some(run)),
        }
    }

    fn durability(&self) -> &'static str {
        self.0.durability.as_str()
    }
}
