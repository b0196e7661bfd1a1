//! The implementation of the assertion macros; not part of the public interface.

use std::fmt::Debug;

pub use awaitly_core::AsRunError;
use awaitly_core::event::Event;
pub use awaitly_core::event::EventKind;

use super::lines::lines;

/// A pattern of event kinds, and its source text.
pub type Pattern<'a> = (&'a str, &'a dyn Fn(&EventKind) -> bool);

/// Returns `events` as a slice.
pub fn events<E: AsRef<[Event]> + ?Sized>(events: &E) -> &[Event] {
    events.as_ref()
}

#[track_caller]
#[allow(missing_docs, reason = "the name states the failure")]
pub fn not_ok(expression: &str, error: &dyn Debug) -> ! {
    panic!("expected `{expression}` to be a value, but it is an error: {error:?}")
}

#[track_caller]
#[allow(missing_docs, reason = "the name states the failure")]
pub fn not_err(expression: &str, value: &dyn Debug) -> ! {
    panic!("expected `{expression}` to be an error, but it is a value: {value:?}")
}

#[track_caller]
#[allow(missing_docs, reason = "the name states the failure")]
pub fn other_error(expression: &str, pattern: &str, error: &dyn Debug) -> ! {
    panic!("expected `{expression}` to be an error that matches `{pattern}`, but it is {error:?}")
}

/// Returns the first event that matches.
#[track_caller]
pub fn first_event(events: &[Event], (text, matches): Pattern<'_>) -> Event {
    let Some(found) = events.iter().find(|event| matches(&event.kind)) else {
        panic!("no event matches `{text}`; {}", lines(events));
    };
    found.clone()
}

/// Asserts that events match the patterns one after another.
#[track_caller]
pub fn events_in_order(events: &[Event], expected: &[Pattern<'_>]) {
    let mut rest = events.iter();
    let mut behind = String::new();
    for (text, matches) in expected {
        if !rest.any(|event| matches(&event.kind)) {
            panic!("no event matches `{text}`{behind}; {}", lines(events));
        }
        behind = format!(" after the event that matches `{text}`");
    }
}

/// Asserts that no event matches.
#[track_caller]
pub fn no_event(events: &[Event], (text, matches): Pattern<'_>) {
    if let Some(found) = events.iter().find(|event| matches(&event.kind)) {
        panic!("event {} matches `{text}`; {}", found.sequence, lines(events));
    }
}
