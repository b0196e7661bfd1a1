//! The workflow of the runs, and the ledger of their effects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use awaitly::clock::ms;
use awaitly::journal::{OnChange, Outcome, Payload, Status, Unanswered};
use awaitly::persistence::{PostgresStore, PostgresTransaction};
use awaitly::store::{Answer, Operate, RunId, Store, StoreError, Tx};
use awaitly::{DurableRun, Error, Retry, RunError, Workflow, step};
use serde::{Deserialize, Serialize};

use crate::schema::Schema;

/// The number of concurrent steps of a run.
const STEPS_AT_ONCE: usize = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum WorldError {
    #[error("busy")]
    Busy,
    #[error("declined, number {0}")]
    Declined(u64),
}

#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum ChaosError {
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The work of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// The number of steps in addition to the common ones.
    pub(crate) ticks: u32,
    /// Whether it waits for an answer.
    pub(crate) asks: bool,
}

impl Plan {
    /// Returns the keys of a finished run.
    pub(crate) fn keys(self) -> Vec<String> {
        let mut keys =
            ["reserve", "charge", "insure", "quote", "debit", "confirm"].map(str::to_owned).to_vec();
        keys.extend((0..4).map(|item| format!("ship[{item}]")));
        keys.extend((0..self.ticks).map(tick));
        keys.extend(self.asks.then(|| "approve".to_owned()));
        keys
    }
}

fn tick(number: u32) -> String {
    format!("tick[{number}]")
}

/// An effect: the execution that caused it, and a random number that distinguishes it from others with its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) life: u32,
    pub(crate) nonce: u64,
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// All effects of each key, in order.
    pub(crate) effects: HashMap<String, Vec<Effect>>,
    /// The outcomes that bodies received for each key.
    pub(crate) seen: HashMap<String, BTreeSet<u64>>,
    /// Executions that were interrupted.
    pub(crate) interrupted: BTreeSet<(String, u32)>,
    /// The reasons, with their counts.
    pub(crate) reasons: BTreeMap<String, usize>,
    /// Interruptions that were recorded as the failure of the run.
    pub(crate) failed: usize,
}

pub(crate) struct World {
    schema: Schema,
    store: PostgresStore,
    /// Microseconds, of which each step draws some to sleep.
    pauses: Range<u64>,
    ledger: Mutex<Ledger>,
}

impl World {
    pub(crate) fn new(schema: &Schema, store: PostgresStore, pauses: Range<u64>) -> Self {
        Self { schema: schema.clone(), store, pauses, ledger: Mutex::default() }
    }

    pub(crate) fn ledger<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Executes a run until it has completed, like an application.
    pub(crate) async fn complete(&self, workflow: &Workflow, run: &str, plan: Plan) -> Result<()> {
        let mut failed = false;
        for life in 1.. {
            let body = async |run: &DurableRun| Life { world: self, run, life }.live(plan).await;
            let ended = if failed { workflow.retry(run, body).await } else { workflow.run(run, body).await };
            match ended {
                Ok(_) => return Ok(()),
                Err(ChaosError::Run(RunError::Waiting { .. })) => self.answer(run, life).await?,
                Err(ChaosError::Run(error @ (RunError::Store(_) | RunError::Busy { .. }))) => {
                    self.ledger(|ledger| {
                        ledger.interrupted.insert((run.to_owned(), life));
                        *ledger.reasons.entry(reason(&error)).or_default() += 1;
                    });
                    tokio::time::sleep(ms(50)).await;
                    failed = self.has_failed(run).await?;
                }
                Err(error) => bail!("run {run} ended in: {error}"),
            }
        }
        Ok(())
    }

    /// Returns whether an interruption was recorded as the end of the run, which must never happen.
    async fn has_failed(&self, run: &str) -> Result<bool> {
        let stored = loop {
            match self.store.load(&RunId::new(run)?).await {
                Err(StoreError::Unavailable { .. }) => tokio::time::sleep(ms(50)).await,
                stored => break stored?,
            }
        };
        let failed = stored.is_some_and(|stored| stored.header.status == Status::Failed);
        self.ledger(|ledger| ledger.failed += usize::from(failed));
        Ok(failed)
    }

