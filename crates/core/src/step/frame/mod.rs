use std::fmt;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::limits::{Bound, Ended, Limits, nearest};
use crate::clock::{Clock, SystemClock, later};
use crate::error::{Limit, RunError};
use crate::event::{EventKind, Hook, RecordedKind, StepId};
use crate::guard::Refusal;
use crate::journal::{
    Decision, DecodeError, EncodeError, Fingerprint, Found, Key, OnChange, Outcome, Payload,
    Record, Taken,
};
use crate::run::{Hooked, Shared, Writing};
use crate::store::StoreError;

/// All of a step that does not depend on the caller's types, so that it is compiled once.
///
/// What only some steps need lies in [`Detail`], behind a pointer that is made when it is first needed:
/// a plain step carries a name and four words.
pub struct Frame<'r> {
    run: Option<&'r Shared>,
    name: Key,
    timeout: Option<Duration>,
    attempt: u32,
    previous_delay: Duration,
    detail: Option<Box<Detail>>,
}

/// The rare parts of a step.
#[derive(Default)]
pub(super) struct Detail {
    /// The key, where the run keeps count of keys.
    key: Option<Taken>,
    /// Whether it is a key of the journal.
    recorded: bool,
    pub(super) input: Option<Result<Fingerprint, EncodeError>>,
    pub(super) on_change: OnChange,
    pub(super) deadline: Option<Duration>,
    /// When the first attempt began, for durations and the deadline.
    began: Option<Instant>,
    limits: Limits,
    step_span: Option<Span>,
    attempt_span: Option<Span>,
    /// The journal holds an outcome that the new one takes the place of.
    replaces: bool,
    /// Between the first attempt and the outcome.
    in_flight: bool,
}

impl Detail {
    fn begin_attempt(&mut self, number: u32) {
        self.limits.rearm();
        if let Some(step) = &self.step_span {
            self.attempt_span = Some(tracing::debug_span!(parent: step, "attempt", number));
        }
    }
}

/// What the journal says before a step runs.
pub(super) enum Lookup {
    /// It holds the step's outcome.
    Found(Found),
    /// It does not, or there is no journal: run the step.
    Nothing,
}

impl<'r> Frame<'r> {
    pub(crate) const fn plain(name: Key) -> Self {
        Self::new(None, name)
    }

    pub(crate) fn tracked(run: &'r Shared, name: Key, recorded: bool) -> Self {
        let key = run.take_name(&name, recorded);
        Self::taken(run, name, key, recorded)
    }

    pub(crate) fn keyed(run: &'r Shared, name: Key, key: Key, recorded: bool) -> Self {
        let key = run.take_key(key, recorded);
        Self::taken(run, name, key, recorded)
    }

    fn taken(run: &'r Shared, name: Key, key: Taken, recorded: bool) -> Self {
        let mut frame = Self::new(Some(run), name);
        *frame.detail() = Detail {
            key: Some(key),
            recorded,
            ..Detail::default()
        };
        frame
    }

    pub(crate) const fn untracked(run: &'r Shared, name: Key) -> Self {
        Self::new(Some(run), name)
    }

    const fn new(run: Option<&'r Shared>, name: Key) -> Self {
        Self {
            run,
            name,
            timeout: None,
            attempt: 0,
            previous_delay: Duration::ZERO,
            detail: None,
        }
    }

    pub(super) const fn name(&self) -> &Key {
        &self.name
    }

