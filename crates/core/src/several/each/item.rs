use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::retry::{Retry, Rules};
use crate::step::{Destination, Invoke};

/// The operation of [`Each`](super::Each), with one item.
pub struct ItemOperation<F, Item> {
    pub(super) operation: Arc<F>,
    pub(super) item: Item,
}

#[diagnostic::do_not_recommend]
impl<F, Item, Fut, T, E> Invoke<ItemOperation<F, Item>> for ()
where
    F: Fn(Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    type Value = T;
    type Error = E;
    type Attempt = Fut;
    type Rules = ();

    fn policy(&self) -> Option<&Retry> {
        None
    }

    fn invoke(&self, operation: &mut Option<ItemOperation<F, Item>>, _: Option<Destination>) -> Option<Fut> {
        operation.take().map(|ItemOperation { operation, item }| operation(item))
    }
}

#[diagnostic::do_not_recommend]
impl<F, Item, Fut, T, E, P> Invoke<ItemOperation<F, Item>> for Retry<P>
where
    F: Fn(Item) -> Fut,
    Item: Clone,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display,
    P: Rules<E>,
{
    type Value = T;
    type Error = E;
    type Attempt = Fut;
    type Rules = P;

    fn policy(&self) -> Option<&Self> {
        Some(self)
    }

    fn invoke(&self, operation: &mut Option<ItemOperation<F, Item>>, _: Option<Destination>) -> Option<Fut> {
        operation.as_ref().map(|each| (each.operation)(each.item.clone()))
    }
}

impl<F, Item> fmt::Debug for ItemOperation<F, Item> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemOperation").finish_non_exhaustive()
    }
}

pin_project! {
    /// The step of an item. Its output includes the position of the item, and whether the journal held its outcome.
    pub(super) struct Numbered<S> {
        pub(super) position: usize,
        pub(super) is_known: bool,
        #[pin]
        pub(super) step: S,
    }
}

impl<S: Future> Future for Numbered<S> {
    type Output = (usize, bool, S::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.step.poll(cx).map(|output| (*this.position, *this.is_known, output))
    }
}
