//! The resume check: its findings before a deploy, without the execution of any operation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use awaitly_core::event::Event;
use awaitly_core::guard::Refusal;
use awaitly_core::journal::{Migration, Outcome, Payload, Status};
use awaitly_core::store::{Answer, Operate, RunId, Store};
use awaitly_core::{DurableRun, RunError, Workflow, parallel, race, step};
use awaitly_persistence::MemoryStore;
use awaitly_persistence::operate::OperateExt;
use awaitly_saga::{SagaError, saga};
use awaitly_testing::replay::{Finding, FixtureError, Journal, Replay, ResumeCheck, fixtures};
use awaitly_testing::report::RunEnding;
use awaitly_testing::would_resume;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum OrderError {
    Declined,
    Run(RunError),
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined => f.write_str("declined"),
            Self::Run(error) => error.fmt(f),
        }
    }
}

impl From<RunError> for OrderError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

async fn gives<T>(value: T) -> Result<T, RunError> {
    Ok(value)
}

/// An operation that no check may call.
async fn never<T>() -> Result<T, RunError> {
    panic!("an operation was called")
}

fn journal(records: &[(&str, &str)]) -> Journal {
    journal_of_version(1, records)
}

/// Creates the journal of an interrupted run with these values as JSON.
fn journal_of_version(version: u32, records: &[(&str, &str)]) -> Journal {
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| format!(r#"{{"key":"{key}","outcome":{{"value":{value}}}}}"#))
        .collect();
    let records = records.join(",");
    format!(
        r#"{{"format":1,"run":"order-42","workflow":"checkout","version":{version},"records":[{records}]}}"#
    )
    .parse()
    .unwrap()
}

const COMPLETED: Option<RunEnding> = Some(RunEnding::Completed);

fn checkout() -> Workflow {
    Workflow::new("checkout")
}

/// Executes `body` and returns its journal, whatever its ending.
async fn recorded<T, E>(body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Journal
where
    awaitly_core::Durable: awaitly_core::KeepRun<T, E>,
    E: awaitly_core::FromStep<RunError> + fmt::Display,
{
    let store = MemoryStore::new();
    drop(checkout().store(store.clone()).run("order-42", body).await);
    Journal::of(&store, "order-42").await.unwrap()
}

/// Executes `body` until it makes no progress, drops it and returns its journal.
async fn interrupted<T, E>(body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Journal
where
    awaitly_core::Durable: awaitly_core::KeepRun<T, E>,
    E: awaitly_core::FromStep<RunError> + fmt::Display,
{
    let store = MemoryStore::new();
    let workflow = checkout().store(store.clone());
    tokio::select! {
        biased;
        _ = workflow.run("order-42", body) => panic!("the run should not end"),
        () = async { for _ in 0..8 { tokio::task::yield_now().await } } => {}
    }
    Journal::of(&store, "order-42").await.unwrap()
}

/// Returns the keys of the records and questions that are lost.
fn lost(replay: &Replay) -> Vec<&str> {
    let lost = replay.findings.iter().filter_map(|finding| match finding {
        Finding::StepLost { key, .. } | Finding::StepSkipped { key } | Finding::QuestionLost { key } => {
            Some(&**key)
        }
        _ => None,
    });
    lost.collect()
}

/// Returns the keys of the records and questions that the body had not asked for when it stopped.
fn not_reached(replay: &Replay) -> Vec<&str> {
    let not_reached = replay.findings.iter().filter_map(|finding| match finding {
        Finding::NotReached { key, .. } => Some(&**key),
        _ => None,
    });
    not_reached.collect()
}

fn stopped_at(replay: &Replay) -> Vec<&str> {
    replay.stopped_at().collect()
}

/// Checks the journal against the body, and asserts that it resumes.
async fn resumes<T, E>(journal: &Journal, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Replay
where
    awaitly_core::Durable: awaitly_core::KeepRun<T, E>,
    E: awaitly_core::FromStep<RunError> + fmt::Display,
{
    let replay = would_resume(journal, &checkout(), body).await;
    replay.assert_resumes();
    replay
}

async fn order(run: &DurableRun) -> Result<u32, RunError> {
    let hold = step!(run, "reserve", never::<u32>());
    let paid = step!(run, "charge", never::<u32>());
    Ok(hold + paid)
}

#[tokio::test]
async fn completed_journal_is_clean_and_executes_no_operation() {
    let journal = recorded(async |run| {
        let hold = step!(run, "reserve", gives(1));
        Ok::<u32, RunError>(hold + step!(run, "charge", gives(2)))
    })
    .await;

    let heard = Arc::new(AtomicUsize::new(0));
    let hears = || {
        let heard = Arc::clone(&heard);
        move || {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (event, before, after) = (hears(), hears(), hears());
    let store = MemoryStore::new();
    let workflow = checkout()
        .store(store.clone())
        .observe(move |_: &Event| event())
        .before_run(move |_| {
            before();
            async { Err(Refusal::new("hook", "no")) }
        })
        .after_step(move |_| {
            after();
            async { Err(Refusal::new("hook", "no")) }
        });
    let replay = ResumeCheck::new(&journal).run(&workflow, order).await;

    replay.assert_resumes();
    assert_eq!(replay.reused, ["reserve".into(), "charge".into()]);
    assert_eq!((&replay.ending, &replay.recorded_ending), (&COMPLETED, &COMPLETED));
    assert!(!replay.result_differs);
    assert_eq!(heard.load(Ordering::Relaxed), 0);
    assert!(store.load(&RunId::new("order-42").unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn interrupted_journal_stops_at_the_next_step() {
    let replay = resumes(&journal(&[("reserve", "1")]), order).await;
    assert_eq!((stopped_at(&replay), &replay.ending), (vec!["charge"], &None));
}

#[tokio::test(start_paused = true)]
async fn renamed_step_is_found_and_fixed_by_a_migration() {
    let journal = journal(&[("reserve", "1"), ("charge", "2")]);
    let body = async |run: &DurableRun| {
        let hold = step!(run, "reserve_stock", never::<u32>());
        Ok::<u32, RunError>(hold + step!(run, "charge", never::<u32>()))
    };
    let replay = would_resume(&journal, &checkout(), body).await;
    assert!(!replay.is_clean());
    assert_eq!(stopped_at(&replay), ["reserve_stock"]);
    assert_eq!(not_reached(&replay), ["reserve", "charge"]);
    let report = replay.to_string();
    assert!(report.contains(r#"`Migration::rename("reserve", "reserve_stock")`"#), "{report}");

    // With a value for the new step the body ends, so the loss is certain.
    let replay = ResumeCheck::new(&journal).value("reserve_stock", 1_u32).run(&checkout(), body).await;
    assert_eq!((lost(&replay), not_reached(&replay)), (vec!["reserve"], vec![]));

    let migrated = checkout().version(2).migration(1, Migration::rename("reserve", "reserve_stock"));
    would_resume(&journal, &migrated, body).await.assert_resumes();
}

#[tokio::test]
async fn removed_step_is_never_asked_for() {
    let journal = journal(&[("reserve", "1"), ("wrap", "3"), ("charge", "2")]);
    let replay = would_resume(&journal, &checkout(), order).await;
    assert_eq!(lost(&replay), ["wrap"]);
    let report = replay.to_string();
    assert!(report.contains(r#"`Migration::remove("wrap")`"#), "{report}");

    let migrated = checkout().version(2).migration(1, Migration::remove("wrap"));
    would_resume(&journal, &migrated, order).await.assert_resumes();
}

#[tokio::test]
#[should_panic(expected = "`wrap` is recorded, but the body does not ask for it")]
async fn failed_assertion_shows_the_report() {
    let journal = journal(&[("reserve", "1"), ("wrap", "3"), ("charge", "2")]);
    would_resume(&journal, &checkout(), order).await.assert_resumes();
}

#[tokio::test]
async fn recorded_step_that_is_now_skipped_is_lost() {
    let replay = would_resume(&journal(&[("wrap", "3")]), &checkout(), async |run| {
        let wrapped: Option<u32> = step!(run, "wrap", when = false, never());
        Ok::<_, RunError>(wrapped)
    })
    .await;
    assert_eq!(lost(&replay), ["wrap"]);
    assert!(replay.to_string().contains("its step is skipped now"), "{replay}");
}

#[tokio::test]
async fn changed_type_is_reported_with_its_key() {
    let journal = journal(&[("reserve", r#""seven""#), ("charge", "2")]);
    let replay = would_resume(&journal, &checkout(), order).await;
    assert!(!replay.is_clean());
    let [Finding::Undecodable { step, type_name, reason, .. }, Finding::NotReached { .. }] =
        &replay.findings[..]
    else {
        panic!("{replay}");
    };
    assert_eq!((step.as_deref(), &**type_name), (Some("reserve"), "u32"));
    assert!(reason.contains("invalid type"), "{reason}");
    // A record that the body did not reach is not reported as lost.
    assert_eq!((lost(&replay), not_reached(&replay)), (vec![], vec!["charge"]));
}

#[tokio::test]
async fn undecodable_step_is_found_even_if_the_body_ignores_it() {
    let replay = would_resume(&journal(&[("reserve", r#""seven""#)]), &checkout(), async |run| {
        Ok::<_, OrderError>(run.step("reserve", never::<u32>).await.unwrap_or(7))
    })
    .await;
    assert!(matches!(replay.findings[..], [Finding::Undecodable { .. }]), "{replay}");
    assert!(matches!(replay.ending, Some(RunEnding::Interrupted(_))), "{replay}");
}

#[tokio::test(start_paused = true)]
async fn records_after_a_new_step_need_its_value() {
    let journal = journal(&[("reserve", "1"), ("charge", "2")]);
    let body = async |run: &DurableRun| {
        step!(run, "check fraud", never::<bool>());
        order(run).await
    };
    let replay = would_resume(&journal, &checkout(), body).await;
    assert_eq!((stopped_at(&replay), not_reached(&replay)), (vec!["check fraud"], vec!["reserve", "charge"]));
    assert!(!replay.is_clean());

    let replay = ResumeCheck::new(&journal).value("check fraud", false).run(&checkout(), body).await;
    replay.assert_resumes();
    assert!(replay.to_string().contains("would run    check fraud (given)"), "{replay}");
    assert_eq!(replay.ending, COMPLETED);
}

#[tokio::test]
async fn moved_steps_are_reused() {
    let replay = resumes(&journal(&[("charge", "2"), ("reserve", "1")]), order).await;
    assert_eq!((replay.reused.len(), &replay.ending), (2, &COMPLETED));
}

#[tokio::test]
async fn journal_of_a_newer_version_is_refused() {
    let replay =
        would_resume(&journal_of_version(3, &[("reserve", "1")]), &checkout().version(2), order).await;
    assert!(matches!(
        replay.findings[..],
        [Finding::Refused(RunError::NewerVersion { stored: 3, code: 2, .. })]
    ));
    assert_eq!(replay.ending, Some(RunEnding::NotBegun));
}

#[tokio::test]
async fn missing_migration_is_reported() {
    let replay = would_resume(&journal(&[("reserve", "1")]), &checkout().version(2), order).await;
    assert!(matches!(replay.findings[..], [Finding::Refused(RunError::Migration { .. })]));
    assert!(replay.to_string().contains("no migration leads from version 1 to version 2"), "{replay}");
}

#[tokio::test]
async fn journal_of_another_workflow_is_refused() {
    let replay = would_resume(&journal(&[]), &Workflow::new("refund"), order).await;
    assert!(matches!(replay.findings[..], [Finding::Refused(RunError::OtherWorkflow { .. })]));
}

#[tokio::test]
async fn two_steps_with_one_key_are_refused() {
    let replay = would_resume(&journal(&[("reserve", "1")]), &checkout(), async |run| {
        let hold = step!(run, "reserve", never::<u32>());
        Ok::<_, RunError>(hold + step!(run, "again", key = "reserve", never::<u32>()))
    })
    .await;
    assert!(matches!(replay.findings[..], [Finding::Refused(RunError::DuplicateKey { .. })]), "{replay}");
}

fn with_input(input: &str) -> Journal {
    format!(
        r#"{{"format":1,"run":"order-42","workflow":"checkout","version":1,"input":{input},"records":[]}}"#
    )
    .parse()
    .unwrap()
}

#[tokio::test]
async fn different_input_is_refused_and_equal_input_accepted() {
    let body = async |run: &DurableRun| run.input::<(u32, String)>().map(|(number, _)| number);
    let journal = with_input(r#"[1, "tea"]"#);
    would_resume(&journal, &checkout(), body).await.assert_resumes();
    would_resume(&journal, &checkout().input(&(1, "tea")), body).await.assert_resumes();
    let replay = would_resume(&journal, &checkout().input(&(2, "tea")), body).await;
    assert!(matches!(replay.findings[..], [Finding::Refused(RunError::InputChanged { .. })]));
}

#[tokio::test]
async fn input_of_another_type_is_found_even_if_ignored() {
    let journal: Journal =
        r#"{"format":1,"run":"order-42","workflow":"checkout","version":1,"input":[1, "tea"],
        "records":[{"key":"reserve","outcome":{"value":1}}]}"#
            .parse()
            .unwrap();
    let body = async |run: &DurableRun| run.input::<u32>().map_err(|_| OrderError::Declined);
    let replay = would_resume(&journal, &checkout(), body).await;
    // The body might have asked for the record if it had not stopped.
    assert_eq!((lost(&replay), not_reached(&replay)), (vec![], vec!["reserve"]));
    let is_found = |finding: &Finding| matches!(finding, Finding::Undecodable { step: None, type_name, .. } if &**type_name == "u32");
    assert!(replay.findings.iter().any(is_found), "{replay}");
    assert!(!replay.is_clean());
}

#[tokio::test(start_paused = true)]
async fn step_with_changed_input_is_refused_or_runs() {
    let journal = recorded(async |run| {
        Ok::<u32, RunError>(
            step!(run, "quote", input = &1, gives(1)) + step!(run, "rate", input = &1, gives(1)),
        )
    })
    .await;
    let replay = would_resume(&journal, &checkout(), async |run| {
        let policy = awaitly_core::journal::OnChange::Rerun;
        step!(run, "rate", input = &2, on_change = policy, never::<u32>());
        Ok::<u32, RunError>(0)
    })
    .await;
    assert!(replay.to_string().contains("rate (its input changed)"), "{replay}");
    let replay = would_resume(&journal, &checkout(), async |run| {
        Ok::<u32, RunError>(step!(run, "quote", input = &2, never::<u32>()))
    })
    .await;
    assert!(matches!(replay.findings[0], Finding::Refused(RunError::InputChanged { .. })));
}

async fn asks(run: &DurableRun) -> Result<u64, RunError> {
    step!(run, "reserve", gives(1));
    Ok(step!(run.wait_for("manager")))
}

#[tokio::test]
async fn open_question_waits_and_answered_question_is_reused() {
    let store = MemoryStore::new();
    let workflow = checkout().store(store.clone());
    assert!(workflow.run("order-42", asks).await.is_err());
    let open = Journal::of(&store, "order-42").await.unwrap();
    let replay = resumes(&open, asks).await;
    assert_eq!((&replay.waits[..], &replay.ending), (&["manager".into()][..], &Some(RunEnding::Waiting)));
    assert_eq!(replay.would_run().count(), 0);

    let yes = Outcome::Value(Payload::encode(&7).unwrap());
    let answer = Answer::new(RunId::new("order-42").unwrap(), "manager", yes);
    assert_eq!(store.answer(answer).await.unwrap(), Ok(()));
    let answered = Journal::of(&store, "order-42").await.unwrap();
    let replay = resumes(&answered, asks).await;
    assert_eq!((&replay.reused[1], &replay.ending), (&"manager".into(), &COMPLETED));

    let replay = would_resume(&answered, &checkout(), async |run| {
        step!(run, "reserve", gives(1));
        let who: String = step!(run.wait_for("manager"));
        Ok::<_, RunError>(who)
    })
    .await;
    assert!(
        matches!(&replay.findings[..], [Finding::Undecodable { step: Some(key), .. }] if key.as_str() == "manager")
    );
}

#[tokio::test]
async fn open_question_without_a_waiting_step_is_lost() {
    let open = recorded(asks).await;
    let replay = would_resume(&open, &checkout(), async |run| {
        step!(run, "reserve", gives(1));
        Ok::<u64, RunError>(step!(run.wait_for("boss")))
    })
    .await;
    assert_eq!(not_reached(&replay), ["manager"]);
    let body = async |run: &DurableRun| Ok::<u64, RunError>(step!(run, "reserve", gives(1)));
    let replay = would_resume(&open, &checkout(), body).await;
    assert_eq!(lost(&replay), ["manager"]);
    assert!(replay.to_string().contains("`Migration::remove(\"manager\")`"), "{replay}");
    let withdrawn = checkout().version(2).migration(1, Migration::remove("manager"));
    would_resume(&open, &withdrawn, body).await.assert_resumes();
}

#[tokio::test]
async fn migration_renames_an_open_question() {
    let open = recorded(asks).await;
    let body = async |run: &DurableRun| {
        step!(run, "reserve", gives(1));
        Ok::<u64, RunError>(step!(run.wait_for("the manager")))
    };
    let replay = would_resume(&open, &checkout(), body).await;
    let hint = "`Migration::rename(\"manager\", \"the manager\")`";
    assert!(replay.to_string().contains(hint), "{replay}");
    let renamed = checkout().version(2).migration(1, Migration::rename("manager", "the manager"));
    would_resume(&open, &renamed, body).await.assert_resumes();
}

#[tokio::test]
async fn notices_of_answered_approvals_are_passed_over() {
    use awaitly_hitl::{Approvals, Inbox, Notice};

    struct Mail;
    impl awaitly_hitl::Notifier for Mail {
        type Error = std::convert::Infallible;

        async fn notify(&self, _: Notice) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    let body = async |run: &DurableRun| {
        let cents: u64 = step!(run.approval("manager").notify(Mail));
        Ok::<_, RunError>(cents)
    };
    let store = MemoryStore::new();
    let workflow = checkout().store(store.clone());
    assert!(workflow.run("order-42", body).await.is_err());
    let open = Journal::of(&store, "order-42").await.unwrap();
    let replay = resumes(&open, body).await;
    assert_eq!(replay.reused.len(), 1, "the notice is not sent again: {replay}");

    Inbox::new(store.clone()).at("order-42", "manager").by("ada").edit(&7_u64).await.unwrap();
    let answered = Journal::of(&store, "order-42").await.unwrap();
    let replay = resumes(&answered, body).await;
    assert_eq!((replay.passed_over.len(), &replay.ending), (1, &COMPLETED));
}

#[derive(Debug)]
struct Connection(u32);

#[tokio::test(start_paused = true)]
async fn volatile_step_runs_or_receives_a_value() {
    let journal = journal(&[("reserve", "1"), ("charge", "2")]);
    let body = async |run: &DurableRun| {
        let Connection(number) = step!(run.volatile(), "connect", never::<Connection>());
        order(run).await.map(|sum| sum + number)
    };
    let replay = would_resume(&journal, &checkout(), body).await;
    assert_eq!(replay.would_run().collect::<Vec<_>>(), ["connect"]);
    assert_eq!(not_reached(&replay), ["reserve", "charge"]);
    assert!(replay.to_string().contains("connect (volatile)"), "{replay}");

    let check = ResumeCheck::new(&journal).value_with("connect", || Connection(1)).value("conect", 1);
    let replay = check.run(&checkout(), body).await;
    replay.assert_resumes();
    assert_eq!((&replay.ending, &replay.unused[..]), (&COMPLETED, &["conect".into()][..]));

    let replay = ResumeCheck::new(&journal).value("connect", 1_u8).run(&checkout(), body).await;
    let said = "the value given for step `connect` is a `u8`, but the step returns a `it::replay::";
    assert!(replay.to_string().contains(said), "{replay}");
    assert!(!replay.to_string().contains("script"), "{replay}");
    assert!(matches!(replay.findings[0], Finding::WrongType { .. }), "{replay}");
}

#[tokio::test(start_paused = true)]
async fn value_for_a_borrowing_step_is_a_misfit() {
    async fn first(words: &[String]) -> Result<&String, RunError> {
        Ok(&words[0])
    }
    let words = vec!["tea".to_owned()];
    let body = async |run: &DurableRun| {
        let word = step!(run.borrowing(), first(&words));
        order(run).await.map(|sum| sum + u32::try_from(word.len()).unwrap())
    };
    let journal = journal(&[("reserve", "1"), ("charge", "2")]);
    let replay = ResumeCheck::new(&journal).value("first", "milk".to_owned()).run(&checkout(), body).await;
    let said =
        "the value given for step `first` is a `alloc::string::String`, but the step's value may borrow";
    assert!(replay.to_string().contains(said), "{replay}");
    assert!(matches!(replay.findings[0], Finding::WrongType { expected: None, .. }));
    ResumeCheck::new(&journal).runs("first").run(&checkout(), body).await.assert_resumes();
}

async fn gives_where(it_does: bool) -> Result<u32, RunError> {
    if it_does { Ok(1) } else { std::future::pending().await }
}

#[tokio::test]
async fn each_branch_stops_on_its_own() {
    let body = async |run: &DurableRun| {
        let fastest = race!(run, "mirror", { gives_where(false), gives_where(true) });
        let loads = async {
            let loaded = parallel!(run, "load", { posts: gives_where(false), user: gives_where(true) });
            Ok::<_, RunError>(loaded)
        };
        let sends = async {
            Ok::<_, RunError>(step!(run.each("ship", 0..4, |item| gives_where(item == 1)).concurrency(2)))
        };
        let (loaded, sent) = tokio::join!(loads, sends);
        loaded?;
        Ok::<u32, RunError>(fastest + sent?.len() as u32)
    };
    let journal = interrupted(body).await;
    assert_eq!(journal.keys().count(), 3, "{:?}", journal.keys().collect::<Vec<_>>());
    let replay = resumes(&journal, body).await;
    assert_eq!(replay.reused.len(), 3);
    assert_eq!(stopped_at(&replay), ["load.posts", "ship[0]", "ship[2]"]);
}

#[tokio::test]
async fn dropped_step_is_not_a_stopping_point() {
    let body = async |run: &DurableRun| {
        tokio::select! {
            biased;
            slow = run.step("slow", never::<u32>) => slow,
            quick = run.step("quick", never::<u32>) => quick,
        }
        .map_err(|_| OrderError::Declined)
    };
    let replay = resumes(&journal(&[("quick", "2")]), body).await;
    assert!(replay.to_string().contains("would run    slow (dropped)"), "{replay}");
    assert_eq!(replay.ending, COMPLETED);
}

#[tokio::test]
async fn dropped_branch_is_passed_over() {
    let body = async |run: &DurableRun| {
        let (one, other) = (run.step("one", || gives(1)), run.step("other", || gives(2)));
        drop(other);
        Ok::<u32, RunError>(step!(one))
    };
    let replay = resumes(&journal(&[("other", "2"), ("one", "1")]), body).await;
    assert_eq!(replay.passed_over, ["other".into()]);
}

#[tokio::test(start_paused = true)]
async fn nested_records_are_checked_only_if_the_operation_runs() {
    let body = async |run: &DurableRun| {
        let paid = run.step("pay", || async { Ok::<u32, RunError>(step!(run, "charge", never::<u32>())) });
        Ok::<u32, RunError>(step!(paid))
    };
    let inner = journal(&[("pay/charge", "1")]);
    let replay = resumes(&inner, body).await;
    assert_eq!((stopped_at(&replay), &replay.unchecked[..]), (vec!["pay"], &["pay/charge".into()][..]));

    let replay = ResumeCheck::new(&inner).runs("pay").run(&checkout(), body).await;
    replay.assert_resumes();
    assert_eq!((&replay.reused[..], &replay.ending), (&["pay/charge".into()][..], &COMPLETED));

    let both = journal(&[("pay/charge", "1"), ("pay", "1")]);
    let replay = resumes(&both, body).await;
    assert_eq!(replay.passed_over, ["pay/charge".into()]);
}

async fn trip(run: &DurableRun, flight: Result<u32, OrderError>) -> Result<u32, SagaError<OrderError>> {
    saga(run, async |saga| {
        let hotel = step!(saga, "hotel", compensate = |_| gives(()), gives(1_u32));
        let flight = step!(saga, "flight", compensate = |_| gives(()), async { flight });
        Ok(hotel + flight)
    })
    .await
}

#[tokio::test]
async fn completed_and_undone_sagas_are_clean() {
    for flight in [Ok(2), Err(OrderError::Declined)] {
        let body = async |run: &DurableRun| trip(run, flight.clone()).await;
        let journal = recorded(body).await;
        let replay = resumes(&journal, body).await;
        assert_eq!(replay.ending, replay.recorded_ending);
        assert_eq!(replay.would_run().count(), 0);
    }
}

#[tokio::test]
async fn saga_undone_and_retried_loses_no_record() {
    let store = MemoryStore::new();
    let workflow = checkout().store(store.clone());
    let failed = workflow.run("order-42", async |run| trip(run, Err(OrderError::Declined)).await).await;
    assert!(failed.is_err());
    let body = async |run: &DurableRun| trip(run, Ok(2)).await;
    assert!(workflow.retry("order-42", body).await.is_ok());
    let journal = Journal::of(&store, "order-42").await.unwrap();
    assert!(journal.keys().any(|key| key == "undo: done"), "{:?}", journal.keys().collect::<Vec<_>>());
    would_resume(&journal, &checkout(), body).await.assert_resumes();
}

#[tokio::test]
async fn interrupted_undo_continues_with_the_next_compensation() {
    let body = async |run: &DurableRun| {
        saga(run, async |saga| {
            step!(saga, "hotel", compensate = |_| std::future::pending::<Result<(), OrderError>>(), gives(1));
            Err::<u32, _>(OrderError::Declined)
        })
        .await
    };
    let journal = interrupted(body).await;
    let replay = resumes(&journal, body).await;
    assert_eq!(stopped_at(&replay), ["undo hotel"]);
}

#[tokio::test]
async fn elapsed_sleep_continues_and_later_sleep_rests() {
    let journal = journal(&[("nap", r#"{"until_ms":1000000}"#)]);
    let body = async |run: &DurableRun| {
        run.sleep("nap", Duration::from_secs(60)).await?;
        Ok::<u32, RunError>(step!(run, "wake", never::<u32>()))
    };
    let replay = resumes(&journal, body).await;
    assert_eq!(stopped_at(&replay), ["wake"]);

    let check = || ResumeCheck::new(&journal).at(SystemTime::UNIX_EPOCH + Duration::from_secs(999));
    let replay = check().run(&checkout(), body).await;
    replay.assert_resumes();
    assert_eq!((&*replay.sleeps[0], &replay.ending), ("nap", &None));
    let replay = check().run(&checkout().park_after(Duration::ZERO), body).await;
    replay.assert_resumes();
    assert_eq!((&*replay.sleeps[0], &replay.ending), ("nap", &Some(RunEnding::Waiting)));
}

#[tokio::test]
async fn failed_run_that_now_completes_is_found() {
    let fails = async |run: &DurableRun| {
        let paid: Result<u32, _> = run.step("charge", || async { Err::<u32, _>(OrderError::Declined) }).await;
        paid.map_err(|_| OrderError::Declined)
    };
    let journal = recorded(fails).await;
    let replay = resumes(&journal, fails).await;
    assert_eq!(replay.ending, Some(RunEnding::Failed("declined".into())));

    let replay = would_resume(&journal, &checkout(), async |run| {
        Ok::<u32, OrderError>(run.step("charge", never::<u32>).await.unwrap_or(0))
    })
    .await;
    assert!(!replay.is_clean());
}

#[tokio::test]
async fn different_result_is_noted_and_undecodable_result_found() {
    let one = recorded(async |run| Ok::<u32, RunError>(step!(run, "a", gives(1)))).await;
    let body = async |run: &DurableRun| Ok::<u32, RunError>(step!(run, "a", never::<u32>()) + 1);
    assert!(resumes(&one, body).await.result_differs);
    let body = async |run: &DurableRun| Ok::<_, RunError>(step!(run, "a", never::<u32>()).to_string());
    let replay = would_resume(&one, &checkout(), body).await;
    assert!(replay.to_string().contains("the record of the result of the run is no longer"), "{replay}");
}

#[tokio::test]
async fn panic_of_the_new_body_is_found() {
    let replay = would_resume(&journal(&[("reserve", "1")]), &checkout(), async |run| {
        let hold = step!(run, "reserve", never::<u32>());
        assert_eq!(hold, 2, "no such hold");
        Ok::<u32, RunError>(hold)
    })
    .await;
    assert!(matches!(&replay.ending, Some(RunEnding::Failed(message)) if message.contains("no such hold")));
    assert!(!replay.is_clean());
}

#[tokio::test]
async fn spinning_body_does_not_hang_the_check() {
    let replay = would_resume(&journal(&[]), &checkout(), async |_| {
        loop {
            tokio::task::yield_now().await;
        }
        #[expect(unreachable_code, reason = "the expression gives the body its type")]
        Ok::<u32, RunError>(0)
    })
    .await;
    assert!(matches!(replay.findings[..], [Finding::NeverEnds { .. }]));
    assert!(replay.to_string().contains("still wakes itself"), "{replay}");
}

#[tokio::test(start_paused = true)]
async fn foreign_future_is_awaited_for_a_limited_time() {
    let journal = journal(&[("reserve", "1"), ("charge", "2")]);
    let replay = resumes(&journal, async |run| {
        tokio::time::sleep(Duration::from_millis(10)).await;
        tokio::spawn(tokio::task::yield_now()).await.unwrap();
        order(run).await
    })
    .await;
    assert_eq!(replay.ending, COMPLETED);
    let replay = would_resume(&journal, &checkout(), async |run| {
        std::future::pending::<()>().await;
        order(run).await
    })
    .await;
    assert_eq!((&replay.ending, not_reached(&replay).len()), (&None, 2));
    assert!(replay.to_string().contains("at a future that is not one of its steps"), "{replay}");
}

#[tokio::test]
async fn fixture_is_read_in_both_forms_and_written_reproducibly() {
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let workflow = checkout().store(store.clone()).input(&7);
    let body = async |run: &DurableRun| Ok::<u32, RunError>(step!(run, "reserve", gives(1)));
    let (result, state) = workflow.run_with_state("order-42", body).await;
    assert_eq!(result, Ok(1));
    let from_state: Journal = serde_json::to_string(&state).unwrap().parse().unwrap();
    let exported = store.export(&RunId::new("order-42").unwrap()).await.unwrap().unwrap();
    let from_export: Journal = serde_json::to_string_pretty(&exported).unwrap().parse().unwrap();
    assert_eq!(from_export, Journal::from(exported));
    for journal in [&from_state, &from_export] {
        let replay = would_resume(journal, &checkout().input(&7), body).await;
        replay.assert_resumes();
        assert_eq!(replay.reused, ["reserve".into()]);
    }

    let path = folder.path().join("b.json");
    from_export.write(&path).unwrap();
    let first = std::fs::read_to_string(&path).unwrap();
    let read = Journal::read(&path).unwrap();
    read.write(&path).unwrap();
    assert_eq!((read, &*first), (from_export, &*std::fs::read_to_string(&path).unwrap()));
    assert!(first.contains("\n      \"key\": \"reserve\",\n"), "{first}");
}

#[test]
fn fixtures_are_sorted_and_an_empty_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(fixtures(folder.path()), Err(FixtureError::NoFixtures { .. })));
    for name in ["b.json", "a.json"] {
        journal(&[]).write(folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("README.md"), "no journal").unwrap();
    let names: Vec<_> = fixtures(folder.path()).unwrap().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["a.json", "b.json"].map(|name| folder.path().join(name)));
    assert!(matches!(fixtures("no/such/folder"), Err(FixtureError::Unreadable { .. })));
}

#[tokio::test]
async fn malformed_journal_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.json");
    std::fs::write(&path, "{").unwrap();
    let reason = |journal: Result<Journal, FixtureError>| journal.unwrap_err().to_string();
    assert!(reason(Journal::read(&path)).contains("broken.json` is not a usable journal: EOF"));
    for (text, expected) in [
        ("[]", "invalid length"),
        (r#"{"format":9,"run":"a","workflow":"w","version":1,"records":[]}"#, "it has format 9"),
        (r#"{"format":1,"run":"","workflow":"w","version":1,"records":[]}"#, "it has no valid run id"),
        (
            r#"{"format":1,"run":"a","workflow":"w","version":1,"records":[
            {"key":"a","outcome":{"value":1}},{"key":"a","outcome":{"value":2}}]}"#,
            "it contains the key `a` twice",
        ),
    ] {
        let reason = reason(text.parse());
        assert!(reason.contains(expected), "{reason}");
    }
    let missing = Journal::of(&MemoryStore::new(), "order-42").await;
    assert!(matches!(missing, Err(FixtureError::NoSuchRun { .. })));

    let file = std::fs::File::create(&path).unwrap();
    file.set_len(Journal::MAX_BYTES + 1).unwrap();
    assert!(reason(Journal::read(&path)).contains("it has more than 268435456 bytes"));
}

#[tokio::test]
async fn report_converts_to_json() {
    let replay = would_resume(&journal(&[("reserve", "1")]), &checkout(), order).await;
    let json = serde_json::to_value(&replay).unwrap();
    assert_eq!(json["reused"], serde_json::json!(["reserve"]));
    assert_eq!(json["would_run"][0]["reason"], "not_recorded");
    assert_eq!(json["ending"], serde_json::Value::Null);
}

#[tokio::test]
async fn requested_cancellation_is_applied_in_the_check() {
    let store = MemoryStore::new();
    let workflow = checkout().store(store.clone());
    let id = RunId::new("order-42").unwrap();
    let body = async |run: &DurableRun| {
        step!(run, "reserve", gives(1));
        Ok::<u32, RunError>(step!(run, "charge", std::future::pending::<Result<u32, RunError>>()))
    };
    let mut running = Box::pin(workflow.run("order-42", body));
    assert!(futures_util::FutureExt::now_or_never(&mut running).is_none());
    let _ = store.cancel(&id).await.unwrap();
    drop(running);
    let journal = Journal::of(&store, "order-42").await.unwrap();
    assert_eq!(store.load(&id).await.unwrap().unwrap().header.status, Status::Running);
    let replay = resumes(&journal, body).await;
    assert_eq!((&replay.ending, replay.would_run().count()), (&Some(RunEnding::Cancelled), 0));
}
