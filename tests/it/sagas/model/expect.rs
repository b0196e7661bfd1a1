//! The model: predicts the result of a program with plain functions.

use std::collections::{BTreeMap, BTreeSet};

use awaitly::RunError;
use awaitly::journal::{Key, Payload};
use awaitly::saga::SagaError;

use super::program::{Act, Deed, Does, Program, Undo, What};
use super::{Ended, TripError};

/// The observed result of a run that has ended.
pub(super) struct Seen<'s> {
    pub(super) ended: &'s Ended,
    /// The effects, compensations and refusals in their order.
    pub(super) log: Vec<String>,
    pub(super) values: BTreeMap<String, Payload>,
    /// Whether the run was retried after all compensations were repaired.
    pub(super) again: bool,
}

/// Compares the observed result with the prediction for `program`.
pub(super) fn compare(program: &Program, seen: &Seen<'_>) -> Result<(), String> {
    let mut model = Model { program, seen, sagas: 0, done: BTreeSet::new(), undone: BTreeSet::new() };
    let (ended, _) = model.saga(&program.acts, program.refuses, &Vec::new())?;
    let acts = |undo| {
        seen.log.iter().filter(move |entry| !entry.starts_with("no ") && entry.starts_with("undo ") == undo)
    };
    same("done", &acts(false).cloned().collect(), &model.done)?;
    same("undone", &acts(true).cloned().collect(), &model.undone)?;
    match (seen.ended, ended) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(error), Err(failure)) => failure.compare(error),
        (ended, model) => Err(format!("the run returns {ended:?}, the model {model:?}")),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, seen: &T, model: &T) -> Result<(), String> {
    if seen == model { Ok(()) } else { Err(format!("{what}: the run has {seen:?}, the model {model:?}")) }
}

/// The predicted error of a saga.
#[derive(Debug)]
struct Failure {
    /// The possible errors. The timing decides which of them occurs.
    errors: BTreeSet<String>,
    failed: Vec<String>,
    left: BTreeSet<String>,
    in_doubt: BTreeSet<String>,
}

impl Failure {
    fn compare(&self, seen: &SagaError<TripError>) -> Result<(), String> {
        let error = name_of(seen.error());
        if !self.errors.contains(&error) {
            return Err(format!("the run fails with {error}, the model with one of {:?}", self.errors));
        }
        let failed = seen.failed().iter();
        same("failed", &failed.clone().map(|failed| failed.step.to_string()).collect(), &self.failed)?;
        same(
            "errors of compensations",
            &failed.map(|failed| name_of(&failed.error)).collect::<Vec<_>>(),
            &self.failed.iter().map(|step| format!("undo {step}")).collect(),
        )?;
        same("left", &each_once(seen.left())?, &self.left)?;
        same("in doubt", &each_once(seen.in_doubt())?, &self.in_doubt)
    }
}

fn name_of(error: &TripError) -> String {
    match error {
        TripError::Refused(what) => what.clone(),
        TripError::Run(RunError::Timeout { step, .. }) => step.to_string(),
        TripError::Run(error) => error.to_string(),
    }
}

fn each_once(keys: &[Key]) -> Result<BTreeSet<String>, String> {
    let names: BTreeSet<_> = keys.iter().map(Key::to_string).collect();
    if names.len() == keys.len() { Ok(names) } else { Err(format!("a key occurs twice: {keys:?}")) }
}

/// The steps that a saga has done, and may have to undo.
#[derive(Debug, Default)]
struct Page<'p> {
    done: Vec<(Path, &'p Deed)>,
    left: BTreeSet<String>,
    in_doubt: BTreeSet<String>,
}

/// The position of a step. Two positions that first differ at an `After` are ordered by its number.
type Path = Vec<Turn>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    After(usize),
    Beside(usize),
}

/// Returns whether the first of two steps ended before the second one started.
fn is_before(first: &Path, second: &Path) -> bool {
    let parting = first.iter().zip(second).find(|(first, second)| first != second);
    matches!(parting, Some((Turn::After(first), Turn::After(second))) if first < second)
}

