use awaitly_core::store::Dispatch;

use super::work::Work;

impl<S: Dispatch + Clone> Work<'_, S> {
    /// Waits for the executions during the grace period, and interrupts those that have not ended. Returns when the
    /// store has released their leases.
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
        // A release returns before the store has carried it out. A read waits for the releases before it.
        drop(worker.store.now().await);
    }
}
