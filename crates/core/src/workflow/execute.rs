use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tracing::Instrument;

use super::builder::Workflow;
use super::end::{self, Verdict};
use super::heartbeat::Heartbeat;
use super::hooks::RunInfo;
use super::keep::KeepRun;
use crate::error::{FromStep, RunError};
use crate::event::{EventKind, Hook, Observers};
use crate::journal::{Header, Payload, Record, ResumeState};
use crate::run::{DurableRun, Journal, Run, Settings, Shared, Writer};
use crate::store::{Open, Opened, Owner, Purpose, RunId, StoredRun};

/// A run that may be executed.
struct Admitted {
    run: RunId,
    hold: Hold,
    records: Vec<Record>,
    input: Option<Payload>,
}

/// Why the body is not called.
enum NotAdmitted {
    Ended(Header),
    Refused(RunError),
}

/// A run's place in its store, where it has one. The lease is given back when the run is dropped in the
/// middle, or not begun.
struct Hold(Option<Writer>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(Writer { store, lease }) = self.0.take() {
            store.release(&lease);
        }
    }
}

impl<X> Workflow<X> {
    /// A run on the workflow's store, or on none.
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
        let state = |records| {
            ResumeState::new(
                Arc::clone(&run),
                Arc::clone(&self.name),
                self.version,
                records,
            )
        };
        let admitted = match self.admit(&run, purpose).await {
            Ok(admitted) => admitted,
            Err(NotAdmitted::Refused(error)) => {
                return (Err(E::from_step(error)), state(Vec::new()));
            }
            Err(NotAdmitted::Ended(header)) => {
                let records = self.ended_records(&run, keep_state).await;
                return (recorded::<X, T, E>(&header, &run), state(records));
            }
        };
        let Admitted {
            run: id,
            mut hold,
            records,
            input,
        } = admitted;
        let recorded = records.len();
        let writer = hold.0.clone();
        let journal = Journal::new(records, writer.clone(), input, keep_state);
        let shared = self.share(&id, Some(journal));
        let handle = DurableRun::new(Arc::clone(&shared));

