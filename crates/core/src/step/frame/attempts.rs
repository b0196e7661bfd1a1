//! The attempts, the limits that end them, and the delays between them.

use std::fmt;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::Span;
use tracing::span::EnteredSpan;

use super::retries::Next;
use super::{Detail, Frame, Spans};
use crate::clock::{Clock, SystemClock, later, millis};
use crate::error::{Limit, RunError};
use crate::event::EventKind;
use crate::guard::Refusal;
use crate::journal::Taken;
use crate::shared::{Entered, Noted, Shared};
use crate::stage::{Misfit, SCRIPT, Scene};
use crate::step::limits::{Bound, Passed, nearest};

impl<'r> Frame<'r> {
    /// Prepares the first attempt.
    #[inline]
    pub(crate) fn started(&mut self) {
        let traced = tracing::enabled!(tracing::Level::DEBUG);
        if traced || self.detail.is_some() {
            self.started_in_detail(traced);
        }
    }

    fn started_in_detail(&mut self, traced: bool) {
        let observed = self.run.is_some_and(|run| run.watchers.is_observed());
        let spans = traced.then(|| {
            let step = tracing::debug_span!("step", step = %self.name, key = %self.key());
            Box::new(Spans { step, attempt: None })
        });
        let timed = observed || self.detail().deadline.is_some();
        let began = timed.then(|| self.clock().now());
        let detail = self.detail();
        detail.spans = spans;
        detail.began = began;
        detail.in_flight = true;
        self.tell(|step| EventKind::StepStarted { step });
    }

    #[inline]
    pub(crate) fn begin_attempt(&mut self) {
        self.attempt += 1;
        if let Some(detail) = &mut self.detail {
            detail.begin_attempt(self.attempt);
        }
    }

    /// Returns the script of this attempt, or `None` if the operation is called.
    #[inline(always)]
    pub(in crate::step) fn scene(&self) -> Option<Scene> {
        if self.detail.is_some() { self.scene_in_detail() } else { None }
    }

    #[inline(never)]
    fn scene_in_detail(&self) -> Option<Scene> {
        self.run?.stage()?.attempt(&self.id(), self.attempt)
    }

    /// Stops the run because a scripted result does not have the type of the step.
    #[cold]
    pub(in crate::step) fn misfit(&mut self, misfit: &Misfit) -> RunError {
        if let Some(stage) = self.run.and_then(Shared::stage) {
            stage.misfits(&self.id(), misfit);
        }
        self.detail().in_flight = false;
        let (step, reason) = (self.label().clone(), misfit.to_string().into());
        self.stopped(RunError::Refused { step, by: SCRIPT.into(), reason, retry_after: None })
    }

    /// Notes that the guards admitted the attempt after a wait.
    pub(in crate::step) fn admitted(&mut self) {
        let now = self.clock().now();
        self.detail().admitted = Some(now);
    }

    /// Whether the operation, and not its guards, took most of the attempt's time.
    pub(in crate::step) fn ran_for_most_of(&self, time: Duration) -> bool {
        let admitted = self.detail.as_ref().and_then(|detail| detail.admitted);
        admitted.is_none_or(|at| self.clock().now().saturating_duration_since(at) >= time / 2)
    }

    /// Refuses another attempt if the run cannot continue.
    pub(in crate::step) fn may_go_on(&self) -> Result<(), RunError> {
        self.run.map_or(Ok(()), |run| run.stopping.may_go_on())
    }

    pub(in crate::step) const fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(in crate::step) const fn previous_delay(&self) -> Duration {
        self.previous_delay
    }