    /// Answers the question of the run. Sends the answer again if the result of the first one is unknown.
    async fn answer(&self, run: &str, life: u32) -> Result<()> {
        let nonce = fastrand::u64(..);
        let outcome = Outcome::Value(Payload::encode(&nonce)?);
        let answer = Answer::new(RunId::new(run)?, "approve", outcome);
        let mut asked_before = false;
        loop {
            match self.store.answer(answer.clone()).await {
                Ok(Ok(())) => break,
                Ok(Err(Unanswered::AlreadyAnswered)) if asked_before => break,
                Ok(Err(refused)) => bail!("the answer to {run} was refused: {refused:?}"),
                Err(StoreError::Unavailable { .. }) => asked_before = true,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(ms(50)).await;
        }
        let key = format!("{run}/approve");
        self.ledger(|ledger| ledger.effects.entry(key).or_default().push(Effect { life, nonce }));
        Ok(())
    }

    async fn pause(&self) {
        match fastrand::u64(self.pauses.clone()) {
            0 => tokio::task::yield_now().await,
            pause => tokio::time::sleep(Duration::from_micros(pause)).await,
        }
    }
}

/// Returns the kind of an error, without the parts that differ between runs.
fn reason(error: &RunError) -> String {
    match error {
        RunError::Busy { .. } => "busy".to_owned(),
        RunError::Store(StoreError::LeaseLost { .. }) => "lease lost".to_owned(),
        RunError::Store(StoreError::AlreadyRecorded { key, .. }) => format!("already recorded: {key}"),
        error => error.to_string(),
    }
}

/// The argument of a transactional operation.
type Lent = Tx<PostgresTransaction>;

/// One execution of a run.
#[derive(Clone, Copy)]
struct Life<'a> {
    world: &'a World,
    run: &'a DurableRun,
    life: u32,
}

impl Life<'_> {
    async fn live(self, plan: Plan) -> Result<u64, ChaosError> {
        let Life { world, run, life } = self;
        self.see("reserve", step!(run, "reserve", self.happen("reserve")));
        let retry = Retry::fixed(ms(1)).attempts(50);
        self.see("charge", step!(run, "charge", retry = retry, self.maybe("charge")));
        match run.step("insure", || self.decline("insure")).await {
            // Its error is an outcome like any other, and the run goes on.
            Err(Error::Failed(WorldError::Declined(nonce))) => self.see("insure", nonce),
            Err(Error::Failed(error)) => return Err(error.into()),
            Err(Error::Run(error)) => return Err(error.into()),
            Ok(nonce) => self.see("insure", nonce),
        }
        for number in 0..plan.ticks {
            let key = tick(number);
            self.see(&key, step!(run, "tick", key = &key, self.happen(&key)));
        }
        // Done anew in every life, so that records are replaced too.
        let quote = run.step("quote", || self.happen("quote")).input(&life).on_change(OnChange::Rerun);
        self.see_last("quote", step!(quote));
        let ship = async |item: u32| self.happen(&format!("ship[{item}]")).await;
        for (item, shipped) in
            step!(run.each("ship", 0..4, ship).concurrency(STEPS_AT_ONCE)).into_iter().enumerate()
        {
            self.see(&format!("ship[{item}]"), shipped);
        }
        let retry = Retry::fixed(ms(5)).attempts(50);
        let debited =
            step!(run, "debit", transaction = &world.store, retry = retry, |tx: Lent| self.debit(tx));
        self.see("debit", debited);
        if plan.asks {
            self.see("approve", step!(run.wait_for::<u64>("approve")));
        }
        let confirmed = step!(run, "confirm", self.happen("confirm"));
        self.see("confirm", confirmed);
        Ok(confirmed)
    }

    async fn happen(self, key: &str) -> Result<u64, WorldError> {
        self.world.pause().await;
        let (key, effect) =
            (self.run.idempotency_key(key), Effect { life: self.life, nonce: fastrand::u64(..) });
        self.world.ledger(|ledger| ledger.effects.entry(key).or_default().push(effect));
        self.world.pause().await;
        Ok(effect.nonce)
    }

    /// The same, but does nothing half of the time.
    async fn maybe(self, key: &str) -> Result<u64, WorldError> {
        if fastrand::bool() { Err(WorldError::Busy) } else { self.happen(key).await }
    }

    /// The same, but the effect is a failure.
    async fn decline(self, key: &str) -> Result<u64, WorldError> {
        Err(WorldError::Declined(self.happen(key).await?))
    }

    /// Writes a row, which exists if the transaction commits. A failure of the server counts as busy.
    async fn debit(self, mut tx: Lent) -> Result<u64, WorldError> {
        self.world.pause().await;
        let nonce = fastrand::u64(..);
        let insert = sqlx::query(self.world.schema.sql("INSERT INTO {s}.debits VALUES ($1, $2)"));
        let insert = insert.bind(self.run.idempotency_key("debit")).bind(nonce.cast_signed());
        insert.execute(&mut **tx).await.map_err(|_| WorldError::Busy)?;
        Ok(nonce)
    }

    /// The body has the outcome of a step.
    fn see(self, key: &str, nonce: u64) {
        let key = self.run.idempotency_key(key);
        self.world.ledger(|ledger| ledger.seen.entry(key).or_default().insert(nonce));
    }

    /// Notes an effect that replaces earlier ones.
    fn see_last(self, key: &str, nonce: u64) {
        let key = self.run.idempotency_key(key);
        self.world.ledger(|ledger| ledger.seen.insert(key, BTreeSet::from([nonce])));
    }
}
