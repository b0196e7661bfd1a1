//! A schedule that starts the runs of a case: each of its times has one run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use awaitly::clock::days;
use awaitly::engine::{Client, Schedule, ScheduleHandle, scheduled_for};
use awaitly::journal::Timestamp;
use awaitly::store::{Dispatch, RunSummary};

use super::engine::Engine;
use super::{Play, harness, stuck};
use crate::case::Timetable;
use crate::feature::Features;
use crate::part::Body;
use crate::place::on;
use crate::post::children;
use crate::promise::{Broken, Promise};
use crate::world::World;

/// The worlds of the runs of a schedule, because each run has its own effects. Clones share them.
#[derive(Clone)]
pub(super) struct Worlds {
    body: Arc<Body>,
    features: Features,
    worlds: Arc<Mutex<BTreeMap<String, Arc<World>>>>,
}

impl Worlds {
    pub(super) fn new(body: &Arc<Body>, features: Features) -> Self {
        Self { body: Arc::clone(body), features, worlds: Arc::default() }
    }

    /// The world of a run.
    pub(super) fn of(&self, run: &str) -> Arc<World> {
        let mut worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
        let world = worlds.entry(run.to_owned());
        Arc::clone(world.or_insert_with(|| Arc::new(World::new(&self.body, self.features, true))))
    }

    pub(super) fn all(&self) -> Vec<Arc<World>> {
        self.worlds.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Play<'_> {
    /// Plays a case whose runs a schedule starts.
    pub(super) async fn follow(&mut self, timetable: Timetable) -> Result<(), Broken> {
        on!(self.place, store => Box::pin(self.follow_on(store.clone(), timetable)).await)
    }

    async fn follow_on<S: Dispatch + Clone>(
        &mut self,
        store: S,
        Timetable { times, late }: Timetable,
    ) -> Result<(), Broken> {
        let Some(engine) = self.engine.clone() else { return Ok(()) };
        let schedule = Schedule::every(self.pace.period).catch_up(days(30));
        let client = Client::new(store);
        let schedule =
            client.schedule(self.run.to_shared(), schedule, engine.run, &0).await.map_err(broken)?;
        let mut instants = schedule.info().await.map_err(broken)?.next;
        instants.truncate(times.into());
        let Some(last) = instants.last().copied() else { return Err(stuck("the schedule has no time")) };
        let mut is_over = false;
        let mut wake = if late { Some(last) } else { instants.first().copied() };
        for _ in 0..self.limit() {
            self.wait_until(wake).await?;
            self.work().await?;
            let runs = self.started(&engine).await?;
            let now = self.place.now().await.map_err(harness)?;
            if !is_over && now > last {
                is_over = schedule.info().await.map_err(broken)?.next.first() > Some(&last);
            }
            if is_over {
                // No further run begins.
                schedule.pause().await.map_err(broken)?;
            }
            if is_over && runs.iter().all(|run| run.status.has_ended()) {
                delete(schedule).await?;
                return self.each_instant(&instants, last, &runs).await;
            }
            let wakes = runs.iter().filter(|run| !run.status.has_ended()).filter_map(|run| run.wake);
            let next = instants.iter().copied().find(|instant| *instant > now);
            wake = wakes.chain(next).min();
        }
        delete(schedule).await?;
        Err(stuck("the runs of the schedule did not end"))
    }

    /// The runs that the schedule has started.
    async fn started(&self, engine: &Engine) -> Result<Vec<RunSummary>, Broken> {
        children(self.place, engine.run).await.map_err(harness)
    }

    async fn wait_until(&self, wake: Option<Timestamp>) -> Result<(), Broken> {
        let now = self.place.now().await.map_err(harness)?;
        let pause = wake.map_or(self.pace.unit, |wake| now.until(wake));
        tokio::time::sleep(pause.max(self.pace.unit)).await;
        Ok(())
    }

    /// Each instant has one run, which ended as its body says.
    async fn each_instant(
        &self,
        instants: &[Timestamp],
        last: Timestamp,
        runs: &[RunSummary],
    ) -> Result<(), Broken> {
        let started: BTreeSet<_> = runs.iter().map(|run| scheduled_for(&run.run)).collect();
        let in_time = |run: &&RunSummary| scheduled_for(&run.run).is_none_or(|instant| instant <= last);
        let count = runs.iter().filter(in_time).count();
        if count != instants.len() || !instants.iter().all(|instant| started.contains(&Some(*instant))) {
            let ids: Vec<_> = runs.iter().map(|run| run.run.to_string()).collect();
            let text = format!("{} times of the schedule have the runs {ids:?}", instants.len());
            return Err(Broken { promise: Promise::Instants, text });
        }
        let Some(worlds) = &self.timetable else { return Ok(()) };
        for run in runs {
            let world = worlds.of(&run.run);
            let play = Play { run: run.run.clone(), world, ..self.clone() };
            play.world_is_whole()?;
            play.nothing_is_left(run.status)?;
            play.as_predicted(&play.look().await, run.status)?;
        }
        Ok(())
    }
}

/// Other cases on the store need not fire it.
async fn delete<S: Dispatch + Clone>(schedule: ScheduleHandle<S>) -> Result<(), Broken> {
    schedule.delete().await.map(drop).map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> Broken {
    Broken { promise: Promise::Harness, text: error.to_string() }
}
