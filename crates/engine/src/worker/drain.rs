use awaitly_core::store::Dispatch;

use super::work::Work;

impl<S: Dispatch + Clone> Work<'_, S> {
    /// Waits for the executions for the grace period, and interrupts the others. Returns once the store knows that their
    /// leases are free.
    pub(super) async fn drain(&mut self) {
        let worker = self.worker();
        if !self.crew.is_empty() {
            tracing::info!(executions = self.crew.len(), "the worker stops, and waits for its executions");
        }
        let all_end = async { while self.crew.one_ends().await {} };
        if tokio::time::timeout(worker.grace, all_end).await.is_err() {
            tracing::warn!(
                executions = self.crew.len(),
                "the worker interrupts the executions that have not ended"
            );
            self.crew.interrupt_all().await;
        }
        // A release does not wait for the store. A call that reads does.
        drop(worker.store.now().await);
    }
}
