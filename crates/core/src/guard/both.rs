use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{Admission, Guard, Pass, Refusal, Verdict};

/// Two guards are a guard: an attempt enters the first one first and leaves it last. The second must be `Clone`; a
/// reference is.
#[diagnostic::do_not_recommend]
impl<E, A: Guard<E>, B: Guard<E> + Clone> Guard<E> for (A, B) {
    type Pass = (B::Pass, A::Pass);
    type Refused = Refusal;
    type Wait = WaitBoth<E, A, B>;

    #[inline]
    fn enter(&self) -> Admission<Self::Pass, Refusal, Self::Wait> {
        match self.0.enter() {
            Admission::Admitted(outer) => enter_inner(outer, &self.1),
            Admission::Refused(refused) => refuse(refused),
            Admission::Wait(wait) => Admission::Wait(WaitBoth::Outer { wait, inner: Some(self.1.clone()) }),
        }
    }
}

type Answer<E, A, B> = Admission<(<B as Guard<E>>::Pass, <A as Guard<E>>::Pass), Refusal, WaitBoth<E, A, B>>;

#[inline]
fn enter_inner<E, A: Guard<E>, B: Guard<E>>(outer: A::Pass, inner: &B) -> Answer<E, A, B> {
    match inner.enter() {
        Admission::Admitted(inner) => Admission::Admitted((inner, outer)),
        Admission::Refused(refused) => refuse(refused),
        Admission::Wait(wait) => Admission::Wait(WaitBoth::Inner { wait, outer: Some(outer) }),
    }
}

#[cold]
fn refuse<P, W>(refused: impl Into<Refusal>) -> Admission<P, Refusal, W> {
    Admission::Refused(refused.into())
}

/// The passes of an attempt that two guards admitted, the inner one first: it is left, or dropped, first.
impl<E, B: Pass<E>, A: Pass<E>> Pass<E> for (B, A) {
    fn leave(self, verdict: Verdict<'_, E>) {
        let (inner, outer) = self;
        inner.leave(match &verdict {
            Verdict::Succeeded => Verdict::Succeeded,
            Verdict::Failed(error) => Verdict::Failed(*error),
            Verdict::TimedOut => Verdict::TimedOut,
        });
        outer.leave(verdict);
    }
}

pin_project! {
    /// The wait at the outer guard, and then at the inner guard.
    #[project = WaitBothProj]
    pub enum WaitBoth<E, A, B>
    where
        A: Guard<E>,
        B: Guard<E>,
    {
        #[doc(hidden)]
        Outer { #[pin] wait: A::Wait, inner: Option<B> },
        #[doc(hidden)]
        Inner { #[pin] wait: B::Wait, outer: Option<A::Pass> },
    }
}

impl<E, A: Guard<E>, B: Guard<E>> Future for WaitBoth<E, A, B> {
    type Output = Result<(B::Pass, A::Pass), Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                WaitBothProj::Outer { wait, inner } => {
                    let outer = ready!(wait.poll(cx)).map_err(Into::<Refusal>::into)?;
                    let Some(inner) = inner.take() else { return Poll::Pending };
                    match enter_inner(outer, &inner) {
                        Admission::Admitted(passes) => return Poll::Ready(Ok(passes)),
                        Admission::Refused(refusal) => return Poll::Ready(Err(refusal)),
                        Admission::Wait(next) => next,
                    }
                }
                WaitBothProj::Inner { wait, outer } => {
                    let inner = ready!(wait.poll(cx)).map_err(Into::<Refusal>::into)?;
                    let Some(outer) = outer.take() else { return Poll::Pending };
                    return Poll::Ready(Ok((inner, outer)));
                }
            };
            self.set(next);
        }
    }
}
