use std::fmt::Write;
use std::time::Duration;

use super::time::{Times, text_of};

/// One thing that happened.
pub(super) struct Line {
    at: Duration,
    /// The step, with the branches that it is drawn in. `None`: it is about the run.
    step: Option<String>,
    said: String,
    /// Whether it says that the step started.
    is_start: bool,
}

impl Line {
    pub(super) fn of_run(at: Duration, said: &str) -> Self {
        Self { at, step: None, said: in_one_line(said), is_start: false }
    }

    pub(super) fn of_step(at: Duration, step: String, said: &str, is_start: bool) -> Self {
        Self { at, step: Some(step), said: in_one_line(said), is_start }
    }
}

/// Where the next thing that happened is what became of a step, that it started goes without saying.
pub(super) fn without_starts(lines: Vec<Line>) -> Vec<Line> {
    let next: Vec<_> = lines.iter().skip(1).map(|line| line.step.clone()).collect();
    let next = next.into_iter().chain([None]);
    let kept = lines.into_iter().zip(next).filter(|(line, next)| !line.is_start || line.step != *next);
    kept.map(|(line, _)| line).collect()
}

/// The lines, with what they say in columns.
pub(super) fn print(lines: &[Line], times: Times) -> String {
    let times: Vec<_> = lines.iter().map(|line| time_of(line, times)).collect();
    let of_times = widest(times.iter().map(String::as_str));
    let of_steps = widest(lines.iter().filter_map(|line| line.step.as_deref()));
    lines.iter().zip(&times).fold(String::new(), |mut text, (line, time)| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{time:>of_times$}");
        let _ = match &line.step {
            Some(step) => writeln!(text, "{step:of_steps$}  {}", line.said),
            None => writeln!(text, "{}", line.said),
        };
        text
    })
}

fn time_of(line: &Line, times: Times) -> String {
    match times {
        Times::Shown => text_of(line.at) + "  ",
        Times::Hidden => String::new(),
    }
}

fn widest<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or_default()
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
