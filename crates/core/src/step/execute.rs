//! The state machine of a step, in which lookup, attempts and recording meet.
//!
//! ```text
//! Start ─▶ Entering ─▶ Attempting ─▶ Recording ─▶ Hooked ─▶ Done
//!             ▲            │
//!             │            ▼ failed
//!          Delaying ◀── Counting
//! ```
//!
//! A step looks up its key first. A recorded outcome ends the step at once, and so does any reason that keeps it from
//! running. Otherwise it makes attempts. An attempt asks the guards (`Entering`). Then its operation runs
//! (`Attempting`), or a test provides the result (`Playing`). If another attempt follows a failure, the journal records
//! the number of attempts (`Counting`), the delay passes (`Delaying`), and the guards are asked again. The machine
//! skips every state that does not wait: a plain step gets from `Start` to its value in one poll, and enters only
//! `Attempting`.
//!
//! An outcome is classified before any other code uses it. If the run was cancelled, is out of time, waits, or lost its
//! store, then the operation received this as the error of an inner step, and usually returns it inside its own error.
//! If the machine took that for a failure of this step, a breaker would count it against the service, another attempt
//! would start, and the journal would record it, so that the resumed run would find a failure that never happened. See
//! [`frame`](super::frame).
//!
//! A value is returned only after the store has acknowledged its record. The body acts on a value as soon as it has it:
//! it builds other steps and calls services. If the process ended between this and the record, the resumed run would
//! execute this step again, and might act on another value.

use std::any::type_name;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::ended::{again, ask_again, leave, look_up, played, record, recorded, succeeded};
use super::frame::{Frame, Next, Recording, Running};
use super::invoke::Invoke;
use super::keep::{Ended, Keep};
use super::undo::Undo;
use crate::error::{Error, RunError};
use crate::guard::{EnteringOf, Guard, Pass, Verdict};
use crate::hook::Hooked;
use crate::shared::Writing;
use crate::stage::{Cue, Scene};

pin_project! {
    #[project = StepProj]
    /// The future of a [`Step`](super::Step).
    #[must_use = "futures do nothing unless polled"]
    pub struct StepFuture<'r, F, A, R, G = (), U = ()>
    where
        A: Invoke<F>,
        G: Guard<A::Error>,
        U: Undo<A::Value>,
    {
        frame: Frame<'r>,
        operation: Option<F>,
        attempts: A,
        guard: G,
        undo: U,
        #[pin]
        state: StateOf<F, A, G>,
        keep: PhantomData<fn() -> R>,
    }

    impl<'r, F, A, R, G, U> PinnedDrop for StepFuture<'r, F, A, R, G, U>
    where
        A: Invoke<F>,
        G: Guard<A::Error>,
        U: Undo<A::Value>,
    {
        fn drop(this: Pin<&mut Self>) {
            if U::ACTS {
                this.dropped();
            }
        }
    }
}

/// The states of a step, derived from the types of its operation and its guards.
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
        /// Not polled yet. If something undoes the step, `recorded` is the value in the journal.
        Start { recorded: Option<T> },
        /// An attempt asks its guards.
        Entering { #[pin] entering: Entering },
        /// A test provides the result of an attempt.
        Playing { scene: Scene, pass: Option<Held> },
        /// An attempt runs.
        Attempting { #[pin] attempt: Attempt, pass: Option<Held> },
        /// The journal is recording the number of attempts.
        Counting { writing: Writing, parks: bool },
        /// The delay between two attempts passes.
        Delaying,
        /// The store is recording the outcome.
        Recording { recording: Recording, ended: Option<Ended<T, E>> },
        /// The store has the outcome, and the hook after the step runs.
        Hooked { hooked: Hooked, ended: Option<Ended<T, E>> },
        /// The outcome was returned.
        Done,
    }
}

impl<'r, F, A, R, G, U> StepFuture<'r, F, A, R, G, U>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
    #[inline]
    pub(super) fn new(frame: Frame<'r>, operation: F, attempts: A, guard: G, undo: U) -> Self {
        let recorded = if U::ACTS { recorded::<_, _, R>(&frame) } else { None };
        let (operation, state, keep) = (Some(operation), State::Start { recorded }, PhantomData);
        Self { frame, operation, attempts, guard, undo, state, keep }
    }
}

impl<F, A, R, G, U> StepFuture<'_, F, A, R, G, U>
where
    A: Invoke<F>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
    /// Tells `undo` that the step is dropped before its end, or that nothing asked for its recorded value.
    fn dropped(self: Pin<&mut Self>) {
        let StepProj { frame, undo, state, .. } = self.project();
        match state.project() {
            StateProj::Start { recorded } => match recorded.take() {
                Some(value) => undo.passed_over(frame.label(), &value),
                // The operation panicked before it returned its future.
                None if frame.attempt() > 0 => undo.aborted(frame.label()),
                None => {}
            },
            StateProj::Done => {}
            _ => undo.aborted(frame.label()),
        }
    }
}

