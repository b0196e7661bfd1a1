//! Compares the effects in the ledger with the records in the store.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use awaitly::journal::{Outcome, Payload, Record};
use awaitly::persistence::SqliteStore;
use awaitly::store::{RunId, Store, StoredRun};

use crate::ledger::{self, Effect};
use crate::order::Order;
use crate::worker::{CONCURRENCY, DATABASE};
use crate::workflow::{CheckoutError, PaymentError};

/// The counts of the comparison.
#[derive(Debug, Default)]
struct Proof {
    /// Orders whose run has ended.
    orders: usize,
    /// Orders whose card was declined.
    declined: usize,
    /// Orders that failed for another reason; zero if the example works.
    failed: usize,
    /// Effects with different keys.
    effects: usize,
    /// Effects that were repeated after a crash.
    repeated: usize,
    /// Keys that a journal contains twice, and effects that were repeated after they were recorded.
    recorded_twice: usize,
    /// Unfinished orders, effects without a record, and records without an effect.
    lost: usize,
}

pub(crate) fn print(folder: &Path, orders: &[Order], kills: u32) -> Result<ExitCode> {
    let happened = ledger::read(&folder.join("ledger.jsonl"))?;
    let proof = prove(&folder.join(DATABASE), orders, &happened)?;
    println!("{} cards were declined; all other orders have a receipt", proof.declined);
    println!(
        "a repeated effect is a call that was in flight at a kill: at most {CONCURRENCY} calls are in flight at a time"
    );
    println!(
        "orders {} · effects {} · repeated {} · recorded twice {} · lost {}",
        proof.orders, proof.effects, proof.repeated, proof.recorded_twice, proof.lost
    );
    let may_repeat = kills as usize * CONCURRENCY;
    let holds =
        proof.lost == 0 && proof.recorded_twice == 0 && proof.failed == 0 && proof.repeated <= may_repeat;
    Ok(if holds && proof.orders == orders.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[tokio::main(flavor = "current_thread")]
async fn prove(database: &Path, orders: &[Order], happened: &[Effect]) -> Result<Proof> {
    // The journal must contain the receipt of the last effect of each key.
    let last: HashMap<&str, &Effect> =
        happened.iter().map(|effect| (&*effect.idempotency_key, effect)).collect();
    let mut proof = Proof { effects: last.len(), repeated: happened.len() - last.len(), ..Proof::default() };
    let store = SqliteStore::open(database).await?;
    let mut recorded = HashSet::new();
    for order in orders {
        let stored = store.load(&RunId::new(order.id.as_str())?).await?;
        let Some(run) = stored.filter(|run| run.header.status.has_ended()) else {
            proof.lost += 1;
            continue;
        };
        proof.orders += 1;
        match &run.header.outcome {
            // Three records for stock, payment and confirmation, and one for each line.
            Some(Outcome::Value(_)) => {
                proof.lost += (3 + order.lines.len()).saturating_sub(run.records.len())
            }
            Some(Outcome::Failed(error)) if is_declined(error) => proof.declined += 1,
            _ => proof.failed += 1,
        }
        compare(&run, &order.id, &last, &mut recorded, &mut proof)?;
    }
    store.close().await?;
    proof.lost += last.keys().filter(|key| !recorded.contains(**key)).count();
    Ok(proof)
}

fn is_declined(error: &Payload) -> bool {
    matches!(error.decode(), Ok(CheckoutError::Payment(PaymentError::Declined)))
}

fn compare(
    run: &StoredRun,
    order: &str,
    last: &HashMap<&str, &Effect>,
    recorded: &mut HashSet<String>,
    proof: &mut Proof,
) -> Result<()> {
    for Record { key, outcome, .. } in &run.records {
        let Outcome::Value(value) = outcome else {
            continue;
        };
        let receipt: Effect =
            value.decode().with_context(|| format!("the record {order}/{key} is not a receipt"))?;
        let of_this_step = receipt.idempotency_key == format!("{order}/{key}");
        proof.lost += usize::from(!of_this_step);
        match last.get(receipt.idempotency_key.as_str()) {
            None => proof.lost += 1,
            Some(effect) => proof.recorded_twice += usize::from(**effect != receipt),
        }
        proof.recorded_twice += usize::from(!recorded.insert(receipt.idempotency_key));
    }
    Ok(())
}
