//! Assertions about results and events that show the actual values.

use std::sync::{Arc, Mutex};

use awaitly_core::clock::ms;
use awaitly_core::event::{Event, EventKind};
use awaitly_core::retry::Jitter;
use awaitly_core::{DurableRun, Error, Limit, Retry, RunError, Workflow, run, step};
use awaitly_persistence::MemoryStore;
use awaitly_testing::mock::Mock;
use awaitly_testing::{
    assert_err, assert_event, assert_events, assert_no_event, assert_ok, assert_run_error,
};

use crate::panic_of;

/// An error without `Display`.
#[derive(Debug, Clone, PartialEq)]
enum Declined {
    NoFunds { missing: u64 },
}

fn timeout(attempt: u32) -> RunError {
    RunError::Timeout { step: "charge".into(), attempt, after: ms(10), limit: Limit::Attempt }
}

#[test]
fn assert_ok_returns_the_value_or_shows_the_error() {
    let result: Result<u64, RunError> = Ok(7);
    assert_eq!(assert_ok!(result), 7);
    let borrowed: &Result<String, Declined> = &Ok("seven".into());
    assert_eq!(assert_ok!(borrowed), "seven");

    let result: Result<u64, RunError> = Err(RunError::Cancelled { step: None });
    assert_eq!(
        panic_of(|| assert_ok!(result)),
        "expected `result` to be a value, but it is an error: Cancelled { step: None }"
    );
    let result: Result<u64, Declined> = Err(Declined::NoFunds { missing: 7 });
    assert_eq!(
        panic_of(|| assert_ok!(result)),
        "expected `result` to be a value, but it is an error: NoFunds { missing: 7 }"
    );
}

#[test]
fn assert_err_returns_the_matching_error() {
    let result = || Err::<u64, _>(Declined::NoFunds { missing: 7 });
    assert_eq!(assert_err!(result()), Declined::NoFunds { missing: 7 });
    assert_eq!(assert_err!(result(), Declined::NoFunds { missing: 7 }), Declined::NoFunds { missing: 7 });
    let least = 5;
    assert_err!(result(), Declined::NoFunds { missing } if *missing > least);
    assert_err!(&result(), Declined::NoFunds { .. });

    assert_eq!(
        panic_of(|| assert_err!(result(), Declined::NoFunds { missing } if *missing > 7)),
        "expected `result()` to be an error that matches `Declined::NoFunds { missing } if *missing > 7`, \
         but it is NoFunds { missing: 7 }"
    );
    assert_eq!(
        panic_of(|| assert_err!(Ok::<_, Declined>(7))),
        "expected `Ok::<_, Declined>(7)` to be an error, but it is a value: 7"
    );
}

#[test]
fn assert_run_error_looks_into_library_errors() {
    let plain: Result<u64, RunError> = Err(timeout(2));
    assert_eq!(assert_run_error!(plain, RunError::Timeout { attempt: 2, .. }), timeout(2));
    let around: Result<u64, Error<Declined>> = Err(Error::Run(timeout(2)));
    assert_run_error!(&around, RunError::Timeout { after, .. } if *after == ms(10));
    assert_run_error!(&around, RunError::Cancelled { .. } | RunError::Timeout { attempt: 2, .. });

    let message = panic_of(|| assert_run_error!(around, RunError::Timeout { attempt: 1, .. }));
    let begin = "expected `around` to be an error that matches `RunError::Timeout { attempt: 1, .. }`, but it is Run(Timeout {";
    assert!(message.starts_with(begin), "{message}");
    let failed: Result<u64, Error<Declined>> = Err(Error::Failed(Declined::NoFunds { missing: 7 }));
    let message = panic_of(|| assert_run_error!(failed, RunError::Timeout { .. }));
    assert!(message.ends_with("it is Failed(NoFunds { missing: 7 })"), "{message}");
}