/// One turn of the machine: `Pending` if the state waits, `None` if another state follows, `Some` if the step is over.
type Turn<T, E> = Poll<Option<Ended<T, E>>>;

/// Returns from a poll if the turn waits or is the last one. Each turn has a separate exit, so that the outcome of the
/// common one is not moved through a place shared by all turns.
macro_rules! turn {
    ($turn:expr) => {
        match $turn {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(ended)) => return Poll::Ready(ended),
            Poll::Ready(None) => {}
        }
    };
}

impl<F, A, R, G, U> Future for StepFuture<'_, F, A, R, G, U>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
    type Output = Ended<A::Value, A::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if U::ACTS { self.advance_undoable(cx) } else { self.advance(cx) }
    }
}

impl<F, A, R, G, U> StepFuture<'_, F, A, R, G, U>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
    /// Advances a step that something undoes: `undo` may refuse the step before its first poll, and learns the outcome
    /// before the body does.
    fn advance_undoable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<A::Value, A::Error>> {
        let polled_before = !matches!(self.state, State::Start { .. });
        if !polled_before {
            let StepProj { frame, undo, mut state, .. } = self.as_mut().project();
            if let Err(refused) = undo.begins(frame.label()) {
                state.set(State::Done);
                return Poll::Ready(Err(Error::Run(refused)));
            }
            state.set(State::Start { recorded: None });
        }
        let ended = ready!(self.as_mut().advance(cx));
        let StepProj { frame, undo, .. } = self.project();
        undo.ended(frame.label(), &ended, polled_before);
        Poll::Ready(ended)
    }

    #[inline(always)]
    fn advance(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<A::Value, A::Error>> {
        loop {
            let mut step = self.as_mut();
            match step.state {
                State::Start { .. } => turn!(step.look_up()),
                State::Entering { .. } => turn!(step.ask_guards(cx)),
                State::Playing { .. } => turn!(step.play(cx)),
                State::Attempting { .. } => match step.as_mut().run(cx) {
                    // The common exit, which does not move the value.
                    Poll::Ready(Ok(value)) if !R::KEEPS => return Poll::Ready(Ok(value)),
                    polled => turn!(step.attempt(polled, cx)),
                },
                State::Counting { .. } => turn!(step.count(cx)),
                State::Delaying => turn!(step.delay(cx)),
                State::Recording { .. } => turn!(step.record(cx)),
                State::Hooked { .. } => turn!(step.hook(cx)),
                State::Done => return Poll::Pending,
            }
        }
    }

    /// `Start`: either an outcome is recorded, or the first attempt follows, possibly after the rest of a delay.
    #[inline(always)]
    fn look_up(mut self: Pin<&mut Self>) -> Turn<A::Value, A::Error> {
        let frame = self.as_mut().project().frame;
        frame.looks_up();
        if let Some(ended) = look_up::<_, _, R>(frame) {
            return self.over(ended);
        }
        frame.started();
        match frame.resumed_delay() {
            None => self.begin(),
            Some(Ok(())) => self.go(State::Delaying),
            Some(Err(waiting)) => self.settle(Err(Error::Run(waiting)), false),
        }
    }

    /// Begins an attempt. The guards admit it at once, or the step waits for them.
    #[inline(always)]
    fn begin(mut self: Pin<&mut Self>) -> Turn<A::Value, A::Error> {
        let step = self.as_mut().project();
        step.frame.begin_attempt();
        match step.guard.enter().pass() {
            Ok(pass) => self.admit(pass),
            Err(entering) => self.go(State::Entering { entering }),
        }
    }

    /// `Entering`: the guards admit the attempt or refuse it. After a refusal, the step may ask them again.
    #[inline(never)]
    fn ask_guards(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Turn<A::Value, A::Error> {
        let StepProj { frame, attempts, state, .. } = self.as_mut().project();
        let StateProj::Entering { entering } = state.project() else { return Poll::Pending };
        match entering.poll(cx) {
            Poll::Ready(Ok(pass)) => {
                frame.admitted();
                self.admit(pass)
            }
            Poll::Ready(Err(refusal)) => match ask_again(frame, attempts, &refusal) {
                Some(next) => self.go(between(next)),
                None => {
                    let mut ended = Err(Error::Run(frame.refused(refusal)));
                    frame.classify(&mut ended);
                    self.keep(ended, false)
                }
            },
            Poll::Pending => {
                let limit = ready!(frame.poll_limits(cx));
                self.settle(Err(Error::Run(limit)), false)
            }
        }
    }

    /// Continues after the guards have admitted an attempt: a test provides its result, or the operation is called.
    #[inline(always)]
    fn admit(mut self: Pin<&mut Self>, pass: G::Pass) -> Turn<A::Value, A::Error> {
        match self.as_mut().project().frame.scene() {
            None => self.call(pass),
            Some(scene) => self.go(State::Playing { scene, pass: Some(pass) }),
        }
    }

    #[inline(always)]
    fn call(mut self: Pin<&mut Self>, pass: G::Pass) -> Turn<A::Value, A::Error> {
        let StepProj { frame, attempts, operation, .. } = self.as_mut().project();
        let destination = A::COMMITS.then(|| frame.destination());
        let running = frame.enter();
        let attempt = attempts.invoke(operation, destination);
        leave_operation(running);
        // An operation for a single call has a single attempt, so there is always one here.
        self.go(attempt.map_or(State::Done, |attempt| State::Attempting { attempt, pass: Some(pass) }))
    }

    /// `Attempting`: polls the operation. An unrecorded value ends the step.
    #[inline(always)]
    fn run(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<A::Value, A::Error>> {
        let StepProj { frame, attempts, mut state, .. } = self.project();
        let StateProj::Attempting { attempt, pass } = state.as_mut().project() else { return Poll::Pending };
        // If the operation panics, the pass is dropped with it.
        let held = pass.take();
        let running = frame.enter();
        let polled = attempt.poll(cx);
        leave_operation(running);
        if R::KEEPS || !matches!(polled, Poll::Ready(Ok(_))) {
            *pass = held;
            return polled;
        }
        state.set(State::Done);
        if let Some(pass) = held {
            pass.leave(Verdict::Succeeded);
        }
        succeeded(attempts);
        frame.succeeded();
        polled
    }

    /// `Attempting`: the operation has ended, a limit ends it, or it has to wait.
    #[inline]
    fn attempt(
        mut self: Pin<&mut Self>,
        polled: Poll<Result<A::Value, A::Error>>,
        cx: &mut Context<'_>,
    ) -> Turn<A::Value, A::Error> {
        let StepProj { frame, mut state, .. } = self.as_mut().project();
        let StateProj::Attempting { attempt, pass } = state.as_mut().project() else { return Poll::Pending };
        let mut ended = match polled {
            Poll::Ready(ended) => ended.map_err(Error::Failed),
            Poll::Pending => Err(Error::Run(ready!(A::poll_end(attempt, || frame.poll_limits(cx))))),
        };
        // The attempt is dropped before its place at the guards is released.
        let pass = pass.take();
        state.set(State::Done);
        frame.classify(&mut ended);
        leave(pass, &ended, |after| frame.ran_for_most_of(after));
        match ended {
            Err(Error::Run(error)) if A::COMMITS && error.interrupts() => self.interrupt(error),
            ended => self.settle(ended, A::COMMITS),
        }
    }

    /// `Playing`: a test provides the result of the attempt, or requests the call of the operation.
    #[cold]
    #[inline(never)]
    fn play(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Turn<A::Value, A::Error> {
        let StepProj { frame, mut state, .. } = self.as_mut().project();
        let StateProj::Playing { scene, pass } = state.as_mut().project() else { return Poll::Pending };
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
        state.set(State::Done);
        match played::<_, _, R>(cue) {
            None => pass.map_or(Poll::Pending, |pass| self.call(pass)),
            Some(Err(misfit)) => {
                let refused = frame.misfit(&misfit);
                self.over(Err(Error::Run(refused)))
            }
            Some(Ok(Err(Error::Run(error)))) if error.interrupts() => self.interrupt(error),
            Some(Ok(mut ended)) => {
                frame.classify(&mut ended);
                leave(pass, &ended, |after| frame.ran_for_most_of(after));
                self.settle(ended, false)
            }
        }
    }

    /// Interrupts the run, because the attempt could not record its outcome or does not know if it has.
    #[cold]
    fn interrupt(mut self: Pin<&mut Self>, error: RunError) -> Turn<A::Value, A::Error> {
        let error = self.as_mut().project().frame.interrupted(error);
        self.over(Err(Error::Run(error)))
    }

    /// Continues after the end of an attempt or of the step: another attempt follows, or the outcome is recorded.
    /// `committed` states whether the attempt has recorded its value itself.
    #[inline]
    fn settle(
        mut self: Pin<&mut Self>,
        ended: Ended<A::Value, A::Error>,
        committed: bool,
    ) -> Turn<A::Value, A::Error> {
        let step = self.as_mut().project();
        match again(step.frame, step.attempts, &ended) {
            None => self.keep(ended, committed),
            Some(next) => self.go(between(next)),
        }
    }

    /// Continues after the last attempt: the outcome is recorded, or returned at once.
    #[inline]
    fn keep(
        mut self: Pin<&mut Self>,
        mut ended: Ended<A::Value, A::Error>,
        committed: bool,
    ) -> Turn<A::Value, A::Error> {
        let step = self.as_mut().project();
        match record::<F, A, R>(step.frame, step.attempts, &mut ended, committed) {
            Some(recording) => self.go(State::Recording { recording, ended: Some(ended) }),
            None => self.over(ended),
        }
    }

    /// `Counting`: the journal records the number of attempts. Then the delay passes, or the run waits for its end.
    #[inline(never)]
    fn count(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Turn<A::Value, A::Error> {
        let StepProj { frame, state, .. } = self.as_mut().project();
        let StateProj::Counting { writing, parks } = state.project() else { return Poll::Pending };
        if let Err(error) = ready!(writing.as_mut().poll(cx)) {
            let error = frame.not_recorded(error);
            return self.over(Err(Error::Run(error)));
        }
        if *parks {
            let waiting = frame.park();
            return self.settle(Err(Error::Run(waiting)), false);
        }
        self.go(State::Delaying)
    }

    /// `Delaying`: the next attempt follows, unless the run ends first.
    #[inline(never)]
    fn delay(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Turn<A::Value, A::Error> {
        match ready!(self.as_mut().project().frame.poll_delay(cx)) {
            Ok(()) => self.begin(),
            Err(error) => self.settle(Err(Error::Run(error)), false),
        }
    }

    /// `Recording`: returns the outcome after the store has it, and after the hook, if there is one.
    #[inline]
    fn record(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Turn<A::Value, A::Error> {
        let StepProj { frame, undo, state, .. } = self.as_mut().project();
        let StateProj::Recording { recording, ended } = state.project() else { return Poll::Pending };
        if let Err(error) = ready!(recording.writing.as_mut().poll(cx)) {
            match frame.not_kept(error, type_name::<A::Value>(), recording.instead.is_some()) {
                Ok(instead) => *recording = instead,
                Err(error) => return self.over(Err(Error::Run(error))),
            }
            return Poll::Ready(None);
        }
        let Recording { kind, bytes, instead, .. } = recording;
        frame.recorded(*kind, *bytes);
        if let Some(unkept) = instead.take() {
            // The operation had its effect, although the step fails.
            if let Some(Ok(value)) = ended {
                undo.unkept(frame.label(), value);
            }
            return self.over(Err(Error::Run(*unkept)));
        }
        let hooked = frame.hook(*kind);
        let ended = ended.take();
        match hooked {
            Some(hooked) => self.go(State::Hooked { hooked, ended }),
            None => self.hand_out(ended),
        }
    }

    /// `Hooked`: returns the outcome, unless the hook refuses it or the run ends first.
    #[cold]
    #[inline(never)]
    fn hook(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Turn<A::Value, A::Error> {
        let StepProj { frame, state, .. } = self.as_mut().project();
        let StateProj::Hooked { hooked, ended } = state.project() else { return Poll::Pending };
        let passed = match hooked.as_mut().poll(cx) {
            Poll::Ready(answer) => {
                frame.hooked(&answer);
                answer.map_err(|refusal| frame.refused(refusal))
            }
            Poll::Pending => {
                let error = ready!(frame.poll_run_limits(cx));
                frame.paused(&error);
                Err(error)
            }
        };
        let ended = ended.take();
        match passed {
            Ok(()) => self.hand_out(ended),
            Err(error) => self.over(Err(Error::Run(error))),
        }
    }

    /// Enters another state.
    #[inline(always)]
    fn go(self: Pin<&mut Self>, state: StateOf<F, A, G>) -> Turn<A::Value, A::Error> {
        self.project().state.set(state);
        Poll::Ready(None)
    }

    /// Ends the step with a recorded outcome.
    #[inline]
    fn hand_out(self: Pin<&mut Self>, ended: Option<Ended<A::Value, A::Error>>) -> Turn<A::Value, A::Error> {
        self.project().state.set(State::Done);
        if ended.is_some() { Poll::Ready(ended) } else { Poll::Pending }
    }

    /// Ends the step.
    #[inline(always)]
    fn over(self: Pin<&mut Self>, ended: Ended<A::Value, A::Error>) -> Turn<A::Value, A::Error> {
        self.project().state.set(State::Done);
        Poll::Ready(Some(ended))
    }
}

/// Returns the state between a failed or refused attempt and the next one.
fn between<Entering, Held, Attempt, T, E>(next: Next) -> State<Entering, Held, Attempt, T, E> {
    match next {
        Next::Delay => State::Delaying,
        Next::Keep(writing) => State::Counting { writing, parks: false },
        Next::Park(writing) => State::Counting { writing, parks: true },
    }
}

/// Drops the marker of a running operation. Most steps have none, so this check is inlined.
#[inline(always)]
fn leave_operation(running: Option<Running<'_>>) {
    if let Some(running) = running {
        drop(running);
    }
}
