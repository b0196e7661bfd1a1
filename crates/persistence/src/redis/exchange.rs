//! Mail, published values and streams.

use awaitly_core::journal::{Header, Key, Outcome, Payload, Status};
use awaitly_core::store::{Input, Lease, Message, Publish, RunId, StoreError, StreamPart, Unsent};

use super::RedisStore;
use super::fields::{Fields, Known, SUMMARY};
use super::names::member;
use super::op::Kind;
use super::parts::parts;
use super::records;
use super::reply::{Reply, text};
use super::scripts::Script;
use crate::limits;

/// The maximum number of headers that one call reads.
const MOST: usize = 1000;

impl RedisStore {
    pub(super) async fn read_headers(&self, runs: &[RunId]) -> Result<Vec<Option<Header>>, StoreError> {
        let mut headers = Vec::with_capacity(runs.len());
        for part in runs.chunks(MOST) {
            let mut ask = redis::pipe();
            for run in part {
                ask.cmd("HMGET").arg(self.0.names.run(run)).arg(&SUMMARY).arg("outcome");
            }
            for (run, answer) in part.iter().zip(self.reader().await?.read(&ask).await?) {
                let known = Known::read(&mut Fields::summary(run, Reply::of(run, answer)?)?)?;
                headers.push(known.map(|known| known.header));
            }
        }
        Ok(headers)
    }

    pub(super) async fn send_all(&self, messages: &[Message]) -> Result<Vec<Result<(), Unsent>>, StoreError> {
        let mut results = Vec::with_capacity(messages.len());
        for part in parts(messages, |message| message.payload.len()) {
            results.extend(self.send_part(part).await?);
        }
        Ok(results)
    }

    async fn send_part(&self, part: &[Message]) -> Result<Vec<Result<(), Unsent>>, StoreError> {
        let mut args = Vec::with_capacity(5 * part.len());
        for Message { run, mailbox, id, payload, .. } in part {
            let id = id.as_deref().map_or_else(|| "-".to_owned(), |id| ["=", id].concat());
            // The script does not send a message that is too large. It still returns the status of the run, which
            // decides the result.
            let is_small = payload.len() <= Message::MAX_BYTES;
            let payload = if is_small { payload.as_str() } else { "" };
            args.extend([(**run).to_owned(), (**mailbox).to_owned(), id]);
            args.extend([u8::from(is_small).to_string(), payload.to_owned()]);
        }
        let answer = self.once(Script::Send, &args).await?;
        let mut words = answer.split(' ');
        let corrupt = || super::error::corrupt("", "mail");
        let results = part.iter().map(|message| {
            let status = match words.next() {
                Some("-") => None,
                word => Some(word.and_then(Status::from_name).ok_or_else(corrupt)?),
            };
            let unread = words.next().and_then(|word| word.parse().ok()).ok_or_else(corrupt)?;
            Ok(message.check(status, unread))
        });
        results.collect()
    }

    /// Makes a call that cannot recognise its earlier copy by its effect. The server keeps the answer until the store
    /// reports that the answer has arrived.
    pub(super) async fn once(&self, script: Script, args: &[String]) -> Result<String, StoreError> {
        let (mut call, nonce, arrived) = (self.call(script, ""), self.nonce(), self.0.arrived.take());
        call.arg(&nonce).arg(arrived.len()).arg(arrived).arg(args);
        let mut reply = self.batch(call).await?;
        self.0.arrived.add(nonce);
        reply.text("reply")?;
        reply.text("answer")
    }

    pub(super) async fn take_mail(
        &self,
        lease: &Lease,
        mailbox: &str,
        key: &Key,
    ) -> Result<Option<Outcome>, StoreError> {
        let mut call = self.call_by(lease, Script::Receive);
        call.arg(self.nonce()).arg(&**lease.run()).arg(&**key).arg(member(lease.run(), key)).arg(mailbox);
        let (word, mut reply) = self.write_by(lease, None, call, Kind::Plain).await?;
        match word.as_str() {
            "empty" => Ok(None),
            "stands" => {
                let text = reply.text(key)?;
                let (_, outcome, _) = records::record(&text).ok_or_else(|| reply.corrupt(key))?;
                Ok(Some(outcome))
            }
            _ => Err(reply.corrupt("reply")),
        }
    }

    pub(super) async fn publish_all(&self, lease: &Lease, published: &[Publish]) -> Result<(), StoreError> {
        let mut call = self.call_by(lease, Script::Publish);
        call.arg(&**lease.run());
        for Publish { name, index, payload, .. } in published {
            let index = index.map_or_else(String::new, |index| index.to_string());
            call.arg(&**name).arg(index).arg(payload.as_str());
        }
        let (word, mut reply) = self.write_by(lease, None, call, Kind::Wakes).await?;
        match word.as_str() {
            "done" => Ok(()),
            "refused" => {
                let (number, length) = (reply.number("number")?, reply.number("length")?);
                let refused = usize::try_from(number).ok().and_then(|number| published.get(number));
                limits::stream_item(refused.ok_or_else(|| reply.corrupt("number"))?, length)?;
                Err(reply.corrupt("length"))
            }
            _ => Err(reply.corrupt("reply")),
        }
    }

    pub(super) async fn read_published(
        &self,
        run: &RunId,
        name: &str,
    ) -> Result<Option<Payload>, StoreError> {
        let mut ask = redis::pipe();
        ask.cmd("HGET").arg(self.0.names.values(run)).arg(name);
        let value = self.reader().await?.read(&ask).await?.pop().and_then(text);
        Ok(value.map(Payload::from_stored))
    }

    pub(super) async fn read_stream(
        &self,
        run: &RunId,
        stream: &str,
        (from, limit): (u64, usize),
    ) -> Result<Option<StreamPart>, StoreError> {
        let mut ask = redis::pipe();
        let call = ask.add_command(self.call(Script::Stream, run));
        // No stream is longer, and a script cannot represent larger numbers exactly.
        call.arg(&**run).arg(stream).arg(from.min(Publish::MOST)).arg(limit.min(1000));
        let value = self.reader().await?.read(&ask).await?.pop().unwrap_or_default();
        let mut reply = Reply::of(run, value)?;
        if reply.text("reply")? == "none" {
            return Ok(None);
        }
        let ended = reply.text("ended")? == "1";
        let mut found = reply.list("items")?;
        let mut items = Vec::with_capacity(found.len());
        while found.len() > 0 {
            items.push(Payload::from_stored(found.text("item")?));
        }
        Ok(Some(StreamPart { items, ended }))
    }

    pub(super) async fn start_again(&self, lease: &Lease, input: Option<&Input>) -> Result<(), StoreError> {
        let mut call = self.call_by(lease, Script::Restart);
        call.arg(self.nonce()).arg(&**lease.run());
        if let Some(Input { payload, fingerprint, .. }) = input {
            call.arg(payload.as_str()).arg(fingerprint.to_bits());
        }
        self.do_by(lease, None, call, Kind::Wakes).await.map(drop)
    }
}
