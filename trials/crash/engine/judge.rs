use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use awaitly::engine::Client;
use awaitly::journal::{Outcome, Status, Timestamp};
use awaitly::store::{Dispatch, RunId, RunQuery, StoredRun};
use awaitly_trials::lines::read;

use super::body::{NOTES, Receipt};
use super::effects;
use crate::ledger::Effect;

/// The observations of the supervisor.
pub(super) struct Evidence {
    pub(super) orders: Vec<String>,
    /// The result of each order. `None` if it did not come in time, or if the order failed.
    pub(super) results: Vec<Option<Receipt>>,
    pub(super) kills: u32,
    /// The beginning of the test, by the store's clock.
    pub(super) begun: Timestamp,
}

#[derive(Default)]
struct Verdict {
    /// Runs without a result, steps without a record, and records without an effect.
    lost: usize,
    /// Steps that were executed again after they were recorded, and keys with two records.
    recorded_twice: usize,
    /// Runs that have not ended.
    stuck: usize,
    /// Times of the schedule without exactly one run.
    fired_wrong: usize,
    /// Orders that received a note twice, never, or in another order.
    received_wrong: usize,
    /// Leases that are held after all workers have stopped.
    held: usize,
}

/// Compares the store with the ledger and prints the result. Returns whether the promises hold.
pub(super) async fn judge<S: Dispatch + Clone>(
    folder: &Path,
    store: &S,
    evidence: &Evidence,
) -> Result<bool> {
    let effects: Vec<Effect> = read(&effects(folder))?;
    let mut all: HashMap<&str, Vec<&Effect>> = HashMap::new();
    for effect in &effects {
        all.entry(&effect.key).or_default().push(effect);
    }
    let mut verdict = Verdict::default();
    for (order, result) in evidence.orders.iter().zip(&evidence.results) {
        judge_order(store, order, result.as_ref(), &all, &mut verdict).await?;
    }
    judge_ticks(store, &all, evidence.begun, &mut verdict).await?;
    let diagnosis = Client::new(store.clone()).doctor().await?;
    verdict.stuck += diagnosis.checked;
    diagnosis.findings.iter().for_each(|finding| println!("{finding}"));
    verdict.held = held(store).await?;
    let repeated = effects.len() - all.len();
    let Verdict { lost, recorded_twice, stuck, fired_wrong, received_wrong, held } = verdict;
    println!("orders {}, effects {}, leases held at the end {held}", evidence.orders.len(), all.len());
    println!(
        "kills {} · lost {lost} · recorded twice {recorded_twice} · stuck {stuck} · fired twice {fired_wrong} · \
         received twice {received_wrong} · repeated {repeated}",
        evidence.kills
    );
    ensure!(!evidence.orders.is_empty(), "no order was started: nothing was proved");
    Ok([lost, recorded_twice, stuck, fired_wrong, received_wrong, held] == [0; 6])
}

async fn judge_order<S: Dispatch>(
    store: &S,
    order: &str,
    result: Option<&Receipt>,
    all: &HashMap<&str, Vec<&Effect>>,
    verdict: &mut Verdict,
) -> Result<()> {
    match result {
        Some((notes, _)) => verdict.received_wrong += usize::from(!notes.iter().copied().eq(0..NOTES)),
        None => verdict.lost += 1,
    }
    for (run, steps) in
        [(order.to_owned(), ["reserve", "confirm"]), (format!("{order}/part"), ["make", "pack"])]
    {
        judge_run(store, &run, &steps, all, verdict).await?;
    }
    Ok(())
}

/// Checks that a run has completed, and that each of its steps holds the effect of its last execution.
async fn judge_run<S: Dispatch>(
    store: &S,
    run: &str,
    steps: &[&str],
    all: &HashMap<&str, Vec<&Effect>>,
    verdict: &mut Verdict,
) -> Result<()> {
    let stored = store.load(&RunId::new(run)?).await?;
    let Some(StoredRun { records, .. }) = stored.filter(|run| run.header.status == Status::Completed) else {
        verdict.lost += 1;
        return Ok(());
    };
    let mut keys = HashSet::new();
    verdict.recorded_twice += records.iter().filter(|record| !keys.insert(&record.key)).count();
    for step in steps {
        let record = records.iter().find(|record| *record.key == **step);
        let nonce = record.and_then(|record| match &record.outcome {
            Outcome::Value(value) => value.decode::<u64>().ok(),
            _ => None,
        });
        let key = format!("{}/{step}", run.replace('%', "%25").replace('/', "%2F"));
        let effects = all.get(key.as_str()).map(Vec::as_slice).unwrap_or_default();
        let recorded =
            nonce.and_then(|nonce| effects.iter().enumerate().find(|(_, effect)| effect.nonce == nonce));
        // A recorded step is not executed again: neither later in the same execution, nor by an execution that began
        // later. An owner that lost its lease may still be in the middle of an earlier execution.
        match recorded {
            Some((place, recorded)) => {
                let is_again = |(at, effect): (usize, &&Effect)| {
                    effect.begun > recorded.begun || at > place && effect.begun == recorded.begun
                };
                verdict.recorded_twice += usize::from(effects.iter().enumerate().any(is_again));
            }
            None => verdict.lost += 1,
        }
    }
    Ok(())
}

/// Checks that the schedule has one completed run for each second from its first to its last run.
async fn judge_ticks<S: Dispatch>(
    store: &S,
    all: &HashMap<&str, Vec<&Effect>>,
    begun: Timestamp,
    verdict: &mut Verdict,
) -> Result<()> {
    let mut query = RunQuery::new().workflow("tick").limit(1000);
    let mut seconds = Vec::new();
    loop {
        let page = store.list(query.clone()).await?;
        for tick in page.items {
            judge_run(store, &tick.run, &["tick"], all, verdict).await?;
            let moment = awaitly::engine::scheduled_for(&tick.run).context("a tick without its time")?;
            seconds.push(moment.as_millis() / 1000);
        }
        let Some(next) = page.next else { break };
        query = query.after(next);
    }
    seconds.sort_unstable();
    let gaps = seconds.windows(2).filter(|pair| matches!(pair, [one, next] if next - one != 1)).count();
    verdict.fired_wrong += gaps;
    let first = seconds.first().copied().unwrap_or_default();
    verdict.fired_wrong += usize::from(first > begun.as_millis() / 1000 + 2);
    Ok(())
}

/// Returns the number of runs with a lease.
async fn held<S: Dispatch>(store: &S) -> Result<usize> {
    let query = RunQuery::new().status(Status::Running).status(Status::Waiting).limit(1000);
    Ok(store.list(query).await?.items.into_iter().filter(|run| run.held).count())
}
