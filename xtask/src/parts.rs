//! A command made of parts: all of them run, also when one fails, and a summary comes last.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// The parts done so far.
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
    /// Does the work and remembers how it went. A failure waits for the summary, so that one call
    /// shows all there is to mend.
    pub(crate) fn run(&mut self, name: impl Into<String>, work: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let failure = work().err().map(|error| format!("{error:#}"));
        self.done.push(Part { name: name.into(), time: start.elapsed(), failure });
    }

    /// Prints the summary, and fails when any part did.
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
    fn a_part_that_fails_does_not_keep_the_next_from_running() {
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
    fn the_summary_names_each_part_with_its_time_and_its_end() {
        let part = |name: &str, seconds, failure: Option<&str>| Part {
            name: name.to_owned(),
            time: Duration::from_secs(seconds),
            failure: failure.map(str::to_owned),
        };
        let parts = Parts { done: vec![part("tests", 61, None), part("crash", 5, Some("lost a value"))] };
        assert_eq!(parts.to_string(), "tests     61.0 s  ok\ncrash      5.0 s  FAILED: lost a value\n");
    }

    #[test]
    fn parts_that_all_went_well_are_a_success() {
        let mut parts = Parts::default();
        parts.run("only", || Ok(()));
        assert!(parts.finish().is_ok());
    }
}
