//! The implementation of the assertion macros; not part of the public interface.

use std::fmt::{Debug, Display};

use awaitly_core::event::Event;
pub use awaitly_core::event::EventKind;
use awaitly_core::{Error, RunError};

use super::lines::lines;

/// A pattern with its source text.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "it is an internal type of the macros")]
pub struct Matcher<'a> {
    /// The pattern as written in the source.
    pub text: &'a str,
    /// Returns whether a kind matches.
    pub matches: &'a dyn Fn(&EventKind) -> bool,
}

/// An error shown with `Display` if it implements it. Method resolution prefers the method of the value itself over
/// the method of a reference to it.
#[derive(Debug)]
pub struct Shown<'a, E>(pub &'a E);

/// The form of an error that implements `Display`.
pub trait ByDisplay {
    /// Returns the `Display` and `Debug` forms.
    fn shown(&self) -> String;
}

/// The form of any other error.
pub trait ByDebug {
    /// Returns the `Debug` form.
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

/// An error that may contain a [`RunError`].
#[diagnostic::on_unimplemented(
    message = "`assert_run_error!` cannot find a `RunError` in `{Self}`",
    note = "write `assert_err!(result, YourError::Run(RunError::Timeout {{ .. }}))`, with a pattern over the whole error"
)]
pub trait HasRunError {
    /// Returns the [`RunError`], if the error is one.
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

/// Returns the [`RunError`] in `error`.
pub fn run_error<E: HasRunError>(error: &E) -> Option<&RunError> {
    error.run_error()
}

/// Returns `events` as a slice.
pub fn events<E: AsRef<[Event]> + ?Sized>(events: &E) -> &[Event] {
    events.as_ref()
}

#[track_caller]
#[allow(missing_docs, reason = "the name states the failure")]
pub fn not_ok(expression: &str, error: &str) -> ! {
    panic!("expected `{expression}` to be a value, but it is an error: {error}")
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
#[expect(clippy::must_use_candidate, reason = "a caller may only need the assertion")]
pub fn first_event(events: &[Event], expected: Matcher<'_>) -> Event {
    let Some(found) = events.iter().find(|event| (expected.matches)(&event.kind)) else {
        panic!("no event matches `{}`; {}", expected.text, lines(events));
    };
    found.clone()
}

/// Asserts that events match the patterns one after another.
#[track_caller]
pub fn events_in_order(events: &[Event], expected: &[Matcher<'_>]) {
    let mut rest = events.iter();
    let mut before: Option<&Matcher<'_>> = None;
    for next in expected {
        if !rest.any(|event| (next.matches)(&event.kind)) {
            let behind = before.map(|before| format!(" after the event that matches `{}`", before.text));
            panic!("no event matches `{}`{}; {}", next.text, behind.unwrap_or_default(), lines(events));
        }
        before = Some(next);
    }
}

/// Asserts that no event matches.
#[track_caller]
pub fn no_event(events: &[Event], unexpected: Matcher<'_>) {
    if let Some(found) = events.iter().find(|event| (unexpected.matches)(&event.kind)) {
        panic!("event {} matches `{}`; {}", found.sequence, unexpected.text, lines(events));
    }
}
