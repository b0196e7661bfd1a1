use std::any::type_name;
use std::fmt;
use std::future::{self, Future};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::frame::{Next, Running};
use super::invoke::{OfStep, Waits};
use super::stage::{Cue, Misfit, Scene};
use super::{Ended, Frame, Invoke, Keep};
use crate::error::{Error, Limit, RunError};
use crate::event::RecordedKind;
use crate::guard::{EnteringOf, Guard, Pass, Refusal, Verdict};
use crate::journal::Outcome;
use crate::run::{Hooked, Writing};

pin_project! {
    /// A step on its way to its outcome. Made by awaiting a [`Step`](super::Step).
    #[must_use = "futures do nothing unless polled"]
    pub struct StepFuture<'r, F, A, R, G>
    where
        A: Invoke<F>,
        G: Guard<A::Error>,
    {
        frame: Frame<'r>,
        operation: Option<F>,
        attempts: A,
        guard: G,
        #[pin]
        state: StateOf<F, A, G>,
        keep: PhantomData<fn() -> R>,
    }
}

/// The states of a step, from the types of its operation and its guards.
type StateOf<F, A, G> = State<
    EnteringOf<G, <A as Invoke<F>>::Error>,
    <G as Guard<<A as Invoke<F>>::Error>>::Pass,
    <A as Invoke<F>>::Attempt,
    <A as Invoke<F>>::Value,
    <A as Invoke<F>>::Error,
>;