/// The part of the record `undo` that the model reads.
#[derive(serde::Deserialize)]
struct Undoing {
    steps: Vec<String>,
}

struct Model<'p> {
    program: &'p Program,
    seen: &'p Seen<'p>,
    /// The number of sagas that have started.
    sagas: u32,
    done: BTreeSet<String>,
    undone: BTreeSet<String>,
}

type Fails = BTreeSet<String>;

impl<'p> Model<'p> {
    /// Predicts the result of a saga, and the steps that it leaves to the outer saga.
    fn saga(
        &mut self,
        acts: &'p [Act],
        refuses: bool,
        path: &Path,
    ) -> Result<(Result<(), Failure>, Page<'p>), String> {
        self.sagas += 1;
        let key = if self.sagas == 1 { "undo".to_owned() } else { format!("undo#{}", self.sagas) };
        let mut page = Page::default();
        let errors = match self.acts(acts, path, &mut page)? {
            Ok(()) if refuses => Fails::from(["body".to_owned()]),
            Ok(()) => return Ok((Ok(()), page)),
            Err(errors) => errors,
        };
        let Page { done, left, in_doubt } = page;
        let mut failure = Failure { errors, failed: Vec::new(), left: BTreeSet::new(), in_doubt };
        if !done.is_empty() {
            self.undo(&key, done, &mut failure)?;
        }
        failure.left.extend(left);
        let left = failure.failed.iter().chain(&failure.left).cloned().collect();
        let page = Page { done: Vec::new(), left, in_doubt: failure.in_doubt.clone() };
        Ok((Err(failure), page))
    }

