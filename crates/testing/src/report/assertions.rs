use std::fmt;

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
    /// # Panics
    /// Where one did.
    #[track_caller]
    pub fn assert_not_called(&self, name_or_key: &str) {
        let calls = self.calls(name_or_key);
        assert!(calls == 0, "step `{name_or_key}` was called {}{}", times(calls), self.told());
    }

    /// So many attempts began at the steps with that name or key.
    ///
    /// # Panics
    /// Where there were more or fewer.
    #[track_caller]
    pub fn assert_calls(&self, name_or_key: &str, expected: u32) {
        let calls = self.calls(name_or_key);
        let (was, should) = (times(calls), times(expected));
        assert!(calls == expected, "step `{name_or_key}` was called {was}, expected {should}{}", self.told());
    }

    /// How many attempts began at the steps with that name or key. What is reused is not called, and neither is what a
    /// guard refuses.
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
