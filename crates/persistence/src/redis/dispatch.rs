//! The calls of clients and workers.

use std::sync::Arc;

use awaitly_core::dispatch::{Queue, Rate};
use awaitly_core::journal::{Header, Key, Outcome, Payload, Refused};
use awaitly_core::store::{
    Claim, Claimed, Configure, Dispatch, Lease, Message, Pausing, Publish, PutSchedule, QueueState,
    Reschedule, RunId, ScheduleQuery, Standing, StoreError, StoredSchedule, StreamPart, Submit, Submitted,
    Unsent,
};
use redis::{Cmd, ToRedisArgs};

use super::RedisStore;
use super::reply::Reply;
use super::scripts::Script;
use super::submit::start_text;
use crate::limits;

/// The maximum number of runs or queues that one call changes. The limit keeps the call short, because the server
/// executes one call at a time.
const MOST: usize = 500;

/// The maximum number of queues in a list.
const LISTED: usize = 1000;

impl Dispatch for RedisStore {
    async fn submit(&self, batch: Vec<Submit>) -> Result<Vec<Result<Submitted, Refused>>, StoreError> {
        limits::submitted(&batch)?;
        self.submit_all(&batch).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.claim_all(&claim).await
    }

    async fn headers(&self, runs: Vec<RunId>) -> Result<Vec<Option<Header>>, StoreError> {
        self.read_headers(&runs).await
    }

    async fn standing(&self, run: &RunId) -> Result<Option<Standing>, StoreError> {
        let mut ask = redis::pipe();
        ask.add_command(self.call(Script::Standing, run)).arg(&**run).arg(Standing::MOST_AHEAD);
        let value = self.reader().await?.read(&ask).await?.pop().unwrap_or_default();
        let mut reply = Reply::of(run, value)?;
        Ok(match reply.text("reply")?.as_str() {
            "held" => Some(Standing::Held { owner: reply.text("owner")?.into() }),
            "in line" => {
                let (ahead, paused) = (reply.number("ahead")?, reply.number("paused")?);
                Some(Standing::InLine { ahead, queue_paused: paused == 1 })
            }
            _ => None,
        })
    }

    async fn send(&self, messages: Vec<Message>) -> Result<Vec<Result<(), Unsent>>, StoreError> {
        limits::queues(messages.iter().map(|message| &*message.mailbox))?;
        self.send_all(&messages).await
    }

    async fn receive(
        &self,
        lease: &Lease,
        mailbox: Arc<str>,
        key: Key,
    ) -> Result<Option<Outcome>, StoreError> {
        self.take_mail(lease, &mailbox, &key).await
    }

    async fn publish(&self, lease: &Lease, published: Vec<Publish>) -> Result<(), StoreError> {
        limits::published(&published)?;
        self.publish_all(lease, &published).await
    }

    async fn published(&self, run: &RunId, name: Arc<str>) -> Result<Option<Payload>, StoreError> {
        self.read_published(run, &name).await
    }

    async fn stream(
        &self,
        run: &RunId,
        stream: Arc<str>,
        from: u64,
        limit: usize,
    ) -> Result<Option<StreamPart>, StoreError> {
        self.read_stream(run, &stream, (from, limit)).await
    }

    async fn schedules(&self, query: ScheduleQuery) -> Result<Vec<StoredSchedule>, StoreError> {
        self.read_schedules(&query).await
    }

    async fn put_schedules(&self, changes: Vec<PutSchedule>) -> Result<Vec<bool>, StoreError> {
        limits::schedules(&changes)?;
        self.change_schedules(&changes).await
    }

    async fn configure(&self, queues: Vec<Queue>, configure: Configure) -> Result<(), StoreError> {
        limits::queues(queues.iter().map(|queue| &*queue.name))?;
        for part in queues.chunks(MOST) {
            let mut call = self.call(Script::Configure, "");
            call.arg(u8::from(configure == Configure::Declare));
            for queue in part {
                add_settings(&mut call, queue)?;
            }
            self.batch(call).await?;
        }
        Ok(())
    }