    /// Marks the operation as running until the returned value is dropped, so that steps, spans and panics can be
    /// assigned to it. Returns `None` if the step does not need the marker.
    #[inline]
    pub(in crate::step) fn enter(&mut self) -> Option<Running<'_>> {
        let Self { run, attempt, detail, .. } = self;
        detail.as_deref_mut().map(|detail| Running::new(detail, *run, *attempt))
    }

    /// Polls the limits of a pending attempt.
    #[inline]
    pub(in crate::step) fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<RunError> {
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
        let attempt = |now| timeout.map(|after| Bound::limit(later(now, after), after, Limit::Attempt));
        self.poll_bound(cx, |now| nearest([attempt(now), step, run])).map(|passed| self.passed(&passed))
    }

    /// Polls the cancellation and the deadline of the run during the hook after the step.
    pub(in crate::step) fn poll_run_limits(&mut self, cx: &mut Context<'_>) -> Poll<RunError> {
        let run = self.run_bound();
        if run.is_none() && self.token().is_none() {
            return Poll::Pending;
        }
        self.poll_bound(cx, |_| run).map(|passed| self.passed(&passed))
    }

    /// Polls the delay before the next attempt.
    pub(in crate::step) fn poll_delay(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RunError>> {
        let left = self.detail.as_ref().and_then(|detail| detail.retries.as_ref()?.left);
        let delay = left.unwrap_or(self.previous_delay);
        let bound = |now| Some(Bound::delay(later(now, delay)));
        self.poll_bound(cx, bound).map(|passed| match passed {
            Passed::Delay => self.may_go_on(),
            passed => Err(self.passed(&passed)),
        })
    }

    fn poll_bound(
        &mut self,
        cx: &mut Context<'_>,
        bound: impl FnOnce(Instant) -> Option<Bound>,
    ) -> Poll<Passed> {
        let clock = self.run.map_or(&SystemClock as &dyn Clock, |run| run.time.clock());
        let token = self.token();
        self.detail().limits.get_or_insert_default().poll(cx, clock, || bound(clock.now()), token)
    }

    fn passed(&self, passed: &Passed) -> RunError {
        let step = self.label().clone();
        match *passed {
            Passed::Timeout(limit, after) => RunError::Timeout { step, attempt: self.attempt, after, limit },
            Passed::Cancelled | Passed::Delay => RunError::Cancelled { step: Some(step) },
        }
    }

    fn token(&self) -> Option<&'r CancellationToken> {
        self.run.filter(|_| !self.is_shielded())?.stopping.live_token()
    }

    fn run_bound(&self) -> Option<Bound> {
        let (at, after) = self.run.filter(|_| !self.is_shielded())?.time.deadline()?;
        Some(Bound::limit(at, after, Limit::Run))
    }

    fn step_bound(&self) -> Option<Bound> {
        let detail = self.detail.as_ref()?;
        let after = detail.deadline?;
        Some(Bound::limit(later(detail.began?, after), after, Limit::Step))
    }

    pub(in crate::step) fn refused(&self, refusal: Refusal) -> RunError {
        let Refusal { by, reason, retry_after } = refusal;
        RunError::Refused { step: self.label().clone(), by, reason, retry_after }
    }

    pub(in crate::step) fn timed_out(&self, after: Duration) {
        let attempt = self.attempt;
        self.tell(|step| EventKind::AttemptTimedOut { step, attempt, after });
    }

    /// Returns the source of randomness for the delay after the current attempt. The run's seed, the step and the
    /// attempt determine it, independent of concurrent work.
    pub(in crate::step) fn dice(&self) -> fastrand::Rng {
        self.run.map_or_else(fastrand::Rng::new, |run| run.dice(self.label(), self.attempt))
    }

    /// Whether an attempt after `delay` would begin before the deadline.
    pub(in crate::step) fn has_time_for(&self, delay: Duration) -> bool {
        let bound = nearest([self.step_bound(), self.run_bound()]);
        bound.is_none_or(|bound| later(self.clock().now(), delay) < bound.at)
    }

    /// Schedules another attempt after `delay`.
    pub(in crate::step) fn schedule(
        &mut self,
        delay: Duration,
        max_attempts: u32,
        error: &dyn fmt::Display,
    ) -> Next {
        self.previous_delay = delay;
        let attempt = self.attempt;
        self.tell(|step| {
            let error = error.to_string();
            EventKind::RetryScheduled { step, attempt, max_attempts, delay, error }
        });
        let delay_ms = millis(delay);
        tracing::info!(step = %self.name, attempt, max_attempts, delay_ms, %error, "the attempt failed, another one follows");
        self.end_attempt();
        self.keep_attempts(delay)
    }

    pub(super) fn end_attempt(&mut self) {
        if let Some(detail) = &mut self.detail {
            detail.end_attempt();
        }
    }

    pub(super) fn has_deadline(&self) -> bool {
        self.step_bound().is_some() || self.run_bound().is_some()
    }
}

impl Detail {
    fn begin_attempt(&mut self, number: u32) {
        self.end_attempt();
        self.admitted = None;
        self.noted = Noted::default();
        if let Some(Spans { step, attempt }) = self.spans.as_deref_mut() {
            *attempt = Some(tracing::debug_span!(parent: &*step, "attempt", attempt = number));
        }
    }

    /// Drops the limits and the span of the last attempt.
    fn end_attempt(&mut self) {
        if let Some(limits) = &mut self.limits {
            limits.rearm();
        }
        if let Some(spans) = &mut self.spans {
            spans.attempt = None;
        }
    }
}

/// The marker of a running operation.
pub(in crate::step) struct Running<'a> {
    detail: &'a mut Detail,
    inside: Option<Entered>,
    _span: Option<EnteredSpan>,
}

impl<'a> Running<'a> {
    fn new(detail: &'a mut Detail, run: Option<&Shared>, attempt: u32) -> Self {
        let inside = match (run, &detail.key) {
            (Some(run), Some(Taken::New(key))) if detail.recorded => {
                Some(run.execution.enter(key, attempt, detail.shielded))
            }
            _ => None,
        };
        let span = detail.spans.as_ref().and_then(|spans| spans.attempt.clone()).map(Span::entered);
        detail.polling = true;
        Self { detail, inside, _span: span }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(inside) = self.inside.take() {
            self.detail.noted.add(inside.leave());
        }
        // If the operation panicked, the flag stays set, so that the drop of the step can report the panic.
        self.detail.polling = std::thread::panicking();
    }
}
