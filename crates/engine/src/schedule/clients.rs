use std::fmt;
use std::future::IntoFuture;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use awaitly_core::journal::{EncodeError, Timestamp};
use awaitly_core::store::{Dispatch, Input, PutSchedule, RunId, ScheduleQuery, StoreError, StoredSchedule};
use serde::Serialize;

use super::stored::{Stored, run_id};
use super::{Schedule, ScheduleError, ScheduleInfo};
use crate::StartError;

/// The definition of a schedule: [`Client::schedule`](crate::Client::schedule) returns it, and `.await` stores it.
#[must_use = "nothing happens until it is awaited"]
pub struct Scheduling<S> {
    store: S,
    name: Arc<str>,
    stored: Result<Stored, ScheduleError>,
}

impl<S: Dispatch + Clone> Scheduling<S> {
    pub(crate) fn new<I: Serialize>(
        store: S,
        name: Arc<str>,
        schedule: Schedule,
        workflow: &'static str,
        input: &I,
    ) -> Self {
        let input = Input::of(input).map_err(|EncodeError { type_name, reason, .. }| {
            ScheduleError::from(StartError::Unencodable { type_name, reason })
        });
        let stored = input.map(|Input { payload, fingerprint }| Stored {
            schedule,
            workflow: workflow.into(),
            input: payload.as_str().to_owned(),
            fingerprint,
            queue: Arc::default(),
            key: None,
            priority: 0,
            paused: false,
            next: None,
            last: None,
            buffered: None,
        });
        Self { store, name, stored }
    }

    /// Puts the runs into this queue.
    ///
    /// # Default
    /// The default queue.
    pub fn queue(self, queue: impl Into<Arc<str>>) -> Self {
        self.with(|stored| stored.queue = queue.into())
    }

    /// Sets the key of the runs in their queue.
    pub fn key(self, key: impl Into<Arc<str>>) -> Self {
        self.with(|stored| stored.key = Some(key.into()))
    }

    /// Sets the priority of the runs. One point is worth one second of waiting, or one turn in a fair queue.
    pub fn priority(self, priority: i32) -> Self {
        self.with(|stored| stored.priority = priority)
    }

    fn with(mut self, change: impl FnOnce(&mut Stored)) -> Self {
        if let Ok(stored) = &mut self.stored {
            change(stored);
        }
        self
    }
}

impl<S: Dispatch + Clone> IntoFuture for Scheduling<S> {
    type Output = Result<ScheduleHandle<S>, ScheduleError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { store, name, stored } = self;
        Box::pin(async move {
            let handle = ScheduleHandle { store, name };
            handle.put(stored?).await?;
            Ok(handle)
        })
    }
}

/// The maximum number of runs that [`ScheduleHandle::backfill`] starts.
const MOST_BACKFILLED: usize = 1000;

/// A handle of one schedule. A clone is cheap. Dropping it does not affect the schedule.
///
/// # Examples
/// ```
/// use awaitly_core::RunError;
/// use awaitly_engine::{Client, Contract, Schedule};
/// use awaitly_persistence::MemoryStore;
///
/// const REPORT: Contract<String, (), RunError> = Contract::new("report");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(MemoryStore::new());
/// let nightly = client.schedule("nightly", Schedule::cron("0 3 * * *"), REPORT, &"sales".to_owned()).await?;
/// nightly.pause().await?;
/// assert!(nightly.info().await?.next.is_empty());
/// nightly.resume().await?;
/// assert_eq!(nightly.info().await?.next.len(), 5);
/// let run = nightly.trigger().await?; // a run now, beside the rule
/// assert!(run.starts_with("nightly@"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ScheduleHandle<S> {
    store: S,
    name: Arc<str>,
}

impl<S: Dispatch + Clone> ScheduleHandle<S> {
    pub(crate) const fn new(store: S, name: Arc<str>) -> Self {
        Self { store, name }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the rule, the state and the next five times.
    ///
    /// # Errors
    /// Returns [`ScheduleError::NoSuchSchedule`] if the schedule was deleted, and [`ScheduleError::Store`] if the store
    /// fails.
    pub async fn info(&self) -> Result<ScheduleInfo, ScheduleError> {
        let Found { stored, .. } = self.found().await?;
        Ok(ScheduleInfo::of(Arc::clone(&self.name), stored))
    }

    /// Pauses the schedule: it starts no runs until it is [resumed](Self::resume).
    ///
    /// # Errors
    /// Returns [`ScheduleError::NoSuchSchedule`] if the schedule was deleted, and [`ScheduleError::Store`] if the store
    /// fails.
    pub async fn pause(&self) -> Result<(), ScheduleError> {
        self.change(|found, _| {
            found.stored.paused = true;
            Ok(())
        })
        .await
    }

    /// Resumes a schedule that is paused, or that stopped because its time zone was unknown. Times that have passed in
    /// the meantime start no runs.
    ///
    /// # Errors
    /// As [`pause`](Self::pause), and [`ScheduleError::UnknownZone`] if the time zone is still unknown.
    pub async fn resume(&self) -> Result<(), ScheduleError> {
        self.change(|Found { due, stored, .. }, now| {
            if stored.paused || due.is_none() {
                stored.paused = false;
                stored.next = stored.schedule.times(now, 1)?.first().copied();
            }
            Ok(())
        })
        .await
    }

    /// Starts a run now, in addition to the times of the rule, and returns its id. The call works on a paused schedule,
    /// too, and ignores the overlap.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn trigger(&self) -> Result<RunId, ScheduleError> {
        let now = self.store.now().await?;
        let Found { stored, .. } = self.found().await?;
        self.store.submit(vec![stored.submit(&self.name, now)?]).await?;
        Ok(run_id(&self.name, now)?)
    }

