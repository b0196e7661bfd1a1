use std::sync::Arc;

use awaitly_core::store::StoreError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, SetOnce, oneshot};

/// The maximum number of operations in a commit.
const BATCH: usize = 1024;

/// The number of bytes of values that take one additional place in the queue. Each operation takes one place anyway.
const PLACE_BYTES: usize = 64 * 1024;

/// An operation that can wait in a [`queue`](queue()).
pub(crate) trait Queued: Send + 'static {
    /// Returns the size of the operation's values in bytes.
    fn bytes(&self) -> usize;
}

/// Creates a queue with `places`. An operation takes one place, plus one for each 64 KiB of its values, which bounds
/// the waiting operations in number and in size.
pub(crate) fn queue<O: Queued>(places: usize) -> (Sender<O>, Receiver<O>) {
    let places = places.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let (ops, queued) = unbounded_channel();
    let shared = Arc::new(Shared { permits: Semaphore::new(places), places, closed: SetOnce::new() });
    let sender = Sender { ops, shared: Arc::clone(&shared) };
    (sender, Receiver { ops: queued, end: End(shared), batch: Vec::new() })
}

/// The sending end of a queue. It is cheap to clone.
#[derive(Debug)]
pub(crate) struct Sender<O> {
    ops: UnboundedSender<Queue<O>>,
    shared: Arc<Shared>,
}

/// The state that both ends share.
#[derive(Debug)]
struct Shared {
    permits: Semaphore,
    places: usize,
    /// The result of closing, once the receiver has closed.
    closed: SetOnce<Result<(), StoreError>>,
}

#[derive(Debug)]
enum Queue<O> {
    /// An operation, and the number of places that it takes.
    Op {
        op: O,
        places: usize,
    },
    Close,
}

impl<O> Clone for Sender<O> {
    fn clone(&self) -> Self {
        Self { ops: self.ops.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<O: Queued> Sender<O> {
    /// Waits for places in the queue, first come, first served, and then for the answer.
    ///
    /// # Errors
    /// Returns [`StoreError::Closed`] if the queue is closed or the receiver is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped while it waits for a place, the operation is not put into the queue. If it is dropped
    /// later, the operation is carried out completely.
    pub(crate) async fn ask<T>(
        &self,
        op: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> O,
    ) -> Result<T, StoreError> {
        let (answer, fate) = oneshot::channel();
        let op = op(answer);
        let Shared { permits, places, .. } = &*self.shared;
        let places = (1 + op.bytes() / PLACE_BYTES).min(*places);
        let taken = permits.acquire_many(places as u32).await.map_err(closed)?;
        // The receiver returns the permits when it takes the operation out of the queue.
        taken.forget();
        self.ops.send(Queue::Op { op, places }).map_err(closed)?;
        fate.await.map_err(closed)?
    }

    /// Puts an operation into the queue without waiting for a place, for callers that cannot wait. Returns `true` if a
    /// receiver will take it.
    pub(crate) fn send(&self, op: O) -> bool {
        self.ops.send(Queue::Op { op, places: 0 }).is_ok()
    }

    /// Refuses further operations, and waits until the queued operations are answered and the receiver has closed its
    /// resources. Every caller waits for this, not only the first one.
    ///
    /// # Errors
    /// Returns the error that the receiver met while it closed.
    ///
    /// # Cancel safety
    /// If the future is dropped after its first poll, the queue still closes.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        // If this fails, the queue is closed already.
        drop(self.ops.send(Queue::Close));
        self.shared.closed.wait().await.clone()
    }
}

/// The receiving end of a queue. Dropping it wakes every caller that waits for a place, and every caller of
/// [`Sender::close`].
#[derive(Debug)]
pub(crate) struct Receiver<O> {
    ops: UnboundedReceiver<Queue<O>>,
    end: End,
    batch: Vec<Queue<O>>,
}

/// Notifies both kinds of callers that the receiver is gone, for whatever reason.
#[derive(Debug)]
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.permits.close();
        // If this fails, the receiver has already closed with an error.
        drop(self.0.closed.set(Ok(())));
    }
}

impl<O: Queued> Receiver<O> {
    /// Waits for operations, and moves all queued operations into `ops`. Returns `false` if no more operations will
    /// arrive.
    #[cfg(feature = "sqlite")]
    pub(crate) fn blocking_take(&mut self, ops: &mut Vec<O>) -> bool {
        let taken = self.ops.blocking_recv_many(&mut self.batch, BATCH);
        self.hand_out(taken, ops)
    }

    /// Does the work of `blocking_take` in a task.
    ///
    /// # Cancel safety
    /// If the future is dropped, no operation is taken.
    #[cfg(any(feature = "postgres", feature = "redis", test))]
    pub(crate) async fn take(&mut self, ops: &mut Vec<O>) -> bool {
        let taken = self.ops.recv_many(&mut self.batch, BATCH).await;
        self.hand_out(taken, ops)
    }

    fn hand_out(&mut self, taken: usize, ops: &mut Vec<O>) -> bool {
        let (mut free, mut closes) = (0, false);
        for queued in self.batch.drain(..) {
            match queued {
                Queue::Op { op, places } => {
                    free += places;
                    ops.push(op);
                }
                Queue::Close => closes = true,
            }
        }
        self.end.0.permits.add_permits(free);
        if closes {
            // Queued operations can still be taken; further ones are refused.
            self.ops.close();
            self.end.0.permits.close();
        }
        taken > 0
    }

