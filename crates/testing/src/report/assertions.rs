use std::collections::BTreeSet;
use std::fmt;

use awaitly_core::journal::Key;

use super::diff::unified;
use super::{Invocation, Report, StepEnding};
use crate::keys::quoted;

impl<T, E> Report<T, E> {
    /// Asserts that exactly these steps, by name or key, began in this order. Reused and waiting steps count; skipped
    /// steps do not.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// # async fn number() -> Result<u32, RunError> { Ok(1) }
    /// let order = async |run: &DurableRun| Ok::<_, RunError>(step!(run, "pay", number()) + step!(run, "ship", number()));
    /// let report = simulate(async || Harness::new().run(order).await);
    /// report.assert_steps(["pay", "ship"]);
    /// report.assert_calls("ship", 1);
    /// ```
    ///
    /// # Panics
    /// Panics if other steps began, or if the steps began in another order. The message contains a diff and the trace.
    #[track_caller]
    pub fn assert_steps<'s>(&self, expected: impl IntoIterator<Item = &'s str>) {
        let expected: Vec<_> = expected.into_iter().collect();
        let begun: Vec<_> =
            self.invocations().iter().filter(|step| step.ending != StepEnding::Skipped).collect();
        let holds =
            begun.len() == expected.len() && begun.iter().zip(&expected).all(|(step, name)| step.is(name));
        let actual: Vec<_> = begun.iter().map(|step| as_expected(step, &expected)).collect();
        assert!(
            holds,
            "other steps than expected:\n{}{}",
            unified(("expected", &lines(&expected)), ("actual", &lines(&actual))),
            self.trace_text()
        );
    }

    /// Asserts that at least one attempt began at a step with this name or key.
    ///
    /// # Panics
    /// Panics if no attempt began.
    #[track_caller]
    pub fn assert_called(&self, name_or_key: &str) {
        assert!(self.calls(name_or_key) > 0, "step `{name_or_key}` was not called{}", self.trace_text());
    }

    /// Asserts that no attempt began at a step with this name or key.
    ///
    /// A misspelt name must not pass, so the step has to be known: this run built or skipped a step with the name, an
    /// earlier run of the harness did, or the harness has a [script](crate::Harness::script) or a
    /// [declaration](crate::Harness::optional_steps) for it. If a step is known, so are its repeated uses
    /// (`charge#2`), its list items (`ship[3]`) and its compensation (`undo charge`).
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::Harness;
    ///
    /// # async fn number() -> Result<u32, RunError> { Ok(1) }
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let order = async |run: &DurableRun| {
    ///     let gift = false;
    ///     if gift {
    ///         step!(run, "wrap", number());
    ///     }
    ///     Ok::<_, RunError>(step!(run, "ship", number()))
    /// };
    /// let report = Harness::new().optional_steps(["wrap"]).run(order).await;
    /// report.assert_not_called("wrap");
    /// # });
    /// ```
    ///
    /// # Panics
    /// Panics if an attempt began, or if the step is not known.
    #[track_caller]
    pub fn assert_not_called(&self, name_or_key: &str) {
        self.assert_known(name_or_key);
        let calls = self.calls(name_or_key);
        assert!(calls == 0, "step `{name_or_key}` was called {}{}", times(calls), self.trace_text());
    }

    /// Asserts the number of attempts that began at the steps with this name or key. Zero can only be asserted for a
    /// known step: see [`assert_not_called`](Self::assert_not_called).
    ///
    /// # Panics
    /// Panics if more or fewer attempts began, or if `expected` is 0 and the step is not known.
    #[track_caller]
    pub fn assert_calls(&self, name_or_key: &str, expected: u32) {
        if expected == 0 {
            self.assert_known(name_or_key);
        }
        let calls = self.calls(name_or_key);
        let (was, should) = (times(calls), times(expected));
        assert!(
            calls == expected,
            "step `{name_or_key}` was called {was}, expected {should}{}",
            self.trace_text()
        );
    }

    /// Returns the number of attempts that began at the steps with this name or key. Reused outcomes and attempts
    /// that a guard refused do not count. The method also returns 0 for a misspelt name, which
    /// [`assert_calls`](Self::assert_calls) would reject.
    #[must_use]
    pub fn calls(&self, name_or_key: &str) -> u32 {
        self.invocations_of(name_or_key).map(|step| step.attempts).sum()
    }

    /// Asserts the result of the run.
    ///
    /// ```
    /// use awaitly_core::{RunError, step};
    /// use awaitly_testing::{Harness, ok, simulate};
    ///
    /// # async fn reserve() -> Result<u32, RunError> { unreachable!() }
    /// let report = simulate(async || {
    ///     let harness = Harness::new().script("reserve", ok(7_u32));
    ///     harness.run(async |run| Ok::<_, RunError>(step!(run, reserve()))).await
    /// });
    /// report.assert_result(&Ok(7));
    /// report.assert_called("reserve");
    /// ```
    ///
    /// # Panics
    /// Panics if the result differs, and prints a diff and the trace.
    #[track_caller]
    pub fn assert_result(&self, expected: &Result<T, E>)
    where
        T: PartialEq + fmt::Debug,
        E: PartialEq + fmt::Debug,
    {
        let text = |result: &Result<T, E>| format!("{result:#?}\n");
        assert!(
            self.result == *expected,
            "another result than expected:\n{}{}",
            unified(("expected", &text(expected)), ("actual", &text(&self.result))),
            self.trace_text()
        );
    }

    #[track_caller]
    fn assert_known(&self, name_or_key: &str) {
        assert!(
            self.knows(name_or_key),
            "no step is named `{name_or_key}`, so its absence proves nothing: correct the name, or declare a step that \
             the body did not build with `Harness::optional_steps([{name_or_key:?}])`; {}{}",
            known(self.known()),
            self.trace_text()
        );
    }

    fn trace_text(&self) -> String {
        format!("\n\ntrace:\n{}", self.trace())
    }
}

/// Returns the key of a step that the caller expects by key, and the name of any other step.
fn as_expected<'s>(step: &'s Invocation, expected: &[&str]) -> &'s str {
    if expected.contains(&&*step.name) || !expected.contains(&&*step.key) { &step.name } else { &step.key }
}

fn lines(steps: &[&str]) -> String {
    steps.iter().fold(String::new(), |text, step| text + step + "\n")
}

fn known(steps: &BTreeSet<Key>) -> String {
    if steps.is_empty() {
        return "no steps are known".to_owned();
    }
    format!("the known steps are {}", quoted(steps))
}

fn times(count: u32) -> String {
    match count {
        0 => "0 times".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
