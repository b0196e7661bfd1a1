//! Compares ten thousand random sagas, which die up to four times and are resumed, with a model that never dies.
//!
//! The model predicts the effects and compensations, their order, the error of the saga, and the steps that are left. It
//! knows the order in which concurrent steps ended, and no other result of the library.

mod expect;
mod perform;
mod program;

use std::collections::BTreeMap;

use awaitly::journal::{Outcome, Payload, Record};
use awaitly::persistence::MemoryStore;
use awaitly::saga::{SagaError, SagaOptions, saga_with};
use awaitly::store::{RunId, Store};
use awaitly::{DurableRun, Workflow};
use expect::Seen;
use perform::{Outside, perform};
use program::Program;

use super::{Refused, TripError};
use crate::fuse::Fused;

const CASES: u64 = 10_000;

type Ended = Result<(), SagaError<TripError>>;

#[test]
fn random_sagas_match_the_model_despite_crashes() {
    // Each part has its own thread and its own paused clock.
    const PARTS: u64 = 4;
    std::thread::scope(|threads| {
        for part in 0..PARTS {
            threads.spawn(move || {
                let mut time = tokio::runtime::Builder::new_current_thread();
                let time = time.enable_time().start_paused(true).build().unwrap();
                for seed in (part..CASES).step_by(PARTS as usize) {
                    let program = Program::random(seed);
                    if let Err(fault) = time.block_on(Case::new(&program).play()) {
                        panic!("{fault}\nin the saga of seed {seed}: {program:?}");
                    }
                }
            });
        }
    });
}

/// A program with its store and its services.
struct Case<'p> {
    program: &'p Program,
    store: MemoryStore,
    world: Outside,
}

impl<'p> Case<'p> {
    fn new(program: &'p Program) -> Self {
        Self { program, store: MemoryStore::new(), world: Outside::default() }
    }

    /// Runs the program to its end, and retries it if a compensation failed.
    async fn play(&self) -> Result<(), String> {
        let deaths = self.program.deaths.iter().copied().chain([0]);
        let ended = self.lives(deaths.clone(), false).await?;
        self.look(&ended, false).await?;
        if !is_left(&ended) {
            return Ok(());
        }
        self.world.mend();
        let ended = self.lives(deaths, true).await?;
        self.look(&ended, true).await
    }

    /// Runs the program until it has ended. Each execution except the last one dies.
    async fn lives(&self, deaths: impl Iterator<Item = i64>, again: bool) -> Result<Ended, String> {
        for death in deaths {
            if let Some(ended) = self.live(death, again).await {
                return Ok(ended);
            }
            // If it died after its end, it must not be retried again.
            if again && let Some(ended) = self.live(0, false).await.filter(|ended| !is_left(ended)) {
                return Ok(ended);
            }
        }
        Err("the run does not end".to_owned())
    }

    /// Executes the run once, and stops it at the boundary `death`. Returns `None` if it died there.
    async fn live(&self, death: i64, again: bool) -> Option<Ended> {
        self.world.begin(death, self.values().await.into_keys());
        let workflow = Workflow::new("random").store(Fused(self.store.clone(), self.world.fuse.clone()));
        let body = async |run: &DurableRun| self.body(run).await;
        if again {
            self.world.fuse.watch(workflow.retry("r", body)).await
        } else {
            self.world.fuse.watch(workflow.run("r", body)).await
        }
    }

    async fn body(&self, run: &DurableRun) -> Ended {
        let default = SagaOptions::new();
        let options = if self.program.stops_on_failure { default.stop_on_failure() } else { default };
        saga_with(run, options, async |saga| {
            perform(&saga, &self.program.acts, &self.world).await?;
            if self.program.refuses { Err(Refused("body".to_owned()).into()) } else { Ok(()) }
        })
        .await
    }

    /// Returns the recorded values by key.
    async fn values(&self) -> BTreeMap<String, Payload> {
        let stored = self.store.load(&RunId::new("r").unwrap()).await.unwrap();
        let records = stored.into_iter().flat_map(|stored| stored.records);
        let value = |Record { key, outcome, .. }| match outcome {
            Outcome::Value(value) => Some((key.to_string(), value)),
            _ => None,
        };
        records.filter_map(value).collect()
    }

    /// Compares the result with the model.
    async fn look(&self, ended: &Ended, again: bool) -> Result<(), String> {
        let seen = Seen { ended, log: self.world.log(), values: self.values().await, again };
        self.world.faults()?;
        expect::compare(self.program, &seen)
    }
}

fn is_left(ended: &Ended) -> bool {
    ended.as_ref().is_err_and(|error| !error.is_undone())
}