    pub(super) const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = Some(timeout);
    }

    pub(super) fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    pub(super) fn set_key(&mut self, key: Key) {
        let Some(run) = self.run else { return };
        let name = &self.name;
        if let Some(detail) = &mut self.detail
            && let Some(taken) = detail.key.take()
        {
            detail.key = Some(run.exchange_key(name, taken, key, detail.recorded));
        }
    }

    /// The key: the step's own, or its name where nobody keeps count of keys.
    fn key(&self) -> &Key {
        match self.detail.as_ref().and_then(|detail| detail.key.as_ref()) {
            Some(Taken::New(key) | Taken::Duplicate(key)) => key,
            None => &self.name,
        }
    }

    pub(crate) fn id(&self) -> StepId {
        StepId {
            key: self.key().clone(),
            name: self.name.clone(),
        }
    }

    fn clock(&self) -> &dyn Clock {
        self.run.map_or(&SystemClock, Shared::clock)
    }

    fn tell(&self, kind: impl FnOnce(StepId) -> EventKind) {
        if let Some(run) = self.run.filter(|run| run.is_observed()) {
            run.tell(kind(self.id()));
        }
    }

    // Before the first attempt.

    /// Asks everything that can keep the step from running, the journal last.
    #[inline]
    pub(super) fn look_up(&mut self, recorded: bool) -> Result<Lookup, RunError> {
        match self.run {
            None => Ok(Lookup::Nothing),
            Some(run) => self.look_up_in(run, recorded),
        }
    }

    fn look_up_in(&mut self, run: &Shared, recorded: bool) -> Result<Lookup, RunError> {
        run.may_go_on()?;
        let detail = self.detail.as_deref_mut();
        if let Some(Taken::Duplicate(key)) = detail.as_ref().and_then(|detail| detail.key.as_ref())
        {
            return Err(run.stopped(RunError::DuplicateKey { key: key.clone() }));
        }
        run.may_begin(self.key())?;
        if !recorded {
            return Ok(Lookup::Nothing);
        }
        self.look_into_journal(run)
    }

    fn look_into_journal(&mut self, run: &Shared) -> Result<Lookup, RunError> {
        let input = match self.detail.as_mut().and_then(|detail| detail.input.take()) {
            Some(Err(error)) => return Err(run.stopped(self.unencodable(&error))),
            Some(Ok(input)) => Some(input),
            None => None,
        };
        let Some(found) = run.recall(self.key()) else {
            self.detail().input = input.map(Ok);
            self.tell(|step| EventKind::StepMissed { step });
            return Ok(Lookup::Nothing);
        };
        let on_change = self
            .detail
            .as_ref()
            .map(|detail| detail.on_change)
            .unwrap_or_default();
        match on_change.decide(found.input, input) {
            Decision::Reuse => Ok(Lookup::Found(found)),
            Decision::Refuse => {
                let what = format!("step `{}`", self.key()).into();
                Err(run.stopped(RunError::InputChanged { what }))
            }
            Decision::Rerun => {
                self.detail().input = input.map(Ok);
                self.disregard();
                Ok(Lookup::Nothing)
            }
        }
    }

    /// A recorded outcome does not count: the step runs, and its new outcome takes the place of the old.
    pub(super) fn disregard(&mut self) {
        self.detail().replaces = true;
        self.tell(|step| EventKind::StepMissed { step });
    }

    /// The recorded outcome is used; `failed` says which it was.
    pub(super) fn reused(&self, failed: bool) {
        self.tell(|step| EventKind::StepReused { step });
        if failed {
            self.note_failure();
        }
    }

    pub(super) fn skipped(&self, reason: Option<String>) {
        self.tell(|step| EventKind::StepSkipped { step, reason });
    }

    pub(super) fn undecodable(&self, error: &DecodeError) -> RunError {
        let what = format!("step `{}`", self.key()).into();
        self.stopped(RunError::Undecodable {
            what,
            type_name: error.type_name.clone(),
            reason: error.reason.clone(),
        })
    }

    pub(super) fn unencodable(&self, error: &EncodeError) -> RunError {
        let what = format!("step `{}`", self.key()).into();
        self.stopped(RunError::Unencodable {
            what,
            type_name: error.type_name.clone(),
            reason: error.reason.clone(),
        })
    }

    fn stopped(&self, error: RunError) -> RunError {
        match self.run {
            Some(run) => run.stopped(error),
            None => error,
        }
    }

    // Attempts.

    /// The first attempt is about to begin.
    #[inline]
    pub(super) fn started(&mut self) {
        let traced = tracing::enabled!(tracing::Level::DEBUG);
        if traced || self.detail.is_some() {
            self.started_in_detail(traced);
        }
    }

    fn started_in_detail(&mut self, traced: bool) {
        let observed = self.run.is_some_and(Shared::is_observed);
        let span =
            traced.then(|| tracing::debug_span!("step", name = %self.name, key = %self.key()));
        let timed = observed || self.detail().deadline.is_some();
        let began = timed.then(|| self.clock().now());
        let detail = self.detail();
        detail.step_span = span;
        detail.began = began;
        detail.in_flight = true;
        self.tell(|step| EventKind::StepStarted { step });
    }

    #[inline]
    pub(super) fn begin_attempt(&mut self) {
        self.attempt += 1;
        if let Some(detail) = &mut self.detail {
            detail.begin_attempt(self.attempt);
        }
    }

    pub(super) const fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(super) const fn previous_delay(&self) -> Duration {
        self.previous_delay
    }

    /// Calls `poll` inside of the span of the attempt, where there is one.
    #[inline]
    pub(super) fn in_span<T>(&self, poll: impl FnOnce() -> T) -> T {
        match self
            .detail
            .as_ref()
            .and_then(|detail| detail.attempt_span.as_ref())
        {
            Some(span) => span.in_scope(poll),
            None => poll(),
        }
    }

    /// Asks, while an attempt has to wait, whether a limit has passed.
    #[inline]
    pub(super) fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<RunError> {
        if self.timeout.is_none() && self.run.is_none() && self.detail.is_none() {
            return Poll::Pending;
        }
        self.poll_some_limits(cx)
    }

    fn poll_some_limits(&mut self, cx: &mut Context<'_>) -> Poll<RunError> {
        let (timeout, step, run) = (self.timeout, self.step_bound(), self.run_bound());
        if timeout.is_none() && step.is_none() && run.is_none() && self.token().is_none() {
            return Poll::Pending;
        }
        let attempt = |now| {
            timeout.map(|after| Bound {
                at: later(now, after),
                after,
                limit: Some(Limit::Attempt),
            })
        };
        self.poll_bound(cx, |now| nearest([attempt(now), step, run]))
            .map(|ended| self.ended(&ended))
    }

    /// Asks whether the delay before the next attempt is over.
    pub(super) fn poll_delay(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RunError>> {
        let after = self.previous_delay;
        let bound = |now| {
            Some(Bound {
                at: later(now, after),
                after,
                limit: None,
            })
        };
        self.poll_bound(cx, bound).map(|ended| match ended {
            Ended::Delay => Ok(()),
            ended => Err(self.ended(&ended)),
        })
    }

    fn poll_bound(
        &mut self,
        cx: &mut Context<'_>,
        bound: impl FnOnce(Instant) -> Option<Bound>,
    ) -> Poll<Ended> {
        let clock = self.run.map_or(&SystemClock as &dyn Clock, Shared::clock);
        let token = self.token();
        self.detail()
            .limits
            .poll(cx, clock, || bound(clock.now()), token)
    }

    fn token(&self) -> Option<&'r CancellationToken> {
        self.run.and_then(Shared::token)
    }

    fn run_bound(&self) -> Option<Bound> {
        let (at, after) = self.run?.deadline()?;
        Some(Bound {
            at,
            after,
            limit: Some(Limit::Run),
        })
    }

    fn ended(&self, ended: &Ended) -> RunError {
        let step = self.key().clone();
        match *ended {
            Ended::Timeout(limit, after) => RunError::Timeout {
                step,
                attempt: self.attempt,
                after,
                limit,
            },
            Ended::Cancelled | Ended::Delay => RunError::Cancelled { step: Some(step) },
        }
    }

    fn step_bound(&self) -> Option<Bound> {
        let detail = self.detail.as_ref()?;
        let after = detail.deadline?;
        Some(Bound {
            at: later(detail.began?, after),
            after,
            limit: Some(Limit::Step),
        })
    }

    pub(super) fn refused(&self, refusal: Refusal) -> RunError {
        let Refusal {
            by,
            reason,
            retry_after,
        } = refusal;
        RunError::Refused {
            step: self.key().clone(),
            by,
            reason,
            retry_after,
        }
    }

    pub(super) fn timed_out(&self, after: Duration) {
        let attempt = self.attempt;
        self.tell(|step| EventKind::AttemptTimedOut {
            step,
            attempt,
            after,
        });
    }

    /// The source of randomness for the delay after the present attempt: fixed by the run's seed, the key
    /// and the attempt, whatever else runs at the same time.
    pub(super) fn dice(&self) -> fastrand::Rng {
        self.run
            .map_or_else(fastrand::Rng::new, |run| run.dice(self.key(), self.attempt))
    }

    /// Whether an attempt after `delay` would still begin in time.
    pub(super) fn has_time_for(&self, delay: Duration) -> bool {
        let bound = nearest([self.step_bound(), self.run_bound()]);
        bound.is_none_or(|bound| later(self.clock().now(), delay) < bound.at)
    }

    pub(super) fn schedule(
        &mut self,
        delay: Duration,
        max_attempts: u32,
        error: &dyn fmt::Display,
    ) {
        self.previous_delay = delay;
        let attempt = self.attempt;
        self.tell(|step| EventKind::RetryScheduled {
            step,
            attempt,
            max_attempts,
            delay,
            error: error.to_string(),
        });
        tracing::debug!(step = %self.name, attempt, ?delay, %error, "the attempt failed, another one follows");
        if let Some(detail) = &mut self.detail {
            detail.limits.rearm();
            detail.attempt_span = None;
        }
    }

    // The outcome.

    fn duration(&self) -> Duration {
        let began = self.detail.as_ref().and_then(|detail| detail.began);
        began.map_or(Duration::ZERO, |began| {
            self.clock().now().saturating_duration_since(began)
        })
    }

    #[inline]
    pub(super) fn succeeded(&mut self) {
        if let Some(detail) = &mut self.detail {
            detail.in_flight = false;
            let attempt = self.attempt;
            self.tell(|step| EventKind::StepSucceeded {
                step,
                attempt,
                duration: self.duration(),
            });
        }
    }

    pub(super) fn failed(&mut self, error: &dyn fmt::Display, max_attempts: u32) {
        let attempt = self.attempt;
        tracing::debug!(step = %self.name, attempt, %error, "the step failed");
        if let Some(detail) = &mut self.detail {
            detail.in_flight = false;
            let duration = self.duration();
            if max_attempts > 1 {
                self.tell(|step| EventKind::RetriesExhausted {
                    step,
                    attempt,
                    duration,
                    error: error.to_string(),
                });
            }
            self.tell(|step| EventKind::StepFailed {
                step,
                attempt,
                duration,
                error: error.to_string(),
            });
        }
        self.note_failure();
    }

    fn note_failure(&self) {
        if let Some(run) = self.run {
            run.note_failure(self.key());
        }
    }

    /// Takes note of an error that the library itself brought about.
    pub(super) fn note_run_error(&self, error: &RunError) {
        if let Some(run) = self.run {
            run.note_run_error(error);
        }
    }

    /// Begins to record `outcome`. `None`: it is recorded already.
    pub(super) fn record(&mut self, outcome: Outcome) -> Result<Option<Writing>, RunError> {
        let Some(run) = self.run else { return Ok(None) };
        let key = self.key();
        if key.len() > Key::MAX_BYTES || key.is_empty() {
            let what = format!("the key `{}`, which must not be empty,", shortened(key)).into();
            return Err(run.stopped(RunError::TooLarge {
                what,
                bytes: key.len(),
                limit: Key::MAX_BYTES,
            }));
        }
        let bytes = outcome.payload().len();
        if bytes > Payload::MAX_BYTES {
            let what = format!("the outcome of step `{key}`").into();
            return Err(run.stopped(RunError::TooLarge {
                what,
                bytes,
                limit: Payload::MAX_BYTES,
            }));
        }
        let input = self
            .detail
            .as_ref()
            .and_then(|detail| detail.input.as_ref()?.as_ref().ok().copied());
        let replaces = self.detail.as_ref().is_some_and(|detail| detail.replaces);
        Ok(run.write(
            Record {
                key: key.clone(),
                outcome,
                input,
            },
            replaces,
        ))
    }

    pub(super) fn recorded(&self, kind: RecordedKind, bytes: usize) {
        self.tell(|step| EventKind::StepRecorded {
            step,
            kind,
            bytes,
            duration: self.duration(),
        });
    }

    pub(super) fn not_recorded(&self, error: StoreError) -> RunError {
        self.stopped(error.into())
    }

    /// The hook after the step, where the run has one.
    pub(super) fn hook(&mut self, kind: RecordedKind) -> Option<Hooked> {
        let hooked = self.run?.hook_after_step(self.id(), kind)?;
        self.detail().began = Some(self.clock().now());
        Some(hooked)
    }

    /// The hook has answered.
    pub(super) fn hooked(&self, answer: &Result<(), Refusal>) {
        let (hook, duration) = (Hook::AfterStep, self.duration());
        self.tell(|step| match answer {
            Ok(()) => EventKind::HookPassed {
                hook,
                step: Some(step),
                duration,
            },
            Err(refusal) => EventKind::HookRefused {
                hook,
                step: Some(step),
                duration,
                error: refusal.reason.to_string(),
            },
        });
        if answer.is_err() {
            self.note_failure();
        }
    }
}

/// The first characters of a text that is too long to show.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl Drop for Frame<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.detail.as_ref().is_some_and(|detail| detail.in_flight) {
            self.aborted();
        }
    }
}

impl Frame<'_> {
    /// A step that is dropped in the middle says so.
    fn aborted(&self) {
        let attempt = self.attempt;
        self.tell(|step| EventKind::StepAborted {
            step,
            attempt,
            duration: self.duration(),
        });
        if std::thread::panicking()
            && let Some(run) = self.run
        {
            run.note_panic(self.key());
        }
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("name", &self.name)
            .field("key", self.key())
            .finish_non_exhaustive()
    }
}
