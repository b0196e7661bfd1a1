use tokio::sync::watch;

/// Tells when runs of a store may have become due: somebody answered, a run was cancelled, imported or set
/// back to running. What is due, [`Operate::due`](super::Operate::due) says.
///
/// No change is missed, and several that come together are told once. What other processes did is told where
/// the store can know of it.
#[derive(Debug, Clone)]
pub struct Wakes(watch::Receiver<u64>);

/// What rings for the [`Wakes`] of a store.
#[derive(Debug, Clone)]
pub struct Bell(watch::Sender<u64>);

impl Wakes {
    /// Waits for a change that was not told yet. `false`: there will be none any more. That is told when the last
    /// handle on the store is gone; a store may tell it already when it is closed.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl Bell {
    /// A bell that nobody listens to yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Tells everybody who listens.
    pub fn ring(&self) {
        self.0.send_modify(|rings| *rings += 1);
    }

    /// Somebody who listens from now on.
    #[must_use]
    pub fn listen(&self) -> Wakes {
        Wakes(self.0.subscribe())
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}
