use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use awaitly_core::store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// More permits than calls can be in flight.
const ALL: u32 = u32::MAX >> 3;

/// The calls of a store that bypass its queues, so that closing the store can wait for them.
#[derive(Debug)]
pub(crate) struct Calls {
    under_way: Arc<Semaphore>,
    closed: AtomicBool,
}

/// A call in flight. Dropping it ends the call.
#[derive(Debug)]
pub(crate) struct Call {
    _permit: OwnedSemaphorePermit,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self { under_way: Arc::new(Semaphore::new(ALL as usize)), closed: AtomicBool::new(false) }
    }

    /// Begins a call.
    ///
    /// # Errors
    /// Returns [`StoreError::Closed`] if [`close`](Self::close) was polled.
    pub(crate) fn begin(&self) -> Result<Call, StoreError> {
        // A permit is available unless `close` waits for all of them.
        let permit = Arc::clone(&self.under_way).try_acquire_owned().map_err(|_| StoreError::Closed)?;
        match self.closed.load(Ordering::Acquire) {
            true => Err(StoreError::Closed),
            false => Ok(Call { _permit: permit }),
        }
    }

    /// Refuses further calls, and waits for the calls in flight.
    ///
    /// # Cancel safety
    /// If the future is dropped after its first poll, further calls are still refused.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        drop(self.under_way.acquire_many(ALL).await);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn closing_waits_for_calls_under_way_and_refuses_later_ones() {
        let calls = Calls::new();
        let call = calls.begin().unwrap();
        let mut closing = pin!(calls.close());
        assert_eq!(closing.as_mut().now_or_never(), None);
        assert_eq!(calls.begin().err(), Some(StoreError::Closed));
        drop(call);
        assert_eq!(closing.as_mut().now_or_never(), Some(()));
        assert_eq!(calls.begin().err(), Some(StoreError::Closed));
        calls.close().await;
    }

    #[tokio::test]
    async fn dropped_closing_lets_no_more_calls_begin() {
        let calls = Calls::new();
        let _call = calls.begin().unwrap();
        assert_eq!(calls.close().now_or_never(), None);
        assert_eq!(calls.begin().err(), Some(StoreError::Closed));
    }
}
