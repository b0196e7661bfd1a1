use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::RunError;
use awaitly_core::clock::{ms, secs};
use awaitly_core::journal::{Outcome, Payload, Status, Timestamp};
use awaitly_core::store::{Claim, Claimed, Configure, Dispatch, Ending, Held, Owner, StoreError};
use tokio::time::{Instant, sleep_until};

use super::Worker;
use super::crew::Crew;
use super::served::{At, Execution};
use super::taken::Taken;
use crate::schedule::{Fired, fire};

/// The shortest time between two claims that find no run.
const PAUSE: Duration = ms(1);

/// The longest time between two claims if the store fails.
const LONGEST_PAUSE: Duration = secs(5);

/// The result of [`Worker::tick`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticked {
    /// The number of executions that began.
    pub executed: usize,
    /// Whether the call ended because no run was due. If `false`, its budget was over.
    pub idle: bool,
}

/// The loop of a worker.
pub(super) struct Work<'w, S> {
    worker: &'w Worker<S>,
    pub(super) crew: Crew,
    executed: usize,
    /// The time of the next claim.
    next: Instant,
    /// The time at which the last claim began.
    claimed: Instant,
    /// The time at which the next schedule is due, if there is one.
    schedule: Option<Instant>,
    /// The time before which the worker does not look at schedules, because the last look failed.
    no_schedule_before: Instant,
    /// The time of a claim that asks only for the next due schedule, because the worker has no room for runs.
    look: Option<Instant>,
    /// The number of claims in a row that failed.
    failures: u32,
    /// Whether a run may have become due since the last claim was sent. If a claim is in flight, its answer may not know of
    /// that run.
    is_stale: bool,
    /// Whether the last claim left no due run behind.
    pub(super) is_idle: bool,
}

/// A call in flight that starts the runs of due schedules.
type Firing = Pin<Box<dyn Future<Output = Result<Fired, StoreError>> + Send>>;

/// A claim in flight.
type Claiming = Pin<Box<dyn Future<Output = Result<Claimed, StoreError>> + Send>>;

impl<S: Dispatch + Clone> Worker<S> {
    /// Executes due runs until `shutdown` is ready, and then stops: the worker claims no more runs, waits for the
    /// running executions for at most the [grace period](Self::grace), interrupts the others, and releases their
    /// leases. Another worker resumes them.
    ///
    /// Executions run as tasks of the current tokio runtime. If the store fails, the worker logs the failure and tries
    /// again.
    ///
    /// # Errors
    /// Returns [`StoreError::Closed`] if the store is closed, and another [`StoreError`] if the worker cannot store the
    /// settings of its queues at the beginning.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future stops the worker at once: it interrupts all executions, and their runs become due again. So
    /// a second signal can stop a worker that still waits for its executions:
    ///
    /// ```
    /// # async fn signal() {}
    /// # async fn demo(worker: awaitly_engine::Worker<awaitly_persistence::MemoryStore>) {
    /// tokio::select! {
    ///     stopped = worker.run_until(signal()) => stopped.unwrap_or_else(|error| eprintln!("{error}")),
    ///     () = async { signal().await; signal().await } => {}
    /// }
    /// # }
    /// ```
    pub async fn run_until(&self, shutdown: impl Future<Output = ()>) -> Result<(), StoreError> {
        let mut work = Work::new(self);
        self.store.configure(self.queues.clone(), Configure::Declare).await?;
        let worked = work.until(shutdown, false).await;
        work.drain().await;
        worked
    }

