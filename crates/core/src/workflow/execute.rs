//! The execution of a run: calls the body, and records its result.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::again;
use super::builder::{Definition, Workflow};
use super::end::{self, Verdict};
use super::heartbeat::Heartbeat;
use super::keep::KeepRun;
use super::open::{Admitted, Hold, NotAdmitted, Revival};
use super::trace;
use crate::clock::SystemClock;
use crate::error::{FromStep, RunError};
use crate::event::{EventKind, Observers};
use crate::guard::Refusal;
use crate::hook::RunInfo;
use crate::journal::{Header, Payload, Record, ResumeState, Status, Timestamp};
use crate::retry::Retry;
use crate::run::{DurableRun, Run};
use crate::shared::{Loaded, OtherRun, Settings, Shared, Writer, note_other_run};
use crate::store::{Ending, Held, Purpose, StoreError};

/// A run in execution. Dropping it makes all its remaining handles inactive.
struct Execution {
    shared: Arc<Shared>,
    hold: Hold,
    recorded: usize,
    revival: Option<Revival>,
    /// Whether the run is cancelled before it begins.
    was_never_begun: bool,
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.shared.abort();
        self.shared.close();
    }
}

/// A run without a journal. Its end event is sent even after a drop or a panic.
struct Volatile(Arc<Shared>);

impl Drop for Volatile {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<X> Workflow<X> {
    /// Executes a run on the workflow's store, or without a store.
    pub(super) async fn execute<T, E>(
        &self,
        run: Arc<str>,
        purpose: Purpose,
        keep_state: bool,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> (Result<T, E>, ResumeState)
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let admitted = self.definition.admit(&run, purpose).await;
        self.execute_admitted(run, admitted, keep_state, body).await
    }

    /// Executes a run whose lease a claim took. If the execution is interrupted, the run waits for `rest`, and the
    /// method returns the reason.
    pub(crate) async fn execute_held<T, E>(
        &self,
        held: Held,
        now: Timestamp,
        rest: Duration,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> Result<(), RunError>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let Held { lease, run: stored } = held;
        let (definition, run, is_cancelled) =
            (&self.definition, lease.run().clone(), stored.header.cancel_requested);
        let mut hold = definition.hold(lease);
        if let Some(ending) = again::too_early(&stored, now) {
            return end::leave(&mut hold, ending).await;
        }
        let mut execution = match definition.admit_held(run.clone(), hold, now, stored).await {
            Ok(admitted) => definition.begin(admitted, false),
            Err((error, mut hold)) => {
                tracing::error!(%run, %error, "the run cannot be executed");
                if let Some(stage) = &definition.stage {
                    stage.refuses(None, &error);
                }
                end::rest(&mut hold, now.after(rest), is_cancelled, &error).await;
                return Err(error);
            }
        };
        let verdict = definition.verdict(&execution, body).await;
        let verdict = close::<X, T, E>(&mut execution, verdict, definition.retry_runs.as_ref()).await;
        let error = match verdict {
            Verdict::Interrupted(RunError::Restarting) => return Ok(()),
            Verdict::Interrupted(error) => error,
            _ => return Ok(()),
        };
        let Execution { shared, hold, .. } = &mut execution;
        end::rest(hold, shared.time.stamp().after(rest), shared.stopping.knows_of_cancel(), &error).await;
        Err(error)
    }

