use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use awaitly_core::clock::{Clock, SystemClock};
use awaitly_core::extend::stage;
use awaitly_core::journal::{Key, Record, Timestamp};
use awaitly_core::{DurableRun, FromStep, KeepRun, RunError, Workflow};
use awaitly_persistence::MemoryStore;

use super::aside::{import, load, staged};
use super::judge::{self, Seen};
use super::report::Replay;
use super::rest::{Driven, drive};
use super::witness::{Given, Witness};
use super::{Finding, Journal};

/// The maximum number of polls of a body, in addition to the polls that its records need.
const MOST_POLLS: usize = 10_000;

/// A check that a recorded run would resume with new code. It can give values to steps that the journal has not
/// recorded, so that the body continues beyond them. For a check without such values, call
/// [`would_resume`](super::would_resume).
///
/// ```
/// use awaitly_core::{DurableRun, RunError, Workflow, step};
/// use awaitly_testing::replay::{Journal, ResumeCheck};
///
/// # #[derive(Clone)]
/// # struct Connection;
/// # async fn connect() -> Result<Connection, RunError> { unreachable!() }
/// # async fn reserve(_: &Connection) -> Result<u32, RunError> { unreachable!() }
/// async fn place_order(run: &DurableRun) -> Result<u32, RunError> {
///     // A volatile step runs again on each resume.
///     let connection = step!(run.volatile(), connect());
///     Ok(step!(run, reserve(&connection)))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), awaitly_testing::replay::FixtureError> {
/// # let journal: Journal = r#"{
/// #     "format": 1, "run": "order-42", "workflow": "checkout", "version": 1,
/// #     "records": [{"key": "reserve", "outcome": {"value": 7}}]
/// # }"#.parse()?;
/// let replay = ResumeCheck::new(&journal)
///     .value("connect", Connection)
///     .run(&Workflow::new("checkout"), place_order)
///     .await;
/// replay.assert_resumes();
/// assert_eq!(replay.reused, ["reserve".into()]);
/// # Ok(())
/// # }
/// ```
#[must_use = "call `run` on it"]
pub struct ResumeCheck<'j> {
    journal: &'j Journal,
    given: HashMap<Key, Given>,
    at: Option<Timestamp>,
}

/// The facts known when the body is called.
struct Opening {
    run: DurableRun,
    /// The records after migration.
    records: Vec<Record>,
    questions: Vec<Key>,
}

impl<'j> ResumeCheck<'j> {
    /// Creates a check of this journal.
    pub fn new(journal: &'j Journal) -> Self {
        Self { journal, given: HashMap::new(), at: None }
    }

