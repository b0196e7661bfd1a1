use std::fmt;

use awaitly_core::journal::Key;
use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::{Ended, Ending, Invocation, Report};

/// The differences between two runs, as [`compare`] returns them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "inspect the differences, or print them"]
pub struct Comparison {
    /// The differences: first those between steps, in order, then the difference between the endings.
    pub differences: Vec<Difference>,
}

/// One difference between two runs; `a` is the first argument of [`compare`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "`a` and `b` are the two runs")]
pub enum Difference {
    /// Only the first run has the step.
    OnlyInA { step: Key },
    /// Only the second run has the step.
    OnlyInB { step: Key },
    /// A step moved among the steps that both runs have. `a` and `b` are its places among all steps, counted from 0.
    Moved { step: Key, a: usize, b: usize },
    /// The step with this key has different names.
    Name { step: Key, a: Key, b: Key },
    /// Different numbers of attempts began at a step.
    Attempts { step: Key, a: u32, b: u32 },
    /// A step ended differently.
    Ended { step: Key, a: Ended, b: Ended },
    /// The run ended differently.
    Ending { a: Ending, b: Ending },
}

/// Compares two runs by their steps and endings. Steps are matched by key and compared by order, name, number of
/// attempts and ending. Values and times are not compared.
///
/// ```
/// use awaitly_core::{DurableRun, RunError, step};
/// use awaitly_testing::Harness;
/// use awaitly_testing::report::{Difference, compare};
///
/// # async fn number() -> Result<u32, RunError> { Ok(1) }
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let order = async |run: &DurableRun| Ok::<_, RunError>((step!(run, "reserve", number()), step!(run, "ship", number())));
/// let careful = async |run: &DurableRun| {
///     step!(run, "check", number());
///     order(run).await
/// };
///
/// let comparison = compare(&Harness::new().run(order).await, &Harness::new().run(careful).await);
/// assert_eq!(comparison.differences, [Difference::OnlyInB { step: "check".into() }]);
/// # });
/// ```
pub fn compare<T, E, U, F>(a: &Report<T, E>, b: &Report<U, F>) -> Comparison {
    let mut differences: Vec<_> =
        matched(a.invocations(), b.invocations()).iter().flat_map(between).collect();
    let (a, b) = (a.ending(), b.ending());
    if a != b {
        differences.push(Difference::Ending { a, b });
    }
    Comparison { differences }
}

/// A step of either run, or of both.
enum Matched<'s> {
    Both { a: &'s Invocation, b: &'s Invocation, moved: bool },
    OnlyA(&'s Invocation),
    OnlyB(&'s Invocation),
}

/// Matches the steps of two runs by key.
fn matched<'s>(a: &'s [Invocation], b: &'s [Invocation]) -> Vec<Matched<'s>> {
    let keys = |steps: &'s [Invocation]| steps.iter().map(|step| &step.key).collect::<Vec<_>>();
    let (mut all, mut only_b) = (Vec::new(), Vec::new());
    // The diff finds the longest common order of keys. A key in both runs but outside that order has moved; it
    // appears once among the deletions and once among the insertions, and `join_moved` merges the two.
    for part in capture_diff_slices(Algorithm::Myers, &keys(a), &keys(b)) {
        let (tag, of_a, of_b) = part.as_tag_tuple();
        let (a, b) = (a.get(of_a).unwrap_or_default(), b.get(of_b).unwrap_or_default());
        if tag == DiffTag::Equal {
            all.extend(a.iter().zip(b).map(|(a, b)| Matched::Both { a, b, moved: false }));
        } else {
            all.extend(a.iter().map(Matched::OnlyA));
            all.extend(b.iter().map(Matched::OnlyB));
            only_b.extend(b);
        }
    }
    join_moved(&mut all, only_b);
    in_order(all)
}

/// Sorts by the order of the first run. A step of only the second run follows its predecessor in that run.
fn in_order(all: Vec<Matched<'_>>) -> Vec<Matched<'_>> {
    let kept = |matched: &Matched<'_>| match matched {
        Matched::Both { a, b, moved: false } => Some((a.order, b.order)),
        _ => None,
    };
    let places: Vec<_> = all.iter().filter_map(kept).collect();
    let place = |matched: &Matched<'_>| match matched {
        Matched::Both { a, .. } | Matched::OnlyA(a) => (Some(a.order), None),
        Matched::OnlyB(b) => {
            let before = places.iter().filter(|(_, of_b)| *of_b < b.order).map(|(of_a, _)| *of_a);
            (before.max(), Some(b.order))
        }
    };
    let mut placed: Vec<_> = all.into_iter().map(|matched| (place(&matched), matched)).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, matched)| matched).collect()
}

/// Joins the two occurrences of a key that has different places, at its place in the first run.
fn join_moved<'s>(all: &mut Vec<Matched<'s>>, mut only_b: Vec<&'s Invocation>) {
    for matched in &mut *all {
        if let Matched::OnlyA(a) = *matched
            && let Some(at) = only_b.iter().position(|b| b.key == a.key)
        {
            *matched = Matched::Both { a, b: only_b.remove(at), moved: true };
        }
    }
    all.retain(|matched| match matched {
        Matched::OnlyB(b) => only_b.iter().any(|left| left.order == b.order),
        Matched::OnlyA(_) | Matched::Both { .. } => true,
    });
}

fn between(matched: &Matched<'_>) -> Vec<Difference> {
    let (a, b, moved) = match *matched {
        Matched::OnlyA(a) => return vec![Difference::OnlyInA { step: a.key.clone() }],
        Matched::OnlyB(b) => return vec![Difference::OnlyInB { step: b.key.clone() }],
        Matched::Both { a, b, moved } => (a, b, moved),
    };
    let step = || a.key.clone();
    let place = moved.then(|| Difference::Moved { step: step(), a: a.order, b: b.order });
    let name = (a.name != b.name).then(|| {
        let (a, b) = (a.name.clone(), b.name.clone());
        Difference::Name { step: step(), a, b }
    });
    let attempts = (a.attempts != b.attempts).then(|| {
        let (a, b) = (a.attempts, b.attempts);
        Difference::Attempts { step: step(), a, b }
    });
    let ended = (a.ended != b.ended).then(|| {
        let (a, b) = (a.ended.clone(), b.ended.clone());
        Difference::Ended { step: step(), a, b }
    });
    [place, name, attempts, ended].into_iter().flatten().collect()
}

impl Comparison {
    /// Returns whether the runs have no differences.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_same() {
            return f.write_str("the runs do not differ");
        }
        for (number, difference) in self.differences.iter().enumerate() {
            let line_break = if number > 0 { "\n" } else { "" };
            write!(f, "{line_break}{difference}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyInA { step } => write!(f, "only the first run has step `{step}`"),
            Self::OnlyInB { step } => write!(f, "only the second run has step `{step}`"),
            Self::Moved { step, a, b } => {
                write!(f, "step `{step}` is in place {a} in one run, in place {b} in the other")
            }
            Self::Name { step, a, b } => {
                write!(f, "step `{step}` is called `{a}` in one run, `{b}` in the other")
            }
            Self::Attempts { step, a, b } => {
                let attempts = if *a == 1 { "attempt" } else { "attempts" };
                write!(f, "step `{step}` had {a} {attempts} in one run, {b} in the other")
            }
            Self::Ended { step, a, b } => write!(f, "step `{step}` {a} in one run, {b} in the other"),
            Self::Ending { a, b } => write!(f, "in one, {a}; in the other, {b}"),
        }
    }
}