    async fn execute_admitted<T, E>(
        &self,
        run: Arc<str>,
        admitted: Result<Admitted, NotAdmitted>,
        keep_state: bool,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> (Result<T, E>, ResumeState)
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let definition = &self.definition;
        let mut execution = match admitted {
            Ok(admitted) => definition.begin(admitted, keep_state),
            Err(NotAdmitted::Refused(error)) => {
                if error.pauses() {
                    note_other_run(OtherRun::Paused);
                }
                if let Some(stage) = &definition.stage {
                    stage.refuses(None, &error);
                }
                return (Err(E::from_step(error)), definition.state(run, None, Vec::new()));
            }
            Err(NotAdmitted::Ended(header)) => {
                if header.status == Status::Cancelled {
                    note_other_run(OtherRun::Cancelled);
                }
                let result = recorded::<X, T, E>(&header, &run);
                if !keep_state {
                    return (result, definition.state(run, None, Vec::new()));
                }
                return match definition.ended_state(&run).await {
                    Ok(state) => (result, state),
                    Err(error) => (Err(E::from_step(error)), definition.state(run, None, Vec::new())),
                };
            }
        };
        let verdict = definition.verdict(&execution, body).await;
        let result = conclude::<X, T, E>(&mut execution, verdict).await;
        (result, definition.state_of(&execution))
    }

    /// Executes a run that begins with a state and has no store.
    pub(super) async fn execute_state<T, E>(
        &self,
        state: ResumeState,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> (Result<T, E>, ResumeState)
    where
        E: FromStep<RunError> + fmt::Display,
    {
        let definition = &self.definition;
        let execution = match definition.admit_state(state.clone()) {
            Ok(admitted) => definition.begin(admitted, true),
            Err(error) => return (Err(E::from_step(error)), state),
        };
        let verdict = definition.call(&execution, body).await;
        end::tell(&execution.shared, &verdict);
        (verdict.into_result(), definition.state_of(&execution))
    }

    /// Executes a run that does not record its steps.
    pub(super) async fn execute_volatile<T, E>(
        &self,
        body: impl AsyncFnOnce(&Run) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: fmt::Display,
    {
        let id: Arc<str> = format!("{:016x}", fastrand::u64(..)).into();
        let shared = Arc::new(Shared::new(self.definition.settings(Arc::clone(&id), false), None, None));
        let (workflow, version) = (&self.definition.name, self.definition.version);
        let span = tracing::info_span!("run", %workflow, run = %id);
        let Volatile(shared) = &Volatile(shared);
        shared.begin(|| EventKind::RunStarted { version, recorded: 0 });
        let result = body(&Run::new(Arc::clone(shared))).instrument(span).await;
        end::tell_result(shared, &result);
        result
    }
}

impl Definition {
    fn begin(&self, admitted: Admitted, keep_state: bool) -> Execution {
        let Admitted { run, hold, now, records, waits, input, restarts, revival, asleep, cancel, resumes } =
            admitted;
        let recorded = records.len();
        let (writer, keep) = (hold.0.clone(), keep_state);
        let settings = self.settings(run.to_shared(), writer.is_some());
        let loaded = Loaded { records, waits, input, restarts, writer, keep, resumes, asleep, cancel };
        let shared = Arc::new(Shared::new(settings, Some(loaded), now));
        // A run that is cancelled before it begins has no step to undo.
        let was_never_begun = cancel && !resumes;
        Execution { shared, hold, recorded, revival, was_never_begun }
    }

    /// Returns the settings of a run. `stored` states whether it has a store, through which it can be cancelled.
    fn settings(&self, run: Arc<str>, stored: bool) -> Settings {
        let token = match &self.token {
            Some(token) if stored => Some(token.child_token()),
            None if stored => Some(CancellationToken::new()),
            token => token.clone(),
        };
        Settings {
            workflow: Arc::clone(&self.name),
            run,
            clock: self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock)),
            keeps_time: self.clock.is_some(),
            deadline: self.deadline,
            durability: self.durability,
            park_after: self.park_after,
            token,
            observers: Observers::new(self.observers.clone().into()),
            after_step: self.after_step.clone(),
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
            stage: self.stage.clone(),
            attachment: self.attachment.clone(),
        }
    }

