use std::fmt::Write;

use similar::TextDiff;

use super::{Invocation, Report};

impl<T, E> Report<T, E> {
    /// Compares the steps and the ending of this run with those of another run. Returns a diff with a line for each
    /// step, which shows its key, name, ending and number of attempts. The diff is empty if the runs do not differ.
    /// Values and times are not compared.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// # async fn number() -> Result<u32, RunError> { Ok(1) }
    /// let order = async |run: &DurableRun| {
    ///     Ok::<_, RunError>((step!(run, "reserve", number()), step!(run, "ship", number())))
    /// };
    /// let careful = async |run: &DurableRun| {
    ///     step!(run, "check", number());
    ///     order(run).await
    /// };
    /// simulate(async || {
    ///     let (old, new) = (Harness::new().run(order).await, Harness::new().run(careful).await);
    ///     assert!(old.diff(&new).contains("\n+check  succeeded\n reserve  succeeded\n"));
    ///     assert_eq!(old.diff(&old), "");
    /// });
    /// ```
    #[must_use]
    pub fn diff<U, F>(&self, other: &Report<U, F>) -> String {
        unified(("this run", &self.course()), ("the other run", &other.course()))
    }

    fn course(&self) -> String {
        let steps = self.invocations().iter().fold(String::new(), |text, step| text + &line(step));
        format!("{steps}{}\n", self.ending())
    }
}

fn line(step: &Invocation) -> String {
    let Invocation { key, name, attempts, ending, .. } = step;
    let mut line = format!("{key}  {ending}");
    // Writing to a string cannot fail.
    if name != key {
        let _ = write!(line, ", as `{name}`");
    }
    if *attempts > 1 {
        let _ = write!(line, ", after {attempts} attempts");
    }
    line + "\n"
}

/// Compares two texts, each with its name, line by line.
pub(super) fn unified((name, text): (&str, &str), (other_name, other): (&str, &str)) -> String {
    let diff = TextDiff::from_lines(text, other);
    let diff = diff.unified_diff().context_radius(1000).header(name, other_name).to_string();
    diff.trim_end().to_owned()
}