    /// Passes the result of closing the receiver's resources to every caller of [`Sender::close`].
    #[cfg(feature = "sqlite")]
    pub(crate) fn closed(self, closed: Result<(), StoreError>) {
        // No other code sets this value.
        drop(self.end.0.closed.set(closed));
    }

    /// Waits until the `company` callers that were just answered return with their next operation, so that the first
    /// one does not start a commit of its own. Yields the processor as long as callers keep arriving, and never sleeps.
    #[cfg(feature = "sqlite")]
    pub(crate) fn blocking_gather(&self, company: usize) {
        let mut gathering = Gathering::of(company);
        while gathering.goes_on(self.ops.len()) {
            std::thread::yield_now();
        }
    }

    /// Does the work of `blocking_gather` in a task.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(crate) async fn gather(&self, company: usize) {
        let mut gathering = Gathering::of(company);
        while gathering.goes_on(self.ops.len()) {
            tokio::task::yield_now().await;
        }
    }
}

/// Decides whether answered callers are still returning.
struct Gathering {
    company: usize,
    /// The number of callers that had returned at the last check, or `None` before the first check.
    before: Option<usize>,
}

impl Gathering {
    const fn of(company: usize) -> Self {
        Self { company, before: None }
    }

    /// Returns `true` as long as more callers return between two checks. A single caller is not waited for.
    fn goes_on(&mut self, queued: usize) -> bool {
        let before = self.before.replace(queued);
        self.company > 1 && queued < self.company && before.is_none_or(|before| queued > before)
    }
}

fn closed<E>(_: E) -> StoreError {
    StoreError::Closed
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    struct Op(usize, oneshot::Sender<Result<usize, StoreError>>);

    impl Queued for Op {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    fn is_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
    }

    #[tokio::test]
    async fn everybody_gets_the_answer_to_their_own_operation() {
        let (sender, mut receiver) = queue::<Op>(8);
        let worker = tokio::spawn(async move {
            let mut ops = Vec::new();
            while receiver.take(&mut ops).await {
                for Op(number, answer) in ops.drain(..) {
                    drop(answer.send(if number == 3 { Err(StoreError::Closed) } else { Ok(number * 10) }));
                }
            }
        });
        let asked = (0..6).map(|number| sender.ask(move |answer| Op(number, answer)));
        let answers = futures_util::future::join_all(asked).await;
        assert_eq!(answers, [Ok(0), Ok(10), Ok(20), Err(StoreError::Closed), Ok(40), Ok(50)]);
        drop(sender);
        worker.await.unwrap();
    }

    #[tokio::test]
    async fn full_queue_admits_next_operation_after_room_is_free() {
        let (sender, mut receiver) = queue::<Op>(2);
        let mut first = pin!(sender.ask(|answer| Op(PLACE_BYTES, answer)));
        let mut second = pin!(sender.ask(|answer| Op(0, answer)));
        assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
        let mut ops = Vec::new();
        assert!(receiver.take(&mut ops).await);
        assert_eq!(ops.len(), 1, "the first operation took both places");
        assert!(is_pending(second.as_mut()));
        assert!(receiver.take(&mut ops).await);
        assert_eq!(ops.len(), 2);
    }

    #[tokio::test]
    async fn operation_larger_than_the_queue_goes_through_alone() {
        let (sender, mut receiver) = queue::<Op>(2);
        let mut large = pin!(sender.ask(|answer| Op(100 * PLACE_BYTES, answer)));
        assert!(is_pending(large.as_mut()));
        assert!(receiver.take(&mut Vec::new()).await);
    }

    #[tokio::test]
    async fn dropped_queue_answers_waiting_callers_closed() {
        let (sender, receiver) = queue::<Op>(1);
        let mut first = pin!(sender.ask(|answer| Op(0, answer)));
        let mut second = pin!(sender.ask(|answer| Op(0, answer)));
        assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
        drop(receiver);
        assert_eq!(first.await, Err(StoreError::Closed));
        assert_eq!(second.await, Err(StoreError::Closed));
        assert!(!sender.send(Op(0, oneshot::channel().0)));
        assert_eq!(sender.close().await, Ok(()));
    }

    #[tokio::test]
    async fn closing_waits_for_queued_operations_and_refuses_later_ones() {
        let (sender, mut receiver) = queue::<Op>(8);
        let mut queued = pin!(sender.ask(|answer| Op(1, answer)));
        assert!(is_pending(queued.as_mut()));
        let (mut first, mut second) = (pin!(sender.close()), pin!(sender.close()));
        assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
        let mut ops = Vec::new();
        assert!(receiver.take(&mut ops).await);
        for Op(number, answer) in ops.drain(..) {
            answer.send(Ok(number)).unwrap();
        }
        assert!(!receiver.take(&mut ops).await);
        assert_eq!(sender.ask(|answer| Op(2, answer)).await, Err(StoreError::Closed));
        let mut third = pin!(sender.close());
        assert!(is_pending(first.as_mut()) && is_pending(third.as_mut()), "the receiver is still there");
        drop(receiver);
        assert_eq!((first.await, second.await, third.await), (Ok(()), Ok(()), Ok(())));
        assert_eq!(queued.await, Ok(1));
    }
}
