//! Events as text, one short line per event.

use std::time::Duration;

use awaitly_core::event::{Event, EventKind};
use serde::Deserialize;
use serde_json::Value;

/// The maximum length of a text field, in characters.
const LONGEST: usize = 80;

pub(super) fn lines(events: &[Event]) -> String {
    if events.is_empty() {
        return "there were no events".into();
    }
    let lines = events.iter().map(|event| format!("\n  {:>3} {}", event.sequence, line(&event.kind)));
    format!("the events were:{}", lines.collect::<String>())
}

/// Formats the name of the kind, the key of its step and its other fields, except durations of steps.
fn line(kind: &EventKind) -> String {
    let mut line = name(kind);
    if let Some(step) = kind.step() {
        line.push_str(&format!(" {}", step.key));
    }
    if let Ok(Value::Object(fields)) = serde_json::to_value(kind) {
        let told = fields.iter().filter(|(name, _)| !["type", "step", "duration"].contains(&name.as_str()));
        line.extend(told.filter_map(|(name, value)| Some(format!(" {name}={}", text(value)?))));
    }
    line
}

/// Returns the name of the variant, as written in a pattern.
pub(crate) fn name(kind: &EventKind) -> String {
    format!("{kind:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(format!("{:?}", text.chars().take(LONGEST).collect::<String>())),
        Value::Object(_) => {
            let duration = Duration::deserialize(value).ok()?;
            Some(format!("{duration:?}"))
        }
        value => Some(value.to_string()),
    }
}
