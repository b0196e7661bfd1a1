use std::sync::{Arc, Mutex};

use awaitly_core::clock::{VirtualClock, ms, secs};
use awaitly_core::event::{Event, EventKind, Observer};
use awaitly_core::retry::Jitter;
use awaitly_core::{DurableRun, Retry, RunError, Workflow, parallel, race, step};

use crate::world::{AppError, Service, ServiceError};

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Observer for Told {
    fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Told {
    /// The events as short text: the type, and the key of the step.
    fn short(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.0.lock().unwrap());
        events
            .iter()
            .map(|event| {
                let kind = serde_json::to_value(&event.kind).unwrap();
                let subject = kind["step"]["key"].as_str().or(kind["scope"].as_str()).unwrap_or_default();
                format!("{} {subject}", kind["type"].as_str().unwrap()).trim().to_owned()
            })
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_a_durable_run_tell_its_story() {
    let told = Told::default();
    let service = Service::failing([ServiceError::Down]);
    let workflow = Workflow::new("w").observe(told.clone());
    let body = async |run: &DurableRun| {
        step!(run, "charge", retry = Retry::fixed(ms(5)), timeout = secs(1), service.call());
        step!(run, "gift", when = false, service.call());
        let (_, _) = parallel!(run, "load", { a: service.call(), b: service.call() });
        Ok::<_, AppError>(race!(run.volatile(), "mirror", { service.call(), service.call() }))
    };
    let (_, state) = workflow.run_with_state("r", body).await;
    let story = "run_started,step_missed charge,step_started charge,retry_scheduled charge,step_succeeded charge,\
        step_recorded charge,step_skipped gift,scope_started load,step_missed load.a,step_started load.a,\
        step_succeeded load.a,step_missed load.b,step_started load.b,step_succeeded load.b,step_recorded load.a,\
        step_recorded load.b,scope_ended load,step_started ~mirror,scope_started mirror,scope_ended mirror,\
        step_succeeded ~mirror,run_succeeded";
    let mut expected: Vec<_> = story.split(',').map(|line| line.trim().to_owned()).collect();
    let mut short = told.short();
    // Which of two parallel steps is recorded first is not part of the story.
    expected.sort();
    short.sort();
    assert_eq!(short, expected);

    workflow.resume(state).run(body).await.unwrap();
    let again = told.short();
    assert_eq!(again.iter().filter(|event| event.starts_with("step_reused")).count(), 3, "{again:?}");
    assert!(!again.contains(&"step_started charge".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn events_are_numbered_and_timed_by_the_runs_clock() {
    let told = Told::default();
    let clock = VirtualClock::new();
    let workflow = Workflow::new("w").clock(clock.clone()).observe(told.clone());
    let service = Service::failing([ServiceError::Down]);
    let retry = Retry::fixed(secs(7)).jitter(Jitter::None);
    let body = async |run: &DurableRun| Ok::<_, AppError>(step!(run, "call", retry = retry, service.call()));
    let (result, _) = tokio::join!(workflow.run("r", body), async {
        while clock.advance_to_next().is_none() {
            tokio::task::yield_now().await;
        }
    });
    result.unwrap();
    let events = told.0.lock().unwrap();
    let numbers: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    assert_eq!(events.last().unwrap().at, secs(7));
    let Some(EventKind::RetryScheduled { attempt, max_attempts, delay, error, .. }) = events
        .iter()
        .map(|event| event.kind.clone())
        .find(|kind| matches!(kind, EventKind::RetryScheduled { .. }))
    else {
        panic!("no retry")
    };
    assert_eq!((attempt, max_attempts, delay, error.as_str()), (1, 3, secs(7), "the service is down"));
}

#[tokio::test]
async fn observer_panic_leaves_run_unaffected() {
    let told = Told::default();
    let workflow = Workflow::new("w").observe(|_: &Event| panic!("observer")).observe(told.clone());
    let service = Service::default();
    let result = workflow.run("r", async |run| Ok::<_, AppError>(step!(run, service.call()))).await;
    assert_eq!(result, Ok(1));
    assert_eq!(told.short().last().unwrap(), "run_succeeded");
}

#[tokio::test]
async fn dropped_step_says_that_it_was_aborted() {
    let told = Told::default();
    let workflow = Workflow::new("w").observe(told.clone());
    let service = Service::default();
    tokio::select! {
        biased;
        _ = workflow.run("r", async |run| Ok::<_, AppError>(step!(run, service.hang()))) => unreachable!(),
        () = std::future::ready(()) => {}
    }
    assert_eq!(
        told.short(),
        ["run_started", "step_missed hang", "step_started hang", "step_aborted hang", "run_aborted"]
    );
}

#[tokio::test]
async fn values_are_in_no_event() {
    let told = Told::default();
    let workflow = Workflow::new("w").observe(told.clone()).input(&"secret input");
    let secret = async || Ok::<_, ServiceError>("secret value".to_owned());
    workflow
        .run("r", async |run| {
            let value = run.step("s", secret).input(&"secret step input").await;
            assert!(value.is_ok());
            Ok::<_, AppError>("secret result".to_owned())
        })
        .await
        .unwrap();
    let text = format!("{:?}", told.0.lock().unwrap());
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn event_comes_back_from_json() {
    let told = Told::default();
    let service = Service::default();
    Workflow::new("w")
        .observe(told.clone())
        .run("r", async |run| Ok::<_, AppError>(step!(run, service.call())))
        .await
        .unwrap();
    for event in told.0.lock().unwrap().iter() {
        let json = serde_json::to_string(event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), *event);
    }
}

#[tokio::test(start_paused = true)]
async fn being_watched_changes_no_key_no_error_and_no_delay() {
    let outcome = async |workflow: Workflow| {
        let began = tokio::time::Instant::now();
        let (fine, service) = (Service::default(), Service::failing(vec![ServiceError::Down; 3]));
        let retry = Retry::exponential(secs(1)).attempts(4);
        let result = workflow
            .seed(7)
            .run("r", async |run| {
                step!(run.volatile(), "a", key = "k", fine.call());
                step!(run.volatile(), "b", key = "k", retry = retry, service.call());
                Ok::<_, AppError>(step!(run.volatile(), "hang", timeout = secs(1), service.hang()))
            })
            .await;
        (result, began.elapsed())
    };
    let alone = outcome(Workflow::new("w")).await;
    let watched = outcome(Workflow::new("w").observe(Told::default())).await;
    assert!(matches!(alone.0, Err(AppError::Run(RunError::Timeout { .. }))), "{alone:?}");
    assert_eq!(alone, watched);
}

/// Writes down the names of the spans that are opened.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<&'static str>>>);

impl tracing::Subscriber for Spans {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut spans = self.0.lock().unwrap();
        spans.push(span.metadata().name());
        tracing::span::Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn runs_steps_and_attempts_have_spans() {
    let spans = Spans::default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    tracing::subscriber::with_default(spans.clone(), || {
        runtime.block_on(async {
            let service = Service::failing([ServiceError::Down]);
            let retry = Retry::fixed(ms(1));
            awaitly_core::run(async |run| {
                Ok::<_, AppError>(step!(run, "call", retry = retry, service.call()))
            })
            .await
            .unwrap();
        });
    });
    let ours: Vec<_> =
        spans.0.lock().unwrap().iter().copied().filter(|name| !name.starts_with("runtime")).collect();
    assert_eq!(ours, ["run", "step", "attempt", "attempt"]);
}