pin_project! {
    #[project = StateProj]
    enum State<Entering, Held, Attempt, T, E> {
        /// Not polled yet.
        Start,
        /// An attempt asks its guards.
        Entering { #[pin] entering: Entering },
        /// An attempt is played.
        Playing { scene: Scene, pass: Option<Held> },
        /// An attempt runs.
        Attempting { #[pin] attempt: Attempt, pass: Option<Held> },
        /// The journal is about to keep how many attempts there were.
        Counting { writing: Writing, parks: bool },
        /// Between two attempts.
        Delaying,
        /// The outcome is there and on its way to the store.
        Recording { recording: Recording, ended: Option<Ended<T, E>> },
        /// The outcome is in the store, and the hook after the step runs.
        Hooked { hooked: Option<Hooked>, ended: Option<Ended<T, E>> },
        /// The step failed because its value cannot be kept; a saga may still want the value, to undo it.
        Unkept { value: Option<T> },
        /// The outcome was handed out.
        Done,
    }
}

/// A record on its way to the store.
pub(super) struct Recording {
    pub(super) writing: Writing,
    pub(super) kind: RecordedKind,
    pub(super) bytes: usize,
    /// The failure that is recorded instead of an outcome that cannot be kept.
    pub(super) instead: Option<Box<RunError>>,
}

/// A step that may have a value which could not be recorded.
pub trait Unkept {
    /// The type of the value.
    type Value;

    /// Takes the value, once the future has ended in [`RunError::Unencodable`] or [`RunError::TooLarge`].
    fn unkept(self: Pin<&mut Self>) -> Option<Self::Value>;
}

impl<'r, F, A, R, G> StepFuture<'r, F, A, R, G>
where
    A: Invoke<F>,
    G: Guard<A::Error>,
{
    #[inline]
    pub(super) const fn new(frame: Frame<'r>, operation: F, attempts: A, guard: G) -> Self {
        let keep = PhantomData;
        Self { frame, operation: Some(operation), attempts, guard, state: State::Start, keep }
    }
}

impl<F, A, R, G> Unkept for StepFuture<'_, F, A, R, G>
where
    A: Invoke<F>,
    G: Guard<A::Error>,
{
    type Value = A::Value;

    fn unkept(self: Pin<&mut Self>) -> Option<A::Value> {
        match self.project().state.project() {
            StateProj::Unkept { value } => value.take(),
            _ => None,
        }
    }
}

impl<F, A, R, G> Future for StepFuture<'_, F, A, R, G>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
{
    type Output = Ended<A::Value, A::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let frame = this.frame;
        loop {
            // Whether a transaction has recorded the outcome; one that is played has none.
            let mut committed = R::COMMITTED;
            // A guard was asked for as long as the policy says, so no attempt follows.
            let mut refused = false;
            let mut ended = match this.state.as_mut().project() {
                StateProj::Start => {
                    frame.looks_up();
                    if let Some(ended) = look_up::<_, _, R>(frame) {
                        this.state.set(State::Done);
                        return Poll::Ready(ended);
                    }
                    frame.started();
                    match frame.resumed_delay() {
                        None => {
                            this.state.set(begin(frame, this.guard, this.attempts, this.operation));
                            continue;
                        }
                        Some(Ok(())) => {
                            this.state.set(State::Delaying);
                            continue;
                        }
                        Some(Err(waiting)) => Err(Error::Run(waiting)),
                    }
                }
                StateProj::Entering { entering } => match entering.poll(cx) {
                    Poll::Ready(Ok(pass)) => {
                        frame.admitted();
                        this.state.set(attempt(frame, this.attempts, this.operation, pass));
                        continue;
                    }
                    Poll::Ready(Err(refusal)) => match ask_again(frame, this.attempts, &refusal) {
                        Some(next) => {
                            this.state.set(between(next));
                            continue;
                        }
                        None => {
                            refused = true;
                            let mut ended = Err(Error::Run(frame.refused(refusal)));
                            frame.classify(&mut ended);
                            ended
                        }
                    },
                    Poll::Pending => Err(Error::Run(ready!(frame.poll_limits(cx)))),
                },
                StateProj::Playing { scene, pass } => {
                    let held = pass.take();
                    let running = frame.enter();
                    let polled = scene.as_mut().poll(cx);
                    leave_operation(running);
                    *pass = held;
                    let cue = match polled {
                        Poll::Ready(cue) => cue,
                        Poll::Pending => Cue::Stopped(ready!(frame.poll_limits(cx))),
                    };
                    let pass = pass.take();
                    this.state.set(State::Done);
                    match (played::<_, _, R>(cue), pass) {
                        (None, Some(pass)) => {
                            this.state.set(call_after_all(frame, this.attempts, this.operation, pass));
                            continue;
                        }
                        (None, None) => return Poll::Pending,
                        (Some(Err(misfit)), _) => return Poll::Ready(Err(Error::Run(frame.misfit(&misfit)))),
                        (Some(Ok(Err(Error::Run(error)))), _) if error.interrupts() => {
                            return Poll::Ready(Err(Error::Run(frame.interrupted(error))));
                        }
                        (Some(Ok(mut ended)), pass) => {
                            frame.classify(&mut ended);
                            leave(pass, &ended, |after| frame.ran_for_most_of(after));
                            committed = false;
                            ended
                        }
                    }
                }
                StateProj::Attempting { mut attempt, pass } => {
                    // Where the operation panics, the pass goes with it.
                    let held = pass.take();
                    let running = frame.enter();
                    let polled = attempt.as_mut().poll(cx);
                    leave_operation(running);
                    *pass = held;
                    let mut ended = match polled {
                        // The common way out, without moving the value around.
                        Poll::Ready(Ok(value)) if !R::RECORDS => {
                            let pass = pass.take();
                            this.state.set(State::Done);
                            if let Some(pass) = pass {
                                pass.leave(Verdict::Succeeded);
                            }
                            this.attempts.succeeded();
                            frame.succeeded();
                            return Poll::Ready(Ok(value));
                        }
                        Poll::Ready(ended) => ended.map_err(Error::Failed),
                        Poll::Pending => match A::waits(attempt) {
                            Waits::ForOperation => Err(Error::Run(ready!(frame.poll_limits(cx)))),
                            Waits::ForStore => return Poll::Pending,
                            Waits::Never(error) => Err(Error::Run(error)),
                        },
                    };
                    // The attempt is gone before its place with the guards is given back.
                    let pass = pass.take();
                    this.state.set(State::Done);
                    frame.classify(&mut ended);
                    leave(pass, &ended, |after| frame.ran_for_most_of(after));
                    match ended {
                        Err(Error::Run(error)) if R::COMMITTED && error.interrupts() => {
                            return Poll::Ready(Err(Error::Run(frame.interrupted(error))));
                        }
                        ended => ended,
                    }
                }
                StateProj::Counting { writing, parks } => {
                    if let Err(error) = ready!(writing.as_mut().poll(cx)) {
                        this.state.set(State::Done);
                        return Poll::Ready(Err(Error::Run(frame.not_recorded(error))));
                    }
                    if !*parks {
                        this.state.set(State::Delaying);
                        continue;
                    }
                    Err(Error::Run(frame.park()))
                }
                StateProj::Delaying => {
                    if let Err(error) = ready!(frame.poll_delay(cx)) {
                        Err(Error::Run(error))
                    } else {
                        this.state.set(begin(frame, this.guard, this.attempts, this.operation));
                        continue;
                    }
                }
                StateProj::Recording { recording, ended } => {
                    let written = ready!(recording.writing.as_mut().poll(cx));
                    if let Err(error) = written {
                        let type_name = type_name::<A::Value>();
                        match frame.not_kept(error, type_name, recording.instead.is_some()) {
                            Ok(instead) => {
                                *recording = instead;
                                continue;
                            }
                            Err(error) => {
                                this.state.set(State::Done);
                                return Poll::Ready(Err(Error::Run(error)));
                            }
                        }
                    }
                    let Recording { kind, bytes, instead, .. } = recording;
                    frame.recorded(*kind, *bytes);
                    if let Some(error) = instead.take() {
                        let value = ended.take().and_then(Result::ok);
                        this.state.set(State::Unkept { value });
                        return Poll::Ready(Err(Error::Run(*error)));
                    }
                    let (hooked, ended) = (frame.hook(*kind), ended.take());
                    this.state.set(State::Hooked { hooked, ended });
                    continue;
                }
                StateProj::Hooked { hooked, ended } => {
                    let passed = match hooked {
                        Some(hooked) => match hooked.as_mut().poll(cx) {
                            Poll::Ready(answer) => {
                                frame.hooked(&answer);
                                answer.map_err(|refusal| frame.refused(refusal))
                            }
                            Poll::Pending => {
                                let error = ready!(frame.poll_run_limits(cx));
                                frame.paused(&error);
                                Err(error)
                            }
                        },
                        None => Ok(()),
                    };
                    let ended = ended.take();
                    this.state.set(State::Done);
                    return match passed {
                        Ok(()) => ended.map_or(Poll::Pending, Poll::Ready),
                        Err(error) => Poll::Ready(Err(Error::Run(error))),
                    };
                }
                StateProj::Unkept { .. } | StateProj::Done => return Poll::Pending,
            };

            if !refused && let Some(next) = again(frame, this.attempts, &ended) {
                this.state.set(between(next));
                continue;
            }
            match record::<_, _, R>(frame, this.attempts, &mut ended, committed) {
                Some(recording) => {
                    this.state.set(State::Recording { recording, ended: Some(ended) });
                }
                None => {
                    this.state.set(State::Done);
                    return Poll::Ready(ended);
                }
            }
        }
    }
}

/// The state between a failed or refused attempt and the next one.
fn between<Entering, Held, Attempt, T, E>(next: Next) -> State<Entering, Held, Attempt, T, E> {
    match next {
        Next::Delay => State::Delaying,
        Next::Keep(writing) => State::Counting { writing, parks: false },
        Next::Park(writing) => State::Counting { writing, parks: true },
    }
}

/// Returns what follows a refusal, if the step asks its guards again.
#[cold]
fn ask_again<F, A: Invoke<F>>(frame: &mut Frame<'_>, attempts: &A, refusal: &Refusal) -> Option<Next> {
    let (refusals, previous) = frame.refused_again();
    let (delay, longest) =
        attempts.after_refusal(refusals, previous, refusal.retry_after, || frame.dice())?;
    frame.may_ask_again(delay, longest).then(|| frame.ask_again(delay, refusal))
}

/// The first state of an attempt: the attempt itself where the guards admit it at once.
#[inline(always)]
fn begin<F, A: Invoke<F>, G: Guard<A::Error>>(
    frame: &mut Frame<'_>,
    guard: &G,
    attempts: &A,
    operation: &mut Option<F>,
) -> StateOf<F, A, G> {
    frame.begin_attempt();
    match guard.enter().pass() {
        Ok(pass) => attempt(frame, attempts, operation, pass),
        Err(entering) => State::Entering { entering },
    }
}

/// The state of an attempt that is admitted: what a test plays, or the operation.
#[inline(always)]
fn attempt<F, A: Invoke<F>, Entering, Held>(
    frame: &mut Frame<'_>,
    attempts: &A,
    operation: &mut Option<F>,
    pass: Held,
) -> State<Entering, Held, A::Attempt, A::Value, A::Error> {
    match frame.scene() {
        Some(scene) => State::Playing { scene, pass: Some(pass) },
        None => call(frame, attempts, operation, pass),
    }
}

#[inline(always)]
fn call<F, A: Invoke<F>, Entering, Held>(
    frame: &mut Frame<'_>,
    attempts: &A,
    operation: &mut Option<F>,
    pass: Held,
) -> State<Entering, Held, A::Attempt, A::Value, A::Error> {
    let place = A::Place::of(frame);
    let running = frame.enter();
    let attempt = attempts.invoke(operation, place);
    leave_operation(running);
    // An operation that is called once has one attempt, so there always is one.
    attempt.map_or(State::Done, |attempt| State::Attempting { attempt, pass: Some(pass) })
}

/// The operation is not polled any more. For most steps nobody asked, and that is seen here.
#[inline(always)]
fn leave_operation(running: Option<Running<'_>>) {
    if let Some(running) = running {
        drop(running);
    }
}

/// The operation of an attempt that was to be played.
#[cold]
#[inline(never)]
fn call_after_all<F, A: Invoke<F>, Entering, Held>(
    frame: &mut Frame<'_>,
    attempts: &A,
    operation: &mut Option<F>,
    pass: Held,
) -> State<Entering, Held, A::Attempt, A::Value, A::Error> {
    call(frame, attempts, operation, pass)
}

/// What came of an attempt that was played, with its types. `None`: the operation is called.
#[cold]
#[inline(never)]
fn played<T, E, R: Keep<T, E>>(cue: Cue) -> Option<Result<Ended<T, E>, Misfit>> {
    Some(match cue {
        Cue::Operation => return None,
        Cue::Value(value) => R::played(value).map(Ok),
        Cue::Error(error) => R::played_error(error).map(|error| Err(Error::Failed(error))),
        Cue::Stopped(error) => Ok(Err(Error::Run(error))),
        Cue::Unscripted => Err(Misfit::Unscripted),
    })
}

/// The outcome that stands without running the step: what the journal holds, or why nothing may run.
#[inline]
fn look_up<T, E: fmt::Display, R: Keep<T, E>>(frame: &mut Frame<'_>) -> Option<Ended<T, E>> {
    match frame.look_up(R::RECORDS) {
        Ok(None) => None,
        Ok(Some(found)) => reuse::<T, E, R>(frame, &found.outcome),
        Err(error) => Some(Err(Error::Run(refused(frame, error)))),
    }
}

/// The recorded outcome, if it counts.
#[inline(never)]
fn reuse<T, E: fmt::Display, R: Keep<T, E>>(frame: &mut Frame<'_>, outcome: &Outcome) -> Option<Ended<T, E>> {
    match R::decode(outcome) {
        Some(Ok(ended)) => {
            frame.reused(ended.is_err());
            Some(ended)
        }
        Some(Err(error)) => Some(Err(Error::Run(frame.undecodable(&error)))),
        None => frame.disregard().err().map(|error| Err(Error::Run(refused(frame, error)))),
    }
}

/// The step may not run, because of `error`. Returns the error.
#[cold]
fn refused(frame: &Frame<'_>, error: RunError) -> RunError {
    frame.note_pause(&error);
    error
}

/// Tells the guards how the attempt ended. A cancelled one counts as nothing, and so does one whose time went by at
/// the guards.
fn leave<T, E>(
    pass: Option<impl Pass<E>>,
    ended: &Ended<T, E>,
    ran_for_most_of: impl FnOnce(Duration) -> bool,
) {
    let Some(pass) = pass else { return };
    match ended {
        Ok(_) => pass.leave(Verdict::Succeeded),
        Err(Error::Failed(error)) => pass.leave(Verdict::Failed(error)),
        Err(Error::Run(RunError::Timeout { limit: Limit::Attempt, after, .. }))
            if ran_for_most_of(*after) =>
        {
            pass.leave(Verdict::TimedOut);
        }
        // A deadline of the step or the run says nothing of the service.
        Err(Error::Run(_)) => drop(pass),
    }
}

/// Takes note of how an attempt ended, and returns what comes before another one, if one follows.
fn again<F, A: Invoke<F>>(
    frame: &mut Frame<'_>,
    attempts: &A,
    ended: &Ended<A::Value, A::Error>,
) -> Option<Next> {
    let error = match ended {
        Ok(_) => {
            attempts.succeeded();
            return None;
        }
        Err(Error::Run(error)) if error.pauses() => return None,
        Err(error) => error,
    };
    if let Error::Run(RunError::Timeout { after, .. }) = error {
        frame.timed_out(*after);
    }
    let delay = attempts.after(frame.attempt(), frame.previous_delay(), error, || frame.dice());
    let delay = delay.filter(|delay| frame.has_time_for(*delay))?;
    Some(frame.schedule(delay, attempts.max(), error))
}

/// Tells of the outcome, and begins to record it. `None`: it is not recorded. An outcome that cannot be kept is a
/// failure of the step, and that failure is recorded.
fn record<F, A: Invoke<F>, R: Keep<A::Value, A::Error>>(
    frame: &mut Frame<'_>,
    attempts: &A,
    ended: &mut Ended<A::Value, A::Error>,
    committed: bool,
) -> Option<Recording> {
    if let Err(Error::Run(error)) = ended
        && frame.is_pause(error)
    {
        frame.paused(error);
        return None;
    }
    let encoded = if frame.failed_by_other_run() { None } else { R::encode(ended) };
    let encoded = encoded.map(|encoded| frame.fits(encoded));
    match (&*ended, &encoded) {
        (_, Some(Err(unkept))) => frame.failed(unkept, 1),
        (Ok(_), _) => frame.succeeded(),
        (Err(error), _) => frame.failed(error, attempts.max()),
    }
    let recording = match encoded {
        None => return None,
        Some(Ok(outcome)) if committed && ended.is_ok() => {
            let (kind, bytes) = (outcome.kind().into(), outcome.payload().len());
            frame.committed(outcome);
            Ok(Some(Recording { writing: Box::pin(future::ready(Ok(()))), kind, bytes, instead: None }))
        }
        Some(Ok(outcome)) => Ok(frame.record(outcome, None)),
        Some(Err(unkept)) => frame.record_unkept(unkept).map(Some),
    };
    recording.unwrap_or_else(|error| {
        *ended = Err(Error::Run(error));
        None
    })
}
