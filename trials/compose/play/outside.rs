//! The actions of people and operators between two executions.

use std::time::Duration;

use awaitly::journal::{Outcome, Payload};
use awaitly::store::{Answer, Cancelled, RunId, WaitQuery};

use super::{Play, harness, stuck};
use crate::case::Kind;
use crate::fault::run_id;
use crate::part::Reply;
use crate::post::number_of;
use crate::promise::{Broken, Promise};

/// The run and the key of an open question.
pub(super) type Open = (RunId, String);

impl Play<'_> {
    /// Lets the next accident between two executions happen, if there is one.
    pub(super) async fn meet_next(&mut self) -> Result<bool, Broken> {
        let next = self.case.accidents.iter().enumerate().find(|(number, accident)| {
            let is_now = accident.boundary == 0 && accident.execution == self.execution;
            is_now && !self.met.contains(number)
        });
        let Some((number, accident)) = next else { return Ok(false) };
        self.met.insert(number);
        match accident.kind {
            Kind::Cancel => {
                let cancelled = self.place.cancel(&self.run).await.map_err(harness)?;
                if matches!(cancelled, Cancelled::Requested | Cancelled::WithoutUndo) {
                    let mut books = self.world.books();
                    if books.too_late && !self.was_requested {
                        return Err(broken("a cancellation is taken, though it is too late".to_owned()));
                    }
                    books.goes_no_further = true;
                    drop(books);
                    (self.is_disturbed, self.was_requested) = (true, true);
                }
                Ok(true)
            }
            Kind::Early => self.answer_early().await.map(|()| true),
            Kind::Mail(id) => self.send_early(id).await.map(|()| true),
            _ => Ok(false),
        }
    }

    /// The questions that are open, by their parts.
    pub(super) async fn open_questions(&self) -> Result<Vec<(u16, Open)>, Broken> {
        let mut runs = vec![self.run.clone()];
        runs.extend(self.world.books().inner_runs.iter().map(|name| run_id(name)));
        if let Some(engine) = &self.engine {
            runs.extend(self.waiting_children(engine).await?);
        }
        self.open_in(runs, 'q').await
    }

    /// The entries of these runs whose part begins with `letter`.
    pub(super) async fn open_in(&self, runs: Vec<RunId>, letter: char) -> Result<Vec<(u16, Open)>, Broken> {
        let mut open = Vec::new();
        for run in runs {
            let page = self.place.waiting(WaitQuery::new().run(run.clone())).await.map_err(harness)?;
            for waiting in page.items {
                if let Some(id) = number_of(&waiting.entry.key, letter) {
                    open.push((id, (run.clone(), waiting.entry.key.to_string())));
                }
            }
        }
        Ok(open)
    }

    /// Answers an open question, or all of them. Returns whether the run may go on.
    pub(super) async fn answer(&mut self) -> Result<bool, Broken> {
        let mut any = false;
        for (id, (run, key)) in self.open_questions().await? {
            let Some(outcome) = self.reply(id) else { continue };
            let answer = Answer::new(run.clone(), key, outcome);
            let answered = self.place.answer(answer.clone()).await.map_err(harness)?;
            if answered != Ok(()) {
                return Err(broken(format!("the answer to question {id} is refused: {answered:?}")));
            }
            self.answered.insert(id);
            if self.is_doubled() && self.place.answer(answer).await.map_err(harness)? == Ok(()) {
                return Err(broken(format!("question {id} is answered twice")));
            }
            // A worker finds out itself.
            let is_inner = run != self.run && self.engine.is_none();
            (any, self.is_nudged) = (true, self.is_nudged || is_inner);
            if self.case.seed.is_multiple_of(2) {
                break;
            }
        }
        Ok(any)
    }

    /// Lets time pass until the run is to be resumed.
    pub(super) async fn pass_time(&mut self) -> Result<(), Broken> {
        let Some(wake) = self.next_wake().await? else {
            if self.engine.is_some() && !self.pace.is_virtual && self.patience > 0 {
                // A worker of another case may be about to tell the run of the end of a child.
                self.patience -= 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                return self.work().await;
            }
            return Err(stuck("the run waits, and nobody is asked"));
        };
        let now = self.place.now().await.map_err(harness)?;
        // A worker may come late, and a run that looks after another one every few seconds need not be watched.
        tokio::time::sleep(now.until(wake).max(self.pace.unit)).await;
        if !self.is_doubled() {
            return Ok(());
        }
        for (id, (run, key)) in self.open_questions().await? {
            let late = self.questions.get(&id).is_some_and(|ask| ask.reply == Reply::Never);
            let entry = self.place.load(&run).await.map_err(harness)?;
            let expires = entry.and_then(|stored| {
                stored.waits.iter().find(|entry| entry.key.as_str() == key).and_then(|entry| entry.expires)
            });
            let now = self.place.now().await.map_err(harness)?;
            if !late || expires.is_none_or(|expires| expires > now) {
                continue;
            }
            let answered = self.place.answer(Answer::new(run, key, value(1))).await.map_err(harness)?;
            if answered == Ok(()) {
                return Err(broken(format!("question {id} is answered too late")));
            }
        }
        Ok(())
    }

    /// Answers each question that was not asked yet, which is refused.
    async fn answer_early(&self) -> Result<(), Broken> {
        let open: Vec<_> = self.open_questions().await?.into_iter().map(|(id, _)| id).collect();
        for id in self.questions.keys().filter(|id| !open.contains(id)) {
            let answer = Answer::new(self.run.clone(), format!("q{id}"), value(1));
            if self.place.answer(answer).await.map_err(harness)? == Ok(()) {
                return Err(broken(format!("question {id} is answered before it is asked")));
            }
        }
        Ok(())
    }

    fn is_doubled(&self) -> bool {
        self.case.accidents.iter().any(|accident| accident.kind == Kind::Double)
    }

    fn reply(&self, id: u16) -> Option<Outcome> {
        match self.questions.get(&id)?.reply {
            Reply::Value(number) => Some(value(number)),
            Reply::Rejected => Some(Outcome::Failed(Payload::from_stored("\"no\""))),
            Reply::Never => None,
        }
    }
}

fn value(number: u64) -> Outcome {
    Outcome::Value(Payload::from_stored(number.to_string()))
}

fn broken(text: String) -> Broken {
    Broken { promise: Promise::Answers, text }
}
