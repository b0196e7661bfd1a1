//! A worker that executes the runs of a case, instead of calls of the workflow.

use std::sync::Arc;
use std::time::Duration;

use awaitly::clock::secs;
use awaitly::engine::{Client, Worker};
use awaitly::store::{Dispatch, Lease, Store, StoreError};
use awaitly::{DurableRun, Workflow};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::engine::Engine;
use super::here::here;
use super::{Play, harness, services};
use crate::case::Kind;
use crate::fault::Ended;
use crate::feature::Feature;
use crate::gate::Gate;
use crate::life::Life;
use crate::part::Body;
use crate::perform::{self, Process, Services};
use crate::place::on;
use crate::promise::{Broken, Promise};
use crate::told::Told;
use crate::world::Books;

/// The end of a worker.
pub(super) enum End {
    Died,
    Idle,
    /// There was always something to do.
    Busy,
    Failed(StoreError),
}

impl Play<'_> {
    /// Lets a worker execute what is due, with the accidents of this execution.
    pub(super) async fn work(&mut self) -> Result<(), Broken> {
        let (life, told) = (self.life(), Told::of_worker());
        self.all_worlds(Books::begin);
        self.last = None;
        if self.pace.is_virtual {
            // No two executions begin at the same moment.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let began = Instant::now();
        let end = self.shift(&life, Arc::clone(&self.services), &told).await;
        let took = began.elapsed();
        let has_deadline = self.has_accident(|kind| matches!(kind, Kind::Deadline(_)));
        let has_rival = self.has_accident(|kind| matches!(kind, Kind::Rival | Kind::Freeze));
        self.execution += 1;
        self.is_disturbed |= has_deadline;
        let (store_failed, leases) = self.noted(&life);
        let died = matches!(end, End::Died);
        if died {
            self.give_back(&leases);
        }
        if let Some(broken) = life.notes().broken.take() {
            return Err(broken);
        }
        self.all_worlds(|books| books.end(died || store_failed));
        if life.is_replaced() {
            return Ok(());
        }
        let most = self.park_after() * self.waits() + secs(30);
        if self.pace.is_virtual && !has_rival && !store_failed && took > most {
            let text = format!("an execution of {} waits took {took:?}", self.waits());
            return Err(Broken { promise: Promise::Parks, text });
        }
        if self.features.has(Feature::Events) {
            told.judge(died, self.features.has(Feature::Drops))?;
        }
        match end {
            End::Failed(error) => Err(harness(error)),
            End::Busy => Err(super::stuck("a worker executes the run again and again")),
            End::Idle if !store_failed && self.timetable.is_none() => {
                self.judge_idle(has_deadline, has_rival).await
            }
            _ => Ok(()),
        }
    }

    /// An operator retries the run, and a worker executes it.
    pub(super) async fn work_again(&mut self) -> Result<(), Broken> {
        let Some(engine) = &self.engine else { return Ok(()) };
        let retried = on!(self.place, store => {
            let client = Client::new(store.clone());
            let run = client.find(engine.run, self.run.to_shared());
            run.unwrap_or_else(|_| unreachable!("it is the id of a run")).retry().await
        });
        if !retried.map_err(harness)? {
            let text = "a run that has failed is not retried".to_owned();
            return Err(Broken { promise: Promise::Agreement, text });
        }
        self.work().await
    }

    /// Lets a worker execute what is due. If the run does not exist, a client starts it first.
    async fn shift(&self, life: &Life, services: Arc<Services>, told: &Told) -> End {
        on!(self.place, store => Box::pin(self.shift_on(store.clone(), life, services, told)).await)
    }

    async fn shift_on<S: Dispatch + Clone>(
        &self,
        store: S,
        life: &Life,
        services: Arc<Services>,
        told: &Told,
    ) -> End {
        let Some(engine) = self.engine.as_ref() else { return End::Idle };
        let gate = Gate::new(life.clone(), store);
        let (alive, mut gone) = mpsc::channel(1);
        let process = Arc::new(self.process(engine, life, services, told));
        let worker = self.worker(engine, gate.clone(), process, alive, told);
        let mut working = Box::pin(async {
            if self.timetable.is_none() {
                // If the answer is lost, the run is started again later.
                let _ = Client::new(gate).start(engine.run, self.run.to_shared(), &0).await;
            }
            worker.tick(self.pace.shift).await
        });
        let mut leaves = None;
        let end = loop {
            tokio::select! {
                biased;
                () = life.sight() => {
                    if life.is_dead() {
                        break End::Died;
                    }
                    let rival = life.notes().rival.take();
                    if let Some(kind) = rival {
                        self.rival_worker(kind, life).await;
                        life.thaw();
                        // A frozen worker may look around for a moment.
                        leaves = life.is_replaced().then(|| Instant::now() + self.pace.unit);
                    }
                }
                ticked = &mut working => break match ticked {
                    Ok(ticked) if ticked.idle => End::Idle,
                    Ok(_) => End::Busy,
                    Err(error) => End::Failed(error),
                },
                () = tokio::time::sleep_until(leaves.unwrap_or_else(Instant::now)), if leaves.is_some() => {
                    break End::Died;
                }
            }
        };
        drop(working);
        drop(worker);
        // The tasks of the worker drop their bodies a little later.
        let _: Option<()> = gone.recv().await;
        end
    }

    /// Another worker at the same time.
    async fn rival_worker(&self, kind: Kind, life: &Life) {
        if kind == Kind::Freeze {
            life.replace();
            self.all_worlds(|books| {
                books.end(true);
                books.begin();
            });
            let leases = std::mem::take(&mut life.notes().leases);
            self.give_back(&leases);
        }
        let _ = self.shift(&self.quiet_life(), services(self.case), &Told::default()).await;
        if kind == Kind::Freeze {
            self.all_worlds(|books| books.end(false));
        }
    }

    /// Changes the books of each run.
    fn all_worlds(&self, change: impl Fn(&mut Books)) {
        match &self.timetable {
            Some(worlds) => worlds.all().iter().for_each(|world| change(&mut world.books())),
            None => change(&mut self.world.books()),
        }
    }

    fn give_back(&self, leases: &[Lease]) {
        leases.iter().for_each(|lease| on!(self.place, store => Store::release(store, lease)));
    }

    fn process(&self, engine: &Engine, life: &Life, services: Arc<Services>, told: &Told) -> Process {
        let gate = Gate::new(life.clone(), life.place().any());
        let inner = Workflow::new(format!("in {}", self.run)).store(gate);
        Process {
            world: Arc::clone(&self.world),
            life: life.clone(),
            services,
            unit: self.pace.unit,
            renamed: self.renamed(),
            inner: self.settings(inner, told),
            children: engine.children,
        }
    }

    fn settings(&self, workflow: Workflow, told: &Told) -> Workflow {
        let workflow = workflow.lease(self.pace.lease).park_after(self.park_after()).seed(self.case.seed);
        if self.features.has(Feature::Events) { workflow.observe(told.clone()) } else { workflow }
    }

    /// `alive` is dropped with the last body.
    fn worker<S: Dispatch + Clone>(
        &self,
        engine: &Engine,
        store: Gate<S>,
        process: Arc<Process>,
        alive: mpsc::Sender<()>,
        told: &Told,
    ) -> Worker<Gate<S>> {
        let (token, worlds) = (process.life.token(), self.timetable.clone());
        let body = Arc::clone(&engine.body);
        let body = move |run: DurableRun, child: u16| {
            let process = match &worlds {
                Some(worlds) => Arc::new(Process { world: worlds.of(run.id()), ..(*process).clone() }),
                None => Arc::clone(&process),
            };
            let (body, alive) = (Arc::clone(&body), alive.clone());
            async move {
                let ended = here(execute(process, run, body, child)).await;
                drop(alive);
                ended
            }
        };
        let of_run =
            |workflow| self.for_this_execution(self.settings(workflow, told)).cancel_on(token.clone());
        Worker::new(store).serve_with(engine.run, of_run, body.clone()).serve_with(
            engine.children,
            |workflow| self.settings(workflow, told),
            body,
        )
    }
}

/// Executes the body of a claimed run.
async fn execute(process: Arc<Process>, run: DurableRun, body: Arc<Body>, child: u16) -> Ended {
    match child {
        0 => perform::body(&process, &run, &body).await,
        child => perform::child(&process, &run, &body, child).await,
    }
}
