//! A run and its children together: their state, their questions and their mail.

use awaitly::engine::Client;
use awaitly::journal::{Status, Timestamp};
use awaitly::store::{DueQuery, RunId, RunSummary};

use super::engine::Engine;
use super::outside::Open;
use super::{Play, State, harness};
use crate::place::on;
use crate::post::{Sent, child_of, children};
use crate::promise::{Broken, Promise};

impl Play<'_> {
    /// Compares the state of the run with a worker that has nothing to do.
    pub(super) async fn judge_idle(&self, has_deadline: bool, has_rival: bool) -> Result<(), Broken> {
        self.world_is_whole()?;
        let stored = self.place.load(&self.run).await.map_err(harness)?;
        let Some(status) = stored.map(|stored| stored.header.status) else {
            let text = "a client started the run, which does not exist".to_owned();
            return Err(Broken { promise: Promise::Agreement, text });
        };
        if !status.has_ended() && status != Status::Waiting && !has_rival && !has_deadline {
            self.nothing_is_left(status)?;
            let text = format!("a worker has nothing to do, and the run is {status}");
            return Err(Broken { promise: Promise::Agreement, text });
        }
        if self.pace.is_virtual {
            self.nothing_is_stuck().await?;
        }
        // On a store that others use, a worker of another case may be about to wake the run.
        if self.pace.is_virtual && status == Status::Waiting && !self.is_disturbed {
            self.has_asked().await?;
        }
        Ok(())
    }

    /// The library says the same of its runs.
    async fn nothing_is_stuck(&self) -> Result<(), Broken> {
        let diagnosis = on!(self.place, store => Client::new(store.clone()).doctor().await);
        match diagnosis.map_err(harness)?.stuck().next() {
            Some(found) => Err(super::stuck(&found.to_string())),
            None => Ok(()),
        }
    }

    /// The state of the run and its children together.
    pub(super) async fn state_of_all(&self, engine: &Engine, status: Status) -> Result<State, Broken> {
        let children = children(self.place, engine.children).await.map_err(harness)?;
        let mut open: Vec<_> = children.iter().filter(|child| !child.status.has_ended()).collect();
        let query = DueQuery::new().workflow(engine.run.name()).workflow(engine.children.name());
        let due = self.place.due(query).await.map_err(harness)?;
        Ok(match status {
            _ if !due.is_empty() => State::Due,
            _ if status.has_ended() && open.is_empty() => State::Ended(status),
            _ => {
                open.retain(|child| child.status != Status::Waiting);
                let waits = status.has_ended() || status == Status::Waiting;
                if open.is_empty() && waits { State::Waits } else { State::Held }
            }
        })
    }

    /// The children that wait, and for which somebody cares.
    pub(super) async fn waiting_children(&self, engine: &Engine) -> Result<Vec<RunId>, Broken> {
        let status = self.place.load(&self.run).await.map_err(harness)?.map(|stored| stored.header.status);
        let children = children(self.place, engine.children).await.map_err(harness)?;
        let waiting = children.into_iter().filter(|child| child.status == Status::Waiting);
        Ok(waiting.filter(|child| !self.is_abandoned(engine, status, child)).map(|child| child.run).collect())
    }

    /// Whether the run was cancelled while it waited for the child, so that the child ends without an answer.
    fn is_abandoned(&self, engine: &Engine, status: Option<Status>, child: &RunSummary) -> bool {
        let is_ours = child_of(&child.run)
            .is_some_and(|id| engine.awaited.contains(&id) && !engine.spared.contains(&id));
        status == Some(Status::Cancelled) && !self.was_retried && is_ours
    }

    /// The mailboxes at which a run waits.
    pub(super) async fn open_mail(&self, engine: &Engine) -> Result<Vec<(u16, Open)>, Broken> {
        let mut runs = self.waiting_children(engine).await?;
        runs.push(self.run.clone());
        self.open_in(runs, 'm').await
    }

    /// Sends the next messages to the runs that wait for them. Returns whether a run may go on.
    pub(super) async fn send(&self) -> Result<bool, Broken> {
        let Some(engine) = &self.engine else { return Ok(false) };
        let mut any = false;
        for (id, (run, _)) in self.open_mail(engine).await? {
            any |= engine.post.send(self.place, &run, id).await? == Sent::Yes;
        }
        Ok(any)
    }

    /// Sends all messages of a part before it asks for them.
    pub(super) async fn send_early(&self, id: u16) -> Result<(), Broken> {
        match &self.engine {
            Some(engine) => engine.post.send_all(self.place, id).await,
            None => Ok(()),
        }
    }

    /// The time at which a run is to be resumed.
    pub(super) async fn next_wake(&self) -> Result<Option<Timestamp>, Broken> {
        let stored = self.place.load(&self.run).await.map_err(harness)?;
        let wake = stored.filter(|stored| !stored.header.status.has_ended());
        let wake = wake.and_then(|stored| stored.header.wake);
        let Some(engine) = &self.engine else { return Ok(wake) };
        let children = children(self.place, engine.children).await.map_err(harness)?;
        let open = children.into_iter().filter(|child| !child.status.has_ended());
        Ok(open.filter_map(|child| child.wake).chain(wake).min())
    }

    /// No child was cancelled but for its parent.
    pub(super) async fn children_ended(&self, engine: &Engine, status: Status) -> Result<(), Broken> {
        for child in children(self.place, engine.children).await.map_err(harness)? {
            let Some(id) = child_of(&child.run) else { continue };
            let may_be_cancelled = self.is_disturbed || self.was_retried;
            if child.status == Status::Cancelled && (engine.spared.contains(&id) || !may_be_cancelled) {
                let text = format!("the run is {status}, and child {id} is cancelled");
                return Err(Broken { promise: Promise::Children, text });
            }
        }
        Ok(())
    }
}
