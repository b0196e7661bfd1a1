use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// The futures of a race: a single one, or one against others. Do not implement this trait.
pub trait Racers {
    /// The value of the winner.
    type Value;
    /// The failure of a loser.
    type Error;

    /// Polls all futures that have not failed. Returns the first success and its index, or `None` if all have failed,
    /// and sets `failure` to the first failure.
    fn poll_race(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        failure: &mut Option<Self::Error>,
    ) -> Poll<Option<(usize, Self::Value)>>;
}

pin_project! {
    /// A single future in a race.
    #[derive(Debug)]
    pub struct Lone<A> {
        #[pin]
        only: Option<A>,
    }
}

impl<A> Lone<A> {
    /// Creates a race of one future.
    pub const fn new(only: A) -> Self {
        Self { only: Some(only) }
    }
}

impl<A, T, E> Racers for Lone<A>
where
    A: Future<Output = Result<T, E>>,
{
    type Value = T;
    type Error = E;

    fn poll_race(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        failure: &mut Option<E>,
    ) -> Poll<Option<(usize, T)>> {
        let mut only = self.project().only;
        let Some(future) = only.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match std::task::ready!(future.poll(cx)) {
            Ok(value) => Poll::Ready(Some((0, value))),
            Err(error) => {
                only.set(None);
                failure.get_or_insert(error);
                Poll::Ready(None)
            }
        }
    }
}

pin_project! {
    /// A future in a race against others.
    #[derive(Debug)]
    pub struct Against<A, B> {
        #[pin]
        first: Lone<A>,
        #[pin]
        others: B,
    }
}

impl<A, B> Against<A, B> {
    /// Creates a race of `first` against `others`.
    pub const fn new(first: A, others: B) -> Self {
        Self { first: Lone::new(first), others }
    }
}

impl<A, B, T, E> Racers for Against<A, B>
where
    A: Future<Output = Result<T, E>>,
    B: Racers<Value = T, Error = E>,
{
    type Value = T;
    type Error = E;

    fn poll_race(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        failure: &mut Option<E>,
    ) -> Poll<Option<(usize, T)>> {
        let this = self.project();
        let first = this.first.poll_race(cx, failure);
        if let Poll::Ready(Some(winner)) = first {
            return Poll::Ready(Some(winner));
        }
        match this.others.poll_race(cx, failure) {
            Poll::Ready(Some((number, value))) => Poll::Ready(Some((number + 1, value))),
            Poll::Ready(None) if first.is_ready() => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}

pin_project! {
    /// Returns the first success of a race and its index; if all fail, the first failure.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Race<R: Racers> {
        #[pin]
        racers: R,
        failure: Option<R::Error>,
    }
}

impl<R: Racers> Race<R> {
    /// Creates the race of `racers`.
    pub const fn new(racers: R) -> Self {
        Self { racers, failure: None }
    }
}

impl<R: Racers> Future for Race<R> {
    type Output = Result<(usize, R::Value), R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match std::task::ready!(this.racers.poll_race(cx, this.failure)) {
            Some(winner) => Poll::Ready(Ok(winner)),
            None => this.failure.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}