    /// Executes due runs until none is due, or until `budget` is over, and then stops as [`run_until`](Self::run_until)
    /// does. So a call can exceed its budget by the [grace period](Self::grace). Use it if a platform calls your
    /// program at intervals and does not let it run between calls. Overlapping calls are safe.
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until).
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// As [`run_until`](Self::run_until).
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::secs;
    /// use awaitly_core::{DurableRun, RunError};
    /// use awaitly_engine::{Client, Contract, Worker};
    /// use awaitly_persistence::MemoryStore;
    ///
    /// const SUM: Contract<Vec<u64>, u64, RunError> = Contract::new("sum");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let sum = Client::new(store.clone()).start(SUM, "sum-7", &vec![3, 4]).await?;
    /// let worker = Worker::new(store).serve(SUM, async |_: DurableRun, numbers: Vec<u64>| Ok(numbers.iter().sum()));
    /// let ticked = worker.tick(secs(10)).await?;
    /// assert!(ticked.idle && ticked.executed == 1);
    /// assert_eq!(sum.result().await, Ok(7));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tick(&self, budget: Duration) -> Result<Ticked, StoreError> {
        let mut work = Work::new(self);
        self.store.configure(self.queues.clone(), Configure::Declare).await?;
        let worked = work.until(tokio::time::sleep(budget), true).await;
        let idle = work.is_idle && work.crew.is_empty();
        work.drain().await;
        worked.map(|()| Ticked { executed: work.executed, idle })
    }

    /// Returns the shortest lease of all workflows, which a claim takes for each run.
    fn shortest_lease(&self) -> Duration {
        self.served.values().map(|served| served.lease).min().unwrap_or_default()
    }

    fn request(&self, limit: usize) -> Claim {
        let claim = Claim::new(Owner::new(Arc::clone(&self.name))).limit(limit).ttl(self.shortest_lease());
        self.served.iter().fold(claim, |claim, (name, served)| claim.serve(Arc::clone(name), served.version))
    }
}

impl<'w, S: Dispatch + Clone> Work<'w, S> {
    fn new(worker: &'w Worker<S>) -> Self {
        Self {
            worker,
            crew: Crew::default(),
            executed: 0,
            next: Instant::now(),
            claimed: Instant::now(),
            schedule: None,
            no_schedule_before: Instant::now(),
            look: None,
            failures: 0,
            is_stale: false,
            is_idle: false,
        }
    }