/// Returns the events of a run whose only step fails once.
async fn events() -> Vec<Event> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let workflow = Workflow::new("order")
        .store(MemoryStore::new())
        .observe(move |event: &Event| seen.lock().unwrap().push(event.clone()));
    let charge = Mock::<(), Result<u64, String>>::new("charge");
    charge.returns_once(Err("no\nanswer".into())).returns(Ok(7));
    let body = async |run: &DurableRun| {
        let retry = Retry::fixed(ms(10)).jitter(Jitter::None).attempts(3);
        Ok::<_, Error<String>>(step!(run, "charge", retry = retry, charge.call_async(())))
    };
    assert_ok!(workflow.run("order-42", body).await);
    let events = events.lock().unwrap();
    events.clone()
}

#[tokio::test(start_paused = true)]
async fn assert_event_returns_the_first_match() {
    let events = Arc::new(Mutex::new(events().await));
    let retried = assert_event!(&*events.lock().unwrap(), EventKind::RetryScheduled { attempt: 1, .. });
    assert_eq!(retried.kind.step().map(|step| &*step.key), Some("charge"));
    let events: &[Event] = &events.lock().unwrap();
    let first = assert_event!(events, kind if kind.step().is_some());
    assert!(matches!(first.kind, EventKind::StepMissed { .. }), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn failed_event_assertion_lists_all_events() {
    let events = events().await;
    assert_eq!(
        panic_of(|| assert_event!(events, EventKind::RetryScheduled { attempt: 2, .. })),
        "no event matches `EventKind::RetryScheduled { attempt: 2, .. }`; the events were:
    0 RunStarted recorded=0 version=1
    1 StepMissed charge
    2 StepStarted charge
    3 RetryScheduled charge attempt=1 delay=10ms error=\"no\\nanswer\" max_attempts=3
    4 StepSucceeded charge attempt=2
    5 StepRecorded charge bytes=1 kind=\"value\"
    6 RunSucceeded"
    );
    assert_eq!(
        panic_of(|| assert_event!(Vec::<Event>::new(), EventKind::RunStarted { .. })),
        "no event matches `EventKind::RunStarted { .. }`; there were no events"
    );
}

#[tokio::test(start_paused = true)]
async fn assert_events_allows_other_events_between() {
    let events = events().await;
    let most = 3;
    assert_events!(
        events,
        [
            EventKind::StepStarted { .. },
            EventKind::RetryScheduled { max_attempts, .. } if *max_attempts == most,
            EventKind::RunSucceeded { .. } | EventKind::RunFailed { .. },
        ]
    );
    let message = panic_of(|| {
        assert_events!(events, [EventKind::StepRecorded { .. }, EventKind::StepSucceeded { attempt: 2, .. }])
    });
    let begin = "no event matches `EventKind::StepSucceeded { attempt: 2, .. }` \
                 after the event that matches `EventKind::StepRecorded { .. }`; the events were:\n    0 RunStarted";
    assert!(message.starts_with(begin), "{message}");
    // One event cannot match two patterns.
    panic_of(|| assert_events!(events, [EventKind::StepStarted { .. }, EventKind::StepStarted { .. }]));
}

#[tokio::test(start_paused = true)]
async fn assert_no_event_shows_the_matching_event() {
    let events = events().await;
    assert_no_event!(events, EventKind::StepFailed { .. });
    let message = panic_of(|| assert_no_event!(events, EventKind::RetryScheduled { .. }));
    assert!(message.starts_with("event 3 matches `EventKind::RetryScheduled { .. }`; "), "{message}");
}

#[tokio::test(start_paused = true)]
async fn result_of_a_run_is_matched_in_place() {
    let ended = run(async |run| {
        run.step("charge", std::future::pending::<Result<u64, std::fmt::Error>>).timeout(ms(10)).await
    });
    assert_run_error!(ended.await, RunError::Timeout { attempt: 1, limit: Limit::Attempt, .. });
}
