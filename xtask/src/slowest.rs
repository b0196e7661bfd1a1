//! Lists the slowest tests, so that developers can make the test suite faster.

use std::cmp::Reverse;
use std::fmt;

use crate::timing::{Test, Times};

const SHOWN: usize = 10;

/// Displays the ten slowest tests, one per line, the slowest first.
pub(crate) struct Slowest<'a>(pub(crate) &'a Times);

impl fmt::Display for Slowest<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests = slowest(&self.0.tests);
        if !tests.is_empty() {
            writeln!(out, "slowest tests")?;
        }
        let width = |of: fn(&Test) -> &str| tests.iter().map(|test| of(test).len()).max().unwrap_or(0);
        let (package, binary) = (width(|test| &test.suite.package), width(|test| &test.suite.binary));
        for Test { time, suite, name } in tests {
            let time = time.as_secs_f64();
            writeln!(out, "{time:>7.2} s  {:package$}  {:binary$}  {name}", suite.package, suite.binary)?;
        }
        for suite in &self.0.unknown {
            writeln!(out, "      ? s  {suite}  aborted, or its output has an unknown format")?;
        }
        Ok(())
    }
}

fn slowest(tests: &[Test]) -> Vec<&Test> {
    let mut tests: Vec<_> = tests.iter().collect();
    tests.sort_by_key(|test| Reverse(test.time));
    tests.truncate(SHOWN);
    tests
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::suites::Suite;

    fn suite(package: &str, binary: &str) -> Suite {
        Suite { package: package.to_owned(), binary: binary.to_owned() }
    }

    fn test(millis: u64, package: &str, binary: &str, name: &str) -> Test {
        Test { time: Duration::from_millis(millis), suite: suite(package, binary), name: name.to_owned() }
    }

    #[test]
    fn slowest_ten_are_sorted_by_time() {
        let tests: Vec<_> =
            [3, 11, 7, 1, 9, 5, 12, 2, 8, 10, 4, 6].map(|millis| test(millis, "a", "it", "x")).into();
        let times: Vec<_> = slowest(&tests).into_iter().map(|test| test.time.as_millis()).collect();
        assert_eq!(times, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
    }

    #[test]
    fn line_has_time_package_program_and_name() {
        let tests = vec![test(890, "a", "lib", "b::c"), test(12_414, "a-store", "it", "d")];
        let drawn = Slowest(&Times { tests, unknown: vec![suite("a", "it")] }).to_string();
        let expected = "slowest tests\n\
                        \u{20} 12.41 s  a-store  it   d\n\
                        \u{20}  0.89 s  a        lib  b::c\n\
                        \u{20}     ? s  a  it  aborted, or its output has an unknown format\n";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn output_is_empty_if_no_test_ran() {
        assert_eq!(Slowest(&Times::default()).to_string(), "");
    }
}
