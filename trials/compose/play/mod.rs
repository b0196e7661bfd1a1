//! A case, from its first execution to the end of its run, with the actions of workers, people and operators.

mod calling;
mod ending;
mod engine;
mod execution;
mod family;
mod here;
mod outside;
mod timetable;
mod working;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use awaitly::journal::Status;
use awaitly::resilience::{CircuitBreaker, ConcurrencyLimiter};
use awaitly::store::{DueQuery, RunId, StoreError};

use crate::case::{Case, Kind};
use crate::fault::{Ended, run_id};
use crate::feature::Features;
use crate::part::{Ask, Sentry, What};
use crate::perform::Services;
use crate::place::Place;
use crate::promise::{Broken, Promise};
use crate::world::World;
use engine::Engine;
use timetable::Worlds;

/// How time passes on a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) unit: Duration,
    pub(crate) lease: Duration,
    /// The time between two runs of a schedule.
    pub(crate) period: Duration,
    /// The time that a worker gets to do all that is due.
    pub(crate) shift: Duration,
    /// Whether time is paused, and leaps.
    pub(crate) is_virtual: bool,
}

/// Plays a case, whose runs are called `name`, to its end, and says which promise was broken.
pub(crate) async fn play(
    case: &Case,
    place: &Place,
    pace: Pace,
    features: Features,
    name: &str,
) -> Result<(), Broken> {
    let mut questions = BTreeMap::new();
    case.body.walk(&mut |part, _| {
        if let What::Ask(ask) = &part.what {
            questions.insert(part.id, *ask);
        }
    });
    let engine = case.needs_worker().then(|| Engine::new(&case.body, name));
    let mut play = Play {
        case,
        place,
        pace,
        features,
        run: run_id(name),
        world: Arc::new(World::new(&case.body, features, case.needs_worker())),
        services: services(case),
        questions,
        timetable: engine
            .as_ref()
            .and_then(|engine| case.timetable.map(|_| Worlds::new(&engine.body, features))),
        engine,
        name: name.to_owned(),
        execution: 0,
        patience: 50,
        met: BTreeSet::new(),
        answered: BTreeSet::new(),
        is_nudged: false,
        is_disturbed: false,
        was_retried: false,
        was_requested: false,
        last: None,
    };
    match case.timetable {
        Some(timetable) => play.follow(timetable).await,
        None => play.finish().await,
    }
}

#[derive(Clone)]
struct Play<'c> {
    case: &'c Case,
    place: &'c Place,
    pace: Pace,
    features: Features,
    run: RunId,
    world: Arc<World>,
    services: Arc<Services>,
    questions: BTreeMap<u16, Ask>,
    /// Set if a worker executes the run.
    engine: Option<Engine>,
    /// Set if a schedule starts the runs.
    timetable: Option<Worlds>,
    /// The name of the run, or of the schedule.
    name: String,
    /// The number of the next execution.
    execution: u16,
    /// How often a run that nothing continues may be looked at again, on a store that others use.
    patience: u8,
    /// The accidents between executions that have happened.
    met: BTreeSet<usize>,
    answered: BTreeSet<u16>,
    /// An inner run may continue, and the store does not know that the outer run waits for it.
    is_nudged: bool,
    /// After an accident, the run may end differently than its body predicts.
    is_disturbed: bool,
    was_retried: bool,
    /// A cancellation was requested of the store, and taken.
    was_requested: bool,
    /// The result of the last execution, if the run has ended with it.
    last: Option<Ended>,
}

/// The state of the run.
enum State {
    NotThere,
    Due,
    Waits,
    /// It runs, and is not due.
    Held,
    Ended(Status),
}

impl Play<'_> {
    async fn finish(&mut self) -> Result<(), Broken> {
        let mut status = None;
        let mut holds = 0;
        for _ in 0..self.limit() {
            self.world_is_whole()?;
            if self.meet_next().await? {
                continue;
            }
            match self.state().await? {
                State::Ended(ended) if self.is_to_be_retried(ended) => self.retry().await?,
                State::Ended(ended) => {
                    status = Some(ended);
                    break;
                }
                State::NotThere | State::Due => self.execute().await?,
                State::Waits => {
                    if self.answer().await? || self.send().await? {
                        continue;
                    }
                    if std::mem::take(&mut self.is_nudged) {
                        self.execute().await?;
                    } else {
                        self.pass_time().await?;
                    }
                }
                State::Held if holds < 50 => {
                    holds += 1;
                    let pause = if self.pace.is_virtual { self.pace.lease } else { Duration::from_millis(5) };
                    tokio::time::sleep(pause).await;
                }
                State::Held => return Err(stuck("nobody executes the run, and its lease does not end")),
            }
        }
        self.world_is_whole()?;
        let status =
            status.ok_or_else(|| stuck(&format!("not ended after {} executions", self.execution)))?;
        self.end(status).await
    }

    /// How many turns the case may take: each part may wait a few times, and each accident may undo some of it.
    fn limit(&self) -> usize {
        let mut attempts = 0;
        self.case.body.walk(&mut |part, around| attempts += (around * part.attempts()) as usize);
        let turns = 40 + 6 * attempts + 10 * self.case.accidents.len();
        // A part may receive several messages, and a child ends after its parent.
        if self.engine.is_some() { 2 * turns } else { turns }
    }

    async fn state(&self) -> Result<State, Broken> {
        let Some(stored) = self.place.load(&self.run).await.map_err(harness)? else {
            return Ok(State::NotThere);
        };
        let status = stored.header.status;
        if let Some(engine) = &self.engine {
            return self.state_of_all(engine, status).await;
        }
        if status.has_ended() {
            return Ok(State::Ended(status));
        }
        let due = self.place.due(DueQuery::new().workflow(self.workflow_name())).await.map_err(harness)?;
        Ok(match status {
            _ if due.iter().any(|due| due.run == self.run) => State::Due,
            Status::Waiting => State::Waits,
            _ => State::Held,
        })
    }

    fn is_to_be_retried(&self, status: Status) -> bool {
        let again = self.case.accidents.iter().any(|accident| accident.kind == Kind::Again);
        again && !self.was_retried && matches!(status, Status::Failed | Status::Cancelled)
    }

    /// How long a wait may last that holds a task.
    fn park_after(&self) -> Duration {
        self.pace.unit * 2
    }

    fn workflow_name(&self) -> String {
        format!("of {}", self.name)
    }

    fn world_is_whole(&self) -> Result<(), Broken> {
        self.world.books().broken.take().map_or(Ok(()), Err)
    }
}

fn services(case: &Case) -> Arc<Services> {
    let mut services = Services::default();
    case.body.walk(&mut |part, _| {
        let (What::Step(step) | What::SagaStep(step, _)) = &part.what else { return };
        match step.guard {
            Some(Sentry::Breaker) => {
                let breaker = CircuitBreaker::options("breaker").failures(1).build();
                services.breakers.insert(part.id, breaker);
            }
            Some(Sentry::Slots) => {
                services.slots.insert(part.id, ConcurrencyLimiter::new("slots", 1));
            }
            _ => {}
        }
    });
    Arc::new(services)
}

fn stuck(text: &str) -> Broken {
    Broken { promise: Promise::NotStuck, text: text.to_owned() }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn harness(error: StoreError) -> Broken {
    Broken { promise: Promise::Harness, text: error.to_string() }
}
