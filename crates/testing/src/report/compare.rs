use std::fmt;

use awaitly_core::journal::Key;

use super::{Ended, Ending, Invocation, Report};

/// What is different between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "ask it, or print it"]
pub struct Comparison {
    /// Each difference: those of the steps in order, that of the run last.
    pub differences: Vec<Difference>,
}

/// One difference between two runs, of which `a` was named first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "`a` and `b` are the two runs")]
pub enum Difference {
    /// One has more steps than the other.
    Count { a: usize, b: usize },
    /// The steps in that place, from 0, have other names.
    Name { order: usize, a: Key, b: Key },
    /// The steps in that place have the same name and other keys.
    Key { order: usize, a: Key, b: Key },
    /// A step ended otherwise.
    Ended { step: Key, a: Ended, b: Ended },
    /// The run ended otherwise.
    Ending { a: Ending, b: Ending },
}

/// Compares two runs: how many steps there were, what they are called, what each ended in, and what the run ended in.
/// Values and times are not compared.
pub fn compare<T, E, U, F>(a: &Report<T, E>, b: &Report<U, F>) -> Comparison {
    let mut differences = Vec::new();
    let (steps_of_a, steps_of_b) = (a.invocations(), b.invocations());
    if steps_of_a.len() != steps_of_b.len() {
        differences.push(Difference::Count { a: steps_of_a.len(), b: steps_of_b.len() });
    }
    differences.extend(steps_of_a.iter().zip(steps_of_b).filter_map(|(a, b)| between(a, b)));
    let (a, b) = (a.ending(), b.ending());
    if a != b {
        differences.push(Difference::Ending { a, b });
    }
    Comparison { differences }
}

fn between(a: &Invocation, b: &Invocation) -> Option<Difference> {
    let order = a.order;
    if a.name != b.name {
        let (a, b) = (a.name.clone(), b.name.clone());
        return Some(Difference::Name { order, a, b });
    }
    if a.key != b.key {
        let (a, b) = (a.key.clone(), b.key.clone());
        return Some(Difference::Key { order, a, b });
    }
    let step = a.key.clone();
    (a.ended != b.ended).then(|| Difference::Ended { step, a: a.ended.clone(), b: b.ended.clone() })
}

impl Comparison {
    /// Whether there is no difference.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_same() {
            return f.write_str("the runs are the same");
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
            Self::Count { a, b } => write!(f, "one run has {a} steps, the other {b}"),
            Self::Name { order, a, b } => write!(f, "step {order} is `{a}` in one run, `{b}` in the other"),
            Self::Key { order, a, b } => {
                write!(f, "step {order} has the key `{a}` in one run, `{b}` in the other")
            }
            Self::Ended { step, a, b } => write!(f, "step `{step}` {a} in one run, {b} in the other"),
            Self::Ending { a, b } => write!(f, "in one, {a}; in the other, {b}"),
        }
    }
}