    /// Starts a run for each time of the rule in `range`, at most 1000, and returns their ids. If the run of a time
    /// exists already, the call starts no second one. The call works on a paused schedule, too, and ignores the
    /// overlap.
    ///
    /// # Errors
    /// As [`pause`](Self::pause), and [`ScheduleError::UnknownZone`] if the time zone is unknown.
    pub async fn backfill(&self, range: Range<Timestamp>) -> Result<Vec<RunId>, ScheduleError> {
        let Found { stored, .. } = self.found().await?;
        let before = Timestamp::from_millis(range.start.as_millis().saturating_sub(1));
        let times: Vec<_> = {
            let parsed = stored.schedule.rule.parsed()?;
            parsed.after(before).take_while(|moment| *moment < range.end).take(MOST_BACKFILLED).collect()
        };
        let submits: Vec<_> =
            times.into_iter().map(|moment| stored.submit(&self.name, moment)).collect::<Result<_, _>>()?;
        let ids = submits.iter().map(|submit| submit.run.clone()).collect();
        if !submits.is_empty() {
            self.store.submit(submits).await?;
        }
        Ok(ids)
    }

    /// Deletes the schedule. Its runs stay. Returns `false` if there is no such schedule.
    ///
    /// # Errors
    /// Returns [`ScheduleError::Store`] if the store fails.
    pub async fn delete(&self) -> Result<bool, ScheduleError> {
        loop {
            let Some(StoredSchedule { version, .. }) = self.look().await? else { return Ok(false) };
            if self.made(Some(version), None).await? {
                return Ok(true);
            }
        }
    }

    /// Stores a definition. An equal one stays unchanged, with its state. One that cannot be read is replaced.
    async fn put(&self, new: Stored) -> Result<(), ScheduleError> {
        new.check()?;
        let bytes = self.name.len();
        if !(1..=ScheduleError::MAX_NAME_BYTES).contains(&bytes) {
            return Err(ScheduleError::BadName { bytes });
        }
        loop {
            let now = self.store.now().await?;
            let first = new.schedule.times(now, 1)?.first().copied().ok_or(ScheduleError::Never)?;
            let new = Stored { next: Some(first), ..new.clone() };
            let found = self.look().await?;
            let version = found.as_ref().map(|found| found.version);
            let put = match found.map(|found| (Stored::read(&found), found.due)) {
                Some((Ok(old), due)) if old.is_like(&new) && (old.paused || due.is_some()) => return Ok(()),
                // A stopped schedule begins with the next time, as after a pause.
                Some((Ok(old), due)) => new.replacing(&old, due.is_some()),
                Some((Err(_), _)) | None => new,
            };
            if self.made(version, Some(&put)).await? {
                return Ok(());
            }
        }
    }

    async fn change(
        &self,
        change: impl Fn(&mut Found, Timestamp) -> Result<(), ScheduleError>,
    ) -> Result<(), ScheduleError> {
        loop {
            let now = self.store.now().await?;
            let mut found = self.found().await?;
            change(&mut found, now)?;
            if self.made(Some(found.version), Some(&found.stored)).await? {
                return Ok(());
            }
        }
    }

    async fn look(&self) -> Result<Option<StoredSchedule>, StoreError> {
        Ok(self.store.schedules(ScheduleQuery::new().name(Arc::clone(&self.name))).await?.pop())
    }

    async fn found(&self) -> Result<Found, ScheduleError> {
        let found = self.look().await?.ok_or(ScheduleError::NoSuchSchedule)?;
        let stored = Stored::read(&found).map_err(|error| StoreError::Corrupt {
            detail: format!("the schedule `{}`: {}", self.name, error.reason).into(),
        })?;
        Ok(Found { version: found.version, due: found.due, stored })
    }

    /// Changes the stored schedule, if it still has this version. Returns whether the schedule changed.
    async fn made(&self, version: Option<u64>, stored: Option<&Stored>) -> Result<bool, ScheduleError> {
        let put = stored.map(|stored| (stored.due(), stored.rule()));
        let change = PutSchedule { name: Arc::clone(&self.name), version, put };
        Ok(self.store.put_schedules(vec![change]).await?.pop().unwrap_or(false))
    }
}

/// A stored schedule with a readable definition.
struct Found {
    version: u64,
    due: Option<Timestamp>,
    stored: Stored,
}

/// Returns the schedules after `after`, at most 1000, without those that cannot be read.
pub(crate) async fn list<S: Dispatch>(
    store: &S,
    after: Option<Arc<str>>,
) -> Result<Vec<ScheduleInfo>, StoreError> {
    let query = ScheduleQuery::new().limit(1000);
    let query = match after {
        Some(after) => query.after(after),
        None => query,
    };
    let found = store.schedules(query).await?;
    Ok(found
        .into_iter()
        .filter_map(|found| Stored::read(&found).ok().map(|stored| ScheduleInfo::of(found.name, stored)))
        .collect())
}

impl<S> fmt::Debug for Scheduling<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduling").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for ScheduleHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScheduleHandle").field(&self.name).finish()
    }
}