    pub(super) const fn worker(&self) -> &'w Worker<S> {
        self.worker
    }

    /// Claims and executes runs until `shutdown` is ready. If `only_due` is set, also ends if no run is due.
    async fn until(&mut self, shutdown: impl Future<Output = ()>, only_due: bool) -> Result<(), StoreError> {
        let mut shutdown = pin!(shutdown);
        let mut wakes = self.worker.store.wakes();
        let (mut claiming, mut firing): (Option<Claiming>, Option<Firing>) = (None, None);
        loop {
            if firing.is_none() && self.schedule.is_some_and(|at| at <= Instant::now()) {
                firing = Some(self.fire());
            }
            let free = self.worker.concurrency.saturating_sub(self.crew.len());
            let at = if free > 0 { Some(self.next) } else { self.look };
            if claiming.is_none() && at.is_some_and(|at| at <= Instant::now()) {
                claiming = Some(self.claim(free));
            }
            tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                fired = in_flight(&mut firing) => {
                    firing = None;
                    self.fired(fired)?;
                }
                claimed = in_flight(&mut claiming) => {
                    claiming = None;
                    self.begin(claimed)?;
                }
                // The next claim uses all the room that is free by then. The end of a run may make room in its queue,
                // too.
                _ = self.crew.one_ends(), if !self.crew.is_empty() => {
                    self.note_change();
                    if only_due {
                        self.next = Instant::now();
                    }
                }
                is_open = wakes.changed() => {
                    if !is_open {
                        return Err(StoreError::Closed);
                    }
                    self.note_change();
                    // At once, unless many changes come in a row.
                    self.next = self.next.min(self.claimed + PAUSE);
                    self.look.get_or_insert(Instant::now() + LONGEST_PAUSE);
                }
                () = until(at), if claiming.is_none() => {}
                () = until(self.schedule), if firing.is_none() => {}
            }
            if only_due && self.is_idle && self.crew.is_empty() && claiming.is_none() && firing.is_none() {
                return Ok(());
            }
        }
    }

    /// Notes that a run may be due since now.
    const fn note_change(&mut self) {
        (self.is_stale, self.is_idle) = (true, false);
    }

    fn claim(&mut self, limit: usize) -> Claiming {
        (self.is_stale, self.is_idle, self.look) = (false, false, None);
        // Its answer sets the time of the next claim. A change may set an earlier one before that.
        self.claimed = Instant::now();
        self.next = self.claimed + self.worker.poll_every;
        let (store, request) = (self.worker.store.clone(), self.worker.request(limit));
        Box::pin(async move { store.claim(request).await })
    }

    fn fire(&mut self) -> Firing {
        self.is_idle = false;
        self.schedule = None;
        let store = self.worker.store.clone();
        Box::pin(async move {
            let now = store.now().await?;
            fire(&store, now).await
        })
    }

    fn fired(&mut self, fired: Result<Fired, StoreError>) -> Result<(), StoreError> {
        let now = Instant::now();
        match fired {
            Err(StoreError::Closed) => return Err(StoreError::Closed),
            Err(error) => {
                tracing::warn!(%error, "the worker could not start the runs of schedules: it tries again");
                self.no_schedule_before = now + LONGEST_PAUSE;
                self.schedule = Some(self.no_schedule_before);
            }
            // The next claim returns the time of the next schedule.
            Ok(Fired { more: false, .. }) => {
                self.note_change();
                (self.next, self.look) = (now, Some(now));
            }
            Ok(Fired { more: true, .. }) => self.schedule = Some(now),
        }
        Ok(())
    }

    /// Begins the executions of claimed runs, and sets the time of the next claim.
    fn begin(&mut self, claimed: Result<Claimed, StoreError>) -> Result<(), StoreError> {
        let now = Instant::now();
        let Claimed { mut runs, now: at, next, schedule } = match claimed {
            Ok(claimed) => claimed,
            Err(StoreError::Closed) => return Err(StoreError::Closed),
            Err(error) => {
                let pause = ms(100).saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(%error, ?pause, "the worker could not claim runs: it tries again");
                self.next = now + pause;
                return Ok(());
            }
        };
        self.failures = 0;
        let pause = next.map_or(self.worker.poll_every, |next| at.until(next)).min(self.worker.poll_every);
        // If this claim found no run, an immediate claim would find none, either.
        let shortest = if runs.is_empty() { PAUSE } else { Duration::ZERO };
        self.next = self.next.min(now + pause.max(shortest));
        self.schedule = schedule.map(|schedule| (now + at.until(schedule)).max(self.no_schedule_before));
        let is_due = |next: Option<Timestamp>| next.is_some_and(|next| next <= at);
        self.is_idle = !self.is_stale && !is_due(next) && !is_due(schedule);
        self.crew.suspects.sort(&mut runs);
        let at = At { now: at, lease: self.worker.shortest_lease() };
        for held in runs {
            self.begin_run(held, at);
        }
        Ok(())
    }

    /// Begins the execution of a claimed run, unless its processes died too often.
    fn begin_run(&mut self, held: Held, at: At) {
        let run = held.lease.run().clone();
        let Some(served) = self.worker.served.get(&held.run.header.workflow) else {
            self.worker.store.release(&held.lease);
            return;
        };
        if held.run.header.crashes >= self.worker.max_crashes {
            self.crew.spawn(run, fail(self.worker.store.clone(), held));
        } else if let Some(rest) = self.crew.suspects.rest(&held) {
            tracing::warn!(%run, ?rest, "a process of the run died repeatedly: it begins after others of its kind");
            self.crew.spawn(run, set_aside(self.worker.store.clone(), held, at.now.after(rest)));
        } else {
            let execution = served.execute(held, at, self.crew.rest(&run));
            self.crew.spawn(run, execution);
            self.executed += 1;
        }
    }
}

/// Fails a run whose processes died too often. Until this is recorded, its lease stays, so that its crashes still count.
fn fail<S: Dispatch>(store: S, held: Held) -> Execution {
    Box::pin(async move {
        let (run, crashes) = (held.lease.run(), held.run.header.crashes);
        let error = RunError::CrashedRepeatedly { run: (**run).into(), crashes };
        tracing::error!(%run, %error, "the run failed");
        let ending = Ending {
            outcome: Payload::encode(&error).ok().map(Outcome::Stopped),
            error: Some(error.to_string().into()),
            ..Ending::new(Status::Failed)
        };
        let failed = store.finish(&held.lease, ending).await;
        Ok(failed.inspect_err(|error| {
            tracing::warn!(%run, %error, "the failure of the run could not be recorded");
        })?)
    })
}

/// Lets a run wait in the store until `wake`.
fn set_aside<S: Dispatch>(store: S, held: Held, wake: Timestamp) -> Execution {
    let cancelling = held.run.header.cancel_requested;
    let ending = Ending { wake: Some(wake), cancelling, ..Ending::new(Status::Waiting) };
    let taken = Taken::new(store, held);
    Box::pin(async move { Ok(taken.finish(ending).await?) })
}

/// Waits until a moment. Waits forever if there is none.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits for a call in flight. Waits forever if there is none.
async fn in_flight<T>(call: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}
