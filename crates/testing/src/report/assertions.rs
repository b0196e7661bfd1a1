use std::collections::BTreeSet;
use std::fmt;

use awaitly_core::journal::Key;
use similar::TextDiff;

use super::{Invocation, Report};

impl<T, E> Report<T, E> {
    /// These steps, by name or key, began in this order, and no other ones. Those that were reused or wait count, those
    /// that were skipped do not.
    ///
    /// # Panics
    /// Where it is not so.
    #[track_caller]
    pub fn assert_steps<'s>(&self, expected: impl IntoIterator<Item = &'s str>) {
        let expected: Vec<_> = expected.into_iter().collect();
        let begun: Vec<_> =
            self.invocations().iter().filter(|step| step.ended != super::Ended::Skipped).collect();
        let holds =
            begun.len() == expected.len() && begun.iter().zip(&expected).all(|(step, name)| step.is(name));
        let actual: Vec<_> = begun.iter().map(|step| as_expected(step, &expected)).collect();
        assert!(
            holds,
            "other steps than expected:\n{}{}",
            diff(&lines(&expected), &lines(&actual)),
            self.told()
        );
    }

    /// At least one attempt began at a step with that name or key.
    ///
    /// # Panics
    /// Where none did.
    #[track_caller]
    pub fn assert_called(&self, name_or_key: &str) {
        assert!(self.calls(name_or_key) > 0, "step `{name_or_key}` was not called{}", self.told());
    }

    /// No attempt began at a step with that name or key.
    ///
    /// The step has to be known, so that a misspelt name does not pass: the run built a step of that name or skipped it,
    /// an earlier run of the harness did, or the harness has a [script](crate::Harness::script) or a
    /// [declaration](crate::Harness::optional_steps) of it. Known with a step are its later uses (`charge#2`), the items of
    /// a list (`ship[3]`), and its compensation (`undo charge`).
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
    /// Panics if an attempt began, or if no such step is known.
    #[track_caller]
    pub fn assert_not_called(&self, name_or_key: &str) {
        self.assert_known(name_or_key);
        let calls = self.calls(name_or_key);
        assert!(calls == 0, "step `{name_or_key}` was called {}{}", times(calls), self.told());
    }

    /// So many attempts began at the steps with that name or key. None may be expected of a known step only: see
    /// [`assert_not_called`](Self::assert_not_called).
    ///
    /// # Panics
    /// Panics if there were more or fewer, or if none are expected and no such step is known.
    #[track_caller]
    pub fn assert_calls(&self, name_or_key: &str, expected: u32) {
        if expected == 0 {
            self.assert_known(name_or_key);
        }
        let calls = self.calls(name_or_key);
        let (was, should) = (times(calls), times(expected));
        assert!(calls == expected, "step `{name_or_key}` was called {was}, expected {should}{}", self.told());
    }

    /// How many attempts began at the steps with that name or key. What is reused is not called, and neither is what a
    /// guard refuses. It is 0 for a misspelt name too: [`assert_calls`](Self::assert_calls) tells them apart.
    #[must_use]
    pub fn calls(&self, name_or_key: &str) -> u32 {
        self.invocations_of(name_or_key).map(|step| step.attempts).sum()
    }

    /// The run ended in this.
    ///
    /// # Panics
    /// Where it did not.
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
            diff(&text(expected), &text(&self.result)),
            self.told()
        );
    }

    #[track_caller]
    fn assert_known(&self, name_or_key: &str) {
        assert!(
            self.knows(name_or_key),
            "no step is called `{name_or_key}`, so it proves nothing that it was not called: correct the name, or \
             declare a step that the body did not build with `Harness::optional_steps([{name_or_key:?}])`; {}{}",
            known(self.known()),
            self.told()
        );
    }

    fn told(&self) -> String {
        format!("\n\nwhat happened:\n{}", self.trace())
    }
}

/// The key of a step that is expected by its key, the name of any other.
fn as_expected<'s>(step: &'s Invocation, expected: &[&str]) -> &'s str {
    if expected.contains(&&*step.name) || !expected.contains(&&*step.key) { &step.name } else { &step.key }
}

fn lines(steps: &[&str]) -> String {
    steps.iter().fold(String::new(), |text, step| text + step + "\n")
}

fn known(steps: &BTreeSet<Key>) -> String {
    if steps.is_empty() {
        return "none is known".to_owned();
    }
    let names: Vec<_> = steps.iter().map(|step| format!("`{step}`")).collect();
    format!("the known ones are {}", names.join(", "))
}

fn times(count: u32) -> String {
    match count {
        0 => "not at all".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn diff(expected: &str, actual: &str) -> String {
    TextDiff::from_lines(expected, actual)
        .unified_diff()
        .context_radius(1000)
        .header("expected", "actual")
        .to_string()
        .trim_end()
        .to_owned()
}
