use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pin_project! {
    /// The first success of two futures; where all fail, the failure that came first.
    ///
    /// The other one is dropped with it. A race of more is a race of one against the race of the others.
    /// The value comes with the number of the future it is from, from 0.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Race<A, B, E> {
        #[pin]
        first: Option<A>,
        #[pin]
        others: Option<B>,
        failure: Option<E>,
    }
}

impl<A, B, E> Race<A, B, E> {
    /// `first` against `others`.
    pub const fn new(first: A, others: B) -> Self {
        Self {
            first: Some(first),
            others: Some(others),
            failure: None,
        }
    }
}

impl<A, B, T, E> Future for Race<A, B, E>
where
    A: Future<Output = Result<T, E>>,
    B: Future<Output = Result<(usize, T), E>>,
{
    type Output = Result<(usize, T), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(ended) = first.poll(cx)
        {
            this.first.set(None);
            match ended {
                Ok(value) => return Poll::Ready(Ok((0, value))),
                Err(error) => *this.failure = this.failure.take().or(Some(error)),
            }
        }
        if let Some(others) = this.others.as_mut().as_pin_mut()
            && let Poll::Ready(ended) = others.poll(cx)
        {
            this.others.set(None);
            match ended {
                Ok((winner, value)) => return Poll::Ready(Ok((winner + 1, value))),
                Err(error) => *this.failure = this.failure.take().or(Some(error)),
            }
        }
        if this.first.is_some() || this.others.is_some() {
            return Poll::Pending;
        }
        this.failure
            .take()
            .map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    }
}

pin_project! {
    /// The last of those who race.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Lone<A> {
        #[pin]
        only: A,
    }
}

impl<A> Lone<A> {
    /// Races against nobody.
    pub const fn new(only: A) -> Self {
        Self { only }
    }
}

impl<A, T, E> Future for Lone<A>
where
    A: Future<Output = Result<T, E>>,
{
    type Output = Result<(usize, T), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().only.poll(cx).map_ok(|value| (0, value))
    }
}
