use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use awaitly::journal::{Key, Outcome, Status};
use awaitly::store::{RunId, Store as _, StoredRun};
use awaitly_trials::lines::read;

use crate::ledger::{Effect, Mark};
use crate::store::Place;
use crate::worker::{KEYS, RUNS, STEPS_AT_ONCE};

/// The content of the ledgers.
struct Evidence {
    /// All effects, in order.
    effects: Vec<Effect>,
    /// The last effect of each key: the one that must be recorded.
    last: HashMap<String, Effect>,
    /// The outcomes that bodies received for each key, in any life.
    seen: HashMap<String, BTreeSet<u64>>,
    runs: BTreeSet<String>,
}

#[derive(Default)]
struct Verdict {
    /// Runs without an end, steps without a record, effects without one, records without an effect, and
    /// outcomes that a body had and the journal has not.
    lost: usize,
    /// Keys that a journal holds twice, and effects that happened again after they were recorded.
    recorded_twice: usize,
}

impl Evidence {
    fn read(folder: &Path) -> Result<Self> {
        let effects: Vec<Effect> = read(&folder.join("effects.jsonl"))?;
        let marks: Vec<Mark> = read(&folder.join("runs.jsonl"))?;
        let mut seen: HashMap<String, BTreeSet<u64>> = HashMap::new();
        for Effect { key, nonce, .. } in read(&folder.join("seen.jsonl"))? {
            seen.entry(key).or_default().insert(nonce);
        }
        let last = effects.iter().map(|effect| (effect.key.clone(), effect.clone())).collect();
        let runs = marks
            .into_iter()
            .map(|mark| match mark {
                Mark::Begun(run) | Mark::Ended(run) => run,
            })
            .collect();
        Ok(Self { effects, last, seen, runs })
    }
}

/// Compares the journals with the ledgers and prints the result. Returns whether the promises hold.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn judge(place: &Place<'_>, kills: u32) -> Result<bool> {
    let evidence = Evidence::read(place.folder)?;
    let mut verdict = Verdict::default();
    let mut recorded = HashSet::new();
    let store = place.open().await?;
    for run in &evidence.runs {
        let stored = store.load(&RunId::new(run.as_str())?).await?;
        match stored.filter(|stored| stored.header.status == Status::Completed) {
            Some(stored) => judge_run(run, &stored, &evidence, &mut recorded, &mut verdict)?,
            None => verdict.lost += 1,
        }
    }
    drop(store);
    verdict.lost += evidence.last.keys().filter(|key| !recorded.contains(*key)).count();

    let (worst, twice_in_a_life) = repeats(&evidence.effects);
    verdict.recorded_twice += twice_in_a_life;
    let (runs, effects) = (evidence.runs.len(), evidence.last.len());
    let (repeated, in_flight) = (evidence.effects.len() - effects, RUNS * STEPS_AT_ONCE);
    println!(
        "runs {runs}, effects {effects}, repeated after one kill at most {worst} of {in_flight} steps in flight"
    );
    let Verdict { lost, recorded_twice } = verdict;
    println!("kills {kills} · lost {lost} · recorded twice {recorded_twice} · repeated {repeated}");
    ensure!(runs > 0 && effects > 0, "nothing was done before the workers were killed: nothing was proved");
    let holds = lost == 0 && recorded_twice == 0 && worst <= in_flight;
    if holds {
        place.clear().await?;
    }
    Ok(holds)
}

fn judge_run(
    run: &str,
    stored: &StoredRun,
    evidence: &Evidence,
    recorded: &mut HashSet<String>,
    verdict: &mut Verdict,
) -> Result<()> {
    let mut keys = HashSet::new();
    for record in &stored.records {
        verdict.recorded_twice += usize::from(!keys.insert(record.key.clone()));
        let Outcome::Value(value) = &record.outcome else { continue };
        let effect: Effect = value.decode().context("a record holds no effect")?;
        let key = idempotency_key(run, &record.key);
        // The record must belong to the last effect of its step, because a recorded step runs no more.
        match evidence.last.get(&key) {
            Some(last) => verdict.recorded_twice += usize::from(*last != effect),
            None => verdict.lost += 1,
        }
        // An outcome that a body has received never changes.
        let seen = evidence.seen.get(&key).into_iter().flatten();
        verdict.lost += seen.filter(|nonce| **nonce != effect.nonce).count();
        recorded.insert(key);
    }
    verdict.lost += KEYS.iter().filter(|key| !keys.contains(&Key::from(**key))).count();
    let confirmed = evidence.last.get(&idempotency_key(run, "confirm")).map(|effect| effect.nonce);
    let result = match &stored.header.outcome {
        Some(Outcome::Value(value)) => value.decode::<u64>().ok(),
        _ => None,
    };
    verdict.lost += usize::from(result.is_none() || result != confirmed);
    Ok(())
}

/// Returns the idempotency key of a step, according to the documentation of `DurableRun::idempotency_key`.
fn idempotency_key(run: &str, key: &str) -> String {
    format!("{}/{key}", run.replace('%', "%25").replace('/', "%2F"))
}

/// Returns the number of effects that the worst kill repeated, and the number of repetitions without a kill.
fn repeats(effects: &[Effect]) -> (usize, usize) {
    let mut lives: HashMap<&str, BTreeMap<u32, usize>> = HashMap::new();
    for effect in effects {
        *lives.entry(&effect.key).or_default().entry(effect.life).or_default() += 1;
    }
    let mut by_kill: BTreeMap<u32, usize> = BTreeMap::new();
    let mut twice_in_a_life = 0;
    for lives in lives.values() {
        twice_in_a_life += lives.values().map(|times| times - 1).sum::<usize>();
        // Every life but the last one was ended by a kill that let the effect happen again.
        for life in lives.keys().rev().skip(1) {
            *by_kill.entry(*life).or_default() += 1;
        }
    }
    (by_kill.values().copied().max().unwrap_or(0), twice_in_a_life)
}
