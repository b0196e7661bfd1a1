//! Derives the time of each test from the output of libtest.
//!
//! On stable Rust libtest prints no times, and the variable that enables them (`RUSTC_BOOTSTRAP`) would also reach each
//! compiler that a test starts. The output is enough: libtest starts its tests in the order of their names, one per
//! thread, and starts the next test when a test ends. So the line of a test marks its end, and the line of the test
//! that ended before it on its thread marks its start.

use std::collections::HashMap;
use std::time::Duration;
use std::{env, iter, thread};

use crate::suites::{Suite, Suites};

/// A test and its duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) time: Duration,
    pub(crate) suite: Suite,
    pub(crate) name: String,
}

/// All tests so far, and the suites whose times are unknown.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) tests: Vec<Test>,
    pub(crate) unknown: Vec<Suite>,
}

/// Returns the number of tests that libtest runs at once, by libtest's own rule.
pub(crate) fn threads() -> usize {
    let named = env::var("RUST_TEST_THREADS").ok().and_then(|number| number.parse().ok());
    named.or_else(|| thread::available_parallelism().ok().map(Into::into)).unwrap_or(1)
}

/// Reads the lines of `cargo test`, each with its time of arrival.
pub(crate) struct Timing<'a> {
    suites: &'a Suites,
    threads: usize,
    times: &'a mut Times,
    suite: Option<Suite>,
    block: Option<Block>,
}

impl<'a> Timing<'a> {
    /// Creates a reader that adds the tests of `suites` to `times`.
    pub(crate) fn new(suites: &'a Suites, threads: usize, times: &'a mut Times) -> Self {
        Self { suites, threads, times, suite: None, block: None }
    }

    /// Reads the next line, which arrived at `at` since the start.
    pub(crate) fn line(&mut self, line: &str, at: Duration) {
        if let Some(suite) = self.suites.announced(line) {
            self.close();
            self.suite = Some(suite.clone());
        } else if let Some(block) = self.block.as_mut().filter(|block| !block.is_complete()) {
            block.line(line, at);
        } else if let Some(tests) = begun(line) {
            // The doctests of one package can be in several blocks.
            self.close();
            self.block = Some(Block { tests, begin: at, ends: Vec::new() });
        }
    }

    /// Ends the output.
    pub(crate) fn finish(mut self) {
        self.close();
    }

    fn close(&mut self) {
        let (Some(block), Some(suite)) = (self.block.take(), &self.suite) else { return };
        match block.times(self.threads) {
            Some(times) => self.times.tests.extend(times.into_iter().map(|(name, time)| Test {
                time,
                suite: suite.clone(),
                name,
            })),
            None => self.times.unknown.push(suite.clone()),
        }
    }
}

/// The tests that libtest runs together, in the order in which they ended.
struct Block {
    tests: usize,
    begin: Duration,
    ends: Vec<(String, Duration)>,
}

impl Block {
    fn is_complete(&self) -> bool {
        self.ends.len() == self.tests
    }

    fn line(&mut self, line: &str, at: Duration) {
        if let Some(name) = ended(line) {
            self.ends.push((name.to_owned(), at));
        }
    }

    // Returns `None` if a line is missing, or if a test would have ended before its start: libtest then schedules its
    // tests differently, and the times would be wrong.
    fn times(&self, threads: usize) -> Option<Vec<(String, Duration)>> {
        if !self.is_complete() {
            return None;
        }
        let mut names: Vec<_> = self.ends.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let begins = iter::repeat_n(self.begin, threads).chain(self.ends.iter().map(|(_, end)| *end));
        let begins: HashMap<_, _> = names.into_iter().zip(begins).collect();
        let time = |(name, end): &(String, Duration)| {
            begins.get(name).and_then(|begin| end.checked_sub(*begin)).map(|time| (name.clone(), time))
        };
        self.ends.iter().map(time).collect()
    }
}

// Returns the number of tests in a line such as `running 12 tests`.
fn begun(line: &str) -> Option<usize> {
    let (number, what) = line.trim_end().strip_prefix("running ")?.split_once(' ')?;
    number.parse().ok().filter(|_| matches!(what, "test" | "tests"))
}

// Returns the name of the test in a line such as `test a::b - should panic ... ok`. The lines of trybuild are similar,
// but they name files.
fn ended(line: &str) -> Option<&str> {
    const MARKS: [&str; 3] = [" - should panic", " - compile fail", " - compile"];
    let (name, _) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = MARKS.iter().find_map(|mark| name.strip_suffix(mark)).unwrap_or(name);
    (is_path(name) || is_doctest(name)).then_some(name)
}

fn is_path(name: &str) -> bool {
    name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':' | '#'))
}