    /// Gives `value` to each step with this key or name that would run, so that the body continues. If the type of the
    /// step's value differs from `T`, the check stops and reports [`Finding::WrongType`](super::Finding::WrongType).
    pub fn value<T: Any + Clone + Send>(self, step: impl Into<Key>, value: T) -> Self {
        let value = Mutex::new(value);
        self.value_with(step, move || value.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Gives a value from `make` to each step with this key or name that would run. Use this method instead of
    /// [`value`](Self::value) for a type that cannot be cloned.
    pub fn value_with<T: Any + Send>(
        mut self,
        step: impl Into<Key>,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        self.given.insert(step.into(), Given::value(make));
        self
    }

    /// Calls the operation of each step with this key or name that would run. Use this method for a step that only
    /// computes, whose value borrows, or that contains recorded steps.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_core::Workflow;
    /// use awaitly_testing::replay::{Journal, ResumeCheck};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), awaitly_testing::replay::FixtureError> {
    /// async fn order(run: &DurableRun) -> Result<u32, RunError> {
    ///     let half = step!(run.volatile(), "half", async { Ok::<_, RunError>(21) });
    ///     Ok(half * step!(run, "factor", async { Ok::<_, RunError>(2) }))
    /// }
    ///
    /// let journal: Journal = r#"{
    ///     "format": 1, "run": "order-42", "workflow": "orders", "version": 1,
    ///     "records": [{"key": "factor", "outcome": {"value": 2}}]
    /// }"#
    /// .parse()?;
    /// let replay = ResumeCheck::new(&journal).runs("half").run(&Workflow::new("orders"), order).await;
    /// replay.assert_resumes();
    /// # Ok(())
    /// # }
    /// ```
    pub fn runs(mut self, step: impl Into<Key>) -> Self {
        self.given.insert(step.into(), Given::Operation);
        self
    }

    /// Sets the moment of the resume. Sleeps and questions that end before this moment are over.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, Workflow, clock::days};
    /// use awaitly_testing::replay::{Journal, ResumeCheck};
    /// use awaitly_testing::report::RunEnding;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), awaitly_testing::replay::FixtureError> {
    /// let remind = async |run: &DurableRun| run.sleep("a month", days(30)).await;
    /// let journal: Journal = r#"{
    ///     "format": 1, "run": "order-42", "workflow": "remind", "version": 1,
    ///     "records": [{"key": "a month", "outcome": {"value": {"until_ms": 2592000000}}}]
    /// }"#
    /// .parse()?;
    /// let check = ResumeCheck::new(&journal).at(std::time::UNIX_EPOCH + days(31));
    /// let replay = check.run(&Workflow::new("remind"), remind).await;
    /// assert_eq!(replay.ending, Some(RunEnding::Completed));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Default
    /// The current time of this machine.
    pub fn at(mut self, moment: impl Into<Timestamp>) -> Self {
        self.at = Some(moment.into());
        self
    }

    /// Executes `body` against the journal until it ends or cannot make progress.
    ///
    /// # Panics
    /// Panics if `body` waits for a future that is not one of its steps and no tokio runtime with a timer is
    /// available.
    ///
    /// # Cancel safety
    /// Dropping the future ends the check.
    pub async fn run<X, T, E>(
        self,
        workflow: &Workflow<X>,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> Replay
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let Self { journal, given, at } = self;
        let moment = at.unwrap_or_else(|| SystemClock.wall().into());
        let mut replay = empty(journal);
        let store = MemoryStore::made_at(moment);
        if let Err(error) = import(&store, journal, moment).await {
            replay.findings.push(Finding::Refused(error.into()));
            return replay;
        }
        let witness = Arc::new(Witness::new(given));
        let opening = OnceLock::new();
        let staged = staged(workflow, &store, &witness, moment);
        let running = staged.run(journal.run.to_shared(), async |run: &DurableRun| {
            let (records, waits) =
                load(&store, journal).await.map(|stored| (stored.records, stored.waits)).unwrap_or_default();
            let questions = waits.into_iter().map(|entry| entry.key).collect();
            // The body is called once.
            let _ = opening.set(Opening { run: run.clone(), records, questions });
            body(run).await
        });
        let most_polls = MOST_POLLS.saturating_add(journal.records.len().saturating_mul(16));
        let mut running = pin!(running);
        let so_far = || {
            let mut draft = replay.clone();
            conclude(&mut draft, &witness, opening.get(), moment);
            draft
        };
        let driven = drive(running.as_mut(), most_polls, || so_far().is_settled()).await;
        // The body still exists here, so the end of the check has not dropped the futures that it holds.
        let left = load(&store, journal).await.map(|stored| stored.header);
        let outcome = left.as_ref().and_then(|header| header.outcome.as_ref());
        if let Driven::Ended(_) = driven {
            replay.ending = Some(judge::ending(witness.notes().end.as_ref()));
        }
        replay.result_differs = judge::differ(journal.header.outcome.as_ref(), outcome);
        conclude(&mut replay, &witness, opening.get(), moment);
        if let Driven::Spins = driven {
            replay.findings.push(Finding::NeverEnds { polls: most_polls });
        }
        replay.findings.extend(replay.ends_differently(outcome.is_some_and(judge::is_panic)));
        // The recorded result does not show how far the body came this time, so it is decoded only now.
        replay.findings.extend(result_of::<X, T, E>(journal));
        replay
    }
}

/// Writes the observations so far into the report.
fn conclude(replay: &mut Replay, witness: &Witness, opening: Option<&Opening>, moment: Timestamp) {
    replay.unused = witness.unused();
    let notes = witness.notes().clone();
    let (records, questions, known) = match opening {
        // If the body was not called, it asked for no steps.
        None => (&[][..], &[][..], HashSet::new()),
        Some(Opening { run, records, questions }) => {
            let keys = records.iter().map(|record| &record.key).chain(questions);
            (&**records, &**questions, keys.filter(|key| stage::knows(run, key)).cloned().collect())
        }
    };
    replay.judge(&Seen { notes: &notes, records, questions, known, moment });
}

/// Returns a finding if the recorded result of the run no longer decodes.
fn result_of<X: KeepRun<T, E>, T, E>(journal: &Journal) -> Option<Finding> {
    let error = X::decode(journal.header.outcome.as_ref()?).err()?;
    let what = "the result of the run".into();
    Some(Finding::Undecodable { step: None, what, type_name: error.type_name, reason: error.reason })
}

/// Creates the report before any observation.
fn empty(journal: &Journal) -> Replay {
    let Journal { run, header, .. } = journal;
    Replay {
        run: run.clone(),
        workflow: Arc::clone(&header.workflow),
        version: header.version,
        reused: Vec::new(),
        would_run: Vec::new(),
        waits: Vec::new(),
        sleeps: Vec::new(),
        passed_over: Vec::new(),
        unchecked: Vec::new(),
        unused: Vec::new(),
        ending: None,
        recorded_ending: judge::recorded_ending(header),
        result_differs: false,
        findings: Vec::new(),
    }
}

impl fmt::Debug for ResumeCheck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given: Vec<_> = self.given.keys().collect();
        f.debug_struct("ResumeCheck")
            .field("run", &self.journal.run)
            .field("given", &given)
            .field("at", &self.at)
            .finish()
    }
}
