//! The opening of a run: the request to the store, and the migration of its journal to the version of the code.

use std::collections::HashSet;
use std::sync::Arc;

use super::builder::Definition;
use crate::error::RunError;
use crate::journal::{
    Contents, Fingerprint, Header, Key, Payload, Record, ResumeState, Status, Timestamp, WaitEntry,
};
use crate::shared::Writer;
use crate::store::{Input, Lease, Open, Opened, Owner, Purpose, Rewrite, RunId, StoreError, StoredRun};

/// A run that may be executed.
pub(super) struct Admitted {
    pub(super) run: RunId,
    pub(super) hold: Hold,
    /// The time of the store's clock, or `None` without a store.
    pub(super) now: Option<Timestamp>,
    pub(super) records: Vec<Record>,
    pub(super) waits: Vec<WaitEntry>,
    pub(super) input: Option<Payload>,
    /// The number of times that the run was restarted.
    pub(super) restarts: u32,
    pub(super) revival: Option<Revival>,
    /// Whether the run's status in the store stays waiting or cancelled until an undo begins.
    pub(super) asleep: bool,
    /// Whether the run's cancellation was requested, by this call or before it.
    pub(super) cancel: bool,
    /// Whether an earlier execution may have begun, even if it recorded no outcome.
    pub(super) resumes: bool,
}

impl Admitted {
    /// Creates a run without a store.
    fn alone(run: RunId, records: Vec<Record>, input: Option<Payload>) -> Self {
        let (hold, waits, revival) = (Hold(None), Vec::new(), None);
        let (asleep, cancel, resumes) = (false, false, !records.is_empty());
        Self { run, hold, now: None, records, waits, input, restarts: 0, revival, asleep, cancel, resumes }
    }
}

/// The change to a waiting or ended run, applied immediately before its execution begins.
pub(super) struct Revival {
    /// The keys of the steps that the run failed on. Their records are dropped.
    pub(super) drop: Vec<Key>,
}

/// The reason why the body is not called.
pub(super) enum NotAdmitted {
    /// The run has ended, with this header.
    Ended(Header),
    Refused(RunError),
}

impl From<RunError> for NotAdmitted {
    fn from(error: RunError) -> Self {
        Self::Refused(error)
    }
}

/// The lease of a run in its store, if there is a store. The lease is released if the run is dropped before its end, or
/// never begins.
pub(super) struct Hold(pub(super) Option<Writer>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(Writer { store, lease, .. }) = self.0.take() {
            store.release(&lease);
        }
    }
}

impl Definition {
    pub(super) async fn admit(&self, run: &Arc<str>, purpose: Purpose) -> Result<Admitted, NotAdmitted> {
        let request = self.request(run, purpose)?;
        let run = request.run.clone();
        let Some(store) = &self.store else {
            let input = request.input.map(|input| input.payload);
            let cancel = purpose == Purpose::Cancel;
            return Ok(Admitted { cancel, ..Admitted::alone(run, Vec::new(), input) });
        };
        match store.open(request).await.map_err(RunError::from)? {
            Opened::Ended(header) => Err(NotAdmitted::Ended(header)),
            Opened::Refused(refused) => Err(RunError::refused(refused, &run, self.version).into()),
            Opened::Held { lease, now, run: stored } => {
                let hold = Hold(Some(Writer { store: store.clone(), lease, ttl: self.lease }));
                let admitted = self.admitted(run, hold, now, stored, purpose).await;
                // Dropping the lease releases it.
                admitted.map_err(|(error, _)| error.into())
            }
        }
    }

    /// Returns the hold of a run whose lease a claim took.
    ///
    /// # Panics
    /// Panics if the workflow has no store.
    pub(super) fn hold(&self, lease: Lease) -> Hold {
        let store = self.store.clone();
        #[expect(clippy::expect_used, reason = "the caller claimed the run from that store")]
        let store = store.expect("a workflow whose runs are claimed has a store");
        Hold(Some(Writer { store, lease, ttl: self.lease }))
    }

    /// Admits a run whose lease a claim took. Returns the lease with the error.
    pub(super) async fn admit_held(
        &self,
        run: RunId,
        hold: Hold,
        now: Timestamp,
        stored: StoredRun,
    ) -> Result<Admitted, (RunError, Hold)> {
        self.admitted(run, hold, now, stored, Purpose::Resume).await
    }

    /// Creates the request to the store, after a check of its limits.
    fn request(&self, run: &Arc<str>, purpose: Purpose) -> Result<Open, RunError> {
        let run = RunId::new(Arc::clone(run))?;
        within("the name of the workflow", self.name.len(), RunId::MAX_BYTES)?;
        let request = Open::new(run, Arc::clone(&self.name), Owner::unique())
            .version(self.version)
            .ttl(self.lease)
            .purpose(purpose);
        let request = if self.must_exist { request.existing() } else { request };
        Ok(match self.input()? {
            Some(input) => request.input(input.clone()),
            None => request,
        })
    }

    fn input(&self) -> Result<Option<&Input>, RunError> {
        match &self.input {
            None => Ok(None),
            Some(Ok(input)) => {
                within("the input of the run", input.payload.len(), Payload::MAX_BYTES)?;
                Ok(Some(input))
            }
            Some(Err(error)) => Err(RunError::Unencodable {
                what: "the input of the run".into(),
                type_name: error.type_name.clone(),
                reason: error.reason.clone(),
            }),
        }
    }

