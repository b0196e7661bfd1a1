//! What the assertions are made of. No part of the interface.

use std::fmt::{Debug, Display};

use awaitly_core::event::Event;
pub use awaitly_core::event::EventKind;
use awaitly_core::{Error, RunError};

use super::lines::lines;

/// A pattern, and its text.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "nobody sees it")]
pub struct Matcher<'a> {
    /// The pattern, as it stands in the source.
    pub text: &'a str,
    /// Whether it matches.
    pub matches: &'a dyn Fn(&EventKind) -> bool,
}

/// An error that is shown as text where it has one: a method of the value itself is found before one of a
/// reference to it.
#[derive(Debug)]
pub struct Shown<'a, E>(pub &'a E);

/// For errors with a text.
pub trait ByDisplay {
    /// The text, and what `Debug` shows.
    fn shown(&self) -> String;
}

/// For all others.
pub trait ByDebug {
    /// What `Debug` shows.
    fn shown(&self) -> String;
}

impl<E: Debug + Display> ByDisplay for Shown<'_, E> {
    fn shown(&self) -> String {
        format!("{}\n  {:?}", self.0, self.0)
    }
}

impl<E: Debug> ByDebug for &Shown<'_, E> {
    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// An error in which a [`RunError`] is found.
#[diagnostic::on_unimplemented(
    message = "`assert_run_error!` does not know where in `{Self}` a `RunError` is",
    note = "write `assert_err!(result, YourError::Run(RunError::Timeout {{ .. }}))`, with a pattern over the whole error"
)]
pub trait HasRunError {
    /// The [`RunError`], if that is what it is.
    fn run_error(&self) -> Option<&RunError>;
}

impl HasRunError for RunError {
    fn run_error(&self) -> Option<&RunError> {
        Some(self)
    }
}

impl<E> HasRunError for Error<E> {
    fn run_error(&self) -> Option<&RunError> {
        match self {
            Self::Run(error) => Some(error),
            Self::Failed(_) => None,
        }
    }
}

impl<E: HasRunError> HasRunError for &E {
    fn run_error(&self) -> Option<&RunError> {
        E::run_error(self)
    }
}

/// The [`RunError`] in `error`.
pub fn run_error<E: HasRunError>(error: &E) -> Option<&RunError> {
    error.run_error()
}

/// `events` as a slice.
pub fn events<E: AsRef<[Event]> + ?Sized>(events: &E) -> &[Event] {
    events.as_ref()
}

#[track_caller]
#[allow(missing_docs, reason = "it is named for what it says")]
pub fn not_ok(expression: &str, error: &str) -> ! {
    panic!("expected `{expression}` to be a value, it is an error: {error}")
}

#[track_caller]
#[allow(missing_docs, reason = "it is named for what it says")]
pub fn not_err(expression: &str, value: &dyn Debug) -> ! {
    panic!("expected `{expression}` to be an error, it is a value: {value:?}")
}

#[track_caller]
#[allow(missing_docs, reason = "it is named for what it says")]
pub fn other_error(expression: &str, pattern: &str, error: &dyn Debug) -> ! {
    panic!("expected `{expression}` to be an error like `{pattern}`, it is {error:?}")
}

/// The first event that matches.
#[track_caller]
#[expect(clippy::must_use_candidate, reason = "that it is there may be all that is asked")]
pub fn first_event(events: &[Event], expected: Matcher<'_>) -> Event {
    let Some(found) = events.iter().find(|event| (expected.matches)(&event.kind)) else {
        panic!("no event is like `{}`; {}", expected.text, lines(events));
    };
    found.clone()
}

/// Asserts that an event for each of the patterns is there, one behind the other.
#[track_caller]
pub fn events_in_order(events: &[Event], expected: &[Matcher<'_>]) {
    let mut rest = events.iter();
    let mut before: Option<&Matcher<'_>> = None;
    for next in expected {
        if !rest.any(|event| (next.matches)(&event.kind)) {
            let behind = before.map(|before| format!(" behind the one like `{}`", before.text));
            panic!("no event is like `{}`{}; {}", next.text, behind.unwrap_or_default(), lines(events));
        }
        before = Some(next);
    }
}

/// Asserts that no event matches.
#[track_caller]
pub fn no_event(events: &[Event], unexpected: Matcher<'_>) {
    if let Some(found) = events.iter().find(|event| (unexpected.matches)(&event.kind)) {
        panic!("event {} is like `{}`; {}", found.sequence, unexpected.text, lines(events));
    }
}