    /// Undoes the steps in the order that the library recorded, and checks this order.
    fn undo(
        &mut self,
        key: &str,
        mut done: Vec<(Path, &'p Deed)>,
        failure: &mut Failure,
    ) -> Result<(), String> {
        let undoing = self.seen.values.get(key).ok_or_else(|| format!("`{key}` is not recorded"))?;
        let Undoing { steps: order } = undoing.decode().unwrap();
        let place = |deed: &Deed| order.iter().position(|step| *step == deed.key);
        if done.len() != order.len() || done.iter().any(|(_, deed)| place(deed).is_none()) {
            return Err(format!("`{key}` contains {order:?}, the model {done:?}"));
        }
        done.sort_by_key(|(_, deed)| place(deed));
        for (number, (late, deed)) in done.iter().enumerate() {
            if let Some((_, early)) = done[..number].iter().find(|(early, _)| is_before(late, early)) {
                return Err(format!(
                    "`{}` ended before `{}` started, but is undone before it",
                    deed.key, early.key
                ));
            }
        }
        // The steps of a nested saga count from its end, so beside concurrent steps their order is undefined.
        if self.lives_once() && !self.program.acts.iter().any(Act::nests_in_branches) {
            let log = self.seen.log.iter().filter(|entry| order.contains(entry)).cloned().collect();
            same("the order of doing", &order, &log)?;
        }
        let mut undone = Vec::new();
        for (_, deed) in done.iter().rev() {
            if !failure.failed.is_empty() && self.program.stops_on_failure {
                failure.left.insert(deed.key.clone());
            } else if deed.undo == Some(Undo::Fails) && !self.seen.again {
                failure.failed.push(deed.key.clone());
            } else {
                undone.push(format!("undo {}", deed.key));
            }
        }
        let log = self.seen.log.iter().filter(|entry| undone.contains(entry)).cloned().collect();
        if !self.seen.again {
            same("the order of undoing", &log, &undone)?;
        }
        self.undone.extend(undone);
        Ok(())
    }

    fn acts(
        &mut self,
        acts: &'p [Act],
        path: &Path,
        page: &mut Page<'p>,
    ) -> Result<Result<(), Fails>, String> {
        for (number, Act { what, handled }) in acts.iter().enumerate() {
            let path = with(path, Turn::After(number));
            let ended = self.act(what, &path, page)?;
            if ended.is_err() && !handled {
                return Ok(ended);
            }
        }
        Ok(Ok(()))
    }

    fn act(&mut self, what: &'p What, path: &Path, page: &mut Page<'p>) -> Result<Result<(), Fails>, String> {
        Ok(match what {
            What::Step(deed) => match self.deed(deed, path.clone(), page) {
                true => Ok(()),
                false => Err(Fails::from([deed.key.clone()])),
            },
            What::Parallel(_, deeds) => self.beside(deeds.iter(), path, page),
            What::Each { deeds, concurrency: 1, .. } => {
                // The first item that fails is the last item that starts.
                let failing = deeds.iter().position(|deed| deed.does == Does::Refuses);
                let begun = &deeds[..failing.map_or(deeds.len(), |failing| failing + 1)];
                let after = |(number, deed)| self.deed(deed, with(path, Turn::After(number)), page);
                if begun.iter().enumerate().all(after) {
                    Ok(())
                } else {
                    Err(begun.last().map(|deed| deed.key.clone()).into_iter().collect())
                }
            }
            What::Each { deeds, .. } => {
                // The items start in their order. All items up to the first failing one start, and further items may
                // start until the failing one ends.
                let failing = deeds.iter().position(|deed| deed.does == Does::Refuses);
                let log = &self.seen.log;
                let has_begun =
                    |deed: &Deed| log.contains(&deed.key) || log.contains(&format!("no {}", deed.key));
                let begun = match failing {
                    Some(_) => failing.max(deeds.iter().rposition(has_begun)).map_or(0, |last| last + 1),
                    None => deeds.len(),
                };
                self.beside(deeds[..begun].iter(), path, page)
            }
            What::Branches(branches) => {
                let mut first = Ok(());
                for (number, acts) in branches.iter().enumerate() {
                    let ended = self.acts(acts, &with(path, Turn::Beside(number)), page)?;
                    first = first.and(ended);
                }
                first
            }
            What::Nested(acts) => {
                let (ended, inner) = self.saga(acts, false, path)?;
                let Page { done, left, in_doubt } = inner;
                page.done.extend(done);
                page.left.extend(left);
                page.in_doubt.extend(in_doubt);
                ended.map_err(|failure| failure.errors)
            }
        })
    }

    /// Predicts concurrent steps, of which the first failure in time counts.
    fn beside(
        &mut self,
        deeds: impl Iterator<Item = &'p Deed>,
        path: &Path,
        page: &mut Page<'p>,
    ) -> Result<(), Fails> {
        let mut failing = Fails::new();
        for (number, deed) in deeds.enumerate() {
            if !self.deed(deed, with(path, Turn::Beside(number)), page) {
                failing.insert(deed.key.clone());
            }
        }
        if failing.is_empty() {
            return Ok(());
        }
        if self.lives_once() {
            let in_time = self.seen.log.iter().filter_map(|entry| entry.strip_prefix("no "));
            let first = in_time.map(str::to_owned).find(|key| failing.contains(key));
            failing = first.into_iter().collect();
        }
        Err(failing)
    }

    /// Returns whether the log comes from one execution, so that its order is the order in time.
    const fn lives_once(&self) -> bool {
        self.program.deaths.is_empty() && !self.seen.again
    }

    /// Predicts a step. Returns whether it succeeds.
    fn deed(&mut self, deed: &'p Deed, path: Path, page: &mut Page<'p>) -> bool {
        if deed.does != Does::Refuses {
            self.done.insert(deed.key.clone());
        }
        if deed.undo.is_some() {
            match deed.does {
                Does::Works => page.done.push((path, deed)),
                Does::Hangs => drop(page.in_doubt.insert(deed.key.clone())),
                Does::Refuses => {}
            }
        }
        deed.does == Does::Works
    }
}

fn with(path: &Path, turn: Turn) -> Path {
    path.iter().copied().chain([turn]).collect()
}
