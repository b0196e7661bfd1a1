//! The findings. Cases with one text, apart from its numbers, count as one finding.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::promise::{Broken, Promise};
use crate::show;

/// A case that broke a promise.
pub(crate) struct Finding {
    pub(crate) case: Case,
    pub(crate) broken: Broken,
}

/// All findings of one thread or more.
#[derive(Default)]
pub(crate) struct Report {
    /// How many seeds broke each promise.
    counts: BTreeMap<Promise, u64>,
    /// The shrunk cases, by how they read, each with the first seed and how many seeds led to it.
    shrunk: BTreeMap<(Promise, String), (u64, u64, String)>,
}

impl Report {
    pub(crate) fn count(&mut self, promise: Promise) -> u64 {
        let count = self.counts.entry(promise).or_default();
        *count += 1;
        *count
    }

    pub(crate) fn add(&mut self, Finding { case, broken }: Finding) {
        let shape = (broken.promise, shape(&show::text(&case)));
        let entry = self.shrunk.entry(shape).or_insert_with(|| {
            let text = format!("{}\n{}", broken.text, show::text(&case));
            (case.seed, 0, text)
        });
        entry.1 += 1;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (promise, count) in other.counts {
            *self.counts.entry(promise).or_default() += count;
        }
        for (shape, (seed, count, text)) in other.shrunk {
            let entry = self.shrunk.entry(shape).or_insert((seed, 0, text.clone()));
            entry.1 += count;
            if seed < entry.0 {
                (entry.0, entry.2) = (seed, text);
            }
        }
    }

    pub(crate) fn findings(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Prints the cases that most seeds shrank to, `most` of each promise.
    pub(crate) fn print(&self, most: usize) {
        for (promise, count) in &self.counts {
            println!("\n## {promise}: broken by {count} seeds");
            let mut cases: Vec<_> = self.shrunk.iter().filter(|((of, _), _)| of == promise).collect();
            cases.sort_by_key(|(_, (seed, count, _))| (std::cmp::Reverse(*count), *seed));
            for (_, (seed, count, text)) in cases.iter().take(most) {
                println!("\nseed {seed}, the first of {count} that shrink to it: {text}");
            }
            if cases.len() > most {
                println!("... and {} more; `--show` prints them", cases.len() - most);
            }
        }
    }
}

/// The text without its numbers, so that cases which differ only in these are one.
fn shape(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}