    /// Prepares a run whose lease is held, and migrates its journal to the version of the code. Returns the lease with
    /// an error.
    async fn admitted(
        &self,
        run: RunId,
        hold: Hold,
        now: Timestamp,
        stored: StoredRun,
        purpose: Purpose,
    ) -> Result<Admitted, (RunError, Hold)> {
        let stored = match self.migrated(&run, &hold, stored).await {
            Ok(stored) => stored,
            Err(error) => return Err((error, hold)),
        };
        let StoredRun { header, input, mut records, waits } = stored;
        let is_too_late = records.iter().any(|record| record.key == Key::TOO_LATE_TO_CANCEL);
        if purpose == Purpose::Cancel && is_too_late && !header.cancel_requested {
            return Err((RunError::TooLateToCancel { run: (*run).into() }, hold));
        }
        // A run that is opened only for an undo keeps its status until the undo begins.
        let cancelling = purpose == Purpose::Cancel;
        let rests = header.status != Status::Running;
        let (revived, asleep) = (rests && !cancelling, rests && cancelling);
        let revival = revived.then_some(Revival { drop: header.failed_on });
        if let Some(Revival { drop }) = &revival {
            let dropped: HashSet<_> = drop.iter().collect();
            records.retain(|record| !dropped.contains(&record.key));
        }
        let cancel = header.cancel_requested || cancelling;
        // A run that begins now is running since now.
        let has_begun = header.status != Status::Queued && (rests || header.changed != now);
        let resumes = has_begun || !records.is_empty() || !waits.is_empty();
        let now = Some(now);
        let restarts = header.restarts;
        Ok(Admitted { run, hold, now, records, waits, input, restarts, revival, asleep, cancel, resumes })
    }

    /// Migrates the journal to the version of the code, and stores it before any other write.
    async fn migrated(&self, run: &RunId, hold: &Hold, mut stored: StoredRun) -> Result<StoredRun, RunError> {
        while stored.header.version < self.version {
            let StoredRun { mut header, input, records, waits } = stored;
            let (version, failed_on) = (header.version, std::mem::take(&mut header.failed_on));
            // In the order in which the store returned them.
            let waited = waits.iter().map(|entry| entry.key.clone()).collect();
            let contents = Contents { records, waits, failed_on };
            // No version of the code has written the journal of a queued run, or of one that was cancelled while queued.
            let is_new = header.status == Status::Queued
                || (version == 0 && contents.records.is_empty() && contents.waits.is_empty());
            let contents = if is_new { contents } else { self.migrate(contents, version, run)? };
            if let Some(Writer { store, lease, .. }) = &hold.0 {
                let rewrite = Rewrite { version: self.version, contents: contents.clone(), waited };
                match store.rewrite(lease, rewrite).await {
                    Ok(()) => {}
                    Err(StoreError::Answered { .. }) => {
                        let lost = || StoreError::LeaseLost { run: (**run).into() };
                        stored = store.load(run).await?.ok_or_else(lost)?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            let Contents { records, waits, failed_on } = contents;
            (header.version, header.failed_on) = (self.version, failed_on);
            stored = StoredRun { header, input, records, waits };
        }
        Ok(stored)
    }

    fn migrate(&self, mut contents: Contents, from: u32, run: &str) -> Result<Contents, RunError> {
        let unmatched = self.migrations.apply(&mut contents, from, self.version);
        let unmatched = unmatched.map_err(|error| RunError::migration(&error, run))?;
        let to = self.version;
        for key in unmatched {
            tracing::debug!(run, from, to, %key, "a migration found nothing to change");
        }
        Ok(contents)
    }

    /// Admits a run that begins with a state.
    pub(super) fn admit_state(&self, state: ResumeState) -> Result<Admitted, RunError> {
        let run: Box<str> = (*state.run).into();
        if state.format > ResumeState::FORMAT {
            let (found, supported) = (state.format, ResumeState::FORMAT);
            return Err(StoreError::NewerFormat { found, supported }.into());
        }
        if state.workflow != self.name {
            return Err(RunError::OtherWorkflow { run, workflow: (*state.workflow).into() });
        }
        if state.version > self.version {
            return Err(RunError::NewerVersion { run, stored: state.version, code: self.version });
        }
        let input = match self.input()? {
            Some(given) if state.input.as_ref().is_some_and(|input| !is_same(input, given)) => {
                return Err(RunError::InputChanged { what: format!("run `{run}`").into() });
            }
            Some(given) => Some(given.payload.clone()),
            None => state.input,
        };
        let id = RunId::new(state.run)?;
        let contents = Contents { records: state.records, ..Contents::default() };
        let contents = self.migrate(contents, state.version, &id)?;
        Ok(Admitted::alone(id, contents.records, input))
    }

    /// Returns the state of a run that has ended: its records, in their recorded version.
    pub(super) async fn ended_state(&self, run: &Arc<str>) -> Result<ResumeState, RunError> {
        let id = RunId::new(Arc::clone(run))?;
        let stored = match &self.store {
            Some(store) => store.load(&id).await?,
            None => None,
        };
        let Some(StoredRun { header, input, records, .. }) = stored else {
            return Ok(self.state(Arc::clone(run), None, Vec::new()));
        };
        Ok(ResumeState::new(Arc::clone(run), header.workflow, header.version, input, records))
    }
}

/// Whether an input equals the input of a state, regardless of the order of map entries.
fn is_same(input: &Payload, given: &Input) -> bool {
    let value = input.decode::<serde_json::Value>();
    value.is_ok_and(|value| Fingerprint::of(&value).is_ok_and(|found| found == given.fingerprint))
}

fn within(what: &str, bytes: usize, limit: usize) -> Result<(), RunError> {
    if (1..=limit).contains(&bytes) {
        return Ok(());
    }
    Err(RunError::unfit(what, bytes, limit))
}
