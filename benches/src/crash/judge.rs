use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use awaitly::journal::{Key, Outcome, Status};
use awaitly::persistence::SqliteStore;
use awaitly::store::{RunId, Store};

use crate::ledger::{Effect, Mark, read};
use crate::worker::{KEYS, RUNS, STEPS_AT_ONCE};

#[derive(Default)]
struct Verdict {
    runs: usize,
    /// Runs without an end, steps without a record, records without an effect.
    lost: usize,
    /// Keys that a journal holds twice, and effects that happened again after they were recorded.
    recorded_twice: usize,
}

/// Compares the journals with the ledger, and prints what came of it.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn judge(folder: &Path, kills: u32) -> Result<ExitCode> {
    let effects: Vec<Effect> = read(&folder.join("effects.jsonl"))?;
    let begun: BTreeSet<String> = read::<Mark>(&folder.join("runs.jsonl"))?
        .into_iter()
        .map(|mark| match mark {
            Mark::Begun(run) | Mark::Ended(run) => run,
        })
        .collect();
    let last: HashMap<&str, &Effect> = effects.iter().map(|effect| (&*effect.key, effect)).collect();

    let mut verdict = Verdict { runs: begun.len(), ..Verdict::default() };
    let store = SqliteStore::open(folder.join("crash.db")).await?;
    for run in &begun {
        judge_run(&store, run, &last, &mut verdict).await?;
    }
    store.close().await?;
    let known = begun.len() * KEYS.len();
    verdict.lost += last.len().saturating_sub(known);

    let repeated = effects.len() - last.len();
    let (worst, twice_in_a_life) = repeats_by_life(&effects);
    verdict.recorded_twice += twice_in_a_life;
    println!(
        "runs {}, effects {}, repeated after one kill at most {worst} of {} steps in flight",
        verdict.runs,
        last.len(),
        RUNS * STEPS_AT_ONCE
    );
    println!(
        "kills {kills} · lost {} · recorded twice {} · repeated {repeated}",
        verdict.lost, verdict.recorded_twice
    );
    let holds = verdict.lost == 0 && verdict.recorded_twice == 0 && worst <= RUNS * STEPS_AT_ONCE;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn judge_run(
    store: &SqliteStore,
    run: &str,
    last: &HashMap<&str, &Effect>,
    verdict: &mut Verdict,
) -> Result<()> {
    let Some(stored) = store.load(&RunId::new(run)?).await? else {
        verdict.lost += 1;
        return Ok(());
    };
    verdict.lost += usize::from(stored.header.status != Status::Completed);
    let mut keys = HashSet::new();
    for record in &stored.records {
        verdict.recorded_twice += usize::from(!keys.insert(record.key.clone()));
        let Outcome::Value(value) = &record.outcome else {
            continue;
        };
        let effect: Effect = value.decode().context("a record holds no effect")?;
        match last.get(effect.key.as_str()) {
            None => verdict.lost += 1,
            // The record must be of the last effect: another one after it was not to happen.
            Some(happened) => verdict.recorded_twice += usize::from(**happened != effect),
        }
    }
    verdict.lost += KEYS.iter().filter(|key| !keys.contains(&Key::from(**key))).count();
    Ok(())
}

/// How many effects the worst kill let happen again, and how many happened twice without a kill between.
fn repeats_by_life(effects: &[Effect]) -> (usize, usize) {
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
