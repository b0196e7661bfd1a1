//! Assertions about results and events that show the actual values if they fail.

mod lines;
pub mod private;

pub(crate) use lines::name as name_of;

/// Returns the value of a `Result`.
///
/// # Panics
/// Panics if the result is an error, and shows it with `Debug`.
///
/// # Examples
/// ```
/// use awaitly_testing::assert_ok;
///
/// let cents = assert_ok!("4200".parse::<u64>());
/// assert_eq!(cents, 4200);
/// ```
#[macro_export]
macro_rules! assert_ok {
    ($result:expr $(,)?) => {
        match $result {
            ::core::result::Result::Ok(value) => value,
            ::core::result::Result::Err(error) => {
                $crate::__private::not_ok(::core::stringify!($result), &error)
            }
        }
    };
}

/// Returns the error of a `Result`, and optionally checks that the error matches a pattern.
///
/// # Panics
/// Panics if the result is a value, or if the error does not match. The message shows the value or error with
/// `Debug`.
///
/// # Examples
/// ```
/// use awaitly_core::{Limit, RunError};
/// use awaitly_testing::assert_err;
///
/// # #[derive(Debug)]
/// enum CheckoutError { Declined { code: u32 }, Run(RunError) }
///
/// let declined: Result<(), _> = Err(CheckoutError::Declined { code: 51 });
/// assert_err!(declined, CheckoutError::Declined { code } if *code > 50);
///
/// let cancelled: Result<(), _> = Err(CheckoutError::Run(RunError::Cancelled { step: None }));
/// assert_err!(cancelled, CheckoutError::Run(RunError::Cancelled { .. }));
/// ```
#[macro_export]
macro_rules! assert_err {
    ($result:expr $(,)?) => {
        match $result {
            ::core::result::Result::Err(error) => error,
            ::core::result::Result::Ok(value) => {
                $crate::__private::not_err(::core::stringify!($result), &value)
            }
        }
    };
    ($result:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        match $crate::assert_err!($result) {
            error => {
                #[allow(unreachable_patterns)]
                match &error {
                    $pattern $(if $guard)? => {}
                    _ => $crate::__private::other_error(
                        ::core::stringify!($result),
                        ::core::stringify!($pattern $(if $guard)?),
                        &error,
                    ),
                }
                error
            }
        }
    };
}

/// Returns the [`RunError`](awaitly_core::RunError) inside the error of a `Result`, and checks that the `RunError`
/// matches a pattern.
///
/// The error type must implement [`AsRunError`](awaitly_core::AsRunError), as [`RunError`](awaitly_core::RunError) and
/// [`Error<E>`](awaitly_core::Error) do. For another enum, [`assert_err!`](crate::assert_err) takes a pattern over the
/// whole error: `assert_err!(result, CheckoutError::Run(RunError::Timeout { .. }))`.
///
/// # Panics
/// Panics if the result is a value, if the error contains no `RunError`, or if the `RunError` does not match. The
/// message shows the value or error with `Debug`.
///
/// # Examples
/// ```
/// use awaitly_core::{Limit, RunError, clock::ms, run};
/// use awaitly_testing::assert_run_error;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let result = run(async |run| {
///     run.step("charge", || std::future::pending::<Result<u64, std::fmt::Error>>()).timeout(ms(10)).await
/// })
/// .await;
/// assert_run_error!(result, RunError::Timeout { attempt: 1, limit: Limit::Attempt, .. });
/// # });
/// ```
#[macro_export]
macro_rules! assert_run_error {
    ($result:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        match $crate::assert_err!($result) {
            error => {
                #[allow(unused_imports)]
                use $crate::__private::AsRunError as _;
                #[allow(unreachable_patterns)]
                match error.as_run_error() {
                    ::core::option::Option::Some(found @ $pattern) $(if $guard)? => {
                        ::core::clone::Clone::clone(found)
                    }
                    _ => $crate::__private::other_error(
                        ::core::stringify!($result),
                        ::core::stringify!($pattern $(if $guard)?),
                        &error,
                    ),
                }
            }
        }
    };
}

/// Returns the first event whose kind matches a pattern.
///
/// The first argument implements `AsRef<[Event]>`: for example, it is a slice, a `Vec`, or the
/// [events of a report](crate::Report::events).
///
/// # Panics
/// Panics if no event matches, and lists all events.
///
/// # Examples
/// ```
/// use std::sync::{Arc, Mutex};
/// use awaitly_core::event::{Event, EventKind};
/// use awaitly_core::{DurableRun, Retry, RunError, Workflow, clock::ms, step};
/// use awaitly_persistence::MemoryStore;
/// use awaitly_testing::{assert_event, assert_events, assert_no_event, mock::Mock};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let events = Arc::new(Mutex::new(Vec::new()));
/// let seen = Arc::clone(&events);
/// let workflow = Workflow::new("order")
///     .store(MemoryStore::new())
///     .observe(move |event: &Event| seen.lock().unwrap().push(event.clone()));
/// let charge = Mock::<u64, Result<u64, RunError>>::new("charge");
/// charge.returns(Ok(7));
///
/// let body = async |run: &DurableRun| Ok::<_, RunError>(step!(run, "charge", charge.call_async(4200)));
/// workflow.run("order-42", body).await.unwrap();
///
/// let events = events.lock().unwrap().clone();
/// let recorded = assert_event!(events, EventKind::StepRecorded { step, .. } if &*step.key == "charge");
/// assert_eq!(&*recorded.run, "order-42");
/// assert_events!(events, [EventKind::RunStarted { recorded: 0, .. }, EventKind::RunSucceeded { .. }]);
/// assert_no_event!(events, EventKind::RetryScheduled { .. });
/// # });
/// ```
#[macro_export]
macro_rules! assert_event {
    ($events:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        $crate::__private::first_event(
            $crate::__private::events(&$events),
            $crate::__matcher!($pattern $(if $guard)?),
        )
    };
}

/// Asserts that events of these kinds occurred in this order, possibly with other events before, between and after
/// them.
///
/// See [`assert_event!`](crate::assert_event) for the accepted types and an example.
///
/// # Panics
/// Panics if a pattern is not matched in order, and shows that pattern and all events.
#[macro_export]
macro_rules! assert_events {
    ($events:expr, [$($pattern:pat $(if $guard:expr)?),+ $(,)?] $(,)?) => {
        $crate::__private::events_in_order(
            $crate::__private::events(&$events),
            &[$($crate::__matcher!($pattern $(if $guard)?)),+],
        )
    };
}

/// Asserts that no event has a kind that matches a pattern.
///
/// See [`assert_event!`](crate::assert_event) for the accepted types and an example.
///
/// # Panics
/// Panics if an event matches, and shows that event's number and all events.
#[macro_export]
macro_rules! assert_no_event {
    ($events:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        $crate::__private::no_event(
            $crate::__private::events(&$events),
            $crate::__matcher!($pattern $(if $guard)?),
        )
    };
}

/// Creates a matcher from a pattern.
#[doc(hidden)]
#[macro_export]
macro_rules! __matcher {
    ($pattern:pat $(if $guard:expr)?) => {
        (
            ::core::stringify!($pattern $(if $guard)?),
            &|kind: &$crate::__private::EventKind| {
                #[allow(unreachable_patterns)]
                match kind {
                    $pattern $(if $guard)? => true,
                    _ => false,
                }
            },
        )
    };
}