fn is_doctest(name: &str) -> bool {
    name.ends_with(')') && name.contains(" (line ")
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;
    use crate::suites;

    const IT: &str = "     Running tests/it/main.rs (target/debug/deps/it-02)";

    /// Reads lines, each with its time in milliseconds. Returns the times of the tests, and the suites without times.
    fn read(threads: usize, lines: &[(u64, &str)]) -> Result<(Vec<String>, Vec<String>)> {
        let (suites, mut times) = (suites::tests::suites()?, Times::default());
        let mut timing = Timing::new(&suites, threads, &mut times);
        for (at, line) in lines {
            timing.line(&format!("{line}\n"), Duration::from_millis(*at));
        }
        timing.finish();
        let test = |test: &Test| format!("{}  {}: {}", test.suite, test.name, test.time.as_millis());
        let unknown = times.unknown.iter().map(ToString::to_string).collect();
        Ok((times.tests.iter().map(test).collect(), unknown))
    }

    #[test]
    fn on_one_thread_a_test_starts_after_its_predecessor() -> Result<()> {
        let lines = [
            (5, IT),
            (10, "running 3 tests"),
            (12, "test a ... ok"),
            (30, "test b::c ... FAILED"),
            (31, "test d ... ignored, needs a server"),
        ];
        let expected = ["a-core  it  a: 2", "a-core  it  b::c: 18", "a-core  it  d: 1"];
        assert_eq!(read(1, &lines)?, (expected.map(str::to_owned).to_vec(), vec![]));
        Ok(())
    }

    #[test]
    fn on_two_threads_a_test_starts_on_a_free_thread() -> Result<()> {
        // `a` takes 100 ms; meanwhile the other thread runs `b` for 10, `c` for 20 and `d` for 80.
        let lines = [
            (0, IT),
            (0, "running 5 tests"),
            (10, "test b ... ok"),
            (30, "test c - should panic ... ok"),
            (100, "test a ... ok"),
            (110, "test d ... ok"),
            (115, "test e ... ok"),
        ];
        let (times, unknown) = read(2, &lines)?;
        assert_eq!(
            times,
            ["b: 10", "c: 20", "a: 100", "d: 80", "e: 15"].map(|test| format!("a-core  it  {test}"))
        );
        assert!(unknown.is_empty());
        Ok(())
    }

    #[test]
    fn similar_lines_are_not_tests() -> Result<()> {
        let lines = [
            (0, IT),
            (0, "running 2 tests"),
            (1, "test tests/it/misuse/a.rs ... ok"),
            (2, "test \u{1b}[0m\u{1b}[1mtests/it/misuse/b.rs\u{1b}[0m ... ok"),
            (3, "test a has been running for over 60 seconds"),
            (4, "test a ... ok"),
            (5, "test b ... \u{1b}[31mFAILED\u{1b}(B\u{1b}[m"),
            (6, "test c ... ok"),
            (7, "test result: FAILED. 1 passed; 1 failed"),
        ];
        let expected = ["a-core  it  a: 4", "a-core  it  b: 1"].map(str::to_owned).to_vec();
        assert_eq!(read(1, &lines)?, (expected, vec![]));
        Ok(())
    }

    #[test]
    fn aborted_program_has_no_times_but_its_successor_has() -> Result<()> {
        let lines = [
            (0, "     Running unittests src/lib.rs (target/debug/deps/a_core-01)"),
            (1, "running 2 tests"),
            (2, "test a ... ok"),
            (9, IT),
            (10, "running 1 test"),
            (14, "test b ... ok"),
        ];
        assert_eq!(read(2, &lines)?, (vec!["a-core  it  b: 4".to_owned()], vec!["a-core  lib".to_owned()]));
        Ok(())
    }

    #[test]
    fn unexpected_order_has_no_times() -> Result<()> {
        let lines = [
            (0, IT),
            (0, "running 3 tests"),
            (9, "test c ... ok"),
            (10, "test a ... ok"),
            (11, "test b ... ok"),
        ];
        assert_eq!(read(1, &lines)?, (vec![], vec!["a-core  it".to_owned()]));
        Ok(())
    }

    #[test]
    fn several_blocks_of_doctests_are_read() -> Result<()> {
        let lines = [
            (0, "   Doc-tests a_core"),
            (1, "running 1 test"),
            (3, "test crates/core/src/lib.rs - Step::run (line 12) ... ok"),
            (4, "test result: ok. 1 passed"),
            (5, "running 1 test"),
            (9, "test crates/core/src/lib.rs - (line 3) - compile fail ... ok"),
        ];
        let expected = [
            "a-core  doc  crates/core/src/lib.rs - Step::run (line 12): 2",
            "a-core  doc  crates/core/src/lib.rs - (line 3): 4",
        ];
        assert_eq!(read(1, &lines)?.0, expected);
        Ok(())
    }
}
