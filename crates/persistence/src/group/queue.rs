use std::sync::Arc;

use awaitly_core::store::StoreError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};

/// How many operations share a commit at most.
const BATCH: usize = 1024;

/// How many bytes of an operation's values take a place in the queue, beside the one that each takes.
const PLACE_BYTES: usize = 64 * 1024;

/// Something that can wait in a [`queue`](queue()).
pub(crate) trait Queued: Send + 'static {
    /// How many bytes of values it holds.
    fn bytes(&self) -> usize;
}

/// A queue with `places`, of which an operation takes one, and one more for each 64 KiB of its values. So what
/// waits is bounded in number and in size.
pub(crate) fn queue<O: Queued>(places: usize) -> (Sender<O>, Receiver<O>) {
    let places = places.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let (ops, queued) = unbounded_channel();
    let permits = Arc::new(Semaphore::new(places));
    let sender = Sender { ops, permits: Arc::clone(&permits), places };
    (sender, Receiver { ops: queued, permits: Permits(permits), batch: Vec::new() })
}

/// The end of a queue that operations are put into. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Sender<O> {
    ops: UnboundedSender<Queue<O>>,
    permits: Arc<Semaphore>,
    places: usize,
}

/// An operation, and how many places it takes.
#[derive(Debug)]
struct Queue<O> {
    op: O,
    places: usize,
}

impl<O> Clone for Sender<O> {
    fn clone(&self) -> Self {
        Self { ops: self.ops.clone(), permits: Arc::clone(&self.permits), places: self.places }
    }
}

impl<O: Queued> Sender<O> {
    /// Waits for places in the queue, in order, and then for the answer.
    ///
    /// # Errors
    /// [`StoreError::Closed`] where nobody answers any more.
    ///
    /// # Cancel safety
    /// An operation whose future is dropped while it waits for a place is not put into the queue; later it is
    /// carried out whole.
    pub(crate) async fn ask<T>(
        &self,
        op: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> O,
    ) -> Result<T, StoreError> {
        let (answer, fate) = oneshot::channel();
        let op = op(answer);
        let places = (1 + op.bytes() / PLACE_BYTES).min(self.places);
        let permits = self.permits.acquire_many(places as u32).await.map_err(closed)?;
        // They are given back when the operation is taken out of the queue.
        permits.forget();
        self.ops.send(Queue { op, places }).map_err(closed)?;
        fate.await.map_err(closed)?
    }

    /// Puts an operation into the queue without waiting for a place: for those that cannot wait. Says whether
    /// anybody will take it.
    pub(crate) fn send(&self, op: O) -> bool {
        self.ops.send(Queue { op, places: 0 }).is_ok()
    }
}

/// The end of a queue that operations are taken out of. Dropping it tells everybody who waits for a place.
#[derive(Debug)]
pub(crate) struct Receiver<O> {
    ops: UnboundedReceiver<Queue<O>>,
    permits: Permits,
    batch: Vec<Queue<O>>,
}

/// The places of the queue. Whoever waits for one learns when the receiver is gone, however it went.
#[derive(Debug)]
struct Permits(Arc<Semaphore>);

impl Drop for Permits {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<O: Queued> Receiver<O> {
    /// Waits for operations, and puts all that are there into `ops`. `false`: there will be none any more.
    #[cfg(feature = "sqlite")]
    pub(crate) fn blocking_take(&mut self, ops: &mut Vec<O>) -> bool {
        let taken = self.ops.blocking_recv_many(&mut self.batch, BATCH);
        self.hand_out(taken, ops)
    }

    /// The same for a task.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    #[cfg(any(feature = "postgres", feature = "redis", test))]
    pub(crate) async fn take(&mut self, ops: &mut Vec<O>) -> bool {
        let taken = self.ops.recv_many(&mut self.batch, BATCH).await;
        self.hand_out(taken, ops)
    }

    fn hand_out(&mut self, taken: usize, ops: &mut Vec<O>) -> bool {
        let places = self.batch.iter().map(|queued| queued.places).sum();
        self.permits.0.add_permits(places);
        ops.extend(self.batch.drain(..).map(|queued| queued.op));
        taken > 0
    }

    /// Lets in nothing more. What is queued already can still be taken.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn close(&mut self) {
        self.ops.close();
        self.permits.0.close();
    }

    /// Lets those who were just answered, `company` of them, come back with their next operation, so that the
    /// first does not start a commit for itself alone. It gives the processor away for as long as they keep
    /// coming, and never waits for a time.
    #[cfg(feature = "sqlite")]
    pub(crate) fn blocking_gather(&self, company: usize) {
        let mut gathering = Gathering::of(company);
        while gathering.goes_on(self.ops.len()) {
            std::thread::yield_now();
        }
    }

    /// The same for a task.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(crate) async fn gather(&self, company: usize) {
        let mut gathering = Gathering::of(company);
        while gathering.goes_on(self.ops.len()) {
            tokio::task::yield_now().await;
        }
    }
}

/// Whether those who were answered are still coming back.
struct Gathering {
    company: usize,
    /// How many had come when this was asked last. `None`: it was not asked yet.
    before: Option<usize>,
}

impl Gathering {
    const fn of(company: usize) -> Self {
        Self { company, before: None }
    }

    /// One who was alone is not waited for; the others as long as there are more of them each time.
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
    async fn a_full_queue_lets_in_nobody_until_there_is_room() {
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
    async fn an_operation_larger_than_the_queue_goes_through_alone() {
        let (sender, mut receiver) = queue::<Op>(2);
        let mut large = pin!(sender.ask(|answer| Op(100 * PLACE_BYTES, answer)));
        assert!(is_pending(large.as_mut()));
        assert!(receiver.take(&mut Vec::new()).await);
    }

    #[tokio::test]
    async fn who_waits_for_a_place_learns_that_the_queue_is_gone() {
        let (sender, receiver) = queue::<Op>(1);
        let mut first = pin!(sender.ask(|answer| Op(0, answer)));
        let mut second = pin!(sender.ask(|answer| Op(0, answer)));
        assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
        drop(receiver);
        assert_eq!(first.await, Err(StoreError::Closed));
        assert_eq!(second.await, Err(StoreError::Closed));
        assert!(!sender.send(Op(0, oneshot::channel().0)));
    }
}
