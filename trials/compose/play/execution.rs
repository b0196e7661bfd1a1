//! One execution of a run, with its accidents.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use awaitly::journal::Status;
use awaitly::store::Lease;
use tokio::time::Instant;

use super::calling::By;
use super::{Play, harness, services};
use crate::case::Kind;
use crate::decisions;
use crate::fault::Ended;
use crate::feature::Feature;
use crate::life::Life;
use crate::oracle;
use crate::part::Reply;
use crate::place::on;
use crate::promise::{Broken, Promise};
use crate::told::Told;

/// The next event of an execution, as the driver sees it.
enum Sight {
    Ended(Ended),
    Died,
    Rival(Kind),
}

impl Play<'_> {
    /// Executes the run once.
    pub(super) async fn execute(&mut self) -> Result<(), Broken> {
        if self.engine.is_some() {
            return self.work().await;
        }
        let undoes = self.has_accident(|kind| kind == Kind::Undo);
        self.execute_by(if undoes { By::Cancel } else { By::Run }).await
    }

    pub(super) async fn retry(&mut self) -> Result<(), Broken> {
        (self.was_retried, self.is_disturbed) = (true, true);
        self.world.books().forgive();
        if self.engine.is_some() {
            return self.work_again().await;
        }
        self.execute_by(By::Retry).await
    }

    /// Executes the run again after its end, which calls nothing.
    pub(super) async fn look(&self) -> Ended {
        let life = self.quiet_life();
        self.perform(&life, services(self.case), &Told::default(), By::Run).await
    }

    async fn execute_by(&mut self, by: By) -> Result<(), Broken> {
        let life = self.life();
        let told = Told::default();
        self.world.books().begin();
        self.last = None;
        if self.pace.is_virtual {
            // No two executions begin at the same moment.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let began = Instant::now();
        let (died, ended) = {
            let performing = self.perform(&life, Arc::clone(&self.services), &told, by);
            let mut performing = Box::pin(performing);
            loop {
                match look_at(&mut performing, &life).await {
                    Sight::Ended(ended) => break (false, Some(ended)),
                    Sight::Died => break (true, None),
                    Sight::Rival(kind) => {
                        self.rival(kind, &life).await;
                        life.thaw();
                    }
                }
            }
        };
        let took = began.elapsed();
        let has_deadline = self.has_accident(|kind| matches!(kind, Kind::Deadline(_)));
        let has_rival = self.has_accident(|kind| matches!(kind, Kind::Rival | Kind::Freeze));
        self.execution += 1;
        self.is_disturbed |= has_deadline || by != By::Run;
        let (store_failed, leases) = self.noted(&life);
        if died {
            leases
                .iter()
                .for_each(|lease| on!(self.place, store => awaitly::store::Store::release(store, lease)));
        }
        if life.is_replaced() {
            return Ok(());
        }
        self.world.books().end(died || store_failed);
        // Each wait that is not parked is short. A second is for those of milliseconds.
        if self.pace.is_virtual
            && !has_rival
            && took > self.park_after() * self.waits() + Duration::from_secs(1)
        {
            let text = format!("an execution of {} waits took {took:?}", self.waits());
            return Err(Broken { promise: Promise::Parks, text });
        }
        if self.features.has(Feature::Events) {
            told.judge(died, self.features.has(Feature::Drops))?;
        }
        match ended {
            Some(ended) if !store_failed => self.judge(ended, has_deadline, has_rival).await,
            _ => Ok(()),
        }
    }

    /// The next execution, with its accidents.
    pub(super) fn life(&self) -> Life {
        let here = self.case.accidents.iter().filter(|accident| accident.execution == self.execution);
        let accidents = here.filter(|accident| accident.boundary > 0);
        let accidents = accidents.map(|accident| (accident.boundary, accident.kind)).collect();
        let post = self.engine.as_ref().map(|engine| Arc::clone(&engine.post));
        Life::new(accidents, self.run.clone(), self.place.clone(), post)
    }

    /// An execution without accidents.
    pub(super) fn quiet_life(&self) -> Life {
        Life::new(Vec::new(), self.run.clone(), self.place.clone(), None)
    }

    /// Takes note of the accidents of an execution. Returns whether the store failed, and the leases that were taken.
    pub(super) fn noted(&mut self, life: &Life) -> (bool, Vec<Lease>) {
        let mut notes = life.notes();
        let cancelled = notes.was_cancelled;
        self.is_disturbed |= cancelled || notes.token_cancelled;
        self.was_requested |= cancelled;
        // From the next execution on.
        self.world.books().goes_no_further |= cancelled;
        (notes.store_failed, std::mem::take(&mut notes.leases))
    }

    /// How often an execution may wait, whatever the reason.
    pub(super) fn waits(&self) -> u32 {
        let mut waits = 0;
        self.case.body.walk(&mut |part, around| waits += around * part.waits());
        waits
    }

    /// Another worker at the same time. Its outcome shows in the state of the run afterwards.
    async fn rival(&self, kind: Kind, life: &Life) {
        if kind == Kind::Freeze {
            life.replace();
            let mut books = self.world.books();
            books.end(true);
            books.begin();
            drop(books);
            let leases = std::mem::take(&mut life.notes().leases);
            leases
                .iter()
                .for_each(|lease| on!(self.place, store => awaitly::store::Store::release(store, lease)));
        }
        let other = self.quiet_life();
        let _ = self.perform(&other, services(self.case), &Told::default(), By::Run).await;
        if kind == Kind::Freeze {
            self.world.books().end(false);
        }
    }

    /// Compares the result of a call with the store, and with the questions that the body can have asked.
    async fn judge(&mut self, ended: Ended, has_deadline: bool, has_rival: bool) -> Result<(), Broken> {
        self.world_is_whole()?;
        let stored = self.place.load(&self.run).await.map_err(harness)?;
        let Some(status) = stored.map(|stored| stored.header.status) else { return Ok(()) };
        let waits = ended.as_ref().is_err_and(decisions::waits);
        let agrees = match &ended {
            Ok(_) => status == Status::Completed,
            Err(fault) if decisions::is_refused(fault) => !status.has_ended(),
            // Another worker may have gone on with it since.
            Err(_) if waits => status == Status::Waiting || has_rival,
            Err(fault) if decisions::is_of_store(fault) => false,
            Err(_) => matches!(status, Status::Failed | Status::Cancelled) || has_deadline,
        };
        if !agrees {
            self.nothing_is_left(status)?;
            let shown = ended.map_or_else(|fault| format!("`{fault}`"), |_| "a value".to_owned());
            let text = format!("a call gives {shown}, and the run is {status}");
            return Err(Broken { promise: Promise::Agreement, text });
        }
        if status == Status::Waiting && !self.is_disturbed {
            self.has_asked().await?;
        }
        self.last = (status.has_ended() && !waits).then_some(ended);
        Ok(())
    }

    pub(super) async fn has_asked(&self) -> Result<(), Broken> {
        // A run looks a little later whether a child has ended that it started under another key.
        let looks_later = self.engine.is_some() && self.renamed().is_some();
        if looks_later || (self.questions.is_empty() && self.engine.is_none()) {
            return Ok(());
        }
        let mut answered = self.answered.clone();
        let mut open = self.open_questions().await?;
        if let Some(engine) = &self.engine {
            answered.extend(engine.post.complete());
            open.extend(self.open_mail(engine).await?);
        }
        let expected = oracle::asked(&self.case.body, &answered);
        let mut asked = answered;
        asked.extend(open.into_iter().map(|(id, _)| id));
        let mut missing = expected.difference(&asked);
        // One that nobody answers may have expired.
        let comes = |id: &u16| match (self.questions.get(id), &self.engine) {
            (Some(ask), _) => ask.reply != Reply::Never,
            (None, Some(engine)) => engine.post.comes(*id),
            (None, None) => false,
        };
        match missing.find(|id| comes(id)) {
            Some(id) => {
                let text = format!("the run waits, and question or mail {id} was not asked for");
                Err(Broken { promise: Promise::Asked, text })
            }
            None => Ok(()),
        }
    }
}

/// Polls an execution until there is something to see.
async fn look_at(performing: &mut (impl Future<Output = Ended> + Unpin), life: &Life) -> Sight {
    poll_fn(|cx| {
        let polled = std::pin::Pin::new(&mut *performing).poll(cx);
        if life.is_dead() {
            return Poll::Ready(Sight::Died);
        }
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(Sight::Ended(ended));
        }
        match life.notes().rival.take() {
            Some(kind) => Poll::Ready(Sight::Rival(kind)),
            None => Poll::Pending,
        }
    })
    .await
}
