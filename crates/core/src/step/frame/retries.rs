//! Retries that outlive an execution, and refusals, which do not count as attempts.
//!
//! If an attempt of a recorded step fails and another one follows, the journal records the number of attempts under the
//! step's key. The outcome later replaces that record. A process that dies between two attempts therefore does not
//! restart the count. If a delay is longer than the workflow's `park_after`, it ends the execution: the run waits
//! without a task, and is due again at the time of the next attempt.
//!
//! If a guard refuses, the attempt did not begin. A step with a retry policy asks the guard again, after the time that
//! the guard names or the policy's next delay.

use std::time::Duration;

use super::Frame;
use crate::clock::millis;
use crate::error::RunError;
use crate::event::EventKind;
use crate::guard::Refusal;
use crate::journal::{Record, Retrying, Timestamp};
use crate::shared::{Waits, Writing};
use crate::store::{Durability, OnRecorded};

/// The data that only steps with retries have.
#[derive(Default)]
pub(super) struct Retries {
    /// The beginning of the first attempt, by the store's clock.
    since: Option<Timestamp>,
    /// The rest of a delay that an earlier execution began.
    pub(super) left: Option<Duration>,
    /// The time of the next attempt, as the journal has it.
    until: Option<Timestamp>,
    /// The refusals of the attempt that is about to begin.
    refusals: Option<Refusals>,
}

struct Refusals {
    attempt: u32,
    count: u32,
    previous: Duration,
    /// The sum of all delays.
    waited: Duration,
}

/// The next state after a failed attempt or a refusal.
pub(in crate::step) enum Next {
    /// The delay passes in this execution.
    Delay,
    /// The journal records the number of attempts first.
    Keep(Writing),
    /// The journal records the number of attempts, and the run waits until the delay is over.
    Park(Writing),
}

impl Frame<'_> {
    /// Adopts the count and the delay of an earlier execution.
    #[cold]
    pub(super) fn resumes(&mut self, retrying: Retrying) {
        let Some(run) = self.run else { return };
        let now = run.time.stamp();
        let Retrying { attempts, delay_ms, until, since } = retrying;
        self.attempt = attempts;
        self.previous_delay = Duration::from_millis(delay_ms);
        let began = run.time.clock().now().checked_sub(since.until(now));
        let detail = self.detail();
        detail.began = began;
        let left = Some(now.until(until));
        detail.retries =
            Some(Box::new(Retries { since: Some(since), left, until: Some(until), refusals: None }));
    }

    /// Returns whether a delay has to pass before the first attempt of this execution. If the delay is long, the run
    /// waits.
    #[inline]
    pub(in crate::step) fn resumed_delay(&mut self) -> Option<Result<(), RunError>> {
        let left = self.detail.as_ref()?.retries.as_ref()?.left?;
        self.delay_left(left)
    }

    #[cold]
    fn delay_left(&mut self, left: Duration) -> Option<Result<(), RunError>> {
        if self.parks(left) { Some(Err(self.park())) } else { Some(Ok(())) }
    }

    /// Records the number of attempts, if the step is recorded and another attempt follows after `delay`.
    pub(in crate::step) fn keep_attempts(&mut self, delay: Duration) -> Next {
        let Some(run) = self.run.filter(|_| self.is_recorded()) else { return Next::Delay };
        let parks = self.parks(delay);
        let now = run.time.stamp();
        let since = self.retries().since.unwrap_or_else(|| now.before(self.duration()));
        let until = now.after(delay);
        self.retries().since = Some(since);
        (self.retries().left, self.retries().until) = (None, Some(until));
        let delay_ms = millis(delay);
        let outcome = Retrying { attempts: self.attempt, delay_ms, until, since }.into_outcome();
        let record = Record { key: self.key().clone(), outcome, input: None };
        let on_recorded = std::mem::replace(&mut self.detail().on_recorded, OnRecorded::Replace);
        let durability = if parks { None } else { Some(Durability::Batched) };
        let writing = run.journal.write(record, on_recorded, durability);
        if parks { Next::Park(writing) } else { Next::Keep(writing) }
    }

    /// Parks the run until the next attempt is due, after the journal has recorded the number of attempts. The run becomes
    /// due at the recorded time, so people who compare both see for which step it waits.
    pub(in crate::step) fn park(&mut self) -> RunError {
        let (step, until) = (self.label().clone(), self.retries().until.unwrap_or_default());
        if let Some(run) = self.run {
            let in_undo = self.is_shielded();
            run.stopping.note_waiting(Waits { wake: Some(until), in_undo, ..Waits::at(step.clone()) });
        }
        RunError::Waiting { step }
    }

    fn parks(&self, delay: Duration) -> bool {
        self.run.is_some_and(|run| self.is_recorded() && run.time.parks(delay))
    }

    fn retries(&mut self) -> &mut Retries {
        self.detail().retries.get_or_insert_default()
    }

    /// Notes a refusal, and returns the number of refusals of this attempt and the previous delay.
    pub(in crate::step) fn refused_again(&mut self) -> (u32, Duration) {
        let attempt = self.attempt;
        let first = Refusals { attempt, count: 0, previous: Duration::ZERO, waited: Duration::ZERO };
        let refusals = self.retries().refusals.take().filter(|before| before.attempt == attempt);
        let mut refusals = refusals.unwrap_or(first);
        refusals.count += 1;
        let answer = (refusals.count, refusals.previous);
        self.retries().refusals = Some(refusals);
        answer
    }

    /// Returns whether the step may ask its guards again after `delay`. If there is a deadline, it decides. Without
    /// one, a recorded step asks without a limit, and an unrecorded step for at most `longest`.
    pub(in crate::step) fn may_ask_again(&self, delay: Duration, longest: Duration) -> bool {
        if !self.has_time_for(delay) {
            return false;
        }
        if self.is_recorded() || self.has_deadline() {
            return true;
        }
        let refusals = self.detail.as_ref().and_then(|detail| detail.retries.as_ref()?.refusals.as_ref());
        let waited = refusals.map_or(Duration::ZERO, |refusals| refusals.waited);
        waited.saturating_add(delay) <= longest
    }

    /// Schedules another question to the guards after `delay`, because the attempt did not begin.
    pub(in crate::step) fn ask_again(&mut self, delay: Duration, refusal: &Refusal) -> Next {
        let attempt = self.attempt;
        if let Some(refusals) = &mut self.retries().refusals {
            refusals.previous = delay;
            refusals.waited = refusals.waited.saturating_add(delay);
        }
        self.attempt = attempt.saturating_sub(1);
        self.tell(|step| {
            let (by, reason) = (refusal.by.to_string(), refusal.reason.to_string());
            EventKind::AttemptRefused { step, attempt, by, reason, delay }
        });
        let (delay_ms, by, reason) = (millis(delay), &refusal.by, &refusal.reason);
        tracing::info!(step = %self.name, attempt, delay_ms, %by, %reason, "a guard refused the attempt");
        self.previous_delay = delay;
        self.end_attempt();
        if self.parks(delay) { self.keep_attempts(delay) } else { Next::Delay }
    }
}
