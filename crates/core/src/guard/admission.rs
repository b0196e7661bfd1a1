use std::future::{Future, Pending};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Guard, Refusal};

/// The answer of a guard, now or after a wait. A guard that always answers at once has the wait
/// [`Pending`], which it never returns.
///
/// ```
/// use awaitly_core::guard::{Admission, Refusal};
///
/// let closed: Admission<(), Refusal> = Err(Refusal::new("shop", "closed")).into();
/// assert!(matches!(closed, Admission::Refused(refusal) if &*refusal.by == "shop"));
/// ```
#[derive(Debug)]
pub enum Admission<P, R, W = Pending<Result<P, R>>> {
    /// The attempt may begin and holds this pass.
    Admitted(P),
    /// The attempt may not begin.
    Refused(R),
    /// The guard answers later.
    Wait(W),
}

impl<P, R, W: Future<Output = Result<P, R>>> Admission<P, R, W> {
    /// Returns the answer, after the wait if there is one.
    ///
    /// # Errors
    /// Returns the refusal if the guard refuses.
    ///
    /// ```
    /// use awaitly_core::guard::{Guard, Refusal};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let open = || Ok::<(), Refusal>(());
    /// assert_eq!(Guard::<std::fmt::Error>::enter(&open).answer().await, Ok(()));
    /// # });
    /// ```
    pub async fn answer(self) -> Result<P, R> {
        match self {
            Self::Admitted(pass) => Ok(pass),
            Self::Refused(refused) => Err(refused),
            Self::Wait(wait) => wait.await,
        }
    }
}

impl<P, R, W> Admission<P, R, W> {
    /// Returns the pass, or the future that resolves to it.
    #[inline]
    pub(crate) fn pass(self) -> Result<P, Entering<R, W>> {
        match self {
            Self::Admitted(pass) => Ok(pass),
            Self::Refused(refused) => Err(Entering::Refused { refused: Some(refused) }),
            Self::Wait(wait) => Err(Entering::Waiting { wait }),
        }
    }
}

impl<P, R, W> From<Result<P, R>> for Admission<P, R, W> {
    #[inline]
    fn from(answer: Result<P, R>) -> Self {
        match answer {
            Ok(pass) => Self::Admitted(pass),
            Err(refused) => Self::Refused(refused),
        }
    }
}

pin_project! {
    /// An attempt that its guards did not admit at once.
    #[project = EnteringProj]
    pub(crate) enum Entering<R, W> {
        Refused { refused: Option<R> },
        Waiting { #[pin] wait: W },
    }
}

/// An attempt with errors `E` that `G` did not admit at once.
pub(crate) type EnteringOf<G, E> = Entering<<G as Guard<E>>::Refused, <G as Guard<E>>::Wait>;

impl<P, R: Into<Refusal>, W: Future<Output = Result<P, R>>> Future for Entering<R, W> {
    type Output = Result<P, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match self.project() {
            // The step polls a refusal only once.
            EnteringProj::Refused { refused } => {
                refused.take().map_or(Poll::Pending, |refused| Poll::Ready(Err(refused)))
            }
            EnteringProj::Waiting { wait } => wait.poll(cx),
        };
        answer.map_err(Into::into)
    }
}
