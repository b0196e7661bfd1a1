use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result};
use awaitly::journal::{Key, Outcome, Status};
use awaitly::persistence::PostgresStore;
use awaitly::store::{RunId, Store, StoredRun};
use sqlx::Row;

use crate::schema::Schema;
use crate::world::{Effect, Ledger, Plan, World, WorldError};

/// The differences between the journals, the table and the ledger.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Runs without an end, steps without a record, records without an effect, and outcomes that a body had and
    /// the journal has not.
    pub(crate) lost: usize,
    /// Keys that a journal holds twice, and effects that happened again though nothing was interrupted.
    pub(crate) recorded_twice: usize,
    /// Rows of the application that are there twice, or without their record.
    pub(crate) doubled: usize,
    /// Interruptions that were recorded as the failure of a run.
    pub(crate) failed: usize,
    /// Effects that happened again because their run was interrupted, which is allowed.
    pub(crate) repeated: usize,
}

impl Verdict {
    pub(crate) const fn holds(&self) -> bool {
        self.lost == 0 && self.recorded_twice == 0 && self.doubled == 0 && self.failed == 0
    }
}

/// Compares the journals of these runs with the ledger, and prints the differences.
pub(crate) async fn judge(
    schema: &Schema,
    world: &World,
    store: &PostgresStore,
    runs: &[(String, Plan)],
) -> Result<Verdict> {
    let mut debits = debits(schema).await?;
    let mut verdict = Verdict::default();
    for (run, plan) in runs {
        let stored = store.load(&RunId::new(run.as_str())?).await?;
        match stored.filter(|stored| stored.header.status == Status::Completed) {
            Some(stored) => {
                world.ledger(|ledger| judge_run(run, *plan, &stored, ledger, &mut debits, &mut verdict))?
            }
            None => {
                println!("{run} has not completed");
                verdict.lost += 1;
            }
        }
    }
    // What is left belongs to no record.
    verdict.doubled += debits.values().map(Vec::len).sum::<usize>();
    world.ledger(|ledger| {
        verdict.failed = ledger.failed;
        for (reason, times) in &ledger.reasons {
            println!("  interrupted {times} times: {reason}");
        }
    });
    Ok(verdict)
}

type Debits = HashMap<String, Vec<u64>>;

async fn debits(schema: &Schema) -> Result<Debits> {
    let mut connection = schema.connection().await?;
    let rows =
        sqlx::query(schema.sql("SELECT key, nonce FROM {s}.debits")).fetch_all(&mut connection).await?;
    let mut debits = Debits::new();
    for row in &rows {
        debits.entry(row.try_get(0)?).or_default().push(row.try_get::<i64, _>(1)?.cast_unsigned());
    }
    Ok(debits)
}

fn judge_run(
    run: &str,
    plan: Plan,
    stored: &StoredRun,
    ledger: &Ledger,
    debits: &mut Debits,
    verdict: &mut Verdict,
) -> Result<()> {
    let mut keys = HashSet::new();
    for record in &stored.records {
        verdict.recorded_twice += usize::from(!keys.insert(record.key.clone()));
        let nonce = match &record.outcome {
            Outcome::Value(value) => value.decode::<u64>().context("a record holds no number")?,
            Outcome::Failed(error) => {
                match error.decode::<WorldError>().context("a record holds no error")? {
                    WorldError::Declined(nonce) => nonce,
                    WorldError::Busy => continue,
                }
            }
            Outcome::Stopped(_) => continue,
        };
        let key = format!("{run}/{}", record.key);
        if &*record.key == "debit" {
            let rows = debits.remove(&key).unwrap_or_default();
            if rows != [nonce] {
                println!("{key} has the rows {rows:?} beside the record {nonce}");
                verdict.doubled += rows.len().saturating_sub(1);
                verdict.lost += usize::from(!rows.contains(&nonce));
            }
        } else {
            judge_effects(run, &key, nonce, ledger, verdict);
        }
        // What a body was ever handed is what stands.
        let seen = ledger.seen.get(&key).into_iter().flatten();
        let unseen = seen.filter(|seen| **seen != nonce).count();
        if unseen > 0 {
            println!("a body had another outcome of {key} than the journal");
        }
        verdict.lost += unseen;
    }
    for key in plan.keys().iter().filter(|key| !keys.contains(&Key::from(*key))) {
        println!("{run} has no record of {key}");
        verdict.lost += 1;
    }
    Ok(())
}

fn judge_effects(run: &str, key: &str, nonce: u64, ledger: &Ledger, verdict: &mut Verdict) {
    let effects = ledger.effects.get(key).map_or(&[][..], Vec::as_slice);
    // The record must be of the last effect: another one after it was not to happen.
    match effects.last() {
        Some(last) if last.nonce == nonce => {}
        Some(_) => {
            println!("{key} happened again after it was recorded");
            verdict.recorded_twice += 1;
        }
        None => {
            println!("{key} is recorded and has not happened");
            verdict.lost += 1;
        }
    }
    let mut lives: BTreeMap<u32, usize> = BTreeMap::new();
    for Effect { life, .. } in effects {
        *lives.entry(*life).or_default() += 1;
    }
    verdict.recorded_twice += lives.values().map(|times| times - 1).sum::<usize>();
    // Every life but the last one of these was to be interrupted; a quote is made anew in each.
    for life in lives.keys().rev().skip(1).filter(|_| !key.ends_with("/quote")) {
        let interrupted = ledger.interrupted.contains(&(run.to_owned(), *life));
        verdict.repeated += usize::from(interrupted);
        if !interrupted {
            println!("{key} happened again after life {life}, which was not interrupted");
            verdict.recorded_twice += 1;
        }
    }
}