        let result = match self
            .call(&shared, writer.as_ref(), recorded, body, &handle)
            .await
        {
            Err(error) => Err(E::from_step(error)),
            Ok(verdict) => self.conclude::<T, E>(&shared, &mut hold, verdict).await,
        };
        (result, state(shared.kept()))
    }

    /// A run that begins with a state and has no store.
    pub(super) async fn execute_state<T, E>(
        &self,
        state: ResumeState,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> (Result<T, E>, ResumeState)
    where
        E: FromStep<RunError> + fmt::Display,
    {
        let (run, before) = (Arc::clone(&state.run), state.clone());
        let (id, records) = match self.admit_state(state) {
            Ok(admitted) => admitted,
            Err(error) => return (Err(E::from_step(error)), before),
        };
        let recorded = records.len();
        let shared = self.share(&id, Some(Journal::new(records, None, None, true)));
        let handle = DurableRun::new(Arc::clone(&shared));
        let result = match self.call(&shared, None, recorded, body, &handle).await {
            Err(error) => Err(E::from_step(error)),
            Ok(verdict) => {
                end::tell(&shared, &verdict);
                verdict.into_result()
            }
        };
        let state = ResumeState::new(run, Arc::clone(&self.name), self.version, shared.kept());
        (result, state)
    }

    /// A run whose steps are not recorded.
    pub(super) async fn execute_volatile<T, E>(
        &self,
        body: impl AsyncFnOnce(&Run) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: fmt::Display,
    {
        let id: Arc<str> = format!("{:016x}", fastrand::u64(..)).into();
        let shared = Arc::new(Shared::new(self.settings(Arc::clone(&id)), None));
        let span = tracing::info_span!("run", workflow = %self.name, run = %id);
        shared.tell_if_observed(|| EventKind::RunStarted {
            version: self.version,
            recorded: 0,
        });
        let result = body(&Run::new(Arc::clone(&shared))).instrument(span).await;
        end::tell_result(&shared, &result);
        result
    }

    // Opening.

    async fn admit(&self, run: &Arc<str>, purpose: Purpose) -> Result<Admitted, NotAdmitted> {
        let request = self.request(run, purpose).map_err(NotAdmitted::Refused)?;
        let run = request.run.clone();
        let Some(store) = &self.store else {
            let input = request.input.map(|input| input.payload);
            let (hold, records) = (Hold(None), Vec::new());
            return Ok(Admitted {
                run,
                hold,
                records,
                input,
            });
        };
        match store.open(request).await {
            Err(error) => Err(NotAdmitted::Refused(error.into())),
            Ok(Opened::Ended(header)) => Err(NotAdmitted::Ended(header)),
            Ok(Opened::Refused(refused)) => Err(NotAdmitted::Refused(RunError::refused(
                refused,
                &run,
                self.version,
            ))),
            Ok(Opened::Held { lease, run: stored }) => {
                let store = store.clone();
                let hold = Hold(Some(Writer { store, lease }));
                let (records, input) = self
                    .migrate(&run, &hold, stored)
                    .await
                    .map_err(NotAdmitted::Refused)?;
                Ok(Admitted {
                    run,
                    hold,
                    records,
                    input,
                })
            }
        }
    }

    /// The records of a run that has ended, where they are asked for.
    async fn ended_records(&self, run: &Arc<str>, wanted: bool) -> Vec<Record> {
        let (Some(store), true, Ok(run)) = (&self.store, wanted, RunId::new(Arc::clone(run)))
        else {
            return Vec::new();
        };
        match store.load(&run).await {
            Ok(stored) => stored.map(|stored| stored.records).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%run, %error, "the records of the ended run could not be read");
                Vec::new()
            }
        }
    }

    /// What the store is asked, once everything in it is within its limits.
    fn request(&self, run: &Arc<str>, purpose: Purpose) -> Result<Open, RunError> {
        let run = RunId::new(Arc::clone(run))?;
        within(
            "the name of the workflow",
            self.name.len(),
            RunId::MAX_BYTES,
        )?;
        let request = Open::new(run, Arc::clone(&self.name), Owner::unique())
            .version(self.version)
            .ttl(self.lease)
            .purpose(purpose);
        match &self.input {
            None => Ok(request),
            Some(Ok(input)) => {
                within(
                    "the input of the run",
                    input.payload.len(),
                    Payload::MAX_BYTES,
                )?;
                Ok(request.input(input.clone()))
            }
            Some(Err(error)) => Err(RunError::Unencodable {
                what: "the input of the run".into(),
                type_name: error.type_name.clone(),
                reason: error.reason.clone(),
            }),
        }
    }

    /// Brings the journal to the version of the code, and stores it before anything else.
    async fn migrate(
        &self,
        run: &RunId,
        hold: &Hold,
        stored: StoredRun,
    ) -> Result<(Vec<Record>, Option<Payload>), RunError> {
        let StoredRun {
            header,
            input,
            records,
        } = stored;
        if header.version >= self.version {
            return Ok((records, input));
        }
        let records = self
            .migrations
            .apply(records, header.version, self.version)
            .map_err(|error| RunError::migration(&error, run))?;
        if let Some(Writer { store, lease }) = &hold.0 {
            store.rewrite(lease, self.version, records.clone()).await?;
        }
        Ok((records, input))
    }

    fn admit_state(&self, state: ResumeState) -> Result<(RunId, Vec<Record>), RunError> {
        let run: Box<str> = (*state.run).into();
        if state.format > ResumeState::FORMAT {
            let (found, supported) = (state.format, ResumeState::FORMAT);
            return Err(crate::store::StoreError::NewerFormat { found, supported }.into());
        }
        if state.workflow != self.name {
            return Err(RunError::OtherWorkflow {
                run,
                workflow: (*state.workflow).into(),
            });
        }
        if state.version > self.version {
            return Err(RunError::NewerVersion {
                run,
                stored: state.version,
                code: self.version,
            });
        }
        let id = RunId::new(state.run)?;
        let records = self
            .migrations
            .apply(state.records, state.version, self.version)
            .map_err(|error| RunError::migration(&error, &id))?;
        Ok((id, records))
    }

    fn share(&self, run: &RunId, journal: Option<Journal>) -> Arc<Shared> {
        Arc::new(Shared::new(self.settings(run.to_shared()), journal))
    }

    fn settings(&self, run: Arc<str>) -> Settings {
        Settings {
            workflow: Arc::clone(&self.name),
            run,
            clock: Arc::clone(&self.clock),
            deadline: self.deadline,
            token: self.token.clone(),
            observers: Observers::new(self.observers.clone().into()),
            after_step: self.after_step.clone(),
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
        }
    }

    // Running.

    /// Calls the body, unless the hook before it refuses. What it ended in is not kept yet.
    async fn call<T, E>(
        &self,
        shared: &Arc<Shared>,
        writer: Option<&Writer>,
        recorded: usize,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
        handle: &DurableRun,
    ) -> Result<Verdict<T, E>, RunError>
    where
        E: fmt::Display,
    {
        self.ask_before_run(shared, recorded).await?;
        let span =
            tracing::info_span!("run", workflow = %self.name, run = %shared.run_id(), recorded);
        shared.tell_if_observed(|| EventKind::RunStarted {
            version: self.version,
            recorded,
        });
        let body = AssertUnwindSafe(body(handle))
            .catch_unwind()
            .instrument(span);
        let ended = Heartbeat::new(body, writer, shared.clock(), self.lease).await;
        Ok(match ended {
            Err(lost) => Verdict::Interrupted(shared.stopped(lost.into())),
            Ok(Ok(result)) => Verdict::of(result, &shared.stop()),
            Ok(Err(panic)) => Verdict::Panicked(RunError::Panicked {
                step: shared.stop().panicked,
                message: message(&*panic).into(),
            }),
        })
    }

    async fn ask_before_run(&self, shared: &Shared, recorded: usize) -> Result<(), RunError> {
        let Some(hook) = &self.before_run else {
            return Ok(());
        };
        let (workflow, run) = (Arc::clone(&self.name), Arc::from(shared.run_id()));
        let began = shared.elapsed();
        let answer = hook(RunInfo {
            workflow,
            run,
            recorded,
        })
        .await;
        let duration: Duration = shared.elapsed().saturating_sub(began);
        let hook = Hook::BeforeRun;
        match answer {
            Ok(()) => {
                shared.tell_if_observed(|| EventKind::HookPassed {
                    hook,
                    step: None,
                    duration,
                });
                Ok(())
            }
            Err(refusal) => {
                let error = refusal.reason.to_string();
                shared.tell_if_observed(|| EventKind::HookRefused {
                    hook,
                    step: None,
                    duration,
                    error,
                });
                let crate::guard::Refusal {
                    by,
                    reason,
                    retry_after,
                } = refusal;
                Err(RunError::Refused {
                    step: shared.run_id().to_owned().into(),
                    by,
                    reason,
                    retry_after,
                })
            }
        }
    }

    // Ending.

    /// Keeps what the run ended in, and then tells of it.
    async fn conclude<T, E>(
        &self,
        shared: &Shared,
        hold: &mut Hold,
        verdict: Verdict<T, E>,
    ) -> Result<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let ending = match end::ending::<X, T, E>(&verdict, shared) {
            Ok(ending) => ending,
            Err(error) => {
                end::tell(shared, &Verdict::<T, E>::Interrupted(error.clone()));
                return Err(E::from_step(error));
            }
        };
        if let (Some(ending), Some(Writer { store, lease })) = (ending, &hold.0) {
            if let Err(error) = store.finish(lease, ending).await {
                let error = shared.stopped(error.into());
                end::tell(shared, &Verdict::<T, E>::Interrupted(error.clone()));
                return Err(E::from_step(error));
            }
            // The lease went back with it.
            hold.0 = None;
        }
        end::tell(shared, &verdict);
        // Whoever still holds a handle can record nothing more.
        let run = shared.run_id().into();
        shared.stopped(crate::store::StoreError::LeaseLost { run }.into());
        verdict.into_result()
    }
}

fn within(what: &str, bytes: usize, limit: usize) -> Result<(), RunError> {
    if (1..=limit).contains(&bytes) {
        return Ok(());
    }
    let what = format!("{what}, which must not be empty,").into();
    Err(RunError::TooLarge { what, bytes, limit })
}

/// The result of a run that has ended before.
fn recorded<X: KeepRun<T, E>, T, E: FromStep<RunError>>(
    header: &Header,
    run: &str,
) -> Result<T, E> {
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
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