    async fn queues(&self) -> Result<Vec<QueueState>, StoreError> {
        let mut list = redis::pipe();
        list.add_command(self.call(Script::QueueStates, "")).arg(LISTED);
        let value = self.reader().await?.read(&list).await?.pop().unwrap_or_default();
        let mut reply = Reply::of("", value)?;
        reply.text("reply")?;
        let mut states = Vec::with_capacity(reply.len());
        while reply.len() > 0 {
            states.push(state(reply.list("queue")?)?);
        }
        Ok(states)
    }

    async fn pause_queues(&self, queues: Vec<Arc<str>>, pausing: Pausing) -> Result<(), StoreError> {
        limits::queues(queues.iter().map(|queue| &**queue))?;
        for part in queues.chunks(MOST) {
            let mut call = self.call(Script::PauseQueues, "");
            call.arg(u8::from(pausing == Pausing::Pause));
            for queue in part {
                call.arg(&**queue);
            }
            self.batch(call).await?;
        }
        Ok(())
    }

    async fn pause(&self, runs: Vec<RunId>, pausing: Pausing) -> Result<Vec<RunId>, StoreError> {
        self.change(&runs, Script::Pause, &[if pausing == Pausing::Pause { "1" } else { "0" }]).await
    }

    async fn reschedule(&self, runs: Vec<RunId>, change: Reschedule) -> Result<Vec<RunId>, StoreError> {
        limits::rescheduled(&change)?;
        let none = || "-".to_owned();
        let queue = change.queue.as_deref().map_or_else(none, |queue| ["=", queue].concat());
        let priority = change.priority.map_or_else(none, |priority| priority.to_string());
        let start = change.start.map_or_else(none, start_text);
        self.change(&runs, Script::Reschedule, &[queue, priority, start]).await
    }
}

impl RedisStore {
    /// Calls a script that changes runs, and returns the changed ones.
    async fn change(
        &self,
        runs: &[RunId],
        script: Script,
        args: &[impl ToRedisArgs + Sync],
    ) -> Result<Vec<RunId>, StoreError> {
        let mut changed = Vec::new();
        for part in runs.chunks(MOST) {
            let mut call = self.call(script, "");
            call.arg(self.nonce()).arg(args);
            for run in part {
                call.arg(&**run);
            }
            let reply = self.batch(call).await?;
            changed.extend(ids(reply)?);
        }
        Ok(changed)
    }
}

/// Reads the run ids in the reply of a script, after its first word.
pub(super) fn ids(mut reply: Reply<'_>) -> Result<Vec<RunId>, StoreError> {
    reply.text("reply")?;
    let mut ids = Vec::with_capacity(reply.len());
    while reply.len() > 0 {
        ids.push(RunId::new(reply.text("run")?).map_err(|_| reply.corrupt("run"))?);
    }
    Ok(ids)
}

/// Adds the settings of a queue to the arguments of a script: as text, and each limit by itself.
fn add_settings(call: &mut Cmd, queue: &Queue) -> Result<(), StoreError> {
    let text = Payload::encode(queue)
        .map_err(|error| StoreError::Unstorable { detail: error.to_string().into() })?;
    let number = |limit: Option<u128>| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
    call.arg(&*queue.name).arg(text.as_str());
    call.arg(number(queue.concurrency.map(u128::from))).arg(number(queue.per_key.map(u128::from)));
    call.arg(number(queue.rate.map(|Rate { runs, .. }| u128::from(runs))));
    call.arg(number(queue.rate.map(|Rate { period, .. }| period.as_micros())));
    call.arg(if queue.fair { "1" } else { "-" });
    Ok(())
}

/// Reads the state of a queue.
fn state(mut reply: Reply<'_>) -> Result<QueueState, StoreError> {
    let name = reply.text("queue")?;
    let settings = match reply.maybe("settings")? {
        Some(text) => Payload::from_stored(text).decode().map_err(|_| reply.corrupt("settings"))?,
        None => Queue::new(name),
    };
    Ok(QueueState::new(settings, reply.maybe("paused")?.is_some()))
}