    /// Calls the body, unless the run was cancelled before it began.
    async fn verdict<T, E: FromStep<RunError>>(
        &self,
        execution: &Execution,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> Verdict<T, E> {
        if execution.was_never_begun {
            return Verdict::Cancelled(E::from_step(RunError::Cancelled { step: None }));
        }
        self.call(execution, body).await
    }

    /// Calls the body, unless the hook before it refuses. The result is not recorded yet.
    ///
    /// The lease is renewed from here on, including the time of the hook. A panic of the hook or the body is caught.
    async fn call<T, E>(
        &self,
        execution: &Execution,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> Verdict<T, E> {
        let Execution { shared, hold, recorded, revival, .. } = execution;
        let (version, recorded) = (self.version, *recorded);
        let handle = DurableRun::new(Arc::clone(shared));
        let span = tracing::info_span!(
            "run",
            workflow = %self.name,
            run = %shared.run_id(),
            recorded,
            began_in = tracing::field::Empty,
        );
        if let Some(began_in) = trace::recorded(shared) {
            span.record("began_in", began_in);
        }
        let begun = AtomicBool::new(false);
        let hooked_body = async {
            self.ask_before_run(shared, recorded).await?;
            if let (Some(Revival { drop }), Some(Writer { store, lease, .. })) = (revival, &hold.0) {
                store.revive(lease, drop.clone()).await?;
            }
            begun.store(true, Ordering::Relaxed);
            if let (Some(stage), Some(token)) = (&self.stage, shared.stopping.token()) {
                stage.begins(shared.run_id(), token);
            }
            if let Some(current) = &self.trace {
                trace::keep(shared, &**current).await?;
            }
            shared.begin(|| EventKind::RunStarted { version, recorded });
            let result = body(&handle).await;
            if let Some(stage) = &self.stage {
                let (run, a_value, stop) = (shared.run_id(), result.is_ok(), shared.stopping.stop());
                let (stopped, knows) = (stop.fatal.as_ref(), &|key: &str| shared.keys.knows(key));
                stage.body_returned(run, a_value, stopped, knows);
            }
            Ok::<_, RunError>(result)
        };
        let caught = AssertUnwindSafe(hooked_body).catch_unwind().instrument(span);
        let ended = Heartbeat::new(caught, hold.0.as_ref(), shared).await;
        let stop = shared.stopping.stop();
        match ended {
            Err(lost) => Verdict::Interrupted(shared.stopping.stopped(lost.into())),
            Ok(Ok(Err(refused))) => Verdict::Interrupted(refused),
            Ok(Ok(Ok(result))) => Verdict::of(result, stop, shared.stopping.is_cancelled()),
            Ok(Err(panic)) => Verdict::of_panic(message(&*panic), stop, begun.into_inner()),
        }
    }

    async fn ask_before_run(&self, shared: &Shared, recorded: usize) -> Result<(), RunError> {
        // A run that is to be cancelled has to undo its work, whatever the hook returns.
        let Some(hook) = self.before_run.as_ref().filter(|_| !shared.stopping.knows_of_cancel()) else {
            return Ok(());
        };
        let (workflow, run) = (Arc::clone(&self.name), Arc::from(shared.run_id()));
        let began = shared.time.elapsed();
        let hook = hook(RunInfo { workflow, run, recorded });
        let Some(answer) = shared.within_limits(hook).await? else { return Ok(()) };
        let duration = shared.time.elapsed().saturating_sub(began);
        shared.tell(|| match &answer {
            Ok(()) => EventKind::HookPassed { step: None, duration },
            Err(refusal) => {
                let error = refusal.reason.to_string();
                EventKind::HookRefused { step: None, duration, error }
            }
        });
        answer.map_err(|Refusal { by, reason, retry_after }| {
            let step = shared.run_id().to_owned().into();
            RunError::Refused { step, by, reason, retry_after }
        })
    }

    fn state_of(&self, execution: &Execution) -> ResumeState {
        let shared = &execution.shared;
        self.state(shared.run_id().into(), shared.journal.input().cloned(), shared.journal.kept())
    }

    pub(super) fn state(&self, run: Arc<str>, input: Option<Payload>, records: Vec<Record>) -> ResumeState {
        ResumeState::new(run, Arc::clone(&self.name), self.version, input, records)
    }
}

/// Records the end of the run, and then sends its events. `retry` is the policy for failed runs, if there is one.
async fn close<X, T, E>(
    execution: &mut Execution,
    verdict: Verdict<T, E>,
    retry: Option<&Retry>,
) -> Verdict<T, E>
where
    X: KeepRun<T, E>,
    E: FromStep<RunError> + fmt::Display,
{
    let verdict = keep::<X, T, E>(execution, verdict, retry).await;
    end::tell(&execution.shared, &verdict);
    verdict
}

/// Closes the run, and returns its result. If the run was called by the body of another run, that run learns of a pause.
async fn conclude<X, T, E>(execution: &mut Execution, verdict: Verdict<T, E>) -> Result<T, E>
where
    X: KeepRun<T, E>,
    E: FromStep<RunError> + fmt::Display,
{
    let verdict = close::<X, T, E>(execution, verdict, None).await;
    match &verdict {
        Verdict::Waiting(_) | Verdict::Interrupted(_) => note_other_run(OtherRun::Paused),
        Verdict::Cancelled(_) => note_other_run(OtherRun::Cancelled),
        Verdict::Completed(_) | Verdict::Failed(_) | Verdict::Panicked(_) => {}
    }
    verdict.into_result()
}

/// Records the end of the run. If the result cannot be recorded, the run has failed, and the store records the failure
/// instead.
async fn keep<X, T, E>(
    execution: &mut Execution,
    verdict: Verdict<T, E>,
    retry: Option<&Retry>,
) -> Verdict<T, E>
where
    X: KeepRun<T, E>,
    E: FromStep<RunError> + fmt::Display,
{
    let Execution { shared, hold, .. } = execution;
    if let Verdict::Interrupted(RunError::Restarting) = &verdict
        && let (Some(input), Some(Writer { store, lease, .. })) = (shared.restarts(), &hold.0)
    {
        return match store.restart(lease, Some(input)).await {
            Ok(()) => {
                hold.0 = None;
                verdict
            }
            Err(error) => Verdict::Interrupted(error.into()),
        };
    }
    let (ending, mut verdict) = match end::ending::<X, T, E>(&verdict, shared) {
        Ok(None) => return verdict,
        Ok(Some(ending)) => (ending, verdict),
        Err(error) => (end::unkept(&error, shared), Verdict::Panicked(error)),
    };
    let Some(Writer { store, lease, .. }) = &hold.0 else { return verdict };
    let mut ending = ending;
    if let Some(retrying) = retry.and_then(|retry| again::next(retry, &ending, shared)) {
        if let Err(error) = again::count(store, lease, retrying).await {
            return Verdict::Interrupted(error.into());
        }
        ending = Ending { status: Status::Waiting, outcome: None, wake: Some(retrying.until), ..ending };
        verdict = verdict.retried();
    }
    let mut finished = store.finish(lease, ending).await;
    if let Err(StoreError::Unstorable { detail }) = &finished {
        let error = RunError::unkept_result::<T>(shared.run_id(), detail);
        finished = store.finish(lease, end::unkept(&error, shared)).await;
        verdict = Verdict::Panicked(error);
    }
    match finished {
        // The store released the lease when it recorded the end.
        Ok(()) => {
            hold.0 = None;
            verdict
        }
        Err(error) => Verdict::Interrupted(error.into()),
    }
}

/// Returns the recorded result of a run that has ended before.
fn recorded<X: KeepRun<T, E>, T, E: FromStep<RunError>>(header: &Header, run: &str) -> Result<T, E> {
    let Some(outcome) = &header.outcome else {
        return Err(E::from_step(RunError::Cancelled { step: None }));
    };
    X::decode(outcome).unwrap_or_else(|error| {
        Err(E::from_step(RunError::Undecodable {
            what: format!("the result of run `{run}`").into(),
            type_name: error.type_name,
            reason: error.reason,
        }))
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
