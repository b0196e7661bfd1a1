//! Runs all parts of a command even if one fails, and prints a summary at the end.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// The parts that have run so far.
#[derive(Default)]
pub(crate) struct Parts {
    done: Vec<Part>,
}

struct Part {
    name: String,
    time: Duration,
    failure: Option<String>,
}

impl Parts {
    /// Runs `work` and stores its result. Failures appear in the summary, so that one call shows all of them.
    pub(crate) fn run(&mut self, name: impl Into<String>, work: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let failure = work().err().map(|error| format!("{error:#}"));
        self.done.push(Part { name: name.into(), time: start.elapsed(), failure });
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// Returns an error if a part failed.
    pub(crate) fn finish(self) -> Result<()> {
        eprintln!("\n{self}");
        let failed = self.done.iter().filter(|part| part.failure.is_some()).count();
        ensure!(failed == 0, "{failed} of {} parts failed: the summary above names them", self.done.len());
        Ok(())
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.done.iter().map(|part| part.name.len()).max().unwrap_or(0);
        for Part { name, time, failure } in &self.done {
            let end = failure.as_ref().map_or("ok".to_owned(), |failure| format!("FAILED: {failure}"));
            writeln!(out, "{name:width$}  {:>7.1} s  {end}", time.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn later_parts_run_after_a_failure() {
        let mut parts = Parts::default();
        let mut reached = false;
        parts.run("first", || Err(anyhow!("broken").context("part of it")));
        parts.run("second", || {
            reached = true;
            Ok(())
        });
        assert!(reached);
        let end = parts.finish().map_err(|error| error.to_string());
        assert_eq!(end, Err("1 of 2 parts failed: the summary above names them".to_owned()));
    }

    #[test]
    fn summary_lists_each_part_with_time_and_result() {
        let part = |name: &str, seconds, failure: Option<&str>| Part {
            name: name.to_owned(),
            time: Duration::from_secs(seconds),
            failure: failure.map(str::to_owned),
        };
        let parts = Parts { done: vec![part("tests", 61, None), part("crash", 5, Some("lost a value"))] };
        assert_eq!(parts.to_string(), "tests     61.0 s  ok\ncrash      5.0 s  FAILED: lost a value\n");
    }

    #[test]
    fn all_successful_parts_are_a_success() {
        let mut parts = Parts::default();
        parts.run("only", || Ok(()));
        assert!(parts.finish().is_ok());
    }
}
